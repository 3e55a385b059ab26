"""Every profile on every side, in its share: how far an assignment of units is from that, and what mends it.

An assignment is stratified as far as feasible when no unit can go to another side, and no two units can
change sides, so that less is wrong; of few units every assignment is weighed. Letters: U units, S strata
(classes, then profiles), P profiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.splits.base import PARTS, Codes
from vestige.splits.table import Table

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
    return _best_of_all(table, codes, fractions, free) if 0 < len(free) <= FEW else codes


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
        for one, other in _pieces(pairs, sides):
            at, gain = np.arange(len(one)), counts[other] - counts[one]
            after = np.repeat(sums[None], len(one), axis=0)
            after[at, sides[one]] += gain
            after[at, sides[other]] -= gain
            row, cost = _least(*shortfall(table, after, fractions))
            if best is None or cost < best[0]:
                best = cost, int(one[row]), int(other[row])
        if best is not None and best[0][:-1] < tuple(now.tolist()):
            _, one_unit, other_unit = best
            sides[[one_unit, other_unit]] = sides[[other_unit, one_unit]]
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
        one, other = np.triu_indices(len(free), k=1)
        yield free[one], free[other]


def _pieces(pairs: tuple[Ints, Ints], sides: Codes) -> Iterator[tuple[Ints, Ints]]:
    """Those of the pairs that are on two sides, `PAIRS` at a time."""
    apart = sides[pairs[0]] != sides[pairs[1]]
    one, other = pairs[0][apart], pairs[1][apart]
    for start in range(0, len(one), PAIRS):
        yield one[start : start + PAIRS], other[start : start + PAIRS]


def _best_of_all(table: Table, codes: Codes, fractions: NDArray[np.float64], free: Ints) -> Codes:
    """The best assignment there is, where it is better than `codes`."""
    parts = _parts(free, len(codes))
    every = np.stack(np.meshgrid(*[parts] * len(free)), axis=-1).reshape(-1, len(free))
    tried = np.tile(codes, (len(every) + 1, 1))
    tried[1:, free] = every
    sums = (tried[:, None, :] == np.arange(len(PARTS))[:, None]).astype(np.int64) @ table.counts
    faults, distance = shortfall(table, sums, fractions)
    row, cost = _least(faults, distance)
    best: Codes = tried[row]
    return best if cost[:-1] < tuple(faults[0].tolist()) else codes


def _least(faults: NDArray[np.int64], distance: NDArray[np.float64]) -> tuple[int, tuple[float, ...]]:
    """The row with the smallest shortfall, and that."""
    row = int(np.lexsort((distance, *faults.T[::-1]))[0])
    return row, (*faults[row].tolist(), float(distance[row]))
