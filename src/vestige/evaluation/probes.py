"""Probes for shortcuts: what can be had without looking at the evidence at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.metrics import confusion, macro_f1
from vestige.evaluation.predictions import DAY_NS
from vestige.evaluation.results import CheckResult
from vestige.splits import Parts
from vestige.windows import WindowSet

NOTICEABLE = 0.15
"""A gain in macro F1 over the majority class that is worth a warning."""
MOST_ROWS = 50_000
PERMUTATIONS = 200


def metadata_shortcut(parts: Parts, seed: int = 0) -> CheckResult:
    """A small tree that sees only which recording, what hour of the day, and how far into the recording.

    What it scores above the majority class is had from the way the corpus was collected. The figure is its
    macro F1 on the test part.
    """
    from sklearn.tree import DecisionTreeClassifier

    name = "metadata_shortcut"
    if len(np.unique(parts.train.label)) < 2 or not len(parts.test):
        return CheckResult(name=name, status="not_applicable", detail="training knows one class only")
    rows = np.arange(len(parts.train))
    if len(rows) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MOST_ROWS, replace=False))
    tree = DecisionTreeClassifier(
        max_depth=5, min_samples_leaf=5, class_weight="balanced", random_state=seed
    ).fit(_metadata(parts.train)[rows], parts.train.label[rows])
    k = len(parts.train.schema.classes)
    truth = parts.test.label
    majority = np.full(len(truth), np.bincount(parts.train.label).argmax())
    found = float(macro_f1(confusion(truth, tree.predict(_metadata(parts.test)), k)))
    floor = float(macro_f1(confusion(truth, majority, k)))
    return CheckResult(
        name=name,
        status="warn" if found - floor > NOTICEABLE else "pass",
        figure=found,
        detail=f"recording, hour and position alone: macro F1 {found:.3f}; the majority class: {floor:.3f}",
    )


def _metadata(windows: WindowSet) -> NDArray[np.float64]:
    """Number of the recording, hour of the day (UTC), share of the recording gone by: `(N, 3)`."""
    first = windows.recordings["first_step"].to_numpy()[windows.recording]
    length = np.maximum(windows.recordings["n_steps"].to_numpy()[windows.recording], 1)
    hour = (windows.t_wall_ns % DAY_NS) / DAY_NS * 24
    gone = (windows.last_step - first) / length
    return np.stack([windows.recording.astype(np.float64), hour, gone], axis=1)


def label_shuffle(
    parts: Parts, fit_and_predict: Callable[[NDArray[np.uint8]], NDArray[np.int64]] | None, seed: int = 0
) -> CheckResult:
    """Trained on shuffled labels, a model must do no better than chance on the test part.

    `fit_and_predict` trains on the training windows with the labels it is given, `(N,)`, and returns the
    classes it predicts for the test windows. Chance: the same predictions against shuffled test labels.
    The figure is the excess of macro F1 over the 99th percentile of chance.
    """
    name = "label_shuffle"
    if fit_and_predict is None:
        return CheckResult(name=name, status="not_applicable", detail="no model was given to train")
    rng = np.random.default_rng(seed)
    said = fit_and_predict(rng.permutation(parts.train.label))
    k, truth = len(parts.train.schema.classes), parts.test.label
    found = float(macro_f1(confusion(truth, said, k)))
    chance = [float(macro_f1(confusion(rng.permutation(truth), said, k))) for _ in range(PERMUTATIONS)]
    limit = float(np.quantile(chance, 0.99))
    excess = found - limit
    return CheckResult(
        name=name,
        status="warn" if excess > NOTICEABLE else "pass",
        figure=excess,
        detail=f"trained on shuffled labels: macro F1 {found:.3f}; chance reaches {limit:.3f}",
    )
