"""What came on each day, by the times of the evidence: windows, alerts, and alerts that were dismissed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.reading.steps import NO_TIME

MOST_DAYS = 400
"""Days that are kept, the latest ones."""
NO_DAY = ""
"""The day of windows without a time."""
DAY_NS = 86_400_000_000_000


@dataclass
class Day:
    """What came on a day."""

    windows: int = 0
    alerts: int = 0
    dismissed: int = 0


@dataclass
class Daily:
    """Days by their date in UTC (`2026-01-31`), in no order."""

    days: dict[str, Day] = field(default_factory=dict)

    def take(self, t_ns: NDArray[np.int64]) -> None:
        """Count windows `(B,)` by when the steps were over that they judge."""
        timed = t_ns != NO_TIME
        numbers, counts = np.unique(t_ns[timed] // DAY_NS, return_counts=True)
        dates = np.datetime_as_string(numbers.astype("datetime64[D]"))
        for date, count in zip(dates.tolist(), counts.tolist(), strict=True):
            self._of(date).windows += count
        if not timed.all():
            self._of(NO_DAY).windows += int((~timed).sum())
        while len(self.days) > MOST_DAYS:
            self.days.pop(min(self.days))

    def alert(self, time: str | None, *, dismissed: bool) -> None:
        """Count an alert of a time (RFC 3339)."""
        day = self._of(NO_DAY if time is None else time[:10])
        day.alerts += not dismissed
        day.dismissed += dismissed

    def take_back(self, time: str | None, *, dismissed: bool) -> None:
        """Count an alert no more: it was corrected."""
        day = self._of(NO_DAY if time is None else time[:10])
        day.alerts = max(0, day.alerts - (not dismissed))
        day.dismissed = max(0, day.dismissed - dismissed)

    @property
    def last(self) -> tuple[str, Day]:
        """The last day, and what came on it; the one without a time where there is no other."""
        date = max(self.days, default=NO_DAY)
        return date, self.days.get(date, Day())

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {date: [day.windows, day.alerts, day.dismissed] for date, day in self.days.items()}

    @classmethod
    def of(cls, plain: Any) -> Self:
        """The days whose `to_dict` gave `plain`. Raises ValueError or TypeError where it is no such thing."""
        found = {}
        for date, counts in checked.mapping(plain, "daily").items():
            windows, alerts, dismissed = (checked.whole(count, date, 0, 1 << 53) for count in counts)
            found[date] = Day(windows, alerts, dismissed)
        return cls(found)

    def _of(self, date: str) -> Day:
        return self.days.setdefault(date, Day())
