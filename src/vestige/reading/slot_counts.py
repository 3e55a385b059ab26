"""How often each value came in one slot of steps of many kinds, and what follows for the next value there.

Letters: N windows, K kinds, D different values, each of its kind.

Good: The population frequencies of species and the estimation of population parameters (Biometrika, 1953).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from vestige.hashing import mix

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float64]
Values = NDArray[np.uint64]

FEW, OFTEN = 64, 200
"""A slot of few values has had no more different ones than this, in so many steps or more."""
RARELY = 0.01
"""Or the chance that the next one is new is less than this."""
NUMBERS = 100
"""A slot has a range where so many of its values, and at least half of them, are numbers."""
GROWS = 0.05
"""Where more than this share of the later numbers lay beyond all earlier ones, they count up: no range."""
LOW, MIDDLE, HIGH = 0.01, 0.5, 0.99
"""Quantiles."""
SKEWED = 3.0
"""Numbers go by their logarithms where the upper half of them is so many times as wide as the lower half."""
LARGE = 1e150
"""Or where their differences might be no number any more."""
LEAST_SPREAD, LEAST_LOG_SPREAD = 0.05, 0.1
"""What a spread is at least: a share of the largest number; where they go by logarithms, about as much."""
ROBUST = 10.0
"""A range ends so many spreads beyond the quantiles at most: an outlier must not make all that is below it
usual."""
PARTS = 8
TOGETHER = 1 << 20
"""Steps whose values are held at a time, unless a single kind has more."""


class Ranges(NamedTuple):
    """Of each kind `(K,)`, within which bounds its numbers lay, and their spread, of their logarithms where
    `log`; NaN for none."""

    low: FloatArray
    high: FloatArray
    spread: FloatArray
    log: NDArray[np.bool_]


@dataclass(frozen=True)
class Slot:
    """What is kept of one slot: the most frequent values of the kinds `few (K,)` that have few there, each
    with its kind and how often it came; how many values each kind had, `n (K,)`, and the chance that the next
    one is new; their ranges."""

    kind: IntArray
    value: Values
    count: IntArray
    n: IntArray
    few: NDArray[np.bool_]
    chance_of_new: FloatArray
    ranges: Ranges

    @classmethod
    def of(cls, kind: IntArray, value: Values, n_kinds: int, most: int, *, first: int = 0) -> Self:
        """Learn from the values `(N,)` of steps, 0 for none, those of each kind together and in the order of
        time. Kinds are below `n_kinds`; 0 is the one that is called `first` elsewhere. `most` values of a
        kind are kept."""
        counts = SlotCounts.of(kind, value, n_kinds, first=first)
        kept = counts.most_frequent(most)
        return cls(
            counts.kind[kept],
            counts.value[kept],
            counts.count[kept],
            counts.n,
            counts.is_of_few,
            counts.chance_of_new,
            counts.ranges(),
        )

    @classmethod
    def joined(cls, slots: Sequence[Self], first: Sequence[int]) -> Self:
        """What was learnt of kinds that follow one another, those of each from `first` on, as of one slot."""
        return cls(
            np.concatenate([slot.kind + number for slot, number in zip(slots, first, strict=True)]),
            np.concatenate([slot.value for slot in slots]),
            np.concatenate([slot.count for slot in slots]),
            np.concatenate([slot.n for slot in slots]),
            np.concatenate([slot.few for slot in slots]),
            np.concatenate([slot.chance_of_new for slot in slots]),
            Ranges(*map(np.concatenate, zip(*(slot.ranges for slot in slots), strict=True))),
        )

    def surprise(self, kept: NDArray[np.bool_]) -> FloatArray:
        """-ln of the chance of a value that is not among those `kept`, `(K,)`; 0 for kinds without few."""
        n_kept = np.bincount(self.kind[kept], self.count[kept], minlength=len(self.n))
        # What was seen and is not kept comes again as often as it came.
        chance = (self.n - n_kept) / (self.n + 1) + self.chance_of_new
        return np.where(self.few, -np.log(np.minimum(chance, 1)), 0.0)


@dataclass(frozen=True)
class SlotCounts:
    """The different values `(D,)` of a slot, each with its kind, how often it came, and whether it first came
    in the later half of its kind's; `n (K,)`: how many values each kind had."""

    kind: IntArray
    value: Values
    count: IntArray
    late: NDArray[np.bool_]
    n: IntArray

    @classmethod
    def of(cls, kind: IntArray, value: Values, n_kinds: int, *, first: int = 0) -> Self:
        """Count values `(N,)`, see `Slot.of`."""
        has = value != 0
        of, value = kind[has], value[has]
        n = np.bincount(of, minlength=n_kinds)
        middle = np.cumsum(n) - n + n // 2
        of_kind = mix(np.arange(first, first + n_kinds, dtype=np.uint64))
        place, count = _different(mix(value ^ of_kind[of]))
        own = of[place]
        return cls(own, value[place], count, place >= middle[own], n)

    @cached_property
    def n_late(self) -> IntArray:
        """How many values each kind had in its later half, `(K,)`."""
        return self.n - self.n // 2

    @cached_property
    def single(self) -> IntArray:
        """How many values came once, `(K,)`."""
        return self._count(self.count == 1)

    @cached_property
    def chance_of_new(self) -> FloatArray:
        """The chance that the next value of each kind is a new one, `(K,)`.

        Good and Turing's: how many of the values came once. It holds where values come independently of one
        another; where each comes several times and then never again, as numbers of sessions do, the share of
        new ones among the later half is larger, and is taken. Half a new one more was seen in both.
        """
        late = (self._count(self.late) + 0.5) / (self.n_late + 1)
        return np.maximum((self.single + 0.5) / (self.n + 1), late)

    @cached_property
    def is_of_few(self) -> NDArray[np.bool_]:
        """Which kinds have few values in this slot, `(K,)`."""
        different = self._count(np.ones(len(self.kind), np.bool_))
        return ((different <= FEW) & (self.n >= OFTEN)) | (self.chance_of_new < RARELY)

    def most_frequent(self, most: int) -> IntArray:
        """Which values, of the kinds that have few, are among the `most` frequent ones of their kind."""
        of_few = np.flatnonzero(self.is_of_few[self.kind])
        kind = self.kind[of_few]
        order = np.lexsort((-self.count[of_few], kind))
        size = np.bincount(kind, minlength=len(self.n))
        rank = np.arange(len(order)) - np.repeat(np.cumsum(size) - size, size)
        return of_few[order[rank < most]]

    def ranges(self) -> Ranges:
        """Within which bounds the numbers of each kind lay."""
        number = self.value.view(np.float64)
        finite = np.flatnonzero(np.isfinite(number))
        finite = finite[np.lexsort((number[finite], self.kind[finite]))]
        kind, number = self.kind[finite], number[finite]
        size = np.bincount(kind, minlength=len(self.n))
        n_numbers = np.bincount(kind, self.count[finite], minlength=len(self.n)).astype(np.int64)
        low, middle, high = (self._quantile(q, finite, n_numbers, number) for q in (LOW, MIDDLE, HIGH))
        begin = np.minimum(np.cumsum(size) - size, max(len(number) - 1, 0))
        end = np.maximum(np.cumsum(size) - 1, 0)
        has = (n_numbers >= NUMBERS) & (2 * n_numbers >= self.n) & ~self._counts_up(kind, number, finite)
        least, most = np.zeros(len(self.n)), np.zeros(len(self.n))
        if len(number):
            least, most = number[begin], number[end]
        with np.errstate(over="ignore"):
            log = high - middle > SKEWED * (middle - low)
        log |= (low == high) | (np.maximum(np.abs(least), np.abs(most)) > LARGE)
        low, high, least, most = (scaled(bound, log) for bound in (low, high, least, most))
        floor = np.where(log, LEAST_LOG_SPREAD, LEAST_SPREAD * np.maximum(np.abs(low), np.abs(high)))
        spread = np.maximum(high - low, floor)
        return Ranges(
            np.where(has, np.maximum(least, low - ROBUST * spread), np.nan),
            np.where(has, np.minimum(most, high + ROBUST * spread), np.nan),
            np.where(has, spread, np.nan),
            log & has,
        )

    def _count(self, which: NDArray[np.bool_]) -> IntArray:
        return np.bincount(self.kind[which], minlength=len(self.n))

    def _quantile(self, q: float, finite: IntArray, n_numbers: IntArray, number: FloatArray) -> FloatArray:
        """The quantile of the numbers of each kind `(K,)`, 0 where there are none; they lie sorted, and each
        counts as often as it came."""
        if not len(number):
            return np.zeros(len(self.n))
        until = np.cumsum(self.count[finite])
        rank = np.cumsum(n_numbers) - n_numbers + np.floor(q * np.maximum(n_numbers - 1, 0))
        place = np.searchsorted(until, rank, side="right")
        return np.where(n_numbers > 0, number[np.minimum(place, len(number) - 1)], 0.0)

    def _counts_up(self, kind: IntArray, number: FloatArray, finite: IntArray) -> NDArray[np.bool_]:
        """Whether later numbers of a kind often lie beyond all earlier ones, `(K,)`."""
        late = self.late[finite]
        low, high = np.full(len(self.n), np.inf), np.full(len(self.n), -np.inf)
        np.minimum.at(low, kind[~late], number[~late])
        np.maximum.at(high, kind[~late], number[~late])
        beyond = late & ((number < low[kind]) | (number > high[kind]))
        n_beyond = np.bincount(kind[beyond], minlength=len(self.n))
        counts_up: NDArray[np.bool_] = n_beyond + 0.5 > GROWS * (self.n_late + 1)
        return counts_up


