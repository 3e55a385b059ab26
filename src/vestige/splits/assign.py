"""Assigning indivisible units (hosts, samples, recordings, templates): every side like the whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.splits.split import NOWHERE, PARTS, Codes, Fractions
from vestige.splits.stratify import Table, improve

WORK = 200_000
"""Units times attempts: small corpora are tried often, large ones need it less."""


def assign(
    table: Table,
    fractions: Fractions,
    seed: int,
    *,
    unit: str,
    fixed_test: list[int] | None = None,
    stratify: bool = False,
) -> Codes:
    """A part for every unit, `(units,)` int8: the best of many seeded attempts.

    Best means: every class on every side, then every profile on both train and test where possible, then
    shares nearest to `fractions`. `stratify`: units are then exchanged until every profile is on every side
    in its share, as far as that is feasible (see `stratify.improve`). Raises SplitError when no attempt puts
    every class on every side.
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
    codes = best[1]
    if stratify:
        codes = improve(table, codes, np.asarray(fractions), fixed_test or [])
    if _cost(table, codes, np.asarray(fractions))[0]:
        raise _unassignable(table, unit)
    return codes


def _unassignable(table: Table, unit: str) -> SplitError:
    """The error that says what there is too little of, class by class."""
    remedy = "use --split time, or hold out other units"
    if not table.labelled:
        holding = int(table.units[0])
        return SplitError(
            f"no assignment of {unit}s leaves windows on every side (in {holding} {unit}s are any)",
            remedy=remedy,
        )
    units = zip(table.classes, table.units.tolist(), strict=False)
    found = ", ".join(f"{name}: in {count} {unit}s" for name, count in units)
    return SplitError(f"no assignment of {unit}s puts every class on every side ({found})", remedy=remedy)


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
    # From here on, `lacking` is what each part still wants of each stratum, as a share of all of it.
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
    earlier = -share[free].max(axis=1) * rng.uniform(0.5, 1.5, len(free))
    for row in free[np.argsort(earlier)]:
        wanted = (lacking[parts] * share[row]).sum(axis=1)
        # Where two parts want a unit as much, the one that lacks more in all gets it.
        codes[row] = parts[np.argmax(wanted + 1e-12 * lacking[parts].sum(axis=1))]
        lacking[codes[row]] -= share[row]
    return codes


def _cost(table: Table, codes: Codes, fractions: NDArray[np.float64]) -> tuple[int, int, float]:
    """How bad an assignment is, the worst first: classes missing on a side, profiles missing in training or
    test, and how far the shares are from `fractions`."""
    k = len(table.classes)
    sums = np.stack([table.counts[codes == part].sum(axis=0) for part in range(len(PARTS))])
    missing_classes = int((sums[:, table.required] == 0).sum())
    missing_profiles = int((sums[[0, 2], k:] == 0).sum())
    off = np.abs(sums / np.maximum(sums.sum(axis=0), 1) - fractions[:, None])
    return missing_classes, missing_profiles, float(off.sum())
