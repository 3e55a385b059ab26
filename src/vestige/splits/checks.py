"""What a split that was just made is asked: does it keep its promise, and what did it cost?"""

from __future__ import annotations

import numpy as np

from vestige.errors import SplitError
from vestige.reading.windows import WindowSet
from vestige.splits.base import PARTS, Parts, Split
from vestige.splits.table import required

MUCH = 0.1
"""Share of purged windows that is worth a warning."""
OUT_OF_ORDER = 0.01
"""Share of windows earlier than the one before them that explains a purge."""
NAMED = 5
"""Recordings that a message names."""


def check(split: Split, parts: Parts, windows: WindowSet) -> None:
    """Disjoint recordings where whole ones were assigned; every class that the evidence has (of two at least)
    on each side, else SplitError."""
    sides = dict(zip(PARTS, (parts.train, parts.validation, parts.test), strict=True))
    if split.unit == "recording":
        assigned = [one for part in PARTS for one in split.assignment[part]]
        if len(assigned) != len(set(assigned)):
            raise SplitError("a recording is on two sides of the split")
    for part, codes in lacking_classes(parts, windows).items():
        for code in codes:
            name = windows.schema.classes[code]
            found = ", ".join(f"{one}: {int((side.label == code).sum())}" for one, side in sides.items())
            lost = _lost(windows, parts, code) if parts.purged else 0
            purge = f"; {_purge(windows, parts)}, {lost} {name!r} ones among them{_disorder(windows)}"
            raise SplitError(
                f"the {split.recipe} split leaves no {name!r} window in {part} ({found})"
                + (purge if lost else ""),
                where=windows.path,
                remedy=_remedy(split, windows, lost),
            )


def lacking_classes(parts: Parts, windows: WindowSet) -> dict[str, list[int]]:
    """By side, the codes of classes that the evidence has and the side lacks."""
    needed = required(windows.counts.sum(axis=0))
    sides = zip(PARTS, (parts.train, parts.validation, parts.test), strict=True)
    return {part: needed[side.counts.sum(axis=0)[needed] == 0].tolist() for part, side in sides}


def losses(windows: WindowSet, parts: Parts) -> list[str]:
    """What the purge cost, a sentence each: many windows, or whole recordings."""
    told = []
    if parts.purged > MUCH * len(windows):
        told.append(f"{_purge(windows, parts)}{_disorder(windows)}")
    gone = _vanished(windows, parts)
    if gone:
        names = ", ".join(gone[:NAMED]) + (", ..." if len(gone) > NAMED else "")
        told.append(f"{len(gone)} of {len(windows.present)} recordings vanish whole: {names}")
    return told


def _purge(windows: WindowSet, parts: Parts) -> str:
    share = parts.purged / len(windows)
    return f"{parts.purged} of {len(windows)} windows ({share:.0%}) are purged around the cuts"


def _disorder(windows: WindowSet) -> str:
    share = _out_of_order(windows)
    if share < OUT_OF_ORDER:
        return ""
    return (
        f", and {share:.0%} of the windows are earlier than the one before them: the times are out of order"
    )


def _vanished(windows: WindowSet, parts: Parts) -> list[str]:
    left = np.concatenate([one.present for one in (parts.train, parts.validation, parts.test)])
    gone = np.setdiff1d(windows.present, left)
    return [windows.recordings["id"][row] for row in gone.tolist()]


def _out_of_order(windows: WindowSet) -> float:
    """Share of the windows whose time is before that of the window before them in their recording."""
    order = np.lexsort((windows.position, windows.recording))
    same = np.diff(windows.recording[order].astype(np.int64)) == 0
    back = (np.diff(windows.t_ns[order]) < 0) & same
    return float(back.sum() / max(1, len(windows)))


def _lost(windows: WindowSet, parts: Parts, code: int) -> int:
    """How many windows of a class were purged."""
    kept = sum(int((one.label == code).sum()) for one in (parts.train, parts.validation, parts.test))
    return int((windows.label == code).sum()) - kept


def _remedy(split: Split, windows: WindowSet, lost: int) -> str:
    """Only options that the recipe knows; what mends the purge where that took the class."""
    if split.recipe != "time":
        return "use another --split, --fractions or --split-seed"
    if lost and _disorder(windows):
        return "sort the recordings by time, or use another --split or --fractions"
    if lost:
        return "use shorter windows, another --split, or other --fractions"
    return "use another --split, or other --fractions"
