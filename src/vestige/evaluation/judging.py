"""From predictions to results: one detector by itself (`comparing` sets them against one another)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import FloatArray, interval_result
from vestige.evaluation.catalogue import METRICS, Material, Metric
from vestige.evaluation.clusters import Clusters, clusters_of
from vestige.evaluation.figures import (
    Alerting,
    CalibrationResult,
    ClassRow,
    ConformalRow,
    Confusion,
    Curve,
    FixedFpr,
    OpenSetResult,
    OperatingPoint,
)
from vestige.evaluation.groups import group_row, group_table
from vestige.evaluation.metrics import (
    BINS,
    AtThreshold,
    Sweep,
    at_threshold,
    calibrate,
    confusion,
    macro_f1,
    per_class,
)
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.probabilities import (
    calibrated,
    conforms,
    fit_calibration,
    fit_conformal,
    log_odds_of,
)
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.results import ClusterResult, DetectorResults
from vestige.evaluation.threshold import DEFAULT, choose

LEVEL = 0.05
"""The level at which conformal prediction is judged."""
FIXED_RATES = (0.001, 0.01, 0.05)
CURVE_POINTS = 200


def evaluate(
    name: str,
    validation: Predictions,
    test: Predictions,
    *,
    kind: Literal["model", "baseline"] = "model",
    policy: str = DEFAULT,
    metrics: Sequence[Metric] = METRICS,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> DetectorResults:
    """Judge one detector: the threshold comes from `validation`, everything else from `test`.

    `metrics`: what is measured (see `catalogue`). Detectors judged with the same `seed` on the same test part
    are drawn the same resamples. Raises UsageError when the validation part cannot carry the threshold
    policy, SplitError when a part is empty.
    """
    if not len(test) or not len(validation):
        raise SplitError("the validation or test part holds no windows", remedy="choose another split")
    threshold = choose(validation, policy)
    drawn = clusters_of(test)
    material = Material(test, threshold.value, drawn, bootstrap.draw(drawn.count, resamples, seed))
    on_validation = confusion(validation.label, validation.predicted, len(test.classes))
    seen, novel = None, None
    if test.novel is not None:
        seen = group_row("inputs seen in training", test, ~test.novel, threshold.value)
        novel = group_row("inputs never seen", test, test.novel, threshold.value)
    return DetectorResults(
        name=name,
        kind=kind,
        windows=len(test),
        validation_macro_f1=float(macro_f1(on_validation)),
        metrics={metric.name: metric.compute(material) for metric in metrics},
        per_class=_class_rows(test, material.counts),
        confusion=_confusion(test, material.counts),
        curves=_curves(test),
        fixed_fpr=_fixed_fpr(validation, test, material.sweep),
        threshold=threshold,
        alerting=_alerting(test, material.at_threshold),
        calibration=_calibration(test.score, test, material),
        calibrated=calibrated_result(validation, test, material),
        open_set=open_set_result(validation, test),
        seen=seen,
        novel=novel,
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
    recall, precision, fpr, tpr = [], [], [], []
    if sweep.positives:
        recall, precision = sweep.recall[kept].tolist(), sweep.precision[kept].tolist()
    if sweep.positives and sweep.negatives:
        # The ROC curve begins at the origin, where nothing alerts.
        fpr, tpr = [0.0, *sweep.fpr[kept].tolist()], [0.0, *sweep.recall[kept].tolist()]
    return Curve(
        name=name,
        positives=sweep.positives,
        average_precision=sweep.average_precision,
        roc_auc=sweep.roc_auc,
        recall=recall,
        precision=precision,
        fpr=fpr,
        tpr=tpr,
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


def _alerting(test: Predictions, found: AtThreshold) -> Alerting:
    alerts, days, host_days = found.tp + found.fp, test.days(), test.host_days()
    return Alerting(
        **found._asdict(),
        alerts_per_day=alerts / days if days else None,
        alerts_per_host_day=alerts / host_days if host_days else None,
    )


def calibrated_result(
    validation: Predictions, test: Predictions, material: Material
) -> CalibrationResult | None:
    """Reliability of the probability that validation makes of the score; None where it cannot carry that."""
    fitted = fit_calibration(validation)
    if fitted is None:
        return None
    return _calibration(calibrated(log_odds_of(test.proba), fitted), test, material)


def _calibration(score: FloatArray, test: Predictions, material: Material) -> CalibrationResult:
    found = calibrate(score, test.positive)
    brier, ece = calibration_samples(score, test.positive, material.clusters, material.weights)
    return CalibrationResult(
        score=found.score.tolist(),
        share=found.share.tolist(),
        count=found.count.tolist(),
        brier=found.brier,
        ece=found.ece,
        brier_interval=interval_result(found.brier, brier, material.weights),
        ece_interval=interval_result(found.ece, ece, material.weights),
    )


def calibration_samples(
    score: FloatArray, positive: NDArray[np.bool_], drawn: Clusters, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Brier score and expected calibration error of every resample, `(R,)` each: sums over clusters."""
    which = drawn.ids * BINS + np.minimum((score * BINS).astype(np.int64), BINS - 1)
    size = drawn.count * BINS
    gap = np.bincount(which, score - positive, size).reshape(drawn.count, BINS)
    count = np.bincount(drawn.ids, minlength=drawn.count)
    square = np.bincount(drawn.ids, (score - positive) ** 2, drawn.count)
    units = np.maximum(weights @ count, 1.0)
    return weights @ square / units, np.abs(weights @ gap).sum(axis=1) / units


def open_set_result(validation: Predictions, test: Predictions, level: float = LEVEL) -> OpenSetResult:
    """What conformal prediction at `level` says of the test part, learnt from validation."""
    allowed = conforms(test.proba, fit_conformal(validation), level)
    own = allowed[np.arange(len(test)), test.label]
    unknown = allowed.sum(axis=1) != 1
    of, names = test.groups("profile")
    before, profiles = validation.groups("profile")
    seen = {profiles[code] for code in np.unique(before).tolist()}
    present = [code for code in np.unique(of).tolist() if names[code]]
    return OpenSetResult(
        level=level,
        classes=[
            _conformal_row(name, own[test.label == k], unknown[test.label == k])
            for k, name in enumerate(test.classes)
            if (test.label == k).any()
        ],
        profiles=[_conformal_row(names[code], own[of == code], unknown[of == code]) for code in present],
        held_out=[names[code] for code in present if names[code] not in seen],
    )


def _conformal_row(name: str, own: NDArray[np.bool_], unknown: NDArray[np.bool_]) -> ConformalRow:
    rate = float(own.mean())
    low, high = bootstrap.exact_bounds(rate, len(own))
    covered = IntervalResult(estimate=rate, low=low, high=high, resamples=0, method="exact")
    return ConformalRow(name=name, units=len(own), covered=covered, unknown=float(unknown.mean()))
