"""One episode on a regular grid: a row a step, a column a channel. A step is a second unless said otherwise.

Step k covers the second from `t_start + k` to `t_start + k + 1` and is known when that is over.

- A sampled collector (`proc`, `guest`, `qmp`) gives a step the last row read before the second was over, if
  that is not older than `STALE_NS`. A counter's value is its difference to the row before, by the time that
  really lay between them; a fall is a reset, and a difference over more than `GAP_NS` says nothing about one
  second: both are missing, as is whatever the recorder could not read. No rate is ever negative.
- On a coarser grid both bounds grow with the step, and a counter's difference is that to the last row of the
  step before: its rate, still a second's, is the whole step's.
- A counter that falls and is then back where it was, sooner than it could have counted up to there at the
  fastest that it otherwise rises, has not been reset: it was not read for a while (`/proc/net/dev` shows
  zeros now and then), or a part of what it sums up was not. The zeros are missing, and so is its rise back.
  So is a first reading of zero from which it leaps, and one far above both its neighbours. A reset begins
  anew and stays below; a wrap does the same; a counter that is corrected downwards by a little (iowait, by a
  hundredth of a second) goes on from there: all that is missing of these is the fall.
- `netflow` is summed up over the connections that began in the step. Without any, counts and sums are 0,
  means and entropies missing. What is made of columns that the table has not is missing throughout.

A collector that the episode has not is missing throughout. Letters: N rows, T steps, C channels.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.sources.telemetry.channels import CHANNELS, columns, of_collector
from vestige.sources.telemetry.clock import inside
from vestige.sources.telemetry.fields import MOST_STEPS, SAMPLED, CollectorName, schema
from vestige.sources.telemetry.flow_texts import AMOUNTS, USED
from vestige.sources.telemetry.kernels import (
    SECOND_NS,
    Flags,
    Floats,
    Grid,
    Ints,
    count_events,
    forget_false,
    sample,
)

STALE_NS = 1_500_000_000
"""How old a row may be when a second is over: rows jitter around the second, and a lost one is missing. Of a
longer step, as many times as much."""
GAP_NS = int(MOST_STEPS * SECOND_NS)
"""How long a counter's difference may span: one lost row is bridged by its mean, two are not. Of a longer
step, as many times as much."""
NETFLOW = schema("netflow")
DNS = r"(?i)(^|,)dns(,|$)"
"""Zeek names several services of a connection with commas between them; others write them in capitals."""
ICMP, ICMP6 = ("icmp", "1"), ("icmp6", "icmpv6", "icmp-v6", "ipv6-icmp", "58")
"""Protocols by name or number (IANA's)."""
UNREACHABLE, UNREACHABLE_6 = 3, 1
"""Types of messages that a destination is unreachable: RFC 792, and RFC 4443, section 3.1."""
MAPPED = r"(?i)^(0*:){2,5}(0*:)?ffff:\d+\.\d+\.\d+\.\d+$"
"""An address of IPv4 in the clothes of IPv6: RFC 4291, section 2.5.5.2."""
NEEDS: Mapping[str, tuple[str, ...]] = {
    **{name: (name,) for name in AMOUNTS},
    "uniq_resp_h": ("id.resp_h",),
    "uniq_resp_p": ("id.resp_p",),
    "conn_state_s0": ("conn_state",),
    "dns_queries": ("service",),
    "icmp_unreachable": ("proto", "id.orig_p"),
    "resp_p_entropy": ("id.resp_p",),
}
"""By channel, the raw columns without which it is missing, and not 0."""


class Rows(NamedTuple):
    """The rows of one collector: when each was, Unix ns `(N,)`, and a table with its raw columns."""

    t_ns: Ints
    table: pl.DataFrame


def settings(seconds: int) -> dict[str, int]:
    """The grid of steps of so many seconds: part of the schema, and so of its digest."""
    return {"step_ns": seconds * SECOND_NS, "stale_ns": seconds * STALE_NS, "gap_ns": seconds * GAP_NS}


def steps(t_start_ns: int, t_end_ns: int, seconds: int = 1) -> int:
    """How many whole steps of so many seconds an episode has."""
    return max(0, (t_end_ns - t_start_ns) // (seconds * SECOND_NS))


def grid(
    collectors: Mapping[CollectorName, Rows],
    t_start_ns: int,
    t_end_ns: int,
    seconds: int = 1,
    forgotten: dict[str, int] | None = None,
) -> Grid:
    """The grid `(T, 46)` float32 of an episode, NaN where nothing is known; a step lasts `seconds`.

    `forgotten` is filled with how many readings of which counters were taken for none.

    The rows of a sampled collector rise in time; those of `netflow` come in any order; a collector that was
    lost is left out. Raises EvidenceError where a collector has rows and none of them is in the episode: that
    is a collector stamped by another clock, which must not pass for a silent one.
    """
    n = steps(t_start_ns, t_end_ns, seconds)
    out = np.full((n, len(CHANNELS)), np.nan, dtype=np.float32)
    for collector, rows in collectors.items():
        if len(rows.t_ns) and not inside(rows.t_ns, t_start_ns, t_end_ns):
            raise EvidenceError(
                f"{len(rows.t_ns)} rows of {collector}, and none of them in the episode",
                remedy="look at the clock of this collector in the manifest",
            )
        part = out[:, columns(collector)]
        if collector in SAMPLED:
            false = _sample(collector, rows, t_start_ns, seconds, part)
            if forgotten is not None:
                forgotten.update(false)
        else:
            _count(rows, t_start_ns, seconds, part)
    return out


def _sample(collector: CollectorName, rows: Rows, t_start_ns: int, seconds: int, out: Grid) -> dict[str, int]:
    """Fill the columns of a sampled collector. By channel, how many readings were taken for none.

    Arrays are handed to kernels as copies: some of a table cannot be written to, and Numba compiles a kernel
    anew for these.
    """
    channels = of_collector(collector)
    values = _numbers(rows.table, [channel.column for channel in channels])
    counter: Flags = np.array([channel.kind == "counter->rate" for channel in channels])
    t_ns = np.array(rows.t_ns)
    forgotten = forget_false(t_ns, values, counter)
    bounds = settings(seconds)
    sample(
        t_ns,
        values,
        counter,
        t_start_ns,
        bounds["step_ns"],
        bounds["stale_ns"],
        bounds["gap_ns"],
        out,
    )
    return {channels[at].name: int(forgotten[at]) for at in np.flatnonzero(forgotten)}


def _count(rows: Rows, t_start_ns: int, seconds: int, out: Grid) -> None:
    """Fill the columns of `netflow`."""
    known = frozenset(rows.table.columns)
    nothing = [pl.lit(None, dtype=NETFLOW[name]).alias(name) for name in USED if name not in known]
    if nothing:
        rows = Rows(rows.t_ns, rows.table.with_columns(nothing))
    if (rows.t_ns[1:] < rows.t_ns[:-1]).any():  # of a spool: in the order in which they ended
        order = np.argsort(rows.t_ns, kind="stable")
        rows = Rows(rows.t_ns[order], rows.table[order])
    column = rows.table.get_column
    said = rows.table.select(_said())
    host, *kinds = said.get_columns()
    flags: Flags = np.stack([kind.to_numpy() for kind in kinds])
    port = column("id.resp_p").fill_null(-1)
    count_events(
        np.array(rows.t_ns),
        _numbers(rows.table, AMOUNTS),
        flags,
        np.array(host.to_numpy().view(np.int64)),
        np.array(port.to_numpy()),
        t_start_ns,
        seconds * SECOND_NS,
        out,
    )
    for at, channel in enumerate(of_collector("netflow")):
        if not known.issuperset(NEEDS.get(channel.column, ())):
            out[:, at] = np.nan


@functools.cache
def _said() -> list[pl.Expr]:
    """Of each connection: a number for its responder, and whether it is an attempt without reply, a query for
    a name, a message that something could not be reached."""
    kinds = [pl.col("conn_state") == "S0", pl.col("service").str.contains(DNS), _unreachable()]
    flags = [kind.fill_null(value=False).alias(str(at)) for at, kind in enumerate(kinds)]
    return [pl.col("id.resp_h").str.to_lowercase().hash(), *flags]


def _unreachable() -> pl.Expr:
    """Which connections are messages that something could not be reached.

    The type is where Zeek keeps it, in the originator's port. Zeek calls ICMP and ICMPv6 `icmp`, and they
    number their types differently: the addresses tell them apart, unless the protocol does.
    """
    proto, address = pl.col("proto").str.to_lowercase(), pl.col("id.resp_h")
    sixth = (address.str.contains(":", literal=True) & ~address.str.contains(MAPPED)).fill_null(value=False)
    v6 = proto.is_in(ICMP6) | (proto.is_in(ICMP) & sixth)
    kind = pl.when(v6).then(UNREACHABLE_6).otherwise(UNREACHABLE)
    return proto.is_in([*ICMP, *ICMP6]) & (pl.col("id.orig_p") == kind)


def _numbers(table: pl.DataFrame, names: Sequence[str]) -> Floats:
    """Columns as float64 `(C, N)`, NaN for null."""
    values = np.empty((len(names), len(table)))
    for row, name in zip(values, names, strict=True):
        row[:] = table.get_column(name).to_numpy()
    return values


def ends(t_start_ns: int, n: int, seconds: int = 1) -> Ints:
    """When each of `n` steps of so many seconds is over, Unix ns `(n,)`."""
    return t_start_ns + np.arange(1, n + 1, dtype=np.int64) * (seconds * SECOND_NS)


def on_grid(label_ns: Ints, label: NDArray[Any], t_start_ns: int, n: int, seconds: int = 1) -> NDArray[Any]:
    """The label in force when each of `n` steps is over, `(n,)`: it holds from `label_ns` to the next."""
    over = ends(t_start_ns, n, seconds)
    at = np.searchsorted(label_ns, over, side="left") - 1
    return label[np.maximum(at, 0)]
