"""Choices made on the test part: the threshold of alerts, and the epoch that was kept.

Letters: N test rows, T distinct scores.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.evaluation.metrics import Sweep
from vestige.evaluation.tables.given import Given
from vestige.evaluation.tables.reading import open_table
from vestige.evaluation.tables.record import Found, Status, Worth, not_applicable
from vestige.evaluation.tables.worth import measure

RESAMPLES, UNLIKELY, DOUBTFUL = 200, 0.02, 0.1
RATES = (0.001, 0.005, 0.01, 0.05)


def threshold(given: Given | None, labels: NDArray[np.int64] | None, seed: int) -> Found:
    """Whether alerts begin at exactly the score that is best on the test, where a threshold that was chosen
    elsewhere seldom falls.

    How seldom is told by the spread of the thresholds that are best on resamples. A threshold may be chosen
    by F1, accuracy or Youden's J, or use a false-positive rate up to the last row.
    """
    name = "threshold_chosen_on_test"
    asked = _asked(given, labels)
    if isinstance(asked, str):
        return not_applicable(name, asked)
    given, labels, alert = asked
    assert given.score is not None  # noqa: S101 - `_asked` has looked
    positive = labels != 0
    lowest, highest = float(given.score[alert].min()), float(given.score[~alert].max())
    if highest < 0.5 <= lowest:
        return Found(name, "pass", "alerts begin at 0.5, which nobody chose", 0.0)
    sweep = Sweep.of(given.score, positive)
    at = int(np.searchsorted(-sweep.thresholds, -lowest))
    best = {what: values for what, values in _objectives(sweep).items() if values[at] >= values.max() - 1e-12}
    tight = _tight(sweep, at)
    if not best and tight is None:
        return Found(
            name, "pass", "the threshold is not the best one of the test by any of four objectives", 0.0
        )
    chances = _chances(given.score, positive, list(best), seed)
    p = min([*chances.values(), *([tight[1]] if tight else [])])
    what = " and ".join([*best, *([f"a false-positive rate of {tight[0]:.1%} used up"] if tight else [])])
    detail = (
        f"alerts begin at {lowest:.4g}, which is exactly the best threshold of the test by {what}; a "
        f"threshold chosen on as many other rows falls there with probability {p:.3f} or less"
    )
    status: Status = "fail" if p < UNLIKELY else "warn" if p < DOUBTFUL else "pass"
    if status == "pass":
        detail += ": that may be chance"
    told = _honest(given, labels, alert, list(best) or ["F1"], seed) if status != "pass" else None
    return Found(name, status, detail, p, told=told)


def _asked(
    given: Given | None, labels: NDArray[np.int64] | None
) -> tuple[Given, NDArray[np.int64], NDArray[np.bool_]] | str:
    """Predictions, labels and alerts that follow one threshold, or why there are none."""
    if given is None or labels is None or given.score is None:
        return "needs labels and predictions with scores (--label, --predictions)"
    alert = given.alert
    if alert is None and given.predicted is not None:
        alert = given.predicted != 0
    if alert is None:
        return "the predictions have no alert and no predicted class"
    positive = labels != 0
    if not alert.any() or alert.all() or not positive.any() or positive.all():
        return "one kind of alert, or of rows, does not occur"
    if given.score[~alert].max() >= given.score[alert].min():
        return "alerts do not follow the score: there is no one threshold"
    return given, labels, alert


def _objectives(sweep: Sweep) -> dict[str, NDArray[np.float64]]:
    """What a threshold may be chosen by, at each of the sweep's, `(T,)`."""
    tp, fp = sweep.tp, sweep.fp
    positives, negatives = tp[-1], fp[-1]
    return {
        "F1": 2 * tp / (tp + fp + positives),
        "accuracy": (tp + negatives - fp) / (positives + negatives),
        "Youden's J": tp / positives - fp / negatives,
    }


def _tight(sweep: Sweep, at: int) -> tuple[float, float] | None:
    """A usual false-positive rate that the alerts use up to the last row, and how likely by chance."""
    negatives = sweep.fp[-1]
    for rate in RATES:
        allowed = int(rate * negatives)
        if allowed < 3 or sweep.fp[at] > allowed:
            continue
        beyond = sweep.fp[at + 1] if at + 1 < len(sweep.fp) else negatives
        if beyond > allowed:
            # A threshold of other rows gives a number of false alarms that is spread at least as a Poisson's.
            return rate, float(min(1.0, (allowed + 1 - sweep.fp[at]) / np.sqrt(2 * np.pi * allowed)))
    return None


