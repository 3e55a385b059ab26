"""One recording's timeline: its most surprising event in each stretch, and where it left all modules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vestige.sources.traces.maps import OUTSIDE
from vestige.sources.traces.symbols import KINDS
from vestige.timeline.pieces import Piece

BINS = 480
"""Stretches that a timeline is drawn from: between so many and twice as many, however long the recording."""
MOST_DEPARTURES, RARE = 50, 5
"""Departures of a recording that are kept; and up to how many leaving all modules is strange in itself."""
_TARGET = KINDS.index("target")


class Place(NamedTuple):
    """An event of a recording: its number (from 1), byte of the trace, what it is, in which module, and how
    surprising (NaN: not judged); `token` is what it is to a model, addresses in no module being alike."""

    event: int
    offset: int
    text: str
    token: str
    module: str
    surprise: float


class Departure(NamedTuple):
    """A recording left all modules: the last target within one (`left`), where it went instead, and when."""

    event: int
    offset: int
    left: str
    to: str


@dataclass
class Timeline:
    """What is kept of a recording while its events go by: memory does not grow with it."""

    recording: str
    truth: str = ""
    events: int = 0
    judged: int = 0
    total: float = 0.0
    best: dict[int, Place] = field(default_factory=dict)
    """The most surprising event of each stretch of `width` events, by the stretch's number."""
    width: int = 1
    departures: list[Departure] = field(default_factory=list)
    times_left: int = 0
    _gone: list[Place] = field(default_factory=list)
    _inside: str = "(the start)"
    _outside: bool = False

    @property
    def highest(self) -> float:
        """Surprise of the most surprising event."""
        return max((place.surprise for place in self.best.values()), default=0.0)

    @property
    def mean(self) -> float:
        """Mean surprise of all judged events."""
        return self.total / max(1, self.judged)

    def top(self, n: int) -> list[Place]:
        """The `n` strangest events, one a stretch at most: where the recording left all modules, if that is
        rare, judged or not; then by surprise, the earliest of equals first."""
        gone: list[Place] = []
        if self.times_left <= RARE:
            gone = self._gone
        others = (place for place in self.best.values() if place not in gone)
        return [*gone, *sorted(others, key=lambda place: (-place.surprise, place.event))][:n]

    def add(self, piece: Piece) -> None:
        """The next events."""
        self.truth = piece.truth
        if not len(piece.event):
            return
        self.events = int(piece.event[-1])
        self._walk(piece)
        rows = np.flatnonzero(np.isfinite(piece.surprise))
        self.judged += len(rows)
        self.total += float(piece.surprise[rows].sum())
        stretch = (piece.event[rows] - 1) // self.width
        order = np.lexsort((piece.event[rows], -piece.surprise[rows], stretch))
        _, first = np.unique(stretch[order], return_index=True)
        for row in rows[order[first]].tolist():
            self._offer((int(piece.event[row]) - 1) // self.width, _place(piece, row))
        while self.best and max(self.best) >= 2 * BINS:
            self._halve()

    def _offer(self, stretch: int, place: Place) -> None:
        held = self.best.get(stretch)
        if held is None or place.surprise > held.surprise:
            self.best[stretch] = place

    def _halve(self) -> None:
        self.width *= 2
        finer, self.best = self.best, {}
        for place in sorted(finer.values(), key=lambda place: place.event):
            self._offer((place.event - 1) // self.width, place)

    def _walk(self, piece: Piece) -> None:
        """Follow the targets: which of them is the first outside all modules after one within."""
        kind = piece.table["kind"].to_numpy()[piece.symbol]
        special = piece.table["module"].is_in(OUTSIDE).to_numpy()[piece.symbol]
        targets = np.flatnonzero(kind == _TARGET)
        outside = special[targets]
        before = np.concatenate([[self._outside], outside[:-1]])
        text = piece.table["text"]
        for at in np.flatnonzero(outside & ~before).tolist():
            self.times_left += 1
            if len(self.departures) < MOST_DEPARTURES:
                row = int(targets[at])
                left = self._inside
                if at > 0:
                    left = text[int(piece.symbol[targets[at - 1]])]
                to = text[int(piece.symbol[row])]
                self.departures.append(Departure(int(piece.event[row]), int(piece.offset[row]), left, to))
                self._gone.append(_place(piece, row))
        inside = targets[~outside]
        if len(inside):
            self._inside = text[int(piece.symbol[inside[-1]])]
        if len(targets):
            self._outside = bool(outside[-1])


def _place(piece: Piece, row: int) -> Place:
    text, token, module, _ = piece.table.select("text", "token", "module", "kind").row(int(piece.symbol[row]))
    return Place(
        int(piece.event[row]), int(piece.offset[row]), text, token, module, float(piece.surprise[row])
    )
