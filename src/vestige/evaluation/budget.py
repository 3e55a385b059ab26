"""How many alerts a person wants to read, as a share of windows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from vestige.errors import UsageError

SECONDS = {"hour": 3_600.0, "day": 86_400.0, "week": 604_800.0}
PERIOD = re.compile(r"(?P<number>\d+(?:\.\d+)?)\s*/\s*(?P<period>hour|day|week|\d+)")
MOST_ALPHA = 0.01
"""No more than this share of normal windows alerts, however little comes in a day: where all of a week comes
in an hour, a budget for the week would make every other window of that hour an alert."""


@dataclass(frozen=True)
class Budget:
    """`alerts` in so many `seconds`, or, where nothing has a time, in so many `windows`."""

    alerts: float
    seconds: float | None = None
    windows: int | None = None

    @classmethod
    def parse(cls, text: str) -> Budget:
        """From `5/day`, `1/hour`, `20/week`, or `1/1000` (windows). Raises UsageError."""
        found = PERIOD.fullmatch(text.strip())
        if found is not None and float(found["number"]) > 0:
            period = found["period"]
            if period in SECONDS:
                return cls(float(found["number"]), seconds=SECONDS[period])
            if int(period) > 0:
                return cls(float(found["number"]), windows=int(period))
        raise UsageError(
            f"no budget of alerts: {text!r}", remedy="such as 5/day, 1/hour, 20/week, or 1/1000 (windows)"
        )

    def alpha(self, n_windows: int, seconds: float | None) -> float:
        """The share of windows that alert, where `n_windows` normal ones come in so many `seconds`.

        Without times (`seconds` None or 0), a budget a day is taken for one of `UNTIMED` windows.
        """
        if self.seconds is None or not seconds or not n_windows:
            return self.share
        return min(self.alerts / self.seconds * seconds / n_windows, MOST_ALPHA)

    @property
    def share(self) -> float:
        """The share of windows that alerts, where times do not say how many windows come."""
        return min(self.alerts / (self.windows or UNTIMED), MOST_ALPHA)

    def __str__(self) -> str:
        for name, seconds in SECONDS.items():
            if self.seconds == seconds:
                return f"{self.alerts:g}/{name}"
        return f"{self.alerts:g}/{self.windows}"


UNTIMED = 10_000
"""Windows for which a budget is taken where nothing has a time."""
