"""Making a split: what a recipe assigns to train, validation and test, and what the result is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from vestige import log, recipes
from vestige.errors import SplitError
from vestige.reading.steps import NO_TIME
from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe
from vestige.splits import passes
from vestige.splits.assign import assign
from vestige.splits.checks import Profiles, check, losses, refuse_needless_lack, refuse_worse_cuts
from vestige.splits.sets import limit, load_sets
from vestige.splits.split import (
    FRACTIONS,
    PARTS,
    Codes,
    Fractions,
    Parts,
    SideCounts,
    Split,
    dataset_digest,
    groups_in_pieces,
    members_of,
)
from vestige.splits.stratify import Table

logger = log.get("vestige.splits")
FEW_RECORDINGS = 10
"""With fewer recordings than this, a recipe assigns its fallback, where it has one."""
NAMED, SUCH = 6, 3
"""Members of a side that a note names: all of so many, or so many of more."""
DIGEST = re.compile("[0-9a-f]{32,}")


def default_recipe(windows: WindowSet) -> str:
    """The recipe where none is named: `time`, or `sample` where no time tells windows apart."""
    if len(windows) and not passes.tells_apart(windows):
        return recipes.WITHOUT_TIMES
    return recipes.DEFAULT


def make(recipe: str, windows: WindowSet, **chosen: Any) -> tuple[Split, Parts]:
    """Make a split, as `plan` does, and apply it."""
    split, _ = plan(recipe, windows, **chosen)
    return split, split.parts(windows)


def plan(
    recipe: str,
    windows: WindowSet,
    *,
    seed: int = 0,
    fractions: Fractions = FRACTIONS,
    hold_out: tuple[str, ...] = (),
    own: Sequence[Recipe] = (),
    sets: Path | None = None,
    sizes: Mapping[str, Any] | None = None,
) -> tuple[Split, SideCounts]:
    """Make a split, and count what it puts on each side; it has checked itself. The memory that this takes
    does not grow with the windows.

    `hold_out` names the members of the test part (hosts, samples, profiles) instead of leaving the choice to
    `seed`. `own`: the recipes that the source brings. `sets`: a file that names the recordings of each part,
    instead of the recipe. `sizes`: see `sets.limit`.

    Raises SplitError when the evidence does not allow the recipe: too few hosts, samples, profiles,
    recordings or groups, or a class that would be missing on a side; and where a profile is missing without
    need. What cannot be better is told by the split: see `checks.Profiles`.
    """
    if sets is not None:
        split = load_sets(sets, windows, own)
    else:
        split = _assigned(recipes.find(recipe, own), windows, seed, fractions, hold_out)
    split = replace(split, dataset=dataset_digest(windows), seed=seed)
    if sets is None and split.unit == "recording" and split.recipe.stratified:
        refuse_needless_lack(split, windows, hold_out)
    split = limit(split, windows, **(sizes or {}))
    sides = split.count(windows)
    check(split, sides, windows)
    lost: list[str] = []
    # Whole recordings are left out because someone asked for it (sizes, sets), which is no loss.
    if split.unit != "recording":
        lost = losses(windows, sides)
    if split.unit == "span":

        def cut(near: list[Fractions]) -> Iterator[SideCounts]:
            return (replace(split, assignment=cuts).count(windows) for cuts in _cuts(windows, near))

        refuse_worse_cuts(sides, windows, fractions, cut)
    for note in lost:
        logger.warning("%s", note)
    profiles = Profiles.of(sides, windows.recordings)
    return _told(split, profiles, [*lost, *_delay(windows)]), sides


def _assigned(
    recipe: Recipe, windows: WindowSet, seed: int, fractions: Fractions, hold_out: tuple[str, ...]
) -> Split:
    """What the recipe assigns; the dataset's digest and the seed are not filled in yet."""
    if hold_out and not recipe.names_members:
        raise SplitError(
            f"the {recipe} split holds out nobody by name",
            remedy="leave out --hold-out, or use a --split that holds out hosts or the like",
        )
    if recipe.unit == "span":
        return _by_time(recipe, windows, fractions)
    if recipe.unit == "group":
        return _by_group(recipe, windows, seed, fractions)
    if recipe.unit == "recording" and recipe.column == "id":
        return _by_recording(recipe, windows, seed, fractions)
    if recipe.unit == "recording":
        return _by_column(recipe, windows, seed, fractions, hold_out)
    return _by_window(recipe, fractions, note="")


