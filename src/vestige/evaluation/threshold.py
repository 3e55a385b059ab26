"""The alert threshold: a policy, applied to validation scores and to nothing else.

`fpr=0.01`    at most 1% of the normal windows raise an alert
`alerts=5`    at most 5 alerts per host per day, right and wrong ones together: what a person has to read
`f1`          the highest macro F1 of alert or silence against anomalous or normal
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vestige.errors import UsageError
from vestige.evaluation.figures import ThresholdResult
from vestige.evaluation.metrics import Sweep, at_threshold, macro_f1
from vestige.evaluation.predictions import Predictions

FloatArray = NDArray[np.float64]

DEFAULT = "fpr=0.01"
ROUNDING = 1e-6
"""Scores whose odds differ by a smaller share differ by rounding: a network's single precision tells windows
apart that are equal but for the batch in which they were scored."""
DOUBLE = 1e-15
"""The same at 0 and 1, where double precision itself has no more digits."""


@dataclass(frozen=True)
class Policy:
    """What the threshold must keep to on validation."""

    kind: Literal["fpr", "alerts", "f1"]
    limit: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Policy:
        """From `fpr=0.01`, `alerts=5` or `f1`. Raises UsageError."""
        kind, _, number = text.strip().partition("=")
        try:
            limit = float(number) if number else None
        except ValueError:
            limit = float("nan")
        if kind == "f1" and limit is None:
            return cls("f1")
        if kind == "fpr" and limit is not None and 0 <= limit <= 1:
            return cls("fpr", limit)
        if kind == "alerts" and limit is not None and 0 <= limit < np.inf:
            return cls("alerts", limit)
        raise UsageError(
            f"no threshold policy: {text!r}",
            remedy="use fpr=0.01 (false-positive rate), alerts=5 (per host per day) or f1",
        )

    def __str__(self) -> str:
        return "f1" if self.kind == "f1" else f"{self.kind}={self.limit:g}"


def choose(validation: Predictions, policy: str = DEFAULT) -> ThresholdResult:
    """The lowest threshold that keeps to `policy` on the validation part (`f1`: the best one).

    It lies midway between the two validation scores that it parts, and never parts scores that only rounding
    tells apart: equal scores get equal alerts, whichever batch they come in. Where even the highest score
    would break the policy, it lies above every score. Raises UsageError when the validation part cannot carry
    the policy: no normal windows, no times, one class.
    """
    wanted = Policy.parse(policy)
    score, positive = validation.score, validation.positive
    groups = _Groups.of(Sweep.of(score, positive))
    sweep = groups.sweep
    host_days = 0.0
    if wanted.kind == "alerts":
        host_days = validation.host_days()
    _refuse_unfit(wanted, sweep, host_days)
    value = groups.threshold(_kept(wanted, sweep, host_days))
    reached = at_threshold(score, positive, value)
    return ThresholdResult(
        policy=str(wanted),
        value=value,
        validation_fpr=reached.fpr,
        validation_recall=reached.recall,
        validation_negatives=sweep.negatives,
        validation_positives=sweep.positives,
        validation_alerts=reached.tp + reached.fp,
        note=_note(wanted, sweep),
    )


@dataclass(frozen=True)
class _Groups:
    """Scores that only rounding tells apart, taken together.

    `sweep`: what alerting on each group and all above it gives; its thresholds are the lowest scores of the
    groups. `highest (T,)`: their highest scores.
    """

    sweep: Sweep
    highest: FloatArray

    @classmethod
    def of(cls, sweep: Sweep) -> _Groups:
        scores = sweep.thresholds
        apart = scores[:-1] - scores[1:] > _rounding(scores[:-1])
        last = np.append(apart, np.ones(min(len(scores), 1), dtype=np.bool_))
        first = np.append(np.ones(min(len(scores), 1), dtype=np.bool_), apart)
        return cls(Sweep(scores[last], sweep.tp[last], sweep.fp[last]), scores[first])

    def threshold(self, kept: int) -> float:
        """The threshold at which the highest `kept` groups alert and no other, away from all scores."""
        if kept == 0:
            top = self.highest[0]
            return float(top + _rounding(top))
        lowest = self.sweep.thresholds[kept - 1]
        if kept == len(self.highest):
            return max(0.0, float(lowest - _rounding(lowest)))
        return float((lowest + self.highest[kept]) / 2)


def _rounding(score: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """How far scores may lie apart that are the same but for rounding."""
    return np.asarray(ROUNDING * np.minimum(score, 1 - score) + DOUBLE, dtype=np.float64)


def _refuse_unfit(wanted: Policy, sweep: Sweep, host_days: float) -> None:
    lacks = ""
    if wanted.kind == "fpr" and not sweep.negatives:
        lacks = "normal windows"
    elif wanted.kind == "alerts" and host_days <= 0:
        lacks = "times to count days by"
    elif wanted.kind == "f1" and not (sweep.negatives and sweep.positives):
        lacks = "both normal and anomalous windows"
    if lacks:
        raise UsageError(
            f"the validation part lacks {lacks}, which threshold policy {wanted} needs",
            remedy="choose another --threshold policy or another split",
        )


def _kept(wanted: Policy, sweep: Sweep, host_days: float) -> int:
    """How many of the distinct scores, from the highest down, raise an alert."""
    if wanted.kind == "fpr":
        return int(np.searchsorted(sweep.fp, wanted.limit * sweep.negatives, side="right"))
    if wanted.kind == "alerts":
        return int(np.searchsorted(sweep.tp + sweep.fp, wanted.limit * host_days, side="right"))
    silent, missed = sweep.negatives - sweep.fp, sweep.positives - sweep.tp
    counts = np.stack([np.stack([silent, sweep.fp], -1), np.stack([missed, sweep.tp], -1)], -2)
    return int(np.argmax(macro_f1(counts))) + 1


def _note(wanted: Policy, sweep: Sweep) -> str:
    notes = []
    if wanted.kind == "fpr" and wanted.limit * sweep.negatives < 1:
        notes.append(
            f"{sweep.negatives} normal windows cannot show a rate of {wanted.limit:g}: "
            "the threshold lies above all of them"
        )
    if not sweep.positives:
        notes.append("the validation part holds no anomalies")
    return "; ".join(notes)
