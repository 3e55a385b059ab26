"""Measures of predictions on plain arrays, vectorised so that a bootstrap can take them 1,000 times.

Letters: N windows, K classes, T distinct thresholds; `...` any leading axes (resamples, clusters, groups).

Macro F1 here is the unweighted mean of the classes' F1 over the union of the labels that occur, as truth
or as prediction; a class that is only ever predicted, or never hit, counts with F1 = 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

BINS = 10
"""Bins of the score in which reliability is told."""


def confusion(label: NDArray[Any], predicted: NDArray[Any], n_classes: int) -> IntArray:
    """Counts `(K, K)`: row = true class, column = predicted class."""
    group = np.zeros(len(label), dtype=np.int64)
    return np.asarray(grouped_confusion(label, predicted, group, n_classes, 1)[0])


def grouped_confusion(
    label: NDArray[Any], predicted: NDArray[Any], group: NDArray[Any], n_classes: int, n_groups: int
) -> IntArray:
    """The confusion counts of each group, `(G, K, K)`."""
    cell = (group.astype(np.int64) * n_classes + label) * n_classes + predicted
    counts = np.bincount(cell, minlength=n_groups * n_classes**2)
    return counts.reshape(n_groups, n_classes, n_classes).astype(np.int64)


class PerClass(NamedTuple):
    """Precision, recall and F1 of each class, `(..., K)`; 0 where a denominator is 0."""

    precision: FloatArray
    recall: FloatArray
    f1: FloatArray


def per_class(counts: NDArray[Any]) -> PerClass:
    """Precision, recall and F1 from confusion counts `(..., K, K)`."""
    hits = np.diagonal(counts, axis1=-2, axis2=-1).astype(np.float64)
    true, said = counts.sum(axis=-1), counts.sum(axis=-2)
    return PerClass(_ratio(hits, said), _ratio(hits, true), _ratio(2 * hits, true + said))


def macro_f1(counts: NDArray[Any]) -> FloatArray:
    """Macro F1 from confusion counts `(..., K, K)`; NaN where there are no windows at all."""
    seen = (counts.sum(axis=-1) + counts.sum(axis=-2)) > 0
    f1 = per_class(counts).f1
    with np.errstate(invalid="ignore"):
        return np.asarray((f1 * seen).sum(axis=-1) / seen.sum(axis=-1), dtype=np.float64)


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> FloatArray:
    out = np.zeros(np.shape(whole))
    np.divide(part, whole, out=out, where=np.asarray(whole) > 0)
    return out


class Point(NamedTuple):
    """An operating point: alert where score >= `threshold`."""

    threshold: float
    recall: float
    fpr: float


@dataclass(frozen=True)
class Sweep:
    """What every distinct threshold would alert on, from the strictest down.

    `thresholds (T,)` descending; `tp`, `fp` `(T,)`: positives and negatives with score >= threshold.
    """

    thresholds: FloatArray
    tp: FloatArray
    fp: FloatArray

    @classmethod
    def of(cls, score: NDArray[Any], positive: BoolArray) -> Self:
        """Sweep over `score (N,)`; equal scores alert together."""
        order = np.argsort(-score, kind="stable")
        ranked = score[order]
        ends = last_of_ties(ranked)
        tp = np.cumsum(positive[order], dtype=np.float64)[ends]
        return cls(np.asarray(ranked[ends], dtype=np.float64), tp, ends + 1.0 - tp)

    @property
    def positives(self) -> int:
        """How many windows are positive."""
        return int(self.tp[-1]) if len(self.tp) else 0

    @property
    def negatives(self) -> int:
        """How many windows are negative."""
        return int(self.fp[-1]) if len(self.fp) else 0

    @cached_property
    def recall(self) -> FloatArray:
        """True-positive rate at each threshold; NaN without positives."""
        return self.tp / self.positives if self.positives else np.full_like(self.tp, np.nan)

    @cached_property
    def fpr(self) -> FloatArray:
        """False-positive rate at each threshold; NaN without negatives."""
        return self.fp / self.negatives if self.negatives else np.full_like(self.fp, np.nan)

    @cached_property
    def precision(self) -> FloatArray:
        """Precision at each threshold."""
        return self.tp / (self.tp + self.fp)

    @property
    def average_precision(self) -> float:
        """Sum over thresholds of (rise in recall) x precision; NaN without positives."""
        return float(average_precision(self.tp, self.fp))

    @property
    def roc_auc(self) -> float:
        """Area under the ROC curve by trapezoids; NaN unless both kinds occur."""
        return float(roc_auc(self.tp, self.fp))

    def at_fpr(self, rate: float) -> Point:
        """The lowest threshold whose false-positive rate stays within `rate`: the highest recall there is."""
        allowed = int(np.searchsorted(self.fp, rate * self.negatives, side="right"))
        if allowed == 0:
            top = self.thresholds[0] if len(self.thresholds) else np.inf
            return Point(float(np.nextafter(top, np.inf)), 0.0 if self.positives else np.nan, 0.0)
        row = allowed - 1
        return Point(float(self.thresholds[row]), float(self.recall[row]), float(self.fpr[row]))


def last_of_ties(ranked: NDArray[Any]) -> IntArray:
    """Where each run of equal values in a sorted array ends."""
    if not len(ranked):
        return np.empty(0, dtype=np.int64)
    return np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1).astype(np.int64)


def average_precision(tp: FloatArray, fp: FloatArray) -> FloatArray:
    """Average precision from cumulative (weighted) counts `(..., T)`; NaN without positives."""
    rise = np.diff(tp, axis=-1, prepend=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(tp > 0, tp / (tp + fp), 0.0)
        return np.asarray((rise * precision).sum(axis=-1) / tp[..., -1] if tp.shape[-1] else np.nan)


def roc_auc(tp: FloatArray, fp: FloatArray) -> FloatArray:
    """Area under the ROC curve from cumulative (weighted) counts `(..., T)`; NaN unless both kinds occur."""
    if not tp.shape[-1]:
        return np.asarray(np.nan)
    rise, before = (
        np.diff(fp, axis=-1, prepend=0.0),
        np.concatenate([np.zeros_like(tp[..., :1]), tp[..., :-1]], -1),
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        area = (rise * (tp + before)).sum(axis=-1) / 2
        return np.asarray(area / (tp[..., -1] * fp[..., -1]))


class AtThreshold(NamedTuple):
    """Counts of alerting where score >= threshold: true and false alerts, misses, rightly silent."""

    tp: int
    fp: int
    fn: int
    tn: int

    @property
    def precision(self) -> float:
        """Share of alerts that are right; NaN without alerts."""
        return self.tp / (self.tp + self.fp) if self.tp + self.fp else float("nan")

    @property
    def recall(self) -> float:
        """Share of positives alerted on; NaN without positives."""
        return self.tp / (self.tp + self.fn) if self.tp + self.fn else float("nan")

    @property
    def fpr(self) -> float:
        """Share of negatives alerted on; NaN without negatives."""
        return self.fp / (self.fp + self.tn) if self.fp + self.tn else float("nan")

    @property
    def macro_f1(self) -> float:
        """Macro F1 of alert or silence against positive or negative."""
        return float(macro_f1(np.array([[self.tn, self.fp], [self.fn, self.tp]])))


def at_threshold(score: NDArray[Any], positive: BoolArray, threshold: float) -> AtThreshold:
    """What alerting where `score >= threshold` gets right and wrong."""
    alert = score >= threshold
    tp, alerts, positives = int((alert & positive).sum()), int(alert.sum()), int(positive.sum())
    fp = alerts - tp
    return AtThreshold(tp=tp, fp=fp, fn=positives - tp, tn=len(score) - positives - fp)


@dataclass(frozen=True)
class Calibration:
    """Whether a score of 0.8 means that 8 of 10 such windows are anomalous.

    Reliability in equal-width bins of the score: empty bins are left out.

    `score (B,)` mean score, `share (B,)` share of positives, `count (B,)` windows of each bin;
    `brier` = mean (score - positive)^2; `ece` = mean over windows of |score - share| of their bin.
    """

    score: FloatArray
    share: FloatArray
    count: IntArray
    brier: float
    ece: float


def calibrate(score: NDArray[Any], positive: BoolArray, bins: int = BINS) -> Calibration:
    """Reliability of `score (N,)` in 0..1 as the probability of `positive (N,)`."""
    which = np.minimum((score * bins).astype(np.int64), bins - 1)
    count = np.bincount(which, minlength=bins)
    kept = count > 0
    mean = np.bincount(which, weights=score, minlength=bins)[kept] / count[kept]
    share = np.bincount(which, weights=positive, minlength=bins)[kept] / count[kept]
    n = max(len(score), 1)
    return Calibration(
        score=mean,
        share=share,
        count=count[kept].astype(np.int64),
        brier=float(np.mean((score - positive) ** 2)) if len(score) else float("nan"),
        ece=float((count[kept] / n * np.abs(mean - share)).sum()) if len(score) else float("nan"),
    )