def _by_time(recipe: Recipe, windows: WindowSet, fractions: Fractions) -> Split:
    """Cut at the times that leave the wanted shares of windows before them."""
    if not passes.tells_apart(windows):
        raise SplitError(
            "every window has the same time, or none", where=windows.path, remedy="use another --split"
        )
    how = "all recordings, cut at the same two times"
    if windows.recordings.height == 1:
        how = "one stream, cut in three spans of time"
    note = f"{how}; windows within one window length ({windows.schema.length} steps) after a cut are purged"
    notes = [note]
    in_order = passes.sorted_windows(windows)
    timeless = sum(int(np.count_nonzero(placed_ns == NO_TIME)) for _, placed_ns in passes.placed(in_order))
    if timeless:
        notes.append(f"{timeless:,} windows of recordings without any time are in train")
    (cuts,) = _cuts(windows, [fractions])
    return Split(recipe, "span", "", 0, cuts, notes=notes)


def _cuts(windows: WindowSet, shares: list[Fractions]) -> list[dict[str, Any]]:
    """Where to cut for each of the shares, Unix ns: by the windows whose recordings have times. The others
    stand before all."""
    pieces = passes.known_times(passes.sorted_windows(windows))
    n = sum(map(len, pieces()))
    wanted = [
        ((np.cumsum(fractions)[:-1] * n).astype(int).clip(1, n - 1) - 1).tolist() for fractions in shares
    ]
    times = passes.at_ranks(pieces, [rank for ranks in wanted for rank in ranks])
    return [{"cuts_ns": [times[rank] for rank in ranks]} for ranks in wanted]


def _by_column(
    recipe: Recipe, windows: WindowSet, seed: int, fractions: Fractions, hold_out: tuple[str, ...]
) -> Split:
    """All recordings that are equal in the recipe's column on one side."""
    names = members_of(windows, recipe.held_column)
    keys = sorted(set(names))
    _refuse_too_few(recipe, windows, keys, hold_out)
    index = {key: number for number, key in enumerate(keys)}
    number_of = np.array([index[name] for name in names])
    codes = assign(
        Table.of_recordings(windows, number_of, len(keys)),
        fractions,
        seed,
        unit=recipe.cluster,
        fixed_test=[index[name] for name in hold_out],
        stratify=recipe.stratified,
    )
    ids = windows.recordings["id"].to_list()
    assignment = {
        part: [ids[row] for row in np.flatnonzero(codes[number_of] == code)]
        for code, part in enumerate(PARTS)
    }
    members = "; ".join(
        f"{part}: {_named(keys_there)}" for part, keys_there in _on_sides(keys, codes).items()
    )
    note = f"{recipe.cluster}s on each side: {members}"
    return Split(recipe, "recording", "", seed, assignment, notes=[note])


def _refuse_too_few(recipe: Recipe, windows: WindowSet, keys: list[str], hold_out: tuple[str, ...]) -> None:
    """Raise SplitError where there are too few members for three sides, or none of a name held out."""
    if len(keys) < len(PARTS):
        raise SplitError(
            f"holding out by {recipe} needs at least {len(PARTS)} of them, the dataset has {len(keys)}",
            where=windows.path,
            remedy="use --split time",
        )
    unknown = sorted(set(hold_out) - set(keys))
    if unknown:
        raise SplitError(
            f"no {recipe.cluster} called {unknown[0]!r}", remedy=f"one of: {', '.join(keys[:20])}"
        )
    if hold_out and len(keys) - len(set(hold_out)) < len(PARTS) - 1:
        raise SplitError(
            f"{len(set(hold_out))} of {len(keys)} {recipe.cluster}s are held out: "
            "training and validation need one each",
            where=windows.path,
            remedy=f"hold out {len(keys) - len(PARTS) + 1} at most, or use --split time",
        )


