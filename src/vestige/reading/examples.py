"""Where in the evidence known events were shown first: what people are pointed at for comparison."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige import checked
from vestige.reading.windows import WindowSet

MOST = 5_000
"""Events whose first place is kept: the first ones, which are the most frequent."""
PIECE = 1 << 20
"""Steps that are gone through at a time."""
LARGEST = 2**62

Place = Callable[[WindowSet, NDArray[np.int64]], pl.DataFrame]
"""See `Source.place`."""


@dataclass(frozen=True)
class Examples:
    """`places`: the first place of the event of each number, `file`, `line` and the like; None where none is
    known."""

    places: tuple[Mapping[str, str | int] | None, ...] = field(default=())

    @classmethod
    def fit(
        cls, windows: WindowSet, event_of_symbol: NDArray[np.int64], stream: str, n: int, place: Place
    ) -> Self:
        """Of the steps that `windows` judge: `event_of_symbol (symbols,)` is the number of each row of the
        table that `stream` points into, negative for none; there are `n` events."""
        kept = min(n, MOST)
        first = np.full(kept, -1, dtype=np.int64)
        start = 0
        for piece in windows.pieces(PIECE):
            symbols = windows.streams.at(stream, piece.target_step)
            event, row = np.unique(event_of_symbol[symbols], return_index=True)
            counts = (event >= 0) & (event < kept)
            event, row = event[counts], row[counts]
            fresh = first[event] < 0
            first[event[fresh]] = row[fresh] + start
            start += len(piece)
            if (first >= 0).all():
                break
        there = np.flatnonzero(first >= 0)
        places: list[Mapping[str, str | int] | None] = [None] * kept
        shown = place(windows, first[there])
        for number, where in zip(there.tolist(), shown.iter_rows(named=True), strict=True):
            # What stands there is what the event is called.
            places[number] = {name: value for name, value in where.items() if name != "text"}
        return cls(tuple(places))

    def of(self, event: int) -> Mapping[str, str | int]:
        """The place of an event; empty where none is known."""
        if not 0 <= event < len(self.places):
            return {}
        return self.places[event] or {}

    def to_list(self) -> list[Any]:
        """As JSON values."""
        return [None if where is None else dict(where) for where in self.places]

    @classmethod
    def from_list(cls, state: Any) -> Self:
        """What `to_list` gave as `state`. Raises ValueError for anything else."""
        if not isinstance(state, list) or len(state) > MOST:
            raise ValueError("these are no places of examples")
        return cls(tuple(None if where is None else _place(where) for where in state))


def _place(where: Any) -> dict[str, str | int]:
    found: dict[str, str | int] = {}
    # JSON of a checkpoint is sorted by names: the file, which is a text, comes first for people.
    items = sorted(checked.mapping(where, "a place").items(), key=lambda item: not isinstance(item[1], str))
    for name, value in items:
        if isinstance(value, str):
            found[name] = value
        else:
            found[name] = checked.whole(value, name, -LARGEST, LARGEST)
    return found
