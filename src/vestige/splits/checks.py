"""What a split that was just made is asked: does it keep its promise, what did it cost, which profiles does
it lack on a side? Never silently, and never worse than need be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.reading.windows import WindowSet
from vestige.splits import passes
from vestige.splits.split import PARTS, Fractions, SideCounts, Split, members_of, part_codes
from vestige.splits.stratify import ENOUGH, MOST_PROFILES, Table, grossly_off, off, required

MUCH = 0.1
"""Share of purged windows that is worth a warning."""
OUT_OF_ORDER = 0.01
"""Share of windows earlier than the one before them that explains a purge."""
NAMED = 5
"""Recordings that a message names."""
NEAR = 5
"""Hundredths by which a cut in time is moved in search of a better one."""


def check(split: Split, sides: SideCounts, windows: WindowSet) -> None:
    """Raise SplitError where a recording is on two sides, or a class that the evidence has (of two at least)
    is missing on a side; without labels, where a side has no windows."""
    if split.unit == "recording":
        assigned = [name for part in PARTS for name in split.assignment[part]]
        if len(assigned) != len(set(assigned)):
            raise SplitError("a recording is on two sides of the split")
    for part, codes in lacking_classes(sides, windows).items():
        for code in codes:
            raise _lacks_class(split, sides, windows, part, code)


def _lacks_class(split: Split, sides: SideCounts, windows: WindowSet, part: str, code: int) -> SplitError:
    """The error that says so, what the sides have of the class, and what the purge took of it."""
    name = windows.schema.classes[code]
    counts = dict(zip(PARTS, sides.by_class[:, code].tolist(), strict=True))
    lost = 0
    if sides.purged:
        lost = int(windows.counts[:, code].sum()) - sum(counts.values())
    found = ", ".join(f"{side}: {count}" for side, count in counts.items())
    kind = f"{name!r} " if windows.labelled else ""
    what = f"the {split.recipe} split leaves no {kind}window in {part} ({found})"
    if lost:
        what += f"; {_purge(windows, sides)}, {lost} {kind}ones among them{_disorder(windows)}"
    return SplitError(what, where=windows.path, remedy=_remedy(split, windows, lost))


def lacking_classes(sides: SideCounts, windows: WindowSet) -> dict[str, list[int]]:
    """By side, the codes of classes that the evidence has and the side lacks."""
    needed = required(windows.counts.sum(axis=0), labelled=windows.labelled)
    lacking = {}
    for part, of_class in zip(PARTS, sides.by_class, strict=True):
        count = of_class[needed]
        lacking[part] = needed[count == 0].tolist()
    return lacking


def losses(windows: WindowSet, sides: SideCounts) -> list[str]:
    """What the purge cost, a sentence each: many windows, or whole recordings."""
    told = []
    if sides.purged > MUCH * len(windows):
        told.append(f"{_purge(windows, sides)}{_disorder(windows)}")
    gone = _vanished(windows, sides)
    if gone:
        names = ", ".join(gone[:NAMED])
        if len(gone) > NAMED:
            names += ", ..."
        told.append(f"{len(gone)} of {len(windows.present)} recordings vanish whole: {names}")
    return told


def _purge(windows: WindowSet, sides: SideCounts) -> str:
    share = sides.purged / len(windows)
    return f"{sides.purged} of {len(windows)} windows ({share:.0%}) are purged around the cuts"


def _disorder(windows: WindowSet) -> str:
    share = _out_of_order(windows)
    if share < OUT_OF_ORDER:
        return ""
    return (
        f", and {share:.0%} of the windows are earlier than the one before them: the times are out of order"
    )


def _vanished(windows: WindowSet, sides: SideCounts) -> list[str]:
    gone = np.setdiff1d(windows.present, np.flatnonzero(sides.present.any(axis=0)))
    return [windows.recordings["id"][row] for row in gone.tolist()]


def _out_of_order(windows: WindowSet) -> float:
    """Share of the windows whose time is before that of the window before them in their recording."""
    back = 0
    recording, last = -1, 0
    for piece, placed_ns in passes.placed(passes.sorted_windows(windows)):
        of = piece.recording.astype(np.int64)
        same = np.diff(of, prepend=recording) == 0
        # Compared, not subtracted: `NO_TIME` is too far from everything.
        back += int(((placed_ns < np.r_[last, placed_ns[:-1]]) & same).sum())
        recording, last = int(of[-1]), int(placed_ns[-1])
    return back / max(1, len(windows))


def _remedy(split: Split, windows: WindowSet, lost: int) -> str:
    """Only options that the recipe knows; what mends the purge where that took what is missing."""
    if split.unit != "span":
        return "use another --split, --fractions or --split-seed"
    if lost and _disorder(windows):
        return "sort the recordings by time, or use another --split or --fractions"
    if lost:
        return "use shorter windows, another --split, or other --fractions"
    return "use another --split, or other --fractions"


@dataclass(frozen=True)
class Profiles:
    """How many windows of each profile `names (P,)` are on each side, `counts (3, P)`, and how many
    recordings have any, `recordings (P,)`. Empty for a dataset without at least two profiles."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    recordings: NDArray[np.int64]

    @classmethod
    def of(cls, sides: SideCounts, recordings: pl.DataFrame) -> Self:
        """Count what is on any side. `recordings`: of the dataset, a row each."""
        every, code = np.unique(recordings["profile"].to_numpy(), return_inverse=True)
        windows = sides.by_recording.sum(axis=2)
        counts = np.zeros((len(PARTS), len(every)), dtype=np.int64)
        for part in range(len(PARTS)):
            np.add.at(counts[part], code, windows[part])
        having = np.bincount(code[windows.any(axis=0)], minlength=len(every))
        there = np.flatnonzero(having)
        if len(there) < 2:
            there = there[:0]
        return cls(tuple(every[there].tolist()), counts[:, there], having[there])

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
    keys, unit = np.unique(members_of(windows, split.recipe.held_column), return_inverse=True)
    table = Table.of_recordings(windows, unit, len(keys))
    if len(table.profiles) > MOST_PROFILES:
        return
    codes = np.zeros(len(keys), dtype=np.int8)
    codes[unit] = part_codes(split, windows)
    has = table.counts > 0
    on_side = np.stack([has[codes == part].sum(axis=0) for part in range(len(PARTS))])
    # A unit is free to go where no stratum would be missing on the side that it leaves.
    needed = (has & (on_side[codes] == 1)).any(axis=1)
    free = ~needed & ~np.isin(keys, hold_out)
    # Named members are the whole test part: nothing else may go there.
    for part in range(len(PARTS) - bool(hold_out)):
        for p in np.flatnonzero(on_side[part, len(table.classes) :] == 0).tolist():
            could = np.flatnonzero(free & has[:, len(table.classes) + p])
            if len(could):
                unit_name = f"{split.recipe.cluster} {keys[could[0]]}"
                raise SplitError(
                    f"no window of profile {table.profiles[p]!r} is in {PARTS[part]}, though {unit_name} "
                    f"could go there from {PARTS[codes[could[0]]]}, which has all that it has without it",
                    where=windows.path,
                    remedy="use another --split-seed or --fractions, or hold out other units (--hold-out)",
                )


