"""Models against baselines: the gain in macro F1, paired on the same resamples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import interval_result
from vestige.evaluation.clusters import Clusters, clusters_of
from vestige.evaluation.metrics import grouped_confusion
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.results import Comparison, DetectorResults


def compare(
    results: Sequence[DetectorResults],
    tests: Mapping[str, Predictions],
    *,
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> list[Comparison]:
    """Each model's gain in macro F1 over the best baseline of its view, paired on the same resamples.

    `tests` holds the test predictions by detector name, all on the same windows in the same order. The
    best baseline is the one with the highest macro F1 on validation (the first of equals). A model that is a
    baseline, too, is compared as both: with all baselines, itself among them, and others with it. No
    baselines: no comparisons. Raises ValueError when the detectors were not tested on the same windows.
    """
    baselines = [detector for detector in results if detector.is_baseline]
    models = [detector for detector in results if detector.kind == "model"]
    if not baselines or not models:
        return []
    compared = [*(detector for detector in results if detector.kind == "baseline"), *models]
    drawn = common_clusters([tests[detector.name] for detector in compared])
    weights = bootstrap.draw(drawn.count, resamples, seed)
    samples = {detector.name: macro_f1_samples(tests[detector.name], drawn, weights) for detector in compared}
    found = []
    for model in models:
        rivals = [detector for detector in baselines if detector.view == model.view]
        if rivals:
            best = max(rivals, key=lambda rival: rival.validation_macro_f1 or 0.0)
            lucky = max(rivals, key=lambda rival: rival.macro_f1.estimate or 0.0)
            found.append(_comparison(model, best, lucky, samples, drawn, weights))
    return found


def common_clusters(tests: Sequence[Predictions]) -> Clusters:
    """What the bootstrap of all `tests` draws. Raises ValueError where they are not on the same windows."""
    first = tests[0]
    for other in tests[1:]:
        same = np.array_equal(first.label, other.label) and np.array_equal(first.position, other.position)
        if not same:
            raise ValueError("detectors can only be compared on the same test windows in the same order")
    return clusters_of(first)


def macro_f1_samples(
    test: Predictions, drawn: Clusters, weights: bootstrap.FloatArray
) -> bootstrap.FloatArray:
    """Macro F1 of every resample, `(R,)`."""
    k = len(test.classes)
    counts = grouped_confusion(test.label, test.predicted, drawn.ids, k, drawn.count)
    return bootstrap.macro_f1_samples(counts, weights)


def _comparison(
    model: DetectorResults,
    best: DetectorResults,
    lucky: DetectorResults,
    samples: Mapping[str, bootstrap.FloatArray],
    drawn: Clusters,
    weights: bootstrap.FloatArray,
) -> Comparison:
    gains = samples[model.name] - samples[best.name]
    gain = interval_result(_difference(model, best), gains, weights)
    hindsight = interval_result(_difference(model, lucky), samples[model.name] - samples[lucky.name], weights)
    good = gains[np.isfinite(gains)]
    outcome = _outcome((gain, hindsight))
    sentences = [_sentence(model, best, gain, outcome)]
    if lucky.name != best.name:
        sentences.append(_hindsight(lucky, hindsight))
    if not drawn.trusted:
        sentences.append(f"The intervals cannot be trusted: {drawn.reason}.")
    return Comparison(
        model=model.name,
        baseline=best.name,
        gain=gain,
        share_not_better=float((good <= 0).mean()) if len(good) else None,
        hindsight_baseline=lucky.name,
        hindsight_gain=hindsight,
        outcome=outcome,
        sentence=" ".join(sentences),
    )


def _difference(model: DetectorResults, other: DetectorResults) -> float:
    a, b = model.macro_f1.estimate, other.macro_f1.estimate
    return float("nan") if a is None or b is None else a - b


def _outcome(gains: Sequence[IntervalResult]) -> Literal["better", "unclear", "not better"]:
    """Of the gains over the baselines best on validation and best on test: the worse one decides."""
    if any(gain.estimate is None or gain.estimate <= 0 for gain in gains):
        return "not better"
    if all(gain.low is not None and gain.low > 0 for gain in gains):
        return "better"
    return "unclear"


def _sentence(model: DetectorResults, best: DetectorResults, gain: IntervalResult, outcome: str) -> str:
    if best.name == model.name:
        return f"{model.name} is itself the best baseline on validation: macro F1 {_shown(model):.3f}."
    says = {
        "better": "beats the best baseline",
        "unclear": "is NOT shown to beat the best baseline",
        "not better": "does NOT beat the best baseline",
    }[outcome]
    return (
        f"{model.name} {says}: macro F1 {_shown(model):.3f} against {_shown(best):.3f} of {best.name} "
        f"(best on validation), {_gap(gain)}."
    )


def _hindsight(lucky: DetectorResults, gain: IntervalResult) -> str:
    return f"On the test part the best baseline is {lucky.name} with {_shown(lucky):.3f}: {_gap(gain)}."


def _shown(detector: DetectorResults) -> float:
    return detector.macro_f1.estimate or 0.0


def _gap(gain: IntervalResult) -> str:
    text = f"a difference of {gain.estimate or 0.0:+.3f}"
    if gain.low is not None and gain.high is not None:
        return f"{text} (95% interval {gain.low:+.3f} to {gain.high:+.3f})"
    if gain.method == "none":
        return f"{text} (no interval: every resample gives the same)"
    return text
