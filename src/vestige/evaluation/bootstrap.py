"""Intervals from a cluster bootstrap: whole recordings (or blocks of time) are drawn, never windows.

Windows of one recording resemble one another; drawing them singly would feign far more evidence than
there is. Every measure is taken from counts for each cluster, so that all resamples are one matrix product.

Letters: N windows, G clusters, R resamples, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.metrics import average_precision, last_of_ties, macro_f1, roc_auc
from vestige.evaluation.predictions import Predictions

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

RESAMPLES = 1_000
LEVEL = 0.95
FEWEST_CLUSTERS = 10
FEWEST_WITH_EACH = 5
FEWEST_BLOCKS, MOST_BLOCKS, BLOCK_WINDOWS = 20, 50, 100
RANKING_BUDGET = 50_000_000
"""Windows x resamples that an interval of a ranking measure may sort through: fewer resamples beyond it."""


@dataclass(frozen=True)
class Clusters:
    """The cluster of each window, `ids (N,)` in 0..count-1, and whether there are enough of them."""

    ids: IntArray
    count: int
    unit: str
    description: str
    trusted: bool
    reason: str = ""


def clusters(
    recording: NDArray[Any],
    position: NDArray[Any],
    label: NDArray[Any],
    t_wall_ns: NDArray[Any] | None = None,
) -> Clusters:
    """Recordings as clusters; the windows of a single recording are cut into contiguous blocks instead.

    `position (N,)` orders the windows, `label (N,)` tells normal (0) from anomalous, `t_wall_ns (N,)`
    lets the description say how long a block lasts. Not trusted: fewer than 10 clusters, or fewer than
    5 that hold anomalies (or normal windows).
    """
    _, ids = np.unique(recording, return_inverse=True)
    count = int(ids.max()) + 1 if len(ids) else 0
    unit, description = "recording", f"{count} recordings"
    if count == 1:
        ids, count = _blocks(position)
        unit, description = "block", _describe_blocks(len(ids), count, t_wall_ns)
    reason = _too_few(ids.astype(np.int64), count, np.asarray(label) != 0, unit)
    return Clusters(ids.astype(np.int64), count, unit, description, not reason, reason)


def clusters_of(predictions: Predictions) -> Clusters:
    """The clusters of a part's windows."""
    times = predictions.t_wall_ns if predictions.has_times else None
    return clusters(predictions.recording, predictions.position, predictions.label, times)


def _blocks(position: NDArray[Any]) -> tuple[IntArray, int]:
    n = len(position)
    count = min(n, int(np.clip(n // BLOCK_WINDOWS, FEWEST_BLOCKS, MOST_BLOCKS)))
    rank = np.empty(n, dtype=np.int64)
    rank[np.argsort(position, kind="stable")] = np.arange(n)
    return rank * count // n, count


def _describe_blocks(n: int, count: int, t_wall_ns: NDArray[Any] | None) -> str:
    text = f"{count} contiguous blocks of about {round(n / count)} windows of a single recording"
    if t_wall_ns is None:
        return text
    seconds = (int(t_wall_ns.max()) - int(t_wall_ns.min())) / 1e9 / count
    for size, name in ((86_400, "days"), (3_600, "hours"), (60, "minutes")):
        if seconds >= size:
            return f"{text}, about {seconds / size:.1f} {name} each"
    return f"{text}, about {seconds:.1f} seconds each"


def _too_few(ids: IntArray, count: int, positive: BoolArray, unit: str) -> str:
    if count < FEWEST_CLUSTERS:
        return f"only {count} {unit}s (at least {FEWEST_CLUSTERS} are needed)"
    for rows, what in ((positive, "anomalies"), (~positive, "normal windows")):
        holding = len(np.unique(ids[rows]))
        if holding < FEWEST_WITH_EACH:
            return f"only {holding} of {count} {unit}s hold {what} (at least {FEWEST_WITH_EACH} are needed)"
    return ""


def draw(count: int, resamples: int = RESAMPLES, seed: int = 0) -> FloatArray:
    """How often each cluster is drawn, `(R, G)`: G draws with replacement a row. Same seed, same draws."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(drawn, dtype=np.float64)


@dataclass(frozen=True)
class Interval:
    """A percentile interval around an estimate. `void`: resamples that lacked a class, and say nothing."""

    estimate: float
    low: float
    high: float
    resamples: int
    void: int


def interval(estimate: float, samples: FloatArray, level: float = LEVEL) -> Interval:
    """The central `level` of `samples (R,)`; NaN counts as void."""
    good = samples[np.isfinite(samples)]
    void = len(samples) - len(good)
    if not len(good):
        return Interval(float(estimate), np.nan, np.nan, len(samples), void)
    low, high = np.quantile(good, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(estimate), float(low), float(high), len(samples), void)


def macro_f1_samples(per_cluster: IntArray, weights: FloatArray) -> FloatArray:
    """Macro F1 of each resample `(R,)` from confusion counts of each cluster `(G, K, K)`.

    A resample that misses a class which the whole has is NaN: leaving the class out of its mean would
    make it look better than any honest draw.
    """
    shape = per_cluster.shape
    counts = (weights @ per_cluster.reshape(shape[0], -1)).reshape(-1, *shape[1:])
    present = per_cluster.sum(axis=(0, 2)) > 0
    whole = (counts.sum(axis=2)[:, present] > 0).all(axis=1)
    return np.asarray(np.where(whole, macro_f1(counts), np.nan), dtype=np.float64)


def rate_samples(part: NDArray[Any], whole: NDArray[Any], ids: IntArray, weights: FloatArray) -> FloatArray:
    """`part / whole` in each resample `(R,)`, where both count windows by boolean masks `(N,)`."""
    above = weights @ np.bincount(ids, weights=part, minlength=weights.shape[1])
    below = weights @ np.bincount(ids, weights=whole, minlength=weights.shape[1])
    rates = np.full(len(weights), np.nan)
    np.divide(above, below, out=rates, where=below > 0)
    return rates


def ranking_samples(
    score: NDArray[Any], positive: BoolArray, ids: IntArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Average precision and ROC AUC of each resample, two `(R',)`: at least 200, fewer for more windows."""
    order = np.argsort(-score, kind="stable")
    ends = last_of_ties(score[order])
    ranked_ids, ranked_positive = ids[order], positive[order]
    enough = max(200, RANKING_BUDGET // max(len(score), 1))
    precisions, areas = [], []
    for row in weights[:enough]:
        drawn = row[ranked_ids]
        tp = np.cumsum(drawn * ranked_positive)[ends]
        fp = np.cumsum(drawn)[ends] - tp
        precisions.append(average_precision(tp, fp))
        areas.append(roc_auc(tp, fp))
    return np.array(precisions), np.array(areas)
