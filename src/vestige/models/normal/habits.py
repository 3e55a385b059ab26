"""Which events are usual and after which others, and what is kept of a recording while its events go by.

Letters: N recordings, V token ids, T events, U n-grams of one recording, L looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vestige.models.baselines.next_ngram import Level, count_levels, interpolated
from vestige.schema import PAD

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OF_EVENTS = ("rarity.events", "rarity.recordings", "order.quartile", "order.mean", "order.lowest")
"""The looks at events and their order, in nats an event."""
ORDER = 7
"""Events of a gram of the order's surprise, the one that came included."""
QUANTILE = 0.75
"""Of the surprises of a recording, the one that a quarter of them exceed: what is unexpected throughout, and
not in a few places."""
STRETCH = 100
"""Events of the stretch whose mean surprise is the lowest: a normal session has one that is wholly usual,
what is strange all over has none."""
MOST_OF_THREE = 1 << 20
"""Kinds of events of which three go into one number."""
MOST_GRAMS = 1_000_000
"""Grams of all lengths of the order together at most: contexts get no longer than that allows."""
MOST_DISTINCT = 5_000
"""Different n-grams that are kept of a recording: its first."""
MOST_SURPRISES = 1 << 14
"""Surprises that are kept of a recording: every second one where there are more, then every fourth, ..."""
MOST_PIECES = 64
"""Pieces of surprises that are kept apart at most."""
PIECE = 1 << 16
"""Events that are looked at at a time."""
UNIT = 2.0**-30
"""Nats of the whole numbers in which sums are kept: they are the same however a recording is cut."""


@dataclass(frozen=True)
class Habits:
    """Which events are usual, and after which others.

    `levels`: what came after up to `ORDER - 1` events. `events (V,)`, `recordings (V,)` int64: how rare an
    event is among all events, and how rare a recording that has it, -ln of the share in `UNIT`.
    """

    size: int
    levels: list[Level]
    events: IntArray
    recordings: IntArray

    @classmethod
    def fit(
        cls, recordings: Sequence[IntArray], weight: IntArray, size: int, *, most_grams: int = MOST_GRAMS
    ) -> Self:
        """Of recordings, the tokens `(T,)` of each, which are below `size`; of each there were `weight (N,)`
        copies."""
        tails, times = [], []
        often, holding = np.zeros(size), np.zeros(size)
        for tokens, copies in zip(recordings, weight.tolist(), strict=True):
            tails.append(_tails(tokens, np.full(ORDER - 1, PAD)))
            times.append(np.full(len(tokens), copies))
            present, counts = np.unique(tokens, return_counts=True)
            often[present] += counts * copies
            holding[present] += copies
        levels = count_levels(np.concatenate(tails), np.concatenate(times), size, most_grams)
        share_of_events = (often + 0.5) / (often.sum() + 0.5 * size)
        share_of_recordings = (holding + 0.5) / (weight.sum() + 1)
        return cls(size, levels, _fixed(-np.log(share_of_events)), _fixed(-np.log(share_of_recordings)))

    def surprise(self, tokens: IntArray, before: IntArray) -> IntArray:
        """-ln P `(T,)` in `UNIT` of each of `tokens (T,)` after those that came before it, of which the first
        had `before (ORDER - 1,)`."""
        tails = _tails(tokens, before)[:, -len(self.levels) :]
        return _fixed(-np.log(interpolated(self.levels, tails, self.size)))


