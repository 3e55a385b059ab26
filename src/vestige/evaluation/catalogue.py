"""The metrics of a detector, each as one entry: its name, how it is computed, and how it is shown.

The terminal's table, the report, the dashboard's page and `metrics.json` are drawn from `METRICS`: whoever
adds an entry here has added the metric everywhere.

Letters: N windows, K classes, G clusters, R resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import BoolArray, FloatArray, IntArray, interval_result, rate_result
from vestige.evaluation.clusters import Clusters
from vestige.evaluation.groups import group_macro_f1
from vestige.evaluation.metrics import (
    AtThreshold,
    Sweep,
    at_threshold,
    confusion,
    grouped_confusion,
    macro_f1,
)
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.results import MetricColumn, Place


@dataclass(frozen=True)
class Material:
    """What metrics are computed from: the predictions for the test part, the alert threshold that validation
    chose, and the resamples of the bootstrap, `weights (R, G)`.

    What several metrics need is computed once.
    """

    test: Predictions
    threshold: float
    clusters: Clusters
    weights: FloatArray

    @cached_property
    def counts(self) -> IntArray:
        """Confusion counts `(K, K)` of the most probable classes."""
        return confusion(self.test.label, self.test.predicted, len(self.test.classes))

    @cached_property
    def alert(self) -> BoolArray:
        """Which windows alert, `(N,)`."""
        return np.asarray(self.test.score >= self.threshold, dtype=np.bool_)

    @cached_property
    def at_threshold(self) -> AtThreshold:
        """Alert or silence against anomalous or normal."""
        return at_threshold(self.test.score, self.test.positive, self.threshold)

    @cached_property
    def sweep(self) -> Sweep:
        """What every threshold would alert on."""
        return Sweep.of(self.test.score, self.test.positive)

    @cached_property
    def ranking_samples(self) -> tuple[FloatArray, FloatArray]:
        """Average precision and ROC AUC of the resamples."""
        return bootstrap.ranking_samples(self.test.score, self.test.positive, self.clusters.ids, self.weights)

    def rate(self, estimate: float, part: BoolArray, whole: BoolArray) -> IntervalResult:
        """The rate of windows `part / whole`, given as masks `(N,)`, with its interval."""
        return rate_result(estimate, part, whole, self.clusters.ids, self.weights)


@dataclass(frozen=True)
class Metric:
    """One metric.

    `compute` makes the figure, with its interval where it has one (`IntervalResult.point` where it has none).
    `title` heads its columns, `short` does where there is little room; `form` is how Python formats it.
    `at_threshold`: it is about alert and silence at the chosen threshold, and the column says which policy
    chose that. `places`: where it has a column; `metrics.json` has every metric.
    """

    name: str
    title: str
    compute: Callable[[Material], IntervalResult]
    higher_is_better: bool = True
    short: str = ""
    form: str = ".3f"
    at_threshold: bool = False
    places: tuple[Place, ...] = ("terminal", "report", "page")

    @property
    def column(self) -> MetricColumn:
        """How it is shown, for the record."""
        return MetricColumn(
            name=self.name,
            title=self.title,
            short=self.short or self.title,
            form=self.form,
            higher_is_better=self.higher_is_better,
            at_threshold=self.at_threshold,
            places=list(self.places),
        )


def columns(metrics: Sequence[Metric]) -> list[MetricColumn]:
    """How metrics are shown, for the record of a run."""
    return [metric.column for metric in metrics]


def _macro_f1(of: Material) -> IntervalResult:
    test, drawn = of.test, of.clusters
    per_cluster = grouped_confusion(test.label, test.predicted, drawn.ids, len(test.classes), drawn.count)
    return interval_result(
        float(macro_f1(of.counts)), bootstrap.macro_f1_samples(per_cluster, of.weights), of.weights
    )


def _average_precision(of: Material) -> IntervalResult:
    return interval_result(of.sweep.average_precision, of.ranking_samples[0], of.weights)


def _roc_auc(of: Material) -> IntervalResult:
    return interval_result(of.sweep.roc_auc, of.ranking_samples[1], of.weights)


def _recall(of: Material) -> IntervalResult:
    return of.rate(of.at_threshold.recall, of.alert & of.test.positive, of.test.positive)


def _fpr(of: Material) -> IntervalResult:
    return of.rate(of.at_threshold.fpr, of.alert & ~of.test.positive, ~of.test.positive)


def _precision(of: Material) -> IntervalResult:
    return of.rate(of.at_threshold.precision, of.alert & of.test.positive, of.alert)


def _alert_macro_f1(of: Material) -> IntervalResult:
    return IntervalResult.point(of.at_threshold.macro_f1)


def _novel_macro_f1(of: Material) -> IntervalResult:
    if of.test.novel is None:
        return IntervalResult.point(None)
    return IntervalResult.point(group_macro_f1(of.test, of.test.select(of.test.novel)))


def _accuracy(of: Material) -> IntervalResult:
    if not of.counts.sum():
        return IntervalResult.point(None)
    return IntervalResult.point(float(np.trace(of.counts) / of.counts.sum()))


METRICS = (
    Metric("macro_f1", "macro F1", _macro_f1),
    Metric("average_precision", "average precision", _average_precision, short="AP"),
    Metric("roc_auc", "ROC AUC", _roc_auc, places=("report",)),
    Metric("recall", "recall", _recall, at_threshold=True),
    Metric("fpr", "FPR", _fpr, at_threshold=True, higher_is_better=False),
    Metric("precision", "precision", _precision, at_threshold=True, places=("report", "page")),
    Metric("alert_macro_f1", "macro F1", _alert_macro_f1, at_threshold=True, places=("report",)),
    Metric(
        "novel_macro_f1",
        "macro F1, never seen",
        _novel_macro_f1,
        short="never\nseen",
        places=("terminal", "report"),
    ),
    Metric("accuracy", "accuracy", _accuracy, places=()),
)
"""Every metric that there is, in the order of the columns."""
