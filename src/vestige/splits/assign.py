"""Assigning indivisible units (hosts, samples, recordings, templates): every side like the whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.splits.base import NOWHERE, PARTS, Codes
from vestige.windows import WindowSet

WORK = 200_000
"""Units times attempts: small corpora are tried often, large ones need it less."""


@dataclass(frozen=True)
class Table:
    """How many windows of each stratum a unit has, `(units, strata)`: first one stratum for each class, then
    one for each profile."""

    counts: NDArray[np.int64]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, windows: WindowSet, unit: NDArray[np.integer], n_units: int) -> Self:
        """Count the windows whose unit is given in `unit (N,)`."""
        profiles, profile = np.unique(windows.recordings["profile"].to_numpy(), return_inverse=True)
        names = windows.schema.classes
        by_class = _count(unit, windows.label, n_units, len(names))
        by_profile = _count(unit, profile[windows.recording], n_units, len(profiles))
        return cls(np.hstack([by_class, by_profile]), names)


def _count(rows: NDArray[np.integer], columns: NDArray[np.integer], n: int, m: int) -> NDArray[np.int64]:
    flat = np.bincount(rows.astype(np.int64) * m + columns.astype(np.int64), minlength=n * m)
    return flat.reshape(n, m)


def assign(
    table: Table,
    fractions: tuple[float, float, float],
    seed: int,
    *,
    unit: str,
    fixed_test: list[int] | None = None,
) -> Codes:
    """A part for every unit, `(units,)` int8: the best of many seeded attempts.

    Best means: every class on every side, then every profile on both train and test where possible, then
    shares nearest to `fractions`. Raises SplitError when no attempt puts every class on every side.
    """
    rng = np.random.default_rng(seed)
    attempts = int(np.clip(WORK // max(1, len(table.counts)), 3, 400))
    best: tuple[tuple[int, int, float], Codes] | None = None
    for _ in range(attempts):
        codes = _attempt(table, np.asarray(fractions), rng, fixed_test or [])
        cost = _cost(table, codes, np.asarray(fractions))
        if best is None or cost < best[0]:
            best = cost, codes
    assert best is not None  # noqa: S101 - attempts is at least 3
    if best[0][0]:
        units = {name: int((table.counts[:, i] > 0).sum()) for i, name in enumerate(table.classes)}
        raise SplitError(
            f"no assignment of {unit}s puts every class on every side "
            f"({', '.join(f'{name}: in {count} {unit}s' for name, count in units.items())})",
            remedy="use --split time, or hold out other units",
        )
    return best[1]


def required(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """The classes that every side must have, of windows `count (K,)`: those that occur at all, if two do."""
    there: NDArray[np.int64] = np.flatnonzero(count)
    return there if len(there) > 1 else np.arange(len(count))


def _attempt(
    table: Table, fractions: NDArray[np.float64], rng: np.random.Generator, fixed: list[int]
) -> Codes:
    """One unit of the rarest class to every part, then greedily, in random order but larger units earlier:
    each to the part that lacks its strata most."""
    counts = table.counts
    share = counts / np.maximum(counts.sum(axis=0), 1)
    lacking = np.tile(fractions[:, None], (1, counts.shape[1]))
    codes = np.full(len(counts), NOWHERE, dtype=np.int8)
    test = PARTS.index("test")
    codes[fixed] = test
    lacking[test] -= share[fixed].sum(axis=0)
    parts = np.arange(len(PARTS) - (1 if fixed else 0))
    spread = (counts[:, : len(table.classes)] > 0).sum(axis=0)
    rarest = int(np.where(spread > 0, spread, len(counts) + 1).argmin())
    free = np.flatnonzero(codes == NOWHERE)
    seeds = rng.permutation(free[counts[free, rarest] > 0])[: len(parts)]
    for part, row in zip(parts[::-1], seeds, strict=False):
        codes[row] = part
        lacking[part] -= share[row]
    free = np.flatnonzero(codes == NOWHERE)
    for row in free[np.argsort(-share[free].max(axis=1) * rng.uniform(0.5, 1.5, len(free)))]:
        wanted = (lacking[parts] * share[row]).sum(axis=1)
        codes[row] = parts[np.argmax(wanted + 1e-12 * lacking[parts].sum(axis=1))]
        lacking[codes[row]] -= share[row]
    return codes


def _cost(table: Table, codes: Codes, fractions: NDArray[np.float64]) -> tuple[int, int, float]:
    k = len(table.classes)
    sums = np.stack([table.counts[codes == part].sum(axis=0) for part in range(len(PARTS))])
    missing_classes = int((sums[:, required(table.counts[:, :k].sum(axis=0))] == 0).sum())
    missing_profiles = int((sums[[0, 2], k:] == 0).sum())
    off = np.abs(sums / np.maximum(sums.sum(axis=0), 1) - fractions[:, None])
    return missing_classes, missing_profiles, float(off.sum())
