"""The last events of the machines heard from last: all that live reading keeps from block to block."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MACHINES = 1 << 16
"""Machines remembered at a time: with ten events each, 8 MB and the names."""
MOST_TEXTS = 1 << 14
"""Event names kept before those that no machine's context holds any more are dropped."""


class Memory:
    """The last `lead` events of at most `capacity` machines, in slots of two arrays."""

    def __init__(self, lead: int, capacity: int) -> None:
        self._lead, self._capacity = lead, capacity
        self._slot: OrderedDict[str, int] = OrderedDict()
        self._event = np.zeros((0, lead), dtype=np.uint32)
        self._t_ns = np.zeros((0, lead), dtype=np.int64)
        self._rows: dict[str, int] = {"": 0}
        self._limit = MOST_TEXTS
        self.forgotten = 0

    def slots(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Where the machines of these (different) names are; the one heard from longest ago makes room.

        At most `capacity` names at a time.
        """
        for name in names:
            if name in self._slot:
                self._slot.move_to_end(name)
        for name in names:
            if name not in self._slot:
                slot = self._room()
                self._event[slot], self._t_ns[slot] = 0, 0
                self._slot[name] = slot
        return np.array([self._slot[name] for name in names], dtype=np.int64)

    def recall(self, slots: NDArray[np.int64]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
        """The last events and times, `(n, lead)` each; padding where there were none."""
        return self._event[slots], self._t_ns[slots]

    def keep(self, slots: NDArray[np.int64], event: NDArray[np.uint32], t_ns: NDArray[np.int64]) -> None:
        """What the machines' last events are now."""
        self._event[slots], self._t_ns[slots] = event, t_ns

    def symbols(self, texts: Sequence[str]) -> NDArray[np.uint32]:
        """Rows of these event names in `texts()`."""
        return np.array([self._rows.setdefault(text, len(self._rows)) for text in texts], dtype=np.uint32)

    def texts(self) -> list[str]:
        """Every event name by row; row 0 is padding."""
        return list(self._rows)

    def tidy(self) -> None:
        """Drop names that no context holds: only between batches, because it changes every row."""
        if len(self._rows) <= self._limit:
            return
        used = np.unique(np.append(self._event.ravel(), np.uint32(0)))
        texts = self.texts()
        renumber = np.zeros(len(texts), dtype=np.uint32)
        renumber[used] = np.arange(len(used))
        self._event = renumber[self._event]
        self._rows = {texts[row]: at for at, row in enumerate(used.tolist())}
        self._limit = max(MOST_TEXTS, 2 * len(self._rows))

    def _room(self) -> int:
        """A free slot: a new one, or that of the machine heard from longest ago."""
        if len(self._slot) == self._capacity:
            self.forgotten += 1
            return self._slot.popitem(last=False)[1]
        slot = len(self._slot)
        if slot == len(self._event):
            more = max(256, slot)
            self._event = np.concatenate([self._event, np.zeros((more, self._lead), dtype=np.uint32)])
            self._t_ns = np.concatenate([self._t_ns, np.zeros((more, self._lead), dtype=np.int64)])
        return slot
