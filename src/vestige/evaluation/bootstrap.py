"""Intervals from a cluster bootstrap: whole clusters (see `clusters`) are drawn, never windows.

Windows of one cluster resemble one another; drawing them singly would feign far more evidence than
there is. Every measure is taken from counts for each cluster, so that all resamples are one matrix product.

Letters: N windows, G clusters, R resamples, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.metrics import average_precision, last_of_ties, macro_f1
from vestige.evaluation.record import IntervalResult

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

RESAMPLES = 1_000
LEVEL = 0.95
SAME = 1e-12
"""Figures closer than this differ by rounding alone."""
DEGENERATE = "every resample gives the same figure: no interval can be had, which is not certainty"
RANKING_BUDGET = 50_000_000
"""Windows x resamples that an interval of a ranking measure may sort through: fewer resamples beyond it."""


def draw(count: int, resamples: int = RESAMPLES, seed: int = 0) -> FloatArray:
    """How often each cluster is drawn, `(R, G)`: G draws with replacement a row. Same seed, same draws."""
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.asarray(drawn, dtype=np.float64)


@dataclass(frozen=True)
class Interval:
    """Bounds around an estimate, see `interval`. `void`: resamples that lacked a class, and say nothing."""

    estimate: float
    low: float
    high: float
    resamples: int
    void: int

    @property
    def degenerate(self) -> bool:
        """Whether all usable resamples gave the same figure: that is no certainty, only no information."""
        return self.high - self.low <= SAME


def exact_bounds(rate: float, count: int, level: float = LEVEL) -> tuple[float, float]:
    """Clopper and Pearson's bounds (1934) of a rate that all `count` clusters share.

    Conservative for the mean rate of clusters, whatever happens within them: a cluster whose true rate is
    p is silent with probability 1 - p at most. NaN without clusters.
    """
    from scipy.special import betaincinv

    if not count or not np.isfinite(rate):
        return np.nan, np.nan
    hits, tail = rate * count, (1 - level) / 2
    low = betaincinv(hits, count - hits + 1, tail) if hits > 0 else 0.0
    high = betaincinv(hits + 1, count - hits, 1 - tail) if hits < count else 1.0
    return float(low), float(high)


def freedom(samples: FloatArray, weights: FloatArray) -> float:
    """How many degrees of freedom the deviation of `samples (R,)` has, which came of `weights (R, G)`: at
    most G - 1, and at least 2 where there are as many.

    A deviation that hangs on a few clusters is a worse guess than one to which all give alike. What cluster g
    gives is the covariance of the samples with how often it was drawn. Of G draws of a kurtosis k the
    variance has a variance of (k - 1) / G of its square, as that of 2 G / (k - 1) normal draws has (after
    Satterthwaite: An approximate distribution of estimates of variance components. Biometrics Bulletin 2
    (1946)).
    """
    good = np.isfinite(samples)
    count = weights.shape[1]
    if count < 3 or not good.any():
        return float(count - 1)
    apart = np.where(good, samples - samples[good].mean(), 0.0)
    given = weights[: len(samples)].T @ apart
    squares = given**2
    total = squares.sum() ** 2
    if total <= 0:
        return float(count - 1)
    kurtosis = count * (squares**2).sum() / total
    return float(min(count - 1, max(2.0, 2 * count / max(kurtosis - 1, SAME))))


def tail_of(level: float, clusters: int = 0, free: float | None = None) -> float:
    """The share of resamples, 0 to 0.5, that lies below an interval of `level`, and as many above it. `level`
    is the interval's nominal coverage, above 0 and below 1; neither is checked.

    A resample of few clusters varies less than a sample of as many does, and its deviation is itself a guess:
    percentiles are too narrow. So the tail is that of Student's t with as many degrees of freedom as are
    `free` (None: one less than there are clusters), widened by sqrt(G / (G - 1)) (Hesterberg: What teachers
    should know about the bootstrap. The American Statistician 69 (2015), "expanded percentile interval").
    0 or 1 clusters: the nominal tail.
    """
    from scipy.special import ndtr, stdtrit

    tail = (1 - level) / 2
    if clusters < 2:
        return tail
    if free is None:
        free = clusters - 1
    return float(ndtr(np.sqrt(clusters / (clusters - 1)) * stdtrit(free, tail)))


def interval(
    estimate: float, samples: FloatArray, level: float = LEVEL, *, weights: FloatArray | None = None
) -> Interval:
    """The central `level` of `samples (R,)`, widened for how few clusters bear it, which the `weights (R, G)`
    tell that they came of (None: not widened); NaN counts as void."""
    good = samples[np.isfinite(samples)]
    void = len(samples) - len(good)
    if not len(good):
        return Interval(float(estimate), np.nan, np.nan, len(samples), void)
    tail = tail_of(level)
    if weights is not None:
        tail = tail_of(level, weights.shape[1], freedom(samples, weights))
    low, high = np.quantile(good, [tail, 1 - tail])
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
    """Average precision and ROC AUC of each resample, two `(R',)`: at least 200, fewer for more windows.

    Both are sums over the scores that positives have, so a resample takes one running sum over all windows,
    and all else over positives.
    """
    order = np.argsort(-score, kind="stable")
    ranked_ids, hits = ids[order], np.flatnonzero(positive[order])
    ends = last_of_ties(score[order])
    tie = np.unique(np.searchsorted(ends, hits))
    last, before = ends[tie], np.where(tie > 0, ends[tie - 1], -1)
    hit_ids, last_hit = ranked_ids[hits], np.searchsorted(hits, last, side="right")
    enough = max(200, RANKING_BUDGET // max(len(score), 1))
    precisions, areas = [], []
    for row in weights[:enough]:
        # Of the first n windows so many were drawn: by n, from 0 on. Likewise of the first n positives.
        seen, found = _running(row[ranked_ids]), _running(row[hit_ids])
        tp, total = found[last_hit], found[-1]
        fp, negatives = seen[last + 1] - tp, seen[-1] - total
        precisions.append(average_precision(tp, fp))
        fp_before = seen[before + 1] - np.concatenate([[0.0], tp[:-1]])
        # Of the negatives a positive stands above those behind its tie, and half of those within it.
        above = (np.diff(tp, prepend=0.0) * (2 * negatives - fp - fp_before)).sum() / 2
        areas.append(above / (total * negatives) if total * negatives else np.nan)
    return np.array(precisions), np.array(areas)


def _running(drawn: FloatArray) -> FloatArray:
    sums = np.zeros(len(drawn) + 1)
    np.cumsum(drawn, out=sums[1:])
    return sums


def two_sided_p(gaps: FloatArray) -> float | None:
    """How surprising resampled gaps `(R,)` would be if there were none: twice the share on the rarer side of
    0, at most 1, never 0. NaN counts as void; None where all are."""
    good = gaps[np.isfinite(gaps)]
    if not len(good):
        return None
    contrary = min(int((good <= 0).sum()), int((good >= 0).sum()))
    return min(1.0, 2 * (1 + contrary) / (1 + len(good)))


def interval_result(
    estimate: float, samples: FloatArray, weights: FloatArray | None = None
) -> IntervalResult:
    """An estimate with the interval that its resamples `(R,)` by `weights (R, G)` give, for the record.

    Resamples that all give one figure give no interval: the record says so instead.
    """
    found: Interval = interval(estimate, samples, weights=weights)
    if found.degenerate:
        return IntervalResult(
            estimate=found.estimate,
            low=None,
            high=None,
            resamples=found.resamples,
            void=found.void,
            method="none",
            note=DEGENERATE,
        )
    return IntervalResult(
        estimate=found.estimate,
        low=found.low,
        high=found.high,
        resamples=found.resamples,
        void=found.void,
    )


def rate_result(
    estimate: float,
    part: BoolArray,
    whole: BoolArray,
    ids: IntArray,
    weights: FloatArray,
) -> IntervalResult:
    """The rate `part / whole` (windows by masks `(N,)`) with its interval, for the record.

    A rate that no resample can move (0, 1, or alike in all clusters) gets the exact bounds of as many
    trials as there are clusters that hold any window of `whole`.
    """
    found = interval_result(estimate, rate_samples(part, whole, ids, weights), weights)
    if found.method == "bootstrap":
        return found
    concerned = len(np.unique(ids[whole]))
    low, high = exact_bounds(estimate, concerned)
    clusters = "1 cluster" if concerned == 1 else f"{concerned} clusters"
    note = f"exact bounds on {clusters}: resampling cannot move it"
    return found.model_copy(update={"low": low, "high": high, "method": "exact", "note": note})
