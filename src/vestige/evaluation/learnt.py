"""What learning without labels came to, as data: the terminal, the page and JSON are drawn from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import polars as pl
from pydantic import BaseModel, ConfigDict, ValidationError

from vestige import checked
from vestige.errors import DatasetError
from vestige.evaluation.bootstrap import exact_bounds
from vestige.evaluation.budget import Budget
from vestige.evaluation.plant_kinds import KINDS
from vestige.evaluation.rates import exact_rate
from vestige.evaluation.sensitivity import Sensitivity

FILE = "learnt.json"
DAY_S = 86_400.0


class PartOf(BaseModel):
    """A part of the evidence: its windows, its recordings, and from when to when (RFC 3339) it goes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    windows: int
    recordings: int
    begin: str | None = None
    end: str | None = None


class AlertRate(BaseModel):
    """Alerts of a part, and how many a day that is, or, where nobody knows how long it took, in a thousand
    windows; `low` and `high` bound the rate exactly (Garwood, 1936), as if alerts came independently."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    alerts: float
    rate: float
    unit: str
    low: float | None = None
    high: float | None = None

    @classmethod
    def expected(cls, share: float, n_windows: int, seconds: float | None) -> Self:
        """What comes where so large a share of windows alerts."""
        amount, unit = _amount(n_windows, seconds)
        return cls(alerts=share * n_windows, rate=share * n_windows / amount, unit=unit)

    @classmethod
    def promised(cls, budget: Budget, n_windows: int, seconds: float | None) -> Self:
        """What a budget allows, where it is one of times and these are known, or of windows; else what the
        share of windows comes to for which it is taken."""
        if budget.seconds is None or not seconds:
            return cls.expected(budget.share, n_windows, seconds)
        rate = budget.alerts / budget.seconds * DAY_S
        return cls(alerts=rate * seconds / DAY_S, rate=rate, unit="day")

    @classmethod
    def of(cls, alerts: int, n_windows: int, seconds: float | None) -> Self:
        """What came, with 95% bounds."""
        amount, unit = _amount(n_windows, seconds)
        rate, low, high = exact_rate(alerts, amount)
        return cls(alerts=alerts, rate=rate, unit=unit, low=low, high=high)


def _amount(n_windows: int, seconds: float | None) -> tuple[float, str]:
    if seconds:
        return seconds / DAY_S, "day"
    return max(n_windows, 1) / 1_000, "1,000 windows"


class Stretch(BaseModel):
    """One of the strangest places: where it is, what stands there, and how rare that is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    p_value: float
    time: str | None
    place: dict[str, Any]
    text: str


class WholeRecordings(BaseModel):
    """Whole recordings: from how many was learnt, and what there was no room for; the share `alpha` of normal
    ones that is to alert; and how many of those in the check did, with exact 95% bounds of their share."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    learnt: int
    left_out: dict[str, int]
    alpha: float
    looks: list[str]
    checked: int
    alerts: int
    low: float | None = None
    high: float | None = None


class Share(BaseModel):
    """Of the plants of a kind, all strengths together, the `share` that is found; 95% bounds, exact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    found: int
    of: int
    share: float
    low: float
    high: float


class Contaminated(BaseModel):
    """The same check where the `share` of the windows learnt from showed a planted anomaly: the alerts that
    came, and by kind (in the plural) what was found of the plants in the check part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    share: float
    came: AlertRate
    found: dict[str, Share]

    @classmethod
    def of(cls, share: float, came: AlertRate, table: pl.DataFrame, kinds: Sequence[str]) -> Self:
        """Of a table of `plants.detected`; `kinds` are those of the `Plants`."""
        plural = dict(zip((kind.name for kind in KINDS), kinds, strict=True))
        found: dict[str, Share] = {}
        for name in table["kind"].unique(maintain_order=True).to_list():
            rows = table.filter(pl.col("kind") == name)
            count, of = int(rows["found"].sum()), int(rows["of"].sum())
            low, high = exact_bounds(count / of, of)
            found[plural[name]] = Share(found=count, of=of, share=count / of, low=low, high=high)
        return cls(share=share, came=came, found=found)


class Learnt(BaseModel):
    """What was learnt from what, and what its own check says of it. `options`: how the evidence was read, as
    far as not by default. `stretches`: alerts of one recording that
    follow within a window's length as one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = "vestige-learnt/1"
    source: str
    evidence: str
    command: str
    options: dict[str, Any] = {}
    budget: str
    alpha: float
    parted: str
    learn: PartOf
    calibrate: PartOf
    check: PartOf
    looks: list[str]
    promised: AlertRate
    expected: AlertRate
    """What the calibration leads to expect of a threshold that stays as it is."""
    beyond: AlertRate
    """Windows beyond that threshold."""
    came: AlertRate
    """Alerts, the threshold being moved as evidence comes."""
    stretches: AlertRate | None = None
    strangest: list[Stretch]
    warnings: list[str]
    left_out: dict[str, int]
    sensitivity: Sensitivity | None = None
    contamination: list[Contaminated] = []
    """The check as it was, then of detectors that learnt from what was in part an attack."""
    whole: WholeRecordings | None = None

    def to_json(self) -> str:
        """Indented JSON."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def load(cls, path: Path) -> Self:
        """What `to_json` wrote. Raises DatasetError for anything else."""
        try:
            return cls.model_validate(checked.load(path.read_bytes()))
        except (OSError, ValueError, ValidationError) as error:
            raise DatasetError(f"cannot be read ({error})", where=path, remedy="learn again") from error

    @property
    def kept(self) -> bool:
        """Whether what came may be no more than what was promised."""
        return (self.came.low or 0.0) <= self.promised.rate

    @property
    def drift(self) -> float | None:
        """How many times as many windows as the calibration led to expect lie beyond the threshold; None
        where that may be chance."""
        if (self.beyond.low or 0.0) <= self.expected.rate:
            return None
        return self.beyond.rate / self.expected.rate