@dataclass
class RecordingTally:
    """What is kept of a recording while its events go by, in bounded memory, the same however it is cut in
    pieces: its first `MOST_DISTINCT` different n-grams, and what the looks take of rarity and surprise."""

    habits: Habits
    most_surprises: int = MOST_SURPRISES
    length: int = 0
    codes: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    """Of its different n-grams `(U,)`, ascending; see `gram_codes`."""
    left_out: int = 0
    """n-grams that there was no room for, equal ones as often as they came."""
    _before: IntArray = field(default_factory=lambda: np.full(ORDER - 1, PAD, dtype=np.int64))
    _rarity: NDArray[np.int64] = field(default_factory=lambda: np.zeros(2, dtype=np.int64))
    _total: int = 0
    _last: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _lowest: int | None = None
    _kept: list[IntArray] = field(default_factory=list)
    _n_kept: int = 0
    _stride: int = 1

    def add(self, tokens: IntArray) -> None:
        """Take in the next events `(T,)` int64. Raises ValueError for what is no token."""
        if tokens.ndim != 1 or (len(tokens) and not 0 <= tokens.min() <= tokens.max() < self.habits.size):
            raise ValueError(f"events that are no token ids below {self.habits.size}")
        for start in range(0, len(tokens), PIECE):
            piece = tokens[start : start + PIECE]
            self.take(piece, self.habits.surprise(piece, self._before))

    def take(self, tokens: IntArray, surprise: IntArray) -> None:
        """Take in the next events `(T,)`, whose surprise is known."""
        self._count(tokens)
        self._rarity += [self.habits.events[tokens].sum(), self.habits.recordings[tokens].sum()]
        self._total += int(surprise.sum())
        self._look_for_lowest(surprise)
        self._keep(surprise)
        self._before = np.concatenate([self._before, tokens])[-(ORDER - 1) :]
        self.length += len(tokens)

    def looks(self) -> FloatArray:
        """The strangeness by the looks of `OF_EVENTS`, `(5,)`; zeros of a recording without events."""
        if not self.length:
            return np.zeros(len(OF_EVENTS))
        quartile = np.quantile(np.concatenate(self._kept), QUANTILE)
        means = np.array([*self._rarity, self._total]) / self.length
        lowest = means[2]
        if self._lowest is not None:
            lowest = self._lowest / STRETCH
        found: FloatArray = np.array([*means[:2], quartile, means[2], lowest]) * UNIT
        return found

    def _look_for_lowest(self, surprise: IntArray) -> None:
        together = np.concatenate([self._last, surprise])
        sums = np.cumsum(np.concatenate([[0], together]))
        if len(together) >= STRETCH:
            found = int((sums[STRETCH:] - sums[:-STRETCH]).min())
            self._lowest = found if self._lowest is None else min(found, self._lowest)
        self._last = together[1 - STRETCH :]

    def _count(self, tokens: IntArray) -> None:
        grams = gram_codes(tokens, self._before, self.length, self.habits.size)
        codes, first, counts = np.unique(grams, return_index=True, return_counts=True)
        is_new = ~np.isin(codes, self.codes)
        room = MOST_DISTINCT - len(self.codes)
        if is_new.sum() > room:
            without = is_new & (first >= np.sort(first[is_new])[room])
            self.left_out += int(counts[without].sum())
            codes = codes[~without]
        self.codes = np.union1d(self.codes, codes)

    def _keep(self, surprise: IntArray) -> None:
        self._kept.append(surprise[-self.length % self._stride :: self._stride].copy())
        self._n_kept += len(self._kept[-1])
        if self._n_kept > self.most_surprises or len(self._kept) > MOST_PIECES:
            together = np.concatenate(self._kept)
            while len(together) > self.most_surprises:
                together = together[::2].copy()
                self._stride *= 2
            self._kept, self._n_kept = [together], len(together)


def gram_codes(tokens: IntArray, before: IntArray, length: int, size: int) -> IntArray:
    """The n-grams of one, two and three events that end on `tokens (T,)`, as numbers below V + V^2 + V^3, V
    being `size`; in the order in which they end, whatever the pieces.

    `length` events came before the first token, the last of them `before (ORDER - 1,)`: no n-gram reaches
    beyond those. Of more than `MOST_OF_THREE` kinds of events, pairs are the longest."""
    whole = np.concatenate([before[-2:], tokens])
    columns = [tokens, size + size * whole[1:-1] + tokens]
    if size <= MOST_OF_THREE:
        columns.append(size + size**2 + size**2 * whole[:-2] + size * whole[1:-1] + tokens)
    at_TN = length + np.arange(len(tokens))[:, None]
    codes: IntArray = np.stack(columns, axis=1)[at_TN >= np.arange(len(columns))]
    return codes


def tallied(habits: Habits, recordings: Sequence[IntArray]) -> list[RecordingTally]:
    """A tally of each recording; many short ones have their surprise worked out together."""
    tallies = [RecordingTally(habits) for _ in recordings]
    bounds = np.cumsum([0, *map(len, recordings)])
    # Groups of recordings that together are about a piece long.
    edges = np.flatnonzero(np.diff(bounds[:-1] // PIECE, prepend=-1)).tolist()
    for first, last in pairwise([*edges, len(recordings)]):
        group = recordings[first:last]
        short = [tokens for tokens in group if len(tokens) <= PIECE]
        surprises = iter(_surprises(habits, short))
        for tally, tokens in zip(tallies[first:last], group, strict=True):
            if len(tokens) > PIECE:
                tally.add(tokens)
            elif len(tokens):
                tally.take(tokens, next(surprises))
            else:
                next(surprises)
    return tallies


def _surprises(habits: Habits, recordings: Sequence[IntArray]) -> list[IntArray]:
    if not recordings:
        return []
    start = np.full(ORDER - 1, PAD)
    tails = np.concatenate([_tails(tokens, start) for tokens in recordings])[:, -len(habits.levels) :]
    surprise = _fixed(-np.log(interpolated(habits.levels, tails, habits.size)))
    return np.split(surprise, np.cumsum([len(tokens) for tokens in recordings])[:-1])


def _tails(tokens: IntArray, before: IntArray) -> IntArray:
    """Each of `tokens (T,)` with the `ORDER - 1` before it, `(T, ORDER)`."""
    if not len(tokens):
        return np.empty((0, ORDER), dtype=np.int64)
    whole = np.concatenate([before, tokens]).astype(np.int64)
    return np.lib.stride_tricks.sliding_window_view(whole, ORDER)


def _fixed(nats: FloatArray) -> IntArray:
    return np.rint(nats / UNIT).astype(np.int64)
