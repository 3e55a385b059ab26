"""Which profiles are on which side of a split: never silently absent, never worse than need be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.reading.windows import WindowSet
from vestige.splits.base import COLUMNS, PARTS, Parts, Split, part_codes
from vestige.splits.checks import lacking_classes
from vestige.splits.stratify import ENOUGH, MOST_PROFILES, grossly_off, off
from vestige.splits.table import Table

STRATIFIED = {"host": "host", "sample": "sample", "random": "recording"}
"""Recipes that assign whole units, and what these are; `type` holds profiles out on purpose."""
NEAR = 5
"""Hundredths by which a cut in time is moved in search of a better one."""

Fractions = tuple[float, float, float]


@dataclass(frozen=True)
class Profiles:
    """How many windows of each profile `names (P,)` are on each side, `counts (3, P)`, and how many
    recordings have any, `recordings (P,)`. Empty for a dataset without at least two profiles."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    recordings: NDArray[np.int64]

    @classmethod
    def of(cls, parts: Parts) -> Self:
        """Count what is on any side."""
        every, code = np.unique(parts.train.recordings["profile"].to_numpy(), return_inverse=True)
        sides = (parts.train, parts.validation, parts.test)
        windows = np.stack([one.counts.sum(axis=1) for one in sides])
        counts = np.stack([np.bincount(code, one, minlength=len(every)) for one in windows]).astype(np.int64)
        recordings = np.bincount(code[windows.any(axis=0)], minlength=len(every))
        there = np.flatnonzero(recordings)
        if len(there) < 2:
            there = there[:0]
        return cls(tuple(every[there].tolist()), counts[:, there], recordings[there])

    def lacking(self, part: str) -> list[str]:
        """Profiles of which a side has no window."""
        return self._named(self.counts[PARTS.index(part)] == 0)

    def unseen(self) -> list[str]:
        """Profiles that validation or test have, and training never saw."""
        return self._named((self.counts[0] == 0) & (self.counts[1:] > 0).any(axis=0))

    def unfair(self) -> NDArray[np.bool_]:
        """Where a profile's share of a side is grossly other than of the whole, however few there are."""
        return off(self._shares(), self._whole())

    def told(self) -> list[str]:
        """A sentence for each profile whose share of a side is grossly other than of the whole."""
        share, whole = self._shares(), self._whole()
        return [
            f"{self.names[p]} is {share[part, p]:.1%} of {PARTS[part]}, but {whole[p]:.1%} of all windows"
            for part, p in np.argwhere(grossly_off(self.counts, self.recordings))
        ]

    def _shares(self) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = self.counts / np.maximum(self.counts.sum(axis=1, keepdims=True), 1)
        return shares

    def _whole(self) -> NDArray[np.float64]:
        shares: NDArray[np.float64] = self.counts.sum(axis=0) / max(1, self.counts.sum())
        return shares

    def expected(self) -> NDArray[np.bool_]:
        """Where a profile is missing though its recordings, spread evenly, would be `ENOUGH`, `(3, P)`."""
        size = self.counts.sum(axis=1, keepdims=True) / max(1, self.counts.sum())
        found: NDArray[np.bool_] = (self.counts == 0) & (self.recordings * size >= ENOUGH)
        return found

    def figures(self, p: int) -> str:
        """Windows of a profile on each side."""
        return ", ".join(f"{part} {count:,}" for part, count in zip(PARTS, self.counts[:, p], strict=True))

    def _named(self, which: NDArray[np.bool_]) -> list[str]:
        return sorted(self.names[p] for p in np.flatnonzero(which))


def refuse_needless_lack(split: Split, windows: WindowSet, hold_out: tuple[str, ...]) -> None:
    """Raise SplitError where a profile is missing on a side, and a unit that has it could go there and leave
    every class and profile where it was.

    A check of the result by itself: it knows nothing of how `stratify` came to it.
    """
    keys, unit = np.unique(
        windows.recordings[COLUMNS.get(split.recipe, "id")].to_numpy(), return_inverse=True
    )
    table = Table.of_recordings(windows, unit, len(keys))
    if len(table.profiles) > MOST_PROFILES:
        return
    codes = np.zeros(len(keys), dtype=np.int8)
    codes[unit] = part_codes(split, windows)
    has = table.counts > 0
    on_side = np.stack([has[codes == part].sum(axis=0) for part in range(len(PARTS))])
    free = ~(has & (on_side[codes] == 1)).any(axis=1) & ~np.isin(keys, hold_out)
    for part in range(len(PARTS) - bool(hold_out)):
        for p in np.flatnonzero(on_side[part, len(table.classes) :] == 0).tolist():
            could = np.flatnonzero(free & has[:, len(table.classes) + p])
            if len(could):
                raise SplitError(
                    f"no window of profile {table.profiles[p]!r} is in {PARTS[part]}, though "
                    f"{STRATIFIED[split.recipe]} {keys[could[0]]} could go there from "
                    f"{PARTS[codes[could[0]]]}, which has all that it has without it",
                    where=windows.path,
                    remedy="use another --split-seed or --fractions, or hold out other units (--hold-out)",
                )


def refuse_worse_cuts(
    parts: Parts, windows: WindowSet, fractions: Fractions, cut: Callable[[Fractions], Parts]
) -> None:
    """Raise SplitError where a profile is missing on a side that should have `ENOUGH` of its recordings, and
    cuts at other times nearby, made by `cut`, would give it a fair share there and take none from others."""
    ours = Profiles.of(parts)
    missing = ours.expected()
    if not missing.any():
        return
    for near in _near(fractions):
        other = cut(near)
        theirs = Profiles.of(other)
        if theirs.names != ours.names or any(lacking_classes(other, windows).values()):
            continue
        robbed = (theirs.counts == 0) & (ours.counts > 0)
        mended = missing & (theirs.counts > 0) & ~theirs.unfair()
        if mended.any() and not robbed.any():
            part, p = np.argwhere(mended)[0].tolist()
            raise SplitError(
                f"profile {ours.names[p]!r} has {ours.recordings[p]} recordings and is missing in "
                f"{PARTS[part]} ({ours.figures(p)} windows); with cuts at other times nearby it is not",
                where=windows.path,
                remedy=f"use --fractions {','.join(f'{one:g}' for one in near)}",
            )


def _near(fractions: Fractions) -> Iterator[Fractions]:
    """Shares that differ by `NEAR` hundredths at most, the nearest first."""
    moves = sorted(product(range(-NEAR, NEAR + 1), repeat=2), key=lambda by: (abs(by[0]) + abs(by[1]), by))
    for first, second in moves[1:]:
        train, validation = round(fractions[0] + first / 100, 4), round(fractions[1] + second / 100, 4)
        test = round(1 - train - validation, 4)
        if min(train, validation, test) > 0:
            yield train, validation, test
