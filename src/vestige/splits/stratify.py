"""Every class and profile on every side, in its share: how many windows of each a unit has, how far an
assignment of units is from that, and what mends it.

An assignment is stratified as far as feasible when no unit can go to another side, and no two units can
change sides, so that less is wrong; of few units every assignment is weighed. Letters: U units, S strata
(classes, then profiles), P profiles.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige.reading.windows import WindowSet
from vestige.splits.split import PARTS, Codes

FACTOR = 2.0
"""A share is grossly off that is more than this times the wanted one, or less than its inverse."""
ENOUGH = 5
"""Units of a profile that a side should have before it can be grossly off: with fewer, chance does that."""
FEW = 9
"""Units of which every assignment is weighed: 19,683 of nine."""
MOST_SWAPPED = 1000
"""Units among which any two are tried; with more, moving single ones is fine enough."""
MOST_PROFILES = 50
"""With more of them no side can have them all: they are told, and nothing is exchanged for their sake."""
PAIRS = 1 << 13
"""Exchanges that are weighed at a time: bounds the memory."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """How many windows of each stratum each unit has that is assigned as a whole, `(units, strata)`.

    First there is one stratum for each class, then one for each profile. Windows that nobody has `labelled`
    count as of the first class, which then stands for all of them.
    """

    counts: Ints
    classes: tuple[str, ...]
    profiles: tuple[str, ...] = ()
    labelled: bool = True

    @functools.cached_property
    def required(self) -> Ints:
        """The classes that every side must have."""
        return required(self.counts[:, : len(self.classes)].sum(axis=0), labelled=self.labelled)

    @functools.cached_property
    def units(self) -> Ints:
        """How many units have each stratum, `(strata,)`."""
        found: Ints = (self.counts > 0).sum(axis=0)
        return found

    @classmethod
    def of(
        cls, windows: WindowSet, pieces: Iterable[tuple[WindowSet, NDArray[np.integer]]], n_units: int
    ) -> Self:
        """Count `windows`, which come in `pieces` with the unit of each, `(piece,)`; -1 for those that are
        not to be counted."""
        profiles, profile = np.unique(windows.recordings["profile"].to_numpy(), return_inverse=True)
        names = windows.schema.classes
        counts = np.zeros((n_units, len(names) + len(profiles)), dtype=np.int64)
        for piece, unit in pieces:
            kept = unit >= 0
            of, label, kind = unit[kept], piece.label[kept], profile[piece.recording[kept]]
            np.add.at(counts, (of, label), 1)
            np.add.at(counts, (of, len(names) + kind), 1)
        return cls(counts, names, tuple(profiles.tolist()), windows.labelled)

    @classmethod
    def of_recordings(cls, windows: WindowSet, unit: NDArray[np.integer], n_units: int) -> Self:
        """Count the windows of units made of whole recordings, that of each given in `unit (recordings,)`."""
        profiles, profile = np.unique(windows.recordings["profile"].to_numpy(), return_inverse=True)
        names = windows.schema.classes
        counts = np.zeros((n_units, len(names) + len(profiles)), dtype=np.int64)
        np.add.at(counts[:, : len(names)], unit, windows.counts)
        np.add.at(counts, (unit, len(names) + profile), windows.counts.sum(axis=1))
        return cls(counts, names, tuple(profiles.tolist()), windows.labelled)


def required(count: Ints, *, labelled: bool = True) -> Ints:
    """The classes that every side must have, of windows `count (K,)`: those that occur at all, if two do.

    Without labels all windows are of the first class, and every side must have some of them.
    """
    there: Ints = np.flatnonzero(count)
    if len(there) > 1 or not labelled:
        return there
    # One class alone cannot be told from another: all are asked for, so that the split is refused.
    return np.arange(len(count))


def off(share: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.bool_]:
    """Where shares differ by more than `FACTOR`."""
    found: NDArray[np.bool_] = (share > FACTOR * wanted) | (share * FACTOR < wanted)
    return found


def grossly_off(sums: NDArray[Any], units_P: Ints) -> NDArray[np.bool_]:
    """Which profiles make up a grossly other part of a side than of the whole, `(..., 3, P)`.

    `sums (..., 3, P)`: windows of each profile on each side. Only where the side should have `ENOUGH` of the
    `units_P (P,)` that the profile has, and has any: without any it is missing, which is another matter.
    """
    size = np.maximum(sums.sum(axis=-1, keepdims=True), 1)
    whole = np.maximum(size.sum(axis=-2, keepdims=True), 1)
    enough = units_P * (size / whole) >= ENOUGH
    found: NDArray[np.bool_] = off(sums / size, sums.sum(axis=-2, keepdims=True) / whole) & enough
    return found & (sums > 0)


def shortfall(
    table: Table, sums: NDArray[Any], fractions: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """How far sides with `sums (..., 3, S)` windows of each stratum are from stratified, `(..., 5)`, the
    worst first: classes missing on a side; profiles missing in training or test; in validation; sides of a
    grossly other size than `fractions`; profiles grossly off. And how far all shares are from `fractions`."""
    k = len(table.classes)
    classes, profiles = sums[..., :k], sums[..., k:]
    missing = profiles == 0
    size = classes.sum(axis=-1)
    sizes = off(size / np.maximum(size.sum(axis=-1, keepdims=True), 1), fractions)
    faults = [
        (classes[..., table.required] == 0).sum(axis=(-1, -2)),
        missing[..., [0, 2], :].sum(axis=(-1, -2)),
        missing[..., 1, :].sum(axis=-1),
        sizes.sum(axis=-1),
        grossly_off(profiles, table.units[k:]).sum(axis=(-1, -2)),
    ]
    share = sums / np.maximum(sums.sum(axis=-2, keepdims=True), 1)
    return np.stack(faults, axis=-1), np.abs(share - fractions[:, None]).sum(axis=(-1, -2))


def improve(table: Table, codes: Codes, fractions: NDArray[np.float64], fixed: list[int]) -> Codes:
    """`codes (U,)` after exchanges, until none leaves less wrong.

    `fixed` are units whose side is not ours to choose, the whole test part.
    """
    if not 1 < len(table.profiles) <= MOST_PROFILES:
        return codes
    free = np.setdiff1d(np.arange(len(codes)), fixed)
    while (after := _exchanged(table, codes, fractions, free)) is not None:
        codes = after
    if 0 < len(free) <= FEW:
        return _best_of_all(table, codes, fractions, free)
    return codes


def _exchanged(table: Table, codes: Codes, fractions: NDArray[np.float64], free: Ints) -> Codes | None:
    """`codes` after the exchange that leaves the smallest shortfall, if one leaves less than there is."""
    sums = np.stack([table.counts[codes == part].sum(axis=0) for part in range(len(PARTS))])
    now = shortfall(table, sums, fractions)[0]
    if not now[1:].any():
        return None
    # An empty unit on each side: to change places with it is to move.
    counts = np.vstack([table.counts, np.zeros((len(PARTS), table.counts.shape[1]), dtype=np.int64)])
    sides = np.r_[codes, np.arange(len(PARTS), dtype=np.int8)]
    for pairs in _pairs(free, len(codes)):
        best: tuple[tuple[float, ...], int, int] | None = None
        for left, right in _pieces(pairs, sides):
            at, gain = np.arange(len(left)), counts[right] - counts[left]
            after = np.repeat(sums[None], len(left), axis=0)
            after[at, sides[left]] += gain
            after[at, sides[right]] -= gain
            row, cost = _least(*shortfall(table, after, fractions))
            if best is None or cost < best[0]:
                best = cost, int(left[row]), int(right[row])
        if best is not None and best[0][:-1] < tuple(now.tolist()):
            swapped = list(best[1:])
            sides[swapped] = sides[swapped[::-1]]
            exchanged: Codes = sides[: len(codes)]
            return exchanged
    return None


def _parts(free: Ints, n: int) -> Ints:
    """Where a unit may go: not to test, where somebody has chosen what that is."""
    return np.arange(len(PARTS) - (len(free) < n))


def _pairs(free: Ints, n: int) -> Iterator[tuple[Ints, Ints]]:
    """Every move of a free unit to another side, then every swap, unless too many."""
    parts = _parts(free, n)
    yield np.repeat(free, len(parts)), np.tile(n + parts, len(free))
    if len(free) <= MOST_SWAPPED:
        left, right = np.triu_indices(len(free), k=1)
        yield free[left], free[right]


def _pieces(pairs: tuple[Ints, Ints], sides: Codes) -> Iterator[tuple[Ints, Ints]]:
    """Those of the pairs that are on two sides, `PAIRS` at a time."""
    apart = sides[pairs[0]] != sides[pairs[1]]
    left, right = pairs[0][apart], pairs[1][apart]
    for start in range(0, len(left), PAIRS):
        yield left[start : start + PAIRS], right[start : start + PAIRS]


def _best_of_all(table: Table, codes: Codes, fractions: NDArray[np.float64], free: Ints) -> Codes:
    """The best assignment there is, where it is better than `codes`."""
    parts = _parts(free, len(codes))
    every = np.stack(np.meshgrid(*[parts] * len(free)), axis=-1).reshape(-1, len(free))
    # The first row stays as it is, so that every other is compared with it.
    tried = np.tile(codes, (len(every) + 1, 1))
    tried[1:, free] = every
    sums = (tried[:, None, :] == np.arange(len(PARTS))[:, None]).astype(np.int64) @ table.counts
    faults, distance = shortfall(table, sums, fractions)
    row, cost = _least(faults, distance)
    if cost[:-1] < tuple(faults[0].tolist()):
        best: Codes = tried[row]
        return best
    return codes


def _least(faults: NDArray[np.int64], distance: NDArray[np.float64]) -> tuple[int, tuple[float, ...]]:
    """The row with the smallest shortfall, and that."""
    # `lexsort` weighs its last key first: the gravest fault comes last, the distance of the shares first.
    row = int(np.lexsort((distance, *faults.T[::-1]))[0])
    return row, (*faults[row].tolist(), float(distance[row]))
