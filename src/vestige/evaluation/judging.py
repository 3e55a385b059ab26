"""From predictions to results: one detector by itself (`comparing` sets them against one another)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from vestige.errors import SplitError
from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import Interval
from vestige.evaluation.calibration import calibrate
from vestige.evaluation.clusters import Clusters, clusters_of
from vestige.evaluation.groups import group_row, group_table
from vestige.evaluation.metrics import (
    Sweep,
    at_threshold,
    confusion,
    grouped_confusion,
    macro_f1,
    per_class,
)
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.results import (
    Alerting,
    CalibrationResult,
    ClassRow,
    ClusterResult,
    Confusion,
    Curve,
    DetectorResults,
    FixedFpr,
    OperatingPoint,
    ThresholdResult,
)
from vestige.evaluation.threshold import DEFAULT, choose

FIXED_RATES = (0.001, 0.01, 0.05)
CURVE_POINTS = 200
DEGENERATE = "every resample gives the same figure: no interval can be had, which is not certainty"


def evaluate(
    name: str,
    validation: Predictions,
    test: Predictions,
    *,
    kind: Literal["model", "baseline"] = "model",
    policy: str = DEFAULT,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> DetectorResults:
    """Judge one detector: the threshold comes from `validation`, everything else from `test`.

    Detectors judged with the same `seed` on the same test part are drawn the same resamples.
    Raises UsageError when the validation part cannot carry the threshold policy, SplitError when a part is
    empty.
    """
    if not len(test) or not len(validation):
        raise SplitError("the validation or test part holds no windows", remedy="choose another split")
    threshold = choose(validation, policy)
    k = len(test.classes)
    counts = confusion(test.label, test.predicted, k)
    drawn = clusters_of(test)
    weights = bootstrap.draw(drawn.count, resamples, seed)
    per_cluster = grouped_confusion(test.label, test.predicted, drawn.ids, k, drawn.count)
    sweep = Sweep.of(test.score, test.positive)
    precisions, areas = bootstrap.ranking_samples(test.score, test.positive, drawn.ids, weights)
    rows = None if test.novel is None else test.novel
    return DetectorResults(
        name=name,
        kind=kind,
        windows=len(test),
        validation_macro_f1=float(macro_f1(confusion(validation.label, validation.predicted, k))),
        macro_f1=interval_result(float(macro_f1(counts)), bootstrap.macro_f1_samples(per_cluster, weights)),
        average_precision=interval_result(sweep.average_precision, precisions),
        roc_auc=interval_result(sweep.roc_auc, areas),
        accuracy=float(np.trace(counts) / counts.sum()) if counts.sum() else None,
        per_class=_class_rows(test, counts),
        confusion=_confusion(test, counts),
        curves=_curves(test),
        fixed_fpr=_fixed_fpr(validation, test, sweep),
        threshold=threshold,
        alerting=_alerting(test, threshold, drawn, weights),
        calibration=_calibration(test),
        seen=None if rows is None else group_row("inputs seen in training", test, ~rows, threshold.value),
        novel=None if rows is None else group_row("inputs never seen", test, rows, threshold.value),
        per_profile=group_table(test, "profile", threshold.value),
        per_host=group_table(test, "host", threshold.value),
        per_recording=group_table(test, "id", threshold.value),
    )


def cluster_result(test: Predictions) -> ClusterResult:
    """What the bootstrap of a test part draws, for the record."""
    drawn = clusters_of(test)
    return ClusterResult(
        unit=drawn.unit,
        count=drawn.count,
        description=drawn.description,
        trusted=drawn.trusted,
        reason=drawn.reason,
    )


def interval_result(estimate: float, samples: bootstrap.FloatArray) -> IntervalResult:
    """An estimate with the interval that its resamples `(R,)` give, for the record.

    Resamples that all give one figure give no interval: the record says so instead.
    """
    found: Interval = bootstrap.interval(estimate, samples)
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
    part: bootstrap.BoolArray,
    whole: bootstrap.BoolArray,
    ids: bootstrap.IntArray,
    weights: bootstrap.FloatArray,
) -> IntervalResult:
    """The rate `part / whole` (windows by masks `(N,)`) with its interval, for the record.

    A rate that no resample can move (0, 1, or alike in all clusters) gets the exact bounds of as many
    trials as there are clusters that hold any window of `whole`.
    """
    found = interval_result(estimate, bootstrap.rate_samples(part, whole, ids, weights))
    if found.method == "bootstrap":
        return found
    concerned = len(np.unique(ids[whole]))
    low, high = bootstrap.exact_bounds(estimate, concerned)
    note = f"exact bounds on {concerned} cluster{'' if concerned == 1 else 's'}: resampling cannot move it"
    return found.model_copy(update={"low": low, "high": high, "method": "exact", "note": note})


def _class_rows(test: Predictions, counts: bootstrap.IntArray) -> list[ClassRow]:
    """A row for each class; null where the class occurs neither as truth nor as prediction."""
    precision, recall, f1 = per_class(counts)
    support, said = counts.sum(axis=1), counts.sum(axis=0)
    return [
        ClassRow(
            name=name,
            support=int(support[k]),
            predicted=int(said[k]),
            precision=float(precision[k]) if said[k] else None,
            recall=float(recall[k]) if support[k] else None,
            f1=float(f1[k]) if support[k] or said[k] else None,
        )
        for k, name in enumerate(test.classes)
    ]


def _confusion(test: Predictions, counts: bootstrap.IntArray) -> Confusion:
    seen = np.flatnonzero(counts.sum(axis=0) + counts.sum(axis=1))
    return Confusion(classes=[test.classes[k] for k in seen], counts=counts[np.ix_(seen, seen)].tolist())


def _curves(test: Predictions) -> list[Curve]:
    """Detection (1 - P(first class)); with more than two classes also each class against the rest."""
    curves = [_curve("anomaly score", Sweep.of(test.score, test.positive))]
    if len(test.classes) > 2:
        curves += [
            _curve(name, Sweep.of(test.proba[:, k], test.label == k)) for k, name in enumerate(test.classes)
        ]
    return curves


def _curve(name: str, sweep: Sweep) -> Curve:
    kept = np.unique(np.linspace(0, len(sweep.tp) - 1, CURVE_POINTS).round().astype(int))
    both = sweep.positives > 0 and sweep.negatives > 0
    return Curve(
        name=name,
        positives=sweep.positives,
        average_precision=sweep.average_precision,
        roc_auc=sweep.roc_auc,
        recall=sweep.recall[kept].tolist() if sweep.positives else [],
        precision=sweep.precision[kept].tolist() if sweep.positives else [],
        fpr=[0.0, *sweep.fpr[kept].tolist()] if both else [],
        tpr=[0.0, *sweep.recall[kept].tolist()] if both else [],
    )


def _fixed_fpr(validation: Predictions, test: Predictions, sweep: Sweep) -> list[FixedFpr]:
    measurable = not bool(validation.positive.all())
    rows = []
    for rate in FIXED_RATES:
        honest = None
        if measurable:
            threshold = choose(validation, f"fpr={rate}").value
            reached = at_threshold(test.score, test.positive, threshold)
            honest = OperatingPoint(threshold=threshold, recall=reached.recall, fpr=reached.fpr)
        bound = sweep.at_fpr(rate)
        rows.append(
            FixedFpr(
                fpr=rate,
                from_validation=honest,
                upper_bound=OperatingPoint(threshold=bound.threshold, recall=bound.recall, fpr=bound.fpr),
            )
        )
    return rows


def _alerting(
    test: Predictions, threshold: ThresholdResult, drawn: Clusters, weights: bootstrap.FloatArray
) -> Alerting:
    alert, positive = test.score >= threshold.value, test.positive
    found = at_threshold(test.score, positive, threshold.value)
    alerts, days, host_days = found.tp + found.fp, test.days(), test.host_days()

    def rate(estimate: float, part: bootstrap.BoolArray, whole: bootstrap.BoolArray) -> IntervalResult:
        return rate_result(estimate, part, whole, drawn.ids, weights)

    return Alerting(
        **found._asdict(),
        precision=found.precision,
        recall=found.recall,
        fpr=found.fpr,
        macro_f1=found.macro_f1,
        precision_interval=rate(found.precision, alert & positive, alert),
        recall_interval=rate(found.recall, alert & positive, positive),
        fpr_interval=rate(found.fpr, alert & ~positive, ~positive),
        alerts_per_day=alerts / days if days else None,
        alerts_per_host_day=alerts / host_days if host_days else None,
    )


def _calibration(test: Predictions) -> CalibrationResult:
    found = calibrate(test.score, test.positive)
    return CalibrationResult(
        score=found.score.tolist(),
        share=found.share.tolist(),
        count=found.count.tolist(),
        brier=found.brier,
        ece=found.ece,
    )
