"""What would change if one detector took the place of another, both judged on the same evidence, as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from vestige.evaluation.bootstrap import exact_bounds
from vestige.evaluation.parts import AlertRate, PartOf, Share, Stretch

BoolArray = NDArray[np.bool_]


class Difference(BaseModel):
    """What the new one has more than the one before, with 95% bounds: those of two figures that are bounded
    apart from each other, put together (Zou and Donner, Statistics in Medicine 27, 2008)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    more: float
    low: float
    high: float

    @classmethod
    def of(cls, gained: tuple[float, float, float], lost: tuple[float, float, float]) -> Self:
        """Of what only the new one has and what only the one before has: each with its bounds."""
        more = gained[0] - lost[0]
        low = more - math.hypot(gained[0] - gained[1], lost[2] - lost[0])
        return cls(more=more, low=low, high=more + math.hypot(gained[2] - gained[0], lost[0] - lost[1]))


class FoundOf(BaseModel):
    """Of the same plants of a kind (in the plural), all strengths together, what both find."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    before: Share
    after: Share
    difference: Difference

    @classmethod
    def of(cls, kind: str, before: BoolArray, after: BoolArray) -> Self:
        """Of which plants `(P,)` each finds."""
        gained, lost = (_share(only) for only in (after & ~before, before & ~after))
        difference = Difference.of((gained.share, gained.low, gained.high), (lost.share, lost.low, lost.high))
        return cls(kind=kind, before=_share(before), after=_share(after), difference=difference)


def _share(found: BoolArray) -> Share:
    count, of = int(found.sum()), len(found)
    low, high = exact_bounds(count / of, of)
    return Share(found=count, of=of, share=count / of, low=low, high=high)


class SaidOf(BaseModel):
    """Incidents of which people said the same, `total` of them, by where their alerts lie: in what was
    `learnt` from, `calibrated` with, in the check (`checked`: of confirmed ones, anywhere), or nowhere in
    this evidence (`absent`). `before` and `after`: how many of those checked each detector alerts on.
    `windows`: those that were kept out of learning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    total: int
    learnt: int = 0
    calibrated: int = 0
    checked: int = 0
    absent: int = 0
    windows: int = 0
    before: int = 0
    after: int = 0


class Again(BaseModel):
    """A detector that was learnt again, beside the one at `earlier` whose place it may take. Both judge
    `check`, which the new one never saw, each with its own threshold, moved as scoring moves it.

    `promised`: the budget; `before`, `after`: alerts of the two. Alerts of one recording that share steps are
    one stretch: `stay`, `vanish` and `appear` count those of both, of the earlier one alone, and of the new
    one alone; `difference` is that of the last two, in the unit of the rates. `vanished` and `appeared` show
    some, the strangest first. `found`: planted anomalies by kind. `doubts`: what weakens this, in sentences.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    earlier: str
    check: PartOf
    promised: AlertRate
    before: AlertRate
    after: AlertRate
    stay: AlertRate
    vanish: AlertRate
    appear: AlertRate
    difference: Difference
    vanished: list[Stretch]
    appeared: list[Stretch]
    found: list[FoundOf] = []
    dismissed: SaidOf | None = None
    confirmed: SaidOf | None = None
    doubts: list[str] = []

    def sentences(self) -> list[str]:
        """What would change, for whoever decides."""
        unit = self.after.unit
        told = [
            f"In place of {self.earlier}, on the same {self.check.windows:,} windows: {_rate(self.before)} "
            f"alerts a {unit} before, {_rate(self.after)} with the new detector, where "
            f"{_digits(self.promised.rate)} are promised.",
            f"As stretches, {self.stay.alerts:g} alerts stay, {self.vanish.alerts:g} vanish and "
            f"{self.appear.alerts:g} appear: {self.difference.more:+.3g} a {unit} "
            f"({self.difference.low:+.3g} to {self.difference.high:+.3g}).",
        ]
        surely = [each for each in self.found if each.difference.low > 0 or each.difference.high < 0]
        if self.found and not surely:
            told.append("Of planted anomalies both find about as many, of every kind.")
        told += [
            f"Of {each.kind}, {each.after.share:.0%} are found instead of {each.before.share:.0%}."
            for each in surely
        ]
        if self.confirmed is not None:
            told.append(confirmed_sentence(self.confirmed))
        if self.dismissed is not None:
            told.append(dismissed_sentence(self.dismissed))
        return [*told, *self.doubts]


def dismissed_sentence(said: SaidOf) -> str:
    """What became of what people said is fine."""
    return (
        f"Of {said.total:,} dismissed incidents, {said.learnt:,} lie in the part that is learnt from as "
        f"normal, {said.calibrated:,} in that to calibrate with, {said.checked:,} in the check, where "
        f"{said.before:,} alerted before and {said.after:,} alert now; {said.absent:,} are not in this "
        "evidence."
    )


def confirmed_sentence(said: SaidOf) -> str:
    """What became of what people said is an attack."""
    return (
        f"Of {said.total:,} confirmed incidents, {said.checked:,} lie in this evidence; the {said.windows:,} "
        f"windows that show them were kept out of learning and of the check. {said.before:,} of them would "
        f"alert before, and {said.after:,} with the new detector; {said.absent:,} are not in this evidence."
    )


def of_kinds(
    kinds: Sequence[str], of: NDArray[np.int64], before: BoolArray, after: BoolArray
) -> list[FoundOf]:
    """What two detectors find `(P,)` of plants, whose kinds `of (P,)` index `kinds`, kind by kind."""
    return [FoundOf.of(kinds[kind], before[of == kind], after[of == kind]) for kind in np.unique(of).tolist()]


def _digits(number: float) -> str:
    return f"{float(f'{number:.3g}'):,g}"


def _rate(rate: AlertRate) -> str:
    if rate.low is None or rate.high is None:
        return _digits(rate.rate)
    return f"{_digits(rate.rate)} ({_digits(rate.low)} to {_digits(rate.high)})"
