"""What is said of a part of evidence without labels: how large it is, how often it alerts, what is found."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from vestige.evaluation.budget import Budget
from vestige.evaluation.rates import exact_rate

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


class Share(BaseModel):
    """Of the plants of a kind, all strengths together, the `share` that is found; 95% bounds, exact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    found: int
    of: int
    share: float
    low: float
    high: float