def refuse_worse_cuts(
    sides: SideCounts,
    windows: WindowSet,
    fractions: Fractions,
    cut: Callable[[list[Fractions]], Iterator[SideCounts]],
) -> None:
    """Raise SplitError where a profile is missing on a side that should have `ENOUGH` of its recordings, and
    cuts at other times nearby, which `cut` makes and counts, would give it a fair share there and take none
    from others."""
    ours = Profiles.of(sides, windows.recordings)
    missing = ours.expected()
    if not missing.any():
        return
    every = list(_near(fractions))
    for near, other in zip(every, cut(every), strict=True):
        theirs = Profiles.of(other, windows.recordings)
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
                remedy=f"use --fractions {','.join(f'{share:g}' for share in near)}",
            )


def _near(fractions: Fractions) -> Iterator[Fractions]:
    """Shares that differ by `NEAR` hundredths at most, the nearest first."""

    def distance(move: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
        return abs(move[0]) + abs(move[1]), move

    moves = sorted(product(range(-NEAR, NEAR + 1), repeat=2), key=distance)
    # The first move is none at all.
    for first, second in moves[1:]:
        train, validation = round(fractions[0] + first / 100, 4), round(fractions[1] + second / 100, 4)
        test = round(1 - train - validation, 4)
        if min(train, validation, test) > 0:
            yield train, validation, test
