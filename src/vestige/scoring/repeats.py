"""Events that the detector does not know, were told lately, and come again: they are counted, and neither
told again nor paid for again.

A new release says something new on each request: told each time, it spends whatever budget there is, and what
else is as rare is held back. Who was told of it once knows it, as long as it goes on. Of events that are
known, what is strange is what is around them: these are told each time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checked

IntArray = NDArray[np.int64]
AGAIN_S = 7 * 86_400.0
"""What was told, or came again, within so many seconds is a repeat."""
MOST_TEXT = 2_000
"""Characters of an event that an incident keeps: by these it is known again."""
MOST = 4_096
"""So much is remembered, what came last."""


def key_of(entity: str, event: str) -> str:
    """What stands for an event of a host (else a recording), however long it is."""
    text = f"{len(entity)} {entity}{event}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


@dataclass
class LastTold:
    """When something that was told came last (Unix seconds; None where nobody knows), and its incident."""

    last_s: float | None
    incident: str = ""


@dataclass(frozen=True)
class Candidate:
    """A window that may alert: what it would be told as (see `key_of`), and when it came."""

    key: str
    at_s: float | None


@dataclass
class Repeats:
    """What was told lately (`known`); `last` is the event that the last window of all repeats, if it does."""

    known: dict[str, LastTold] = field(default_factory=dict)
    last: str | None = field(default=None, init=False, compare=False)
    _undo: list[tuple[str, LastTold | None]] | None = field(default=None, init=False, repr=False)

    def take_repeat(self, candidate: Candidate) -> bool:
        """Note that it came again, where it repeats what was told within a week; whether it does."""
        told, at_s = self.known.get(candidate.key), candidate.at_s
        if told is None:
            return False
        last_s = told.last_s
        if at_s is not None and last_s is not None:
            if at_s - last_s > AGAIN_S:
                return False
            at_s = max(at_s, last_s)
        self._note(candidate.key, LastTold(last_s if at_s is None else at_s, told.incident))
        return True

    def tell(self, candidate: Candidate) -> None:
        """Note what is told."""
        self._note(candidate.key, LastTold(candidate.at_s))

    def name(self, key: str, incident: str) -> None:
        """Note in which incident something was told."""
        if key in self.known:
            self.known[key].incident = incident
        for undone, before in self._undo or []:
            # It may have been told, and come again, before anybody knew the incident.
            if undone == key and before is not None and not before.incident:
                before.incident = incident

    def incident_of(self, key: str) -> str:
        """In which incident something was told; empty where that is forgotten."""
        told = self.known.get(key)
        return "" if told is None else told.incident

    def remember(self) -> None:
        """What is noted from here on may be taken back."""
        self._undo = []

    def take_back(self) -> None:
        """Make undone what was noted since `remember`."""
        for key, before in reversed(self._undo or []):
            self.known.pop(key, None)
            if before is not None:
                self.known[key] = before
        self._undo = None

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        known = [[key, told.last_s, told.incident] for key, told in self.known.items()]
        return {"known": known}

    @classmethod
    def of(cls, plain: Any) -> Self:
        """The one whose `to_dict` gave `plain`. Raises ValueError, KeyError or TypeError for what is none."""
        fields = checked.mapping(plain, "repeats")
        known = {}
        for key, last_s, incident in fields["known"]:
            at_s = None if last_s is None else checked.real(last_s, "last_s", -1e12, 1e12)
            known[checked.text(key, "an event")] = LastTold(at_s, checked.text(incident, "incident"))
        return cls(known)

    def _note(self, key: str, told: LastTold) -> None:
        before = self.known.pop(key, None)
        if self._undo is not None:
            self._undo.append((key, before))
        self.known[key] = told
        while len(self.known) > MOST:
            del self.known[next(iter(self.known))]


@dataclass
class Asked:
    """The windows of a batch that may alert, by their rows; those `found` to be repeats, in what they
    repeat."""

    repeats: Repeats
    candidates: dict[int, Candidate]
    found: dict[int, str] = field(default_factory=dict)

    def within(self, rows: IntArray) -> Within:
        """The same of some rows alone."""
        return Within(self, rows)


@dataclass(frozen=True)
class Within:
    """Asks by the places of windows among some rows of a batch."""

    asked: Asked
    rows: IntArray

    def take_repeat(self, at: int) -> bool:
        """Note that the window repeats what was told, where it does; whether it does."""
        row = int(self.rows[at])
        candidate = self.asked.candidates.get(row)
        if candidate is None or not self.asked.repeats.take_repeat(candidate):
            return False
        self.asked.found[row] = candidate.key
        return True

    def tell(self, at: int) -> None:
        """Note that the window is told."""
        candidate = self.asked.candidates.get(int(self.rows[at]))
        if candidate is not None:
            self.asked.repeats.tell(candidate)
