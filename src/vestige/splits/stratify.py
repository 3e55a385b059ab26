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
Exchange = tuple[int, int, int]
"""A unit, the side to which it goes, and the unit that takes its place (-1: none)."""


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


def better(table: Table, codes: Codes, fractions: NDArray[np.float64], fixed: list[int]) -> Exchange | None:
    """The exchange that leaves the smallest shortfall, if one leaves less than `codes (U,)` do.

    `fixed` are units whose side is not ours to choose, the whole test part.
    """
    sums = np.stack([table.counts[codes == part].sum(axis=0) for part in range(len(PARTS))])
    now = shortfall(table, sums, fractions)[0]
    if not now[1:].any() or not _applies(table):
        return None
    free = np.setdiff1d(np.arange(len(codes)), fixed)
    # An empty unit on each side: to change places with it is to move.
    counts = np.vstack([table.counts, np.zeros((len(PARTS), table.counts.shape[1]), dtype=np.int64)])
    sides = np.r_[codes, np.arange(len(PARTS), dtype=np.int8)]
    for pairs in _pairs(free, len(codes), len(PARTS) - bool(fixed)):
        best: tuple[tuple[float, ...], Exchange] | None = None
        for one, other in _pieces(pairs, sides):
            at, gain = np.arange(len(one)), counts[other] - counts[one]
            after = np.repeat(sums[None], len(one), axis=0)
            after[at, sides[one]] += gain
            after[at, sides[other]] -= gain
            faults, distance = shortfall(table, after, fractions)
            row = int(np.lexsort((distance, *faults.T[::-1]))[0])
            cost = (*faults[row].tolist(), float(distance[row]))
            if best is None or cost < best[0]:
                taken = int(other[row])
                best = cost, (int(one[row]), int(sides[taken]), taken if taken < len(codes) else -1)
        if best is not None and best[0][:-1] < tuple(now.tolist()):
            return best[1]
    return None


def _applies(table: Table) -> bool:
    return 1 < len(table.profiles) <= MOST_PROFILES


def _pairs(free: Ints, n: int, parts: int) -> Iterator[tuple[Ints, Ints]]:
    """Every move of a free unit to one of the first `parts` sides; then every swap, unless too many."""
    yield np.repeat(free, parts), np.tile(n + np.arange(parts), len(free))
    if len(free) <= MOST_SWAPPED:
        one, other = np.triu_indices(len(free), k=1)
        yield free[one], free[other]


def _pieces(pairs: tuple[Ints, Ints], sides: Codes) -> Iterator[tuple[Ints, Ints]]:
    """Those of the pairs that are on two sides, `PAIRS` at a time."""
    apart = sides[pairs[0]] != sides[pairs[1]]
    one, other = pairs[0][apart], pairs[1][apart]
    for start in range(0, len(one), PAIRS):
        yield one[start : start + PAIRS], other[start : start + PAIRS]


def improve(table: Table, codes: Codes, fractions: NDArray[np.float64], fixed: list[int]) -> Codes:
    """`codes` after exchanges, until none leaves less wrong."""
    if not _applies(table):
        return codes
    codes = codes.copy()
    while (exchange := better(table, codes, fractions, fixed)) is not None:
        unit, part, other = exchange
        if other >= 0:
            codes[other] = codes[unit]
        codes[unit] = part
    few = 0 < len(codes) - len(fixed) <= FEW
    return _best_of_all(table, codes, fractions, fixed) if few else codes


def _best_of_all(table: Table, codes: Codes, fractions: NDArray[np.float64], fixed: list[int]) -> Codes:
    """The best assignment there is, where it is better than `codes`."""
    free = np.setdiff1d(np.arange(len(codes)), fixed)
    every = np.stack(np.meshgrid(*[np.arange(len(PARTS) - bool(fixed))] * len(free)), axis=-1)
    tried = np.tile(codes, (every.size // len(free) + 1, 1))
    tried[1:, free] = every.reshape(-1, len(free))
    sums = (tried[:, None, :] == np.arange(len(PARTS))[:, None]).astype(np.int64) @ table.counts
    faults, distance = shortfall(table, sums, fractions)
    row = int(np.lexsort((distance, *faults.T[::-1]))[0])
    best: Codes = tried[row]
    return best if tuple(faults[row].tolist()) < tuple(faults[0].tolist()) else codes