def scaled(number: FloatArray, log: NDArray[np.bool_]) -> FloatArray:
    """Numbers, by their logarithms where `log`; those below 0 by that of their size."""
    return np.where(log, np.copysign(np.log1p(np.abs(number)), number), number)


def of_kinds(bounds: IntArray, together: int = TOGETHER) -> Iterator[slice]:
    """Kinds one after the other that have up to `together` steps, or one kind of more; those of kind k lie
    from `bounds[k]` to `bounds[k + 1]`. At least one slice, where there are no kinds an empty one."""
    first, n_kinds = 0, len(bounds) - 1
    while first < n_kinds or not n_kinds:
        last = int(np.searchsorted(bounds, bounds[first] + together, side="right")) - 1
        last = min(max(last, first + 1), n_kinds)
        yield slice(first, last)
        if last == n_kinds:
            return
        first = last


def _different(key: Values) -> tuple[IntArray, IntArray]:
    """Where each different key `(N,)` comes first, and how often it comes: sorted in `PARTS` parts, one after
    the other, because sorting takes several times the memory of what is sorted."""
    firsts, counts = [], []
    part_of = (key >> np.uint64(64 - PARTS.bit_length() + 1)).astype(np.uint8)
    for part in range(PARTS):
        places = np.flatnonzero(part_of == part)
        order = np.argsort(key[places], kind="stable")
        ordered = key[places][order]
        new = np.ones(len(ordered), np.bool_)
        new[1:] = ordered[1:] != ordered[:-1]
        begin = np.flatnonzero(new)
        # The sort is stable, so that the first of equal ones is the one that came first.
        firsts.append(places[order[begin]])
        counts.append(np.diff(begin, append=len(ordered)))
    return np.concatenate(firsts), np.concatenate(counts)
