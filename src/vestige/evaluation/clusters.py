"""What the bootstrap draws: the units that the split holds out, or blocks of time of a single stream.

A figure speaks of new hosts where hosts were held out, of new templates where templates were: the evidence
is as many of *those* as the test part has, however many windows or files they left.

Letters: N windows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.predictions import Predictions
from vestige.reading.times import span
from vestige.reading.windows import WindowSet
from vestige.splits import Split, groups_of, members_of

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

FEWEST_CLUSTERS = 10
FEWEST_WITH_EACH = 5
FEWEST_BLOCKS, MOST_BLOCKS, BLOCK_WINDOWS = 20, 50, 100
BLOCK_LENGTHS = 5
"""Window lengths that a block of time lasts at least: shorter blocks share steps with their neighbours."""
RECORDING = "recording"
"""Unit where the recipe names none: a single one is a stream, cut in blocks."""


@dataclass(frozen=True)
class Clusters:
    """The cluster of each window, `ids (N,)` in 0..count-1, and whether there are enough of them."""

    ids: IntArray
    count: int
    unit: str
    description: str
    trusted: bool
    reason: str = ""


def held_out(predictions: Predictions, split: Split, windows: WindowSet) -> Predictions:
    """Predictions on `windows` that know which unit of the split's recipe each window belongs to.

    Hosts, samples, profiles or what else is held out; the group of the last step (logs: its template) for a
    split by groups; otherwise recordings, and for a cut within a single recording blocks of it.
    """
    if split.unit == "group":
        unit = groups_of(windows, split.recipe, windows.target_step)
        return replace(predictions, unit=unit, unit_name=split.recipe.cluster)
    if split.unit != "recording":
        return replace(predictions, unit=None, unit_name="")
    _, code = np.unique(members_of(windows, split.recipe.held_column), return_inverse=True)
    unit = code.astype(np.int64)[windows.recording]
    return replace(predictions, unit=unit, unit_name=split.recipe.cluster or RECORDING)


def clusters_of(predictions: Predictions) -> Clusters:
    """The clusters of a part's windows: what `held_out` found, else recordings, or blocks of a single one.

    Not trusted: fewer than 10 clusters, or fewer than 5 that hold anomalies (or normal windows).
    """
    drawn = predictions.recording if predictions.unit is None else predictions.unit
    _, ids = np.unique(drawn, return_inverse=True)
    count = int(ids.max()) + 1 if len(ids) else 0
    if count == 1 and predictions.unit is None:
        return _blocks_of(predictions)
    unit = predictions.unit_name or RECORDING
    description, reason = f"{count} {unit}s", _too_few(ids, count, predictions.positive, unit)
    if count == 1:
        description, reason = f"1 {unit}", f"one test {unit}"
    return Clusters(ids.astype(np.int64), count, unit, description, not reason, reason)


def _blocks_of(predictions: Predictions) -> Clusters:
    times = predictions.t_ns if predictions.has_times else None
    least = BLOCK_LENGTHS * predictions.reach
    ids, count = _blocks(predictions.position, least)
    reason = _too_few(ids, count, predictions.positive, "block")
    if count < FEWEST_CLUSTERS:
        reason = (
            f"a single recording of {len(ids)} test windows gives only {count} blocks of {BLOCK_LENGTHS} "
            f"window lengths or more (at least {FEWEST_CLUSTERS} are needed)"
        )
    return Clusters(ids, count, "block", _describe_blocks(len(ids), count, times), not reason, reason)


def _blocks(position: NDArray[Any], least: int) -> tuple[IntArray, int]:
    """Contiguous blocks, 20 to 50 where each can hold `least` windows, fewer (two at least) otherwise."""
    n = len(position)
    wanted = int(np.clip(n // BLOCK_WINDOWS, FEWEST_BLOCKS, MOST_BLOCKS))
    count = min(n, wanted, max(2, n // least))
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(position, kind="stable")] = np.arange(n)
    return rank * count // n, count


def _describe_blocks(n: int, count: int, t_ns: NDArray[Any] | None) -> str:
    text = f"{count} contiguous blocks of about {round(n / count)} windows of a single recording"
    if t_ns is None:
        return text
    first, last = span(t_ns) or (0, 0)
    seconds = (last - first) / 1e9 / count
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{text}, about {seconds / size:.1f} {name} each"
    return f"{text}, about {seconds:.1f} seconds each"


def _too_few(ids: NDArray[Any], count: int, positive: BoolArray, unit: str) -> str:
    if count < FEWEST_CLUSTERS:
        return f"only {count} {unit}s (at least {FEWEST_CLUSTERS} are needed)"
    for rows, what in ((positive, "anomalies"), (~positive, "normal windows")):
        holding = len(np.unique(ids[rows]))
        if holding < FEWEST_WITH_EACH:
            return f"only {holding} of {count} {unit}s hold {what} (at least {FEWEST_WITH_EACH} are needed)"
    return ""
