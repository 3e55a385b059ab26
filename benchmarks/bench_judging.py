"""Intervals of a detector's figures from resampled recordings, beside scikit-learn's measures in a loop.

    .venv/bin/python benchmarks/run.py --only judging --force

200,000 windows of 300 recordings, of which one in twenty is positive, with a score each. scikit-learn's
measures take the windows of a resample as weights, which is the fastest that they allow, and give the same
figures, which is looked at first.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score

from pairs import Asked, Pair, here
from vestige.evaluation import bootstrap
from vestige.evaluation.metrics import grouped_confusion

RECORDINGS, POSITIVE = 300, 0.05
RESAMPLES = 100
"""Fewer than are drawn in earnest (1,000; of rankings as many as there are windows for): it is a ratio."""


def rows(asked: Asked) -> Iterator[Pair]:
    """Macro F1, and average precision with ROC AUC, of each resample."""
    windows = asked.size(200_000, 2_000)
    rng = np.random.default_rng(0)
    ids = np.sort(rng.integers(0, RECORDINGS, windows))
    positive = rng.random(windows) < POSITIVE
    score = rng.random(windows) + 0.3 * positive
    label, predicted = positive.astype(np.int64), (score > 0.9).astype(np.int64)
    weights = bootstrap.draw(RECORDINGS, RESAMPLES)

    def macro_f1() -> list[float]:
        counts = grouped_confusion(label, predicted, ids, 2, RECORDINGS)
        return bootstrap.macro_f1_samples(counts, weights).tolist()

    def their_f1() -> list[float]:
        return [f1_score(label, predicted, average="macro", sample_weight=row[ids]) for row in weights]

    def rankings() -> list[float]:
        return np.concatenate(bootstrap.ranking_samples(score, positive, ids, weights)).tolist()

    def their_rankings() -> list[float]:
        return [
            measure(positive, score, sample_weight=row[ids])
            for measure in (average_precision_score, roc_auc_score)
            for row in weights
        ]

    assert np.allclose(macro_f1(), their_f1(), rtol=0, atol=1e-9), "scikit-learn's macro F1 is another"
    assert np.allclose(rankings(), their_rankings(), rtol=0, atol=1e-9), "scikit-learn's rankings are others"
    what = f"{RESAMPLES} resamples of {windows:,} windows"
    yield Pair(
        f"macro F1, {what}",
        "vestige.evaluation",
        "scikit-learn in a loop",
        here(macro_f1),
        here(their_f1),
        "one pass over classes and recordings",
        here(lambda: (ids.sum(), label.sum(), predicted.sum())),
    )

    def bound() -> None:
        ranked = ids[np.argsort(-score, kind="stable")]
        for row in weights:
            row[ranked].cumsum()

    yield Pair(
        f"average precision and ROC AUC, {what}",
        "vestige.evaluation",
        "scikit-learn in a loop",
        here(rankings),
        here(their_rankings),
        "a sort, and a running sum for each resample",
        here(bound),
        burner=True,
    )