def _by_recording(recipe: Recipe, windows: WindowSet, seed: int, fractions: Fractions) -> Split:
    """Whole recordings where there are enough of them, the recipe's fallback otherwise."""
    ids = windows.recordings["id"].to_list()
    # A recording with one label cannot be cut, however few there are.
    whole = len(ids) >= FEW_RECORDINGS or windows.schema.target == "recording"
    if recipe.fallback == "window" and not whole:
        few = f"fewer than {FEW_RECORDINGS} recordings"
        note = f"{few}: lines were drawn, each side as if the others' were deleted"
        return _by_window(recipe, fractions, note)
    if len(ids) < len(PARTS):
        raise SplitError(
            f"a {recipe} split needs at least {len(PARTS)} recordings, the dataset has {len(ids)}",
            where=windows.path,
            remedy="add recordings",
        )
    table = Table.of_recordings(windows, np.arange(len(ids)), len(ids))
    codes = assign(table, fractions, seed, unit="recording", stratify=recipe.stratified)
    return Split(recipe, "recording", "", seed, _on_sides(ids, codes))


def _by_window(recipe: Recipe, fractions: Fractions, note: str) -> Split:
    """Single steps of the streams, drawn by the seed when the split is applied."""
    notes = [note] if note else []
    return Split(recipe, "window", "", 0, {"fractions": list(fractions)}, notes=notes)


def _by_group(recipe: Recipe, windows: WindowSet, seed: int, fractions: Fractions) -> Split:
    """All steps of a group on one side."""
    present = np.zeros(0, dtype=np.int64)
    for _, groups in groups_in_pieces(windows, recipe):
        present = np.union1d(present, groups)
    if len(present) < len(PARTS):
        raise SplitError(
            f"the {recipe} split needs at least {len(PARTS)} {recipe.cluster}s, "
            f"the dataset has {len(present)}",
            where=windows.path,
            remedy="use --split time",
        )
    numbered = ((piece, np.searchsorted(present, of)) for piece, of in groups_in_pieces(windows, recipe))
    table = Table.of(windows, numbered, len(present))
    codes = assign(table, fractions, seed, unit=recipe.cluster)
    assignment = _on_sides(present.tolist(), codes)
    count = ", ".join(f"{len(assignment[part])} in {part}" for part in PARTS)
    note = (
        f"no {recipe.cluster} is on two sides ({count}); each side is the log without the other sides' lines"
    )
    return Split(recipe, "group", "", seed, assignment, notes=[note])


def _on_sides(members: Sequence[Any], codes: Codes) -> dict[str, list[Any]]:
    """The members of each part, whose `codes (members,)` say where they are."""
    return {
        part: [members[row] for row in np.flatnonzero(codes == code).tolist()]
        for code, part in enumerate(PARTS)
    }


def _delay(windows: WindowSet) -> list[str]:
    """What windows that look ahead cost, where they do."""
    ahead = windows.schema.ahead
    if not ahead:
        return []
    return [f"windows look {ahead} steps ahead: live scoring is {ahead} steps late"]


def _told(split: Split, profiles: Profiles, notes: list[str]) -> Split:
    """The split with all that it cannot test, or not test well."""
    told = replace(
        split,
        untested_profiles=profiles.lacking("test"),
        unseen_profiles=profiles.unseen(),
        notes=[*split.notes, *notes],
    )
    if split.recipe.held_column == "profile":
        # Profiles are held out on purpose: of course each is missing on two of the sides.
        return told
    return replace(
        told,
        unvalidated_profiles=profiles.lacking("validation"),
        notes=[*told.notes, *profiles.told()],
    )


def _named(members: list[str]) -> str:
    """Members of a side: all of a few, how many of more; digests by their beginnings."""
    short = []
    for name in members[: NAMED + 1]:
        if DIGEST.fullmatch(name):
            short.append(f"{name[:8]}...")
        else:
            short.append(name)
    if len(short) <= NAMED:
        return ", ".join(short)
    return f"{len(members)}, such as {', '.join(short[:SUCH])}"
