"""Where one replay meets any number of readers, fast ones and slow ones, in bounded memory."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterable

from vestige.dashboard.events import Event

KEPT = 20_000
"""Events of the replay that are kept: at real time more than five hours."""
PIECE = 500
"""Events that a reader is handed at a time."""
LASTING = frozenset(["recording", "watch"])
"""Kinds of which the last event holds until there is another."""


class Hub:
    """Numbered lines: those that `standing` began with are kept for good, of the others the last `kept`.

    Nothing is kept for a reader but its own place, so a reader that stops reading costs nothing: when it
    comes back, what it missed may be gone, and it goes on with the oldest line there is. Safe between
    threads.
    """

    def __init__(self, standing: Iterable[Event], *, kept: int = KEPT) -> None:
        self.epoch = secrets.token_hex(4)
        self.closed = threading.Event()
        self.read = threading.Event()
        self._standing = [event.line for event in standing]
        self._ring: list[str] = [""] * kept
        self._end = len(self._standing)
        self._last: dict[str, tuple[int, str]] = {}
        self._lock = threading.Lock()

    def put(self, event: Event) -> None:
        """Add an event of the replay."""
        line = event.line
        with self._lock:
            self._ring[self._end % len(self._ring)] = line
            if event.event in LASTING:
                self._last[event.event] = self._end, line
            self._end += 1

    def resume(self, last_id: str | None) -> int:
        """Where a reader goes on that has read the line of this id; at the beginning, if it is not ours."""
        self.read.set()
        epoch, _, number = (last_id or "").partition(".")
        # A browser may hold the number of an earlier dashboard, or anything that somebody sent in its name.
        known = epoch == self.epoch and number.isascii() and number.isdecimal() and len(number) < 19
        if not known:
            return 0
        return min(int(number) + 1, self._end)

    def id(self, number: int) -> str:
        """What `resume` takes."""
        return f"{self.epoch}.{number}"

    def after(self, place: int) -> tuple[list[tuple[int, str]], int, int]:
        """Up to `PIECE` lines with their numbers from `place` on, the place behind them, and how many lines
        before them are no longer kept.

        Where lines were missed, those of `LASTING` kinds come first that were the last of their kind among
        them.
        """
        first = len(self._standing)
        if place < first:
            return list(enumerate(self._standing))[place : place + PIECE], min(place + PIECE, first), 0
        with self._lock:
            oldest = max(first, self._end - len(self._ring))
            begin = max(place, oldest)
            end = min(begin + PIECE, self._end)
            found = [(at, self._ring[at % len(self._ring)]) for at in range(begin, end)]
            found = sorted(last for last in self._last.values() if place <= last[0] < oldest) + found
        return found, end, max(0, oldest - place)
