"""The recipes: time, host, sample, type, random, and the groups that a source brings (logs: template)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import log
from vestige.errors import SplitError
from vestige.reading.windows import WindowSet
from vestige.splits.assign import assign
from vestige.splits.base import COLUMNS, FRACTIONS, PARTS, Parts, Split, dataset_digest
from vestige.splits.checks import check, losses
from vestige.splits.profiles import STRATIFIED, Profiles, refuse_needless_lack, refuse_worse_cuts
from vestige.splits.sets import limit, load_sets
from vestige.splits.table import Table

logger = log.get("vestige.splits")
FEW_RECORDINGS = 10
NAMED, SUCH = 6, 3
"""Members of a side that a note names: all of so many, or so many of more."""
DIGEST = re.compile("[0-9a-f]{32,}")
Groups = Mapping[str, Callable[[WindowSet], NDArray[np.int64]]]


def recipes(groups: Groups | None = None) -> list[str]:
    """Names of the recipes there are for a source that brings these `groups`."""
    return ["time", *COLUMNS, "random", *(groups or {})]


def default_recipe(windows: WindowSet) -> str:
    """`time`, or `sample` where nothing has a time that tells windows apart."""
    times = windows.t_ns
    return "sample" if len(times) and int(times.min()) == int(times.max()) else "time"


def make(
    recipe: str,
    windows: WindowSet,
    *,
    seed: int = 0,
    fractions: tuple[float, float, float] = FRACTIONS,
    hold_out: tuple[str, ...] = (),
    groups: Groups | None = None,
    sets: Path | None = None,
    sizes: Mapping[str, Any] | None = None,
) -> tuple[Split, Parts]:
    """Make a split and apply it; it has checked itself.

    `hold_out` names the hosts, samples or types of the test part instead of leaving the choice to `seed`.
    `sets`: a file that names the recordings of each part, instead of the recipe. `sizes`: see `sets.limit`.
    Raises SplitError when the evidence does not allow the recipe: too few hosts, samples, types, recordings
    or groups, or a class that would be missing on a side; and where a profile is missing without need. What
    cannot be better is told by the split: see `profiles`.
    """
    steps: NDArray[np.int64] | None = None
    if sets is not None:
        split = load_sets(sets, windows)
    elif recipe == "time":
        split = _by_time(windows, fractions)
    elif recipe in COLUMNS:
        split = _by_column(recipe, windows, seed, fractions, hold_out)
    elif recipe == "random":
        split = _at_random(windows, seed, fractions)
    elif groups and recipe in groups:
        steps = groups[recipe](windows)
        split = _by_group(recipe, windows, steps, seed, fractions)
    else:
        raise SplitError(f"unknown split {recipe!r}", remedy=f"one of: {', '.join(recipes(groups))}")
    split = replace(split, dataset=dataset_digest(windows), seed=seed)
    if sets is None and recipe in STRATIFIED and split.unit == "recording":
        refuse_needless_lack(split, windows, hold_out)
    split = limit(split, windows, **(sizes or {}))
    parts = split.parts(windows, steps)
    check(split, parts, windows)
    if split.unit == "span":
        refuse_worse_cuts(
            parts,
            windows,
            fractions,
            lambda near: replace(split, assignment=_cuts(windows, near)).parts(windows),
        )
    # Whole recordings are left out because someone asked for it: sizes, sets.
    lost = [] if split.unit == "recording" else losses(windows, parts)
    for note in lost:
        logger.warning("%s", note)
    return _told(split, Profiles.of(parts), [*lost, *_delay(windows)]), parts


def _by_time(windows: WindowSet, fractions: tuple[float, float, float]) -> Split:
    """Cut at the times that leave the wanted shares of windows before them."""
    if len(windows) == 0 or windows.t_ns.min() == windows.t_ns.max():
        raise SplitError("every window has the same time", where=windows.path, remedy="use another --split")
    single = windows.recordings.height == 1
    unit = "one stream, cut in three spans of time" if single else "all recordings, cut at the same two times"
    note = f"{unit}; windows within one window length ({windows.schema.length} steps) after a cut are purged"
    return Split("time", "span", "", 0, _cuts(windows, fractions), notes=[note])


def _cuts(windows: WindowSet, fractions: tuple[float, float, float]) -> dict[str, Any]:
    """Where to cut, Unix ns."""
    times = np.sort(windows.t_ns)
    at = (np.cumsum(fractions)[:-1] * len(times)).astype(int).clip(1, len(times) - 1) - 1
    return {"cuts_ns": [int(times[i]) for i in at]}


def _by_column(
    recipe: str,
    windows: WindowSet,
    seed: int,
    fractions: tuple[float, float, float],
    hold_out: tuple[str, ...],
) -> Split:
    names = windows.recordings[COLUMNS[recipe]].to_list()
    ids = windows.recordings["id"].to_list()
    keys = sorted(set(names))
    if len(keys) < len(PARTS):
        raise SplitError(
            f"holding out by {recipe} needs at least {len(PARTS)} of them, the dataset has {len(keys)}",
            where=windows.path,
            remedy="use --split time",
        )
    unknown = sorted(set(hold_out) - set(keys))
    if unknown:
        raise SplitError(f"no {recipe} called {unknown[0]!r}", remedy=f"one of: {', '.join(keys[:20])}")
    if hold_out and len(keys) - len(set(hold_out)) < len(PARTS) - 1:
        raise SplitError(
            f"{len(set(hold_out))} of {len(keys)} {recipe}s are held out: "
            "training and validation need one each",
            where=windows.path,
            remedy=f"hold out {len(keys) - len(PARTS) + 1} at most, or use --split time",
        )
    index = {key: number for number, key in enumerate(keys)}
    number_of = np.array([index[name] for name in names])
    table = Table.of_recordings(windows, number_of, len(keys))
    fixed = [index[one] for one in hold_out]
    codes = assign(table, fractions, seed, unit=recipe, fixed_test=fixed, stratify=recipe in STRATIFIED)
    members = {part: [keys[i] for i in np.flatnonzero(codes == code)] for code, part in enumerate(PARTS)}
    assignment = {
        part: [one for one, name in zip(ids, names, strict=True) if name in set(members[part])]
        for part in PARTS
    }
    note = "; ".join(f"{part}: {_named(members[part])}" for part in PARTS)
    return Split(recipe, "recording", "", seed, assignment, notes=[f"{recipe}s on each side: {note}"])


def _at_random(windows: WindowSet, seed: int, fractions: tuple[float, float, float]) -> Split:
    """Whole recordings where there are enough of them, single steps of the streams otherwise."""
    ids = windows.recordings["id"].to_list()
    if len(ids) >= FEW_RECORDINGS or windows.schema.target == "recording":
        if len(ids) < len(PARTS):
            raise SplitError(
                f"a random split needs at least {len(PARTS)} recordings, the dataset has {len(ids)}",
                where=windows.path,
                remedy="add recordings",
            )
        table = Table.of_recordings(windows, np.arange(len(ids)), len(ids))
        codes = assign(table, fractions, seed, unit="recording", stratify=True)
        chosen = {part: [ids[i] for i in np.flatnonzero(codes == code)] for code, part in enumerate(PARTS)}
        return Split("random", "recording", "", seed, chosen, in_distribution=True)
    note = (
        f"fewer than {FEW_RECORDINGS} recordings: lines were drawn, each side as if the others' were deleted"
    )
    return Split(
        "random", "window", "", seed, {"fractions": list(fractions)}, in_distribution=True, notes=[note]
    )


def _by_group(
    recipe: str,
    windows: WindowSet,
    steps: NDArray[np.int64],
    seed: int,
    fractions: tuple[float, float, float],
) -> Split:
    present, number = np.unique(steps[windows.target_step], return_inverse=True)
    if len(present) < len(PARTS):
        raise SplitError(
            f"the {recipe} split needs at least {len(PARTS)} {recipe}s, the dataset has {len(present)}",
            where=windows.path,
            remedy="use --split time",
        )
    codes = assign(Table.of(windows, number, len(present)), fractions, seed, unit=recipe)
    assignment: dict[str, Any] = {part: present[codes == code].tolist() for code, part in enumerate(PARTS)}
    count = ", ".join(f"{len(assignment[part])} in {part}" for part in PARTS)
    note = f"no {recipe} is on two sides ({count}); each side is the log without the other sides' lines"
    return Split(recipe, "group", "", seed, assignment, notes=[note])


def _delay(windows: WindowSet) -> list[str]:
    """What windows that look ahead cost, where they do."""
    ahead = windows.schema.ahead
    return [f"windows look {ahead} steps ahead: live scoring is {ahead} steps late"] if ahead else []


def _told(split: Split, profiles: Profiles, notes: list[str]) -> Split:
    """The split with all that it cannot test, or not test well. Types are held out on purpose."""
    by_type = split.recipe == "type"
    return replace(
        split,
        untested_profiles=profiles.lacking("test"),
        unseen_profiles=profiles.unseen(),
        unvalidated_profiles=[] if by_type else profiles.lacking("validation"),
        notes=[*split.notes, *notes, *([] if by_type else profiles.told())],
    )


def _named(members: list[str]) -> str:
    """Members of a side: all of a few, how many of more; digests by their beginnings."""
    short = [f"{one[:8]}..." if DIGEST.fullmatch(one) else one for one in members[: NAMED + 1]]
    return ", ".join(short) if len(short) <= NAMED else f"{len(members)}, such as {', '.join(short[:SUCH])}"
