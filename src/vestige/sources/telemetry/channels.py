"""The registry of channels: what one second of an episode is described by, 46 numbers.

Names, units and conventions follow `channels.csv` of the format: OpenTelemetry's semantic conventions, the
names of node_exporter, QEMU's QAPI and Zeek's conn.log. A counter is given as its rate.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from vestige.schema import Feature
from vestige.sources.telemetry.fields import CollectorName

Kind = Literal[
    "gauge",
    "counter->rate",
    "event->count",
    "event->sum",
    "event->distinct",
    "event->entropy",
    "event->mean gap",
]


class Channel(NamedTuple):
    """One channel. `name` begins with its `collector`; `host_only`: nobody inside the machine can see it."""

    name: str
    collector: CollectorName
    unit: str
    kind: Kind
    host_only: bool

    @property
    def column(self) -> str:
        """What it is called without its collector: the raw column of a sampled collector."""
        return self.name.removeprefix(f"{self.collector}.")


def _of(collector: CollectorName, host_only: bool, rows: list[tuple[str, str, Kind]]) -> list[Channel]:
    return [Channel(f"{collector}.{name}", collector, unit, kind, host_only) for name, unit, kind in rows]


CHANNELS: tuple[Channel, ...] = (
    *_of(
        "proc",
        True,
        [
            ("process.cpu.time.user", "s/s", "counter->rate"),
            ("process.cpu.time.system", "s/s", "counter->rate"),
            ("process.cpu.time.guest", "s/s", "counter->rate"),
            ("process.memory.usage", "By", "gauge"),
            ("process.paging.faults.minor", "1/s", "counter->rate"),
            ("process.paging.faults.major", "1/s", "counter->rate"),
            ("process.thread.count", "{thread}", "gauge"),
            ("process.context_switches.voluntary", "1/s", "counter->rate"),
            ("process.context_switches.involuntary", "1/s", "counter->rate"),
            ("process.disk.io.read", "By/s", "counter->rate"),
            ("process.disk.io.write", "By/s", "counter->rate"),
            ("schedstat.waiting", "s/s", "counter->rate"),
        ],
    ),
    *_of(
        "guest",
        False,
        [
            ("system.cpu.time.user", "s/s", "counter->rate"),
            ("system.cpu.time.system", "s/s", "counter->rate"),
            ("system.cpu.time.iowait", "s/s", "counter->rate"),
            ("system.linux.memory.available", "By", "gauge"),
            ("system.paging.faults.major", "1/s", "counter->rate"),
            ("load1", "1", "gauge"),
            ("context_switches", "1/s", "counter->rate"),
            ("interrupts", "1/s", "counter->rate"),
            ("system.disk.io.read", "By/s", "counter->rate"),
            ("system.disk.io.write", "By/s", "counter->rate"),
            ("system.network.io.receive", "By/s", "counter->rate"),
            ("system.network.io.transmit", "By/s", "counter->rate"),
            ("system.process.count", "{process}", "gauge"),
            ("system.process.created", "1/s", "counter->rate"),
        ],
    ),
    *_of(
        "qmp",
        True,
        [
            ("blockstats.rd_bytes", "By/s", "counter->rate"),
            ("blockstats.wr_bytes", "By/s", "counter->rate"),
            ("blockstats.rd_operations", "1/s", "counter->rate"),
            ("blockstats.wr_operations", "1/s", "counter->rate"),
            ("blockstats.flush_operations", "1/s", "counter->rate"),
            ("balloon.actual", "By", "gauge"),
            ("stats.vcpu.exits", "1/s", "counter->rate"),
            ("stats.vcpu.halt_exits", "1/s", "counter->rate"),
        ],
    ),
    *_of(
        "netflow",
        False,
        [
            ("conn_count", "{conn}", "event->count"),
            ("orig_bytes", "By", "event->sum"),
            ("resp_bytes", "By", "event->sum"),
            ("orig_pkts", "{packet}", "event->sum"),
            ("resp_pkts", "{packet}", "event->sum"),
            ("uniq_resp_h", "{address}", "event->distinct"),
            ("uniq_resp_p", "{port}", "event->distinct"),
            ("conn_state_s0", "{conn}", "event->count"),
            ("dns_queries", "{query}", "event->count"),
            ("icmp_unreachable", "{conn}", "event->count"),
            ("resp_p_entropy", "bit", "event->entropy"),
            ("iat_mean", "s", "event->mean gap"),
        ],
    ),
)
"""Every channel in the order of the grid's columns."""


@functools.cache
def of_collector(collector: CollectorName) -> tuple[Channel, ...]:
    """The channels of one collector, in the grid's order."""
    return tuple(channel for channel in CHANNELS if channel.collector == collector)


@functools.cache
def columns(collector: CollectorName) -> slice:
    """Where the channels of `collector` are in the grid."""
    # The channels of a collector stand together: a slice takes them all.
    at = [number for number, channel in enumerate(CHANNELS) if channel.collector == collector]
    return slice(at[0], at[-1] + 1)


def features() -> tuple[Feature, ...]:
    """The channels as a tensor's features."""
    return tuple(Feature(channel.name, channel.unit, channel.host_only) for channel in CHANNELS)


def settings(channels: Sequence[Channel] = CHANNELS) -> list[dict[str, Any]]:
    """The registry as plain data: part of the schema, and so of its digest."""
    return [channel._asdict() for channel in channels]
