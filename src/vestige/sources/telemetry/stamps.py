"""Are a table's rows in order, and when were they, in Unix nanoseconds?"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.sources.telemetry import clock
from vestige.sources.telemetry.faults import Fault, FaultError
from vestige.sources.telemetry.fields import MOST_STEPS, SAMPLED, SEQ, CollectorName
from vestige.sources.telemetry.manifest import Manifest
from vestige.sources.telemetry.tables import stamp

ENOUGH_ROWS = 3
"""So few rows have a pace."""
MOST_LOST = 10
"""Rows in a row that a sampled collector may lose."""


def faults(table: pl.DataFrame, collector: CollectorName, manifest: Manifest) -> list[Fault]:
    """What is wrong with stamps and row numbers: `stamps`, `seq` (rejected), `seq_gap` (degraded).

    Connections of a spool come in the order in which they ended: only sealing sorts them by stamp.
    """
    name = stamp(collector, manifest)
    stamps, seq = table.get_column(name), table.get_column(SEQ)
    if missing := stamps.null_count():
        return [Fault("stamps", collector, f"{missing:,} rows without {name}")]
    if missing := seq.null_count():
        return [Fault("seq", collector, f"{missing:,} rows without {SEQ}")]
    found: list[Fault] = []
    t = stamps.to_numpy()
    back = t[1:] < t[:-1]
    if back.any() and (collector in SAMPLED or manifest.sealed):
        row = int(back.argmax()) + 2
        found.append(Fault("stamps", collector, f"row {row:,} is earlier than the one before"))
    number = seq.to_numpy()
    stuck = number[1:] <= number[:-1]
    steps = (number[1:] - number[:-1]).view(np.uint64)  # of any two int64, once they rise
    if stuck.any():
        row = int(stuck.argmax()) + 2
        found.append(Fault("seq", collector, f"row {row:,} does not count on"))
    elif collector in SAMPLED and len(steps) and (most := int(steps.max()) - 1) > MOST_LOST:
        found.append(Fault("seq_gap", collector, f"{most:,} rows lost in a row"))
    return found


def too_slow(
    t_ns: NDArray[np.int64], table: pl.DataFrame, collector: CollectorName, seconds: int
) -> list[Fault]:
    """`too_slow` where rows stamped `t_ns (N,)`, Unix ns, come too rarely for a grid of steps of `seconds`.

    Most counters' differences would then be missing: see `fields.MOST_STEPS`. The pace is the recorder's: the
    median of the time from a row to the next, by their numbers, so that lost rows do not make it slow.
    """
    if collector not in SAMPLED or len(t_ns) < ENOUGH_ROWS:
        return []
    number = table.get_column(SEQ)
    if number.null_count():
        return []
    counted = np.maximum(np.diff(number.to_numpy()), 1)  # numbers that do not rise are another fault
    pace = float(np.median(np.diff(t_ns) / counted)) / 1e9
    if pace <= MOST_STEPS * seconds:
        return []
    what = (
        f"a row every {pace:.4g} s, too few for a grid of {seconds} s; "
        f"read the store with --grid-seconds {round(pace)}"
    )
    return [Fault("too_slow", collector, what)]


def unix_ns(
    table: pl.DataFrame, collector: CollectorName, manifest: Manifest, where: str
) -> NDArray[np.int64]:
    """When each row was, Unix ns `(rows,)`, mapped by the manifest's anchors where another clock stamped it.

    `table` has no row without a stamp. Raises FaultError `clock_base` where the stamps cannot be mapped, or
    where less than 99% of them then lie in the episode: the collector is lost.
    """
    stamps = table.get_column(stamp(collector, manifest)).to_numpy()
    base, sync = manifest.clock.sources[collector], manifest.clock.sync
    try:
        if base == "wall":
            clock.refuse_other_base(stamps, (manifest.t_start_ns, manifest.t_end_ns))
        elif base == "monotonic":
            anchors = [(anchor.t_wall_ns, anchor.t_mono_ns) for anchor in sync]
            stamps = clock.wall_times(stamps, anchors)
        else:
            anchors = [
                (anchor.t_wall_ns, anchor.t_boot_ns) for anchor in sync if anchor.t_boot_ns is not None
            ]
            stamps = clock.wall_times(stamps, anchors, stands_in_sleep=False)
    except EvidenceError as error:
        raise FaultError(error.what, where=where, code="clock_base", subject=collector) from error
    share = clock.inside(stamps, manifest.t_start_ns, manifest.t_end_ns)
    if share < clock.ENOUGH_INSIDE:
        outside = round((1 - share) * len(stamps))
        what = f"{outside:,} of {len(stamps):,} rows outside the episode, in {base} time"
        zone = clock.zone_that_fits(stamps, manifest.t_start_ns, manifest.t_end_ns)
        if base == "wall" and zone is not None:
            what += f"; as local times of UTC{zone} they would lie in it (nfdump: TZ=UTC nfdump ...)"
        raise FaultError(what, where=where, code="clock_base", subject=collector)
    return stamps
