"""One episode on a regular grid: a row a second, a column a channel.

Step k covers the second from `t_start + k` to `t_start + k + 1` and is known when that is over.

- A sampled source (`proc`, `guest`, `qmp`) gives a step the last row read before the second was over, if that
  is not older than `STALE_NS`. A counter's value is its difference to the row before, by the time that really
  lay between them; a fall is a reset, and a difference over more than `GAP_NS` says nothing about one second:
  both are missing, as is whatever the recorder could not read. No rate is ever negative.
- `netflow` is summed up over the connections that began in the second. Without any, counts and sums are 0,
  means and entropies missing.

A source that the episode has not is missing throughout. Letters: N rows, T steps, C channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.sources.telemetry.channels import CHANNELS, columns, of_source
from vestige.sources.telemetry.clock import inside
from vestige.sources.telemetry.fields import SAMPLED, WALL, SourceName
from vestige.sources.telemetry.kernels import SECOND_NS, Flags, Floats, Grid, Ints, count_events, sample

STALE_NS = 1_500_000_000
"""How old a row may be when a second is over: rows jitter around the second, and a lost one is missing."""
GAP_NS = 2_500_000_000
"""How long a counter's difference may span: one lost row is bridged by its mean, two are not."""
SETTINGS = {"step_ns": SECOND_NS, "stale_ns": STALE_NS, "gap_ns": GAP_NS}
"""Part of the schema, and so of its digest."""


def steps(t_start_ns: int, t_end_ns: int) -> int:
    """How many whole seconds an episode has."""
    return max(0, (t_end_ns - t_start_ns) // SECOND_NS)


def grid(tables: Mapping[SourceName, pl.DataFrame], t_start_ns: int, t_end_ns: int) -> Grid:
    """The grid `(T, 46)` float32 of an episode, NaN where nothing is known.

    `tables`: the raw columns by source, stamped in Unix ns (`t_wall_ns`, rising for sampled sources); a
    source that was lost is left out. Raises EvidenceError where a source has rows and none of them is in the
    episode: that is a source stamped by another clock, which must not pass for a silent one.
    """
    n = steps(t_start_ns, t_end_ns)
    out = np.full((n, len(CHANNELS)), np.nan, dtype=np.float32)
    for source, table in tables.items():
        t_ns = table[WALL].to_numpy()
        if len(t_ns) and not inside(t_ns, t_start_ns, t_end_ns):
            raise EvidenceError(
                f"{len(table)} rows of {source}, and none of them in the episode",
                remedy="look at the clock of this source in the manifest",
            )
        fill = _samples if source in SAMPLED else _connections
        fill(table, source, t_ns, t_start_ns, out[:, columns(source)])
    return out


def _samples(table: pl.DataFrame, source: SourceName, t_ns: Ints, t_start_ns: int, out: Grid) -> None:
    """Fill the columns of a sampled source."""
    channels = of_source(source)
    names = [one.column for one in channels]
    values: Floats = table.select(pl.col(names).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
    counter: Flags = np.array([one.kind == "counter->rate" for one in channels])
    sample(t_ns, np.ascontiguousarray(values), counter, t_start_ns, STALE_NS, GAP_NS, out)


def _connections(
    table: pl.DataFrame,
    source: SourceName,  # noqa: ARG001 - there is one such source
    t_ns: Ints,
    t_start_ns: int,
    out: Grid,
) -> None:
    """Fill the columns of `netflow` from connections in any order."""
    proto, port = pl.col("proto"), pl.col("id.orig_p")
    what = table.select(
        pl.col("orig_bytes", "resp_bytes", "orig_pkts", "resp_pkts").cast(pl.Float64).fill_null(0.0),
        pl.col("id.resp_h").hash().reinterpret(signed=True),
        pl.col("id.resp_p").cast(pl.Int64).fill_null(-1),
        (pl.col("conn_state") == "S0").fill_null(False).alias("s0"),
        (pl.col("service") == "dns").fill_null(False).alias("dns"),
        ((proto == "icmp") & (port == 3)).fill_null(False).alias("unreachable"),
    )
    order = np.argsort(t_ns, kind="stable")
    amounts = what.select(what.columns[:4]).to_numpy()[order]
    flags = what.select("s0", "dns", "unreachable").to_numpy()[order]
    host, port_of = (what[name].to_numpy()[order] for name in ("id.resp_h", "id.resp_p"))
    count_events(t_ns[order], amounts, flags, host, port_of, t_start_ns, out)


def on_grid(label_ns: Ints, label: NDArray[Any], t_start_ns: int, n: int) -> NDArray[Any]:
    """The label in force when each of `n` seconds is over, `(n,)`: it holds from `label_ns` to the next."""
    over = t_start_ns + np.arange(1, n + 1, dtype=np.int64) * SECOND_NS
    at = np.searchsorted(label_ns, over, side="left") - 1
    return label[np.maximum(at, 0)]
