"""The raw columns of an episode's tables, as the recorder writes them: counters, never rates.

A column of `proc`, `guest` or `qmp` is called as its channel is, less the collector (`process.cpu.time.user`
for `proc.process.cpu.time.user`); those of `netflow` as in Zeek's conn.log. Null (or NaN, in a column of
float64) means that the recorder could not read the value.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping
from typing import Literal, NamedTuple, get_args

import polars as pl

CollectorName = Literal["proc", "guest", "qmp", "netflow"]
COLLECTORS: tuple[CollectorName, ...] = get_args(CollectorName)
"""The four sides from which an episode is recorded, in the order of the channels."""
SAMPLED: tuple[CollectorName, ...] = ("proc", "guest", "qmp")
"""Collectors of one row a second; `netflow` has a row a connection instead."""
RATE_HZ = 1.0
MOST_STEPS = 2.5
"""Over how many steps of the grid a counter's difference may reach: rows that are slower are of no use."""

WALL, MONO, SEQ = "t_wall_ns", "t_mono_ns", "seq"
"""Stamps of a row (int64 ns: since 1970, or of a clock that begins with the boot) and its number."""


class Field(NamedTuple):
    """What a raw column holds."""

    dtype: type[pl.Int64 | pl.Float64 | pl.String]
    unit: str


_SECONDS = Field(pl.Float64, "s")
_BYTES = Field(pl.Int64, "By")
_TEXT = Field(pl.String, "")


def _count(unit: str = "1") -> Field:
    return Field(pl.Int64, unit)


FIELDS: Mapping[CollectorName, Mapping[str, Field]] = {
    "proc": {
        "process.cpu.time.user": _SECONDS,
        "process.cpu.time.system": _SECONDS,
        "process.cpu.time.guest": _SECONDS,
        "process.memory.usage": _BYTES,
        "process.paging.faults.minor": _count(),
        "process.paging.faults.major": _count(),
        "process.thread.count": _count("{thread}"),
        "process.context_switches.voluntary": _count(),
        "process.context_switches.involuntary": _count(),
        "process.disk.io.read": _BYTES,
        "process.disk.io.write": _BYTES,
        "schedstat.waiting": _SECONDS,
    },
    "guest": {
        "system.cpu.time.user": _SECONDS,
        "system.cpu.time.system": _SECONDS,
        "system.cpu.time.iowait": _SECONDS,
        "system.linux.memory.available": _BYTES,
        "system.paging.faults.major": _count(),
        "load1": Field(pl.Float64, "1"),
        "context_switches": _count(),
        "interrupts": _count(),
        "system.disk.io.read": _BYTES,
        "system.disk.io.write": _BYTES,
        "system.network.io.receive": _BYTES,
        "system.network.io.transmit": _BYTES,
        "system.process.count": _count("{process}"),
        "system.process.created": _count(),
    },
    "qmp": {
        "blockstats.rd_bytes": _BYTES,
        "blockstats.wr_bytes": _BYTES,
        "blockstats.rd_operations": _count(),
        "blockstats.wr_operations": _count(),
        "blockstats.flush_operations": _count(),
        "balloon.actual": _BYTES,
        "stats.vcpu.exits": _count(),
        "stats.vcpu.halt_exits": _count(),
    },
    "netflow": {
        "uid": _TEXT,
        "id.orig_h": _TEXT,
        "id.orig_p": _count(),
        "id.resp_h": _TEXT,
        "id.resp_p": _count(),
        "proto": _TEXT,
        "service": _TEXT,
        "duration": _SECONDS,
        "orig_bytes": _BYTES,
        "resp_bytes": _BYTES,
        "conn_state": _TEXT,
        "orig_pkts": _count("{packet}"),
        "resp_pkts": _count("{packet}"),
    },
}
"""By collector, the raw columns in their order (the stamps and `seq` come before them)."""

OPTIONAL = frozenset({"balloon.actual", "stats.vcpu.exits", "stats.vcpu.halt_exits"})
"""Columns that may be null throughout: no balloon device, or TCG (`query-stats` is KVM's)."""


def schema(collector: CollectorName) -> dict[str, type[pl.DataType]]:
    """The raw columns of `collector` with their dtypes, without stamps and `seq`."""
    return {name: field.dtype for name, field in FIELDS[collector].items()}


@functools.cache
def digest() -> str:
    """SHA-256 of all names, dtypes and units: `registry_sha256` of a manifest."""
    table = {
        collector: [[name, str(field.dtype()), field.unit] for name, field in fields.items()]
        for collector, fields in FIELDS.items()
    }
    return hashlib.sha256(json.dumps(table, separators=(",", ":")).encode()).hexdigest()
