"""Probes for shortcuts: what can be had without looking at the evidence at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.metrics import Sweep, confusion, macro_f1, per_class
from vestige.evaluation.predictions import DAY_NS
from vestige.evaluation.results import CheckResult
from vestige.reading.steps import NO_TIME
from vestige.reading.windows import WindowSet
from vestige.splits import Parts

NOTICEABLE = 0.15
"""A gain in macro F1 over the majority class that is worth a warning."""
FEWEST_PAIRS, ONE_SIDED = 4, 0.75
"""Samples, and the share of them in which attacks are all shorter or all longer, that are worth one."""
MOST_ROWS = 50_000
SHUFFLES, FEWEST_SHUFFLES, SHUFFLED_ROWS = 10, 6, 500_000
"""Shuffles of the labels; fewer where they would be of more training windows together than that. The number
hangs on the windows alone, never on how fast a machine is: the same seed gives the same result."""


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
    ).fit(_metadata(parts.train.select(rows)), parts.train.label[rows])
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


def length_shortcut(parts: Parts) -> CheckResult:
    """What the number of steps alone tells of recordings whose labels are their own, without a look inside.

    The figure is the ROC AUC of length over all recordings, whichever way it points. Recordings of one sample
    are compared, too: an attack that ends its program early is shorter than that program's other runs.
    """
    name = "length_shortcut"
    if parts.train.schema.target != "recording":
        return CheckResult(name=name, status="not_applicable", detail="labels are not the recordings'")
    found = pl.concat([_lengths(side) for side in (parts.train, parts.validation, parts.test)])
    if found["attack"].n_unique() < 2:
        return CheckResult(name=name, status="not_applicable", detail="all recordings are of one class")
    area = Sweep.of(found["steps"].to_numpy().astype(np.float64), found["attack"].to_numpy()).roc_auc
    medians = found.group_by("sample").agg(
        attack=pl.col("steps").filter(pl.col("attack")).median(),
        normal=pl.col("steps").filter(~pl.col("attack")).median(),
    )
    pairs = medians.drop_nulls()
    shorter = int((pairs["attack"] < pairs["normal"]).sum())
    longer = int((pairs["attack"] > pairs["normal"]).sum())
    figure = max(area, 1 - area)
    one_sided = pairs.height >= FEWEST_PAIRS and max(shorter, longer) >= ONE_SIDED * pairs.height
    detail = f"length alone ranks {found.height} recordings with ROC AUC {figure:.3f}"
    if pairs.height:
        detail += (
            f"; attacks are shorter than the normal recordings of their sample in {shorter} and longer in "
            f"{longer} of {pairs.height} samples"
        )
    noticed = figure > 0.5 + NOTICEABLE or one_sided
    return CheckResult(name=name, status="warn" if noticed else "pass", figure=figure, detail=detail)


def _lengths(windows: WindowSet) -> pl.DataFrame:
    """Sample and steps of each recording of a part, and whether it is anything but the first class."""
    present, first = np.unique(windows.recording, return_index=True)
    recordings = windows.recordings[present].select("sample", steps="n_steps")
    return recordings.with_columns(attack=pl.Series(windows.label[first] != 0))


def _metadata(windows: WindowSet) -> NDArray[np.float64]:
    """Number of the recording, hour of the day (UTC), share of the recording gone by: `(N, 3)`."""
    first = windows.recordings["first_step"].to_numpy()[windows.recording]
    length = np.maximum(windows.recordings["n_steps"].to_numpy()[windows.recording], 1)
    hour = np.where(windows.t_ns == NO_TIME, 0.0, (windows.t_ns % DAY_NS) / DAY_NS * 24)
    gone = (windows.target_step - first) / length
    return np.stack([windows.recording.astype(np.float64), hour, gone], axis=1)


def label_shuffle(
    parts: Parts,
    fit_and_predict: Callable[[NDArray[np.uint8]], NDArray[np.int64]] | None,
    seed: int = 0,
    *,
    rows: int = SHUFFLED_ROWS,
) -> CheckResult:
    """Trained on shuffled labels, again and again, a model must not do better than chance each time.

    `fit_and_predict` trains on the training windows with the labels it is given, `(N,)`, and returns the
    classes it predicts for the test windows. A model of noise may well part the test windows perfectly, in
    a direction that is as often wrong as right: so what counts is the excess over chance with its sign, in
    mean recall (which a turned direction turns too). Warns when *every* shuffle beats chance, which n
    clean ones do with probability 2^-n, and the median does by more than 0.15: the figure. There are 10
    shuffles, fewer (6 at least) where they would train on more than `rows` windows together.
    """
    name = "label_shuffle"
    if fit_and_predict is None:
        return CheckResult(name=name, status="not_applicable", detail="no model was given to train")
    rng = np.random.default_rng(seed)
    k = len(parts.train.schema.classes)
    excesses: list[float] = []
    for _ in range(int(np.clip(rows // max(1, len(parts.train)), FEWEST_SHUFFLES, SHUFFLES))):
        said = fit_and_predict(rng.permutation(parts.train.label))
        excesses.append(_above_chance(parts.test.label, said, k))
    median, better = float(np.median(excesses)), sum(excess > 0 for excess in excesses)
    return CheckResult(
        name=name,
        status="warn" if better == len(excesses) and median > NOTICEABLE else "pass",
        figure=median,
        detail=(
            f"trained on shuffled labels {len(excesses)} times, {better} times better than chance; "
            f"median excess of mean recall {median:+.3f}"
        ),
    )


def _above_chance(truth: NDArray[Any], said: NDArray[Any], k: int) -> float:
    """Mean recall over the classes that occur, less what it is on average if `said` is unrelated to truth."""
    counts = confusion(truth, said, k)
    present = counts.sum(axis=1) > 0
    if not present.any():
        return 0.0
    chance = counts.sum(axis=0)[present].sum() / counts.sum() / present.sum()
    return float(per_class(counts).recall[present].mean() - chance)