def _chances(
    score: NDArray[np.float64], positive: NDArray[np.bool_], objectives: list[str], seed: int
) -> dict[str, float]:
    """By objective, how likely the best threshold of as many other rows parts the same two scores.

    Resamples hold the very scores of the test and hit its best threshold too often. So only the spread of
    their best thresholds is taken: half of them lie within so many gaps between scores.
    """
    rng = np.random.default_rng(seed)
    gaps = np.unique(score)
    best: dict[str, list[float]] = {what: [] for what in objectives}
    for _ in range(RESAMPLES):
        rows = rng.integers(0, len(score), len(score))
        if positive[rows].all() or not positive[rows].any():
            continue
        sweep = Sweep.of(score[rows], positive[rows])
        values = _objectives(sweep)
        for what in objectives:
            best[what].append(float(sweep.thresholds[int(np.argmax(values[what]))]))
    chances = {}
    for what, found in best.items():
        low, high = np.percentile(np.searchsorted(gaps, found), [25, 75]) if found else (0.0, 0.0)
        chances[what] = 0.5 / (1 + high - low)
    return chances


def _honest(
    given: Given,
    labels: NDArray[np.int64],
    alert: NDArray[np.bool_],
    objectives: list[str],
    seed: int,
) -> Worth:
    """The metrics with thresholds that are each chosen on the other half of the test rows."""
    assert given.score is not None  # noqa: S101 - the caller has looked
    half = np.random.default_rng(seed).permutation(len(labels)) % 2 == 0
    crossed = np.zeros(len(labels), dtype=np.bool_)
    for mine in (half, ~half):
        sweep = Sweep.of(given.score[~mine], labels[~mine] != 0)
        best = sweep.thresholds[int(np.argmax(_objectives(sweep)[objectives[0]]))]
        crossed[mine] = given.score[mine] >= best
    as_given = Given(given.score, alert.astype(np.int64), alert, given.of)
    honest = Given(given.score, crossed.astype(np.int64), crossed, given.of)
    binary = (labels != 0).astype(np.int64)
    return Worth(
        of=given.of,
        before=measure(as_given, binary, 2),
        after=measure(honest, binary, 2),
        note=f"alert or silence, with thresholds that each half chose by {objectives[0]} for the other",
    )


def epoch(path: Path | None) -> Found:
    """Which epoch was kept: the one that is best on the test, or on validation.

    The table has a row an epoch, columns whose names begin with `val` and with `test` (higher is better, but
    for those with `loss`), and `chosen` (true for the epoch that was kept). Raises EvidenceError.
    """
    name = "epoch_chosen_on_test"
    if path is None:
        return not_applicable(name, "needs the history of the training (--history)")
    table = open_table(path)
    names = list(table.kinds)
    of_test = [column for column in names if column.lower().startswith("test")]
    of_validation = [column for column in names if column.lower().startswith("val")]
    if not of_test:
        return Found(name, "pass", "the history has no figure of the test part", 0.0)
    if "chosen" not in names:
        raise EvidenceError(
            "does not say which epoch was kept", where=path, remedy="add a column chosen, true in one row"
        )
    table.kinds["chosen"] = "text"
    numbers = [column for column in [*of_test, *of_validation] if table.kinds[column] == "number"]
    frame = pl.concat(list(table.batches(["chosen", *numbers])))
    kept = np.flatnonzero(frame["chosen"].str.to_lowercase().is_in(["true", "1", "yes"]).to_numpy())
    if len(kept) != 1 or not any(column in numbers for column in of_test):
        raise EvidenceError(
            f"{len(kept)} epochs are marked as chosen, or the figures are no numbers",
            where=path,
            remedy="mark one epoch in the column chosen, and give figures in every row",
        )
    best = {column: _best(frame, column) for column in numbers}
    on_test = [column for column in of_test if column in best and int(kept[0]) in best[column]]
    on_validation = [column for column in of_validation if column in best and int(kept[0]) in best[column]]
    if not on_test or on_validation:
        detail = "the test part was looked at in every epoch, and the epoch kept is "
        detail += "the best on validation" if on_validation else "not the best on the test"
        return Found(name, "warn", detail, float(kept[0] + 1))
    ways = f"the epoch kept ({int(kept[0]) + 1} of {frame.height}) is the best by {on_test[0]}"
    told = None
    if any(column in best for column in of_validation):
        by = next(column for column in of_validation if column in best)
        honest = min(best[by])
        ways += f", and not by {by}, which chooses epoch {honest + 1}"
        ours, theirs = (frame[on_test[0]][row] for row in (int(kept[0]), honest))
        told = Worth(
            of="the history",
            note=f"{on_test[0]} is {ours:.4g} in the epoch kept, {theirs:.4g} in the one that {by} chooses",
        )
    if frame.height < 3:
        return Found(
            name,
            "warn",
            f"{ways}; of {frame.height} epochs that may be chance",
            float(kept[0] + 1),
            told=told,
        )
    return Found(name, "fail", ways, float(kept[0] + 1), told=told)


def _best(frame: pl.DataFrame, column: str) -> set[int]:
    values = frame[column].fill_null(float("nan")).to_numpy()
    if "loss" in column.lower():
        values = -values
    values = np.where(np.isfinite(values), values, -np.inf)
    return set(np.flatnonzero(values == values.max()).tolist())
