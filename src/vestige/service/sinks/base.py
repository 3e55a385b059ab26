"""What every sink does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

from vestige.scoring.budgeting import AlertBudget
from vestige.service.daily import Daily

Row = dict[str, Any]
Format = Callable[[Row], bytes | None]
"""Makes one record of a row, without a line end; None where the format has none for such a row."""


@dataclass(frozen=True)
class Standing:
    """How the alerts of a watch stand to what its budget promised: of all windows, and of the last day (UTC,
    `2026-01-31`; empty where nobody knows the time), by the times of the evidence."""

    alerts: int
    promised: float
    held_back: int
    day: str
    of_day: int
    promised_of_day: float

    @classmethod
    def of(cls, alerts: int, budget: AlertBudget, daily: Daily) -> Self:
        """Of so many alerts, and what came on each day."""
        date, day = daily.last
        promised = budget.alpha * day.windows
        return cls(alerts, budget.promised, budget.spent.held_back, date, day.alerts, promised)

    def __str__(self) -> str:
        told = f"{self.alerts:,} of {self.promised:,.1f} promised"
        if self.day:
            told += f", on {self.day} {self.of_day:,} of {self.promised_of_day:,.1f}"
        return f"{told}, held back: {self.held_back:,}"


class Sink(ABC):
    """Where rows go: alerts, lines about incidents (`"kind": "incident"`) and notices of other kinds.

    `spec` is what a person wrote: `jsonl:alerts.jsonl`. Rows are taken in their order and not changed. All
    methods are called from the same thread.
    """

    spec: str

    @property
    def name(self) -> str:
        """What people are told of it: `spec`, unless that may hold secrets."""
        return self.spec

    @abstractmethod
    def write(self, rows: Sequence[Row]) -> None:
        """Take rows. Raises OutputError where they can neither be written nor spooled."""

    def flush(self) -> None:  # noqa: B027 - some have nothing to do
        """See to it that what was written outlives this process, where it goes or in a spool, without waiting
        for anybody else. Raises OutputError where that cannot be done."""

    def stand(self, standing: Standing) -> None:  # noqa: B027 - most tell alerts alone
        """Hear how the alerts stand to the budget, before each `flush` of a watch that has one."""

    def position(self) -> Any:
        """JSON: what has been written so far."""
        return None

    def restore(self, position: Any) -> None:  # noqa: B027 - not all can
        """Take back what was written after `position`, where that can be done, because it will be written
        again. Called before anything is written, if at all."""

    def close(self) -> None:  # noqa: B027 - some hold nothing
        """Write what is left, wait a little for others to take it, and let go of files and connections."""

    def told(self) -> list[str]:
        """Sentences about what was not sent, waits, or was given up."""
        return []
