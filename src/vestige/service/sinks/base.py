"""What every sink does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

Row = dict[str, Any]
Format = Callable[[Row], bytes | None]
"""Makes one record of a row, without a line end; None where the format has none for such a row."""


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
