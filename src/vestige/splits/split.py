"""A split: what was assigned to which part, how to apply it to windows, and what it can and cannot test."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige import checked, storage
from vestige.errors import SplitError
from vestige.reading.collecting import Collector
from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe, Unit
from vestige.splits import passes

PARTS = ("train", "validation", "test")
FRACTIONS = (0.6, 0.2, 0.2)
FORMAT = "vestige-split/2"
LARGEST = 2**63 - 1
"""Seeds, moments and groups of a saved split at most."""
NAMED = 12
"""Profiles that a line names."""

Fractions = tuple[float, float, float]
"""Shares of train, validation and test."""
Codes = NDArray[np.int8]
"""Index into PARTS for each window, step or recording; NOWHERE belongs to none."""
NOWHERE = -1


@dataclass(frozen=True)
class SideCounts:
    """How many windows of each class each recording has on each side, `by_recording (3, recordings, classes)`
    int64, and how many are on none: see `Parts`. Where those of a side lie: `first (3,)` to `last (3,)`."""

    by_recording: NDArray[np.int64]
    purged: int = 0
    left_out: int = 0
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()

    @cached_property
    def windows(self) -> dict[str, int]:
        """Windows on each side."""
        return dict(zip(PARTS, self.by_recording.sum(axis=(1, 2)).tolist(), strict=True))

    @cached_property
    def by_class(self) -> NDArray[np.int64]:
        """Windows of each class on each side, `(3, classes)`."""
        return np.asarray(self.by_recording.sum(axis=1))

    @cached_property
    def present(self) -> NDArray[np.bool_]:
        """Which recordings have windows on each side, `(3, recordings)`."""
        return np.asarray(self.by_recording.any(axis=2))

    def rows(self, part: int) -> slice | None:
        """Where the windows of a side lie, if they lie together."""
        n = self.windows[PARTS[part]]
        if n and self.last[part] + 1 - self.first[part] == n:
            return slice(self.first[part], self.last[part] + 1)
        return None


@dataclass(frozen=True)
class Parts:
    """The three sides of a split, over the same streams. On none of them are windows that were `purged`
    around cuts, and those of recordings that were `left_out`, for nobody asked for them."""

    train: WindowSet
    validation: WindowSet
    test: WindowSet
    purged: int = 0
    left_out: int = 0

    @property
    def sides(self) -> dict[str, WindowSet]:
        """The parts by name, in the order of `PARTS`."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    @property
    def counts(self) -> SideCounts:
        """How many windows of each class each recording has on each side."""
        by_recording = np.stack([side.counts for side in self.sides.values()])
        return SideCounts(by_recording, self.purged, self.left_out)

    def sealed(self) -> SealedParts:
        """What may be handed to code that fits, trains or tunes."""
        return SealedParts(self.train, self.validation)


@dataclass(frozen=True)
class SealedParts:
    """Training and validation windows; the test part is not in here, and asking for it is an error."""

    train: WindowSet
    validation: WindowSet

    @property
    def test(self) -> NoReturn:
        """Always raises SplitError."""
        raise SplitError("the test part is sealed: nothing that is fitted or tuned may read it")


@dataclass(frozen=True)
class Split:
    """An assignment of a dataset's evidence to train, validation and test.

    `recipe` is the whole recipe that it was made by, so that nothing has to look it up. `unit` says what was
    assigned: whole `recording`s; a time `span` (`assignment["cuts_ns"]`); a `group` of steps, such as all
    lines of one template; or single `window`s at random (the recipe's fallback).

    Of the profiles on any side, `untested` are those that test lacks, `unvalidated` those that validation
    lacks, `unseen` those that one of the two has and training lacks.
    """

    recipe: Recipe
    unit: Unit
    dataset: str
    seed: int
    assignment: dict[str, Any]
    untested_profiles: list[str] = field(default_factory=list)
    unseen_profiles: list[str] = field(default_factory=list)
    unvalidated_profiles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def in_distribution(self) -> bool:
        """Whether the test part looks like the training part: see `Recipe.in_distribution`."""
        return self.recipe.in_distribution

    def parts(self, windows: WindowSet) -> Parts:
        """Apply to the windows of the same dataset.

        What of a side does not lie together in the dataset is copied, 21 bytes for each window; see
        `Collector` for where to. Raises SplitError when the split was made for another dataset.
        """
        self._refuse_other(windows)
        if self.unit in ("group", "window"):
            return _interleaved(self, windows)
        counts = self.count(windows)
        train, validation, test = _sides(self, windows, counts)
        return Parts(train, validation, test, counts.purged, counts.left_out)

    def count(self, windows: WindowSet) -> SideCounts:
        """How many windows `parts` would put on each side, in a pass that holds none of them.

        Raises SplitError when the split was made for another dataset.
        """
        self._refuse_other(windows)
        n, k = windows.counts.shape
        by_recording = np.zeros((len(PARTS), n, k), dtype=np.int64)
        first, last = [0] * len(PARTS), [-1] * len(PARTS)
        at = rest = 0
        for piece, codes in coded(self, windows):
            for part in range(len(PARTS)):
                rows = np.flatnonzero(codes == part)
                if len(rows):
                    if last[part] < 0:
                        first[part] = at + int(rows[0])
                    last[part] = at + int(rows[-1])
                    _add(by_recording[part], piece.recording[rows], piece.label[rows])
            at += len(piece)
            rest += int(np.count_nonzero(codes == NOWHERE))
        of_recordings = self.unit == "recording"
        purged, left_out = (0, rest) if of_recordings else (rest, 0)
        return SideCounts(by_recording, purged, left_out, tuple(first), tuple(last))

    def _refuse_other(self, windows: WindowSet) -> None:
        if dataset_digest(windows) != self.dataset:
            raise SplitError(
                "this split was made for another dataset",
                where=windows.path,
                remedy="make the split again (vestige split), or give the dataset it was made for",
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        plain = {member.name: getattr(self, member.name) for member in fields(self)}
        return {"format": FORMAT, **plain, "recipe": self.recipe.to_dict()}

    def save(self, path: Path) -> None:
        """Write `split.json` atomically."""
        storage.write_text(path, json.dumps(self.to_dict(), indent=1))

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read what `save` wrote. Raises SplitError: file missing, damaged, or of another format."""
        remedy = "give a file that vestige split wrote, or make the split again"
        try:
            plain = checked.load(checked.read(path))
            found = plain.pop("format")
            if found != FORMAT:
                raise SplitError(
                    f"a split of another version ({checked.shown(found)}, read is {FORMAT})",
                    where=path,
                    remedy=remedy,
                )
            if set(plain) - {member.name for member in fields(cls)}:
                raise ValueError("other fields than a split has")
            _refuse_impossible(plain)
            return cls(**{**plain, "recipe": Recipe.from_dict(plain["recipe"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SplitError(
                f"cannot read the split ({checked.reason(error)})", where=path, remedy=remedy
            ) from error


def _refuse_impossible(plain: dict[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError where a field of a saved split holds what no split does."""
    checked.text(plain["dataset"], "dataset")
    checked.whole(plain["seed"], "seed", 0, LARGEST)
    for name in ("untested_profiles", "unseen_profiles", "unvalidated_profiles", "notes"):
        checked.texts(plain.get(name, []), name)
    assignment = checked.mapping(plain["assignment"], "assignment")
    unit = plain["unit"]
    if unit not in get_args(Unit):
        raise ValueError(f"unit is {checked.shown(unit)}")
    if unit == "recording":
        for part in PARTS:
            checked.texts(assignment[part], part)
    elif unit == "group":
        for part in PARTS:
            _numbers(assignment[part], part)
    elif unit == "span":
        cuts = _numbers(assignment["cuts_ns"], "cuts_ns")
        if len(cuts) != len(PARTS) - 1 or cuts != sorted(cuts):
            raise ValueError(f"cuts_ns is {checked.shown(cuts)}, not two moments, the earlier one first")
    else:
        shares = [checked.real(share, "fractions", 0, 1) for share in assignment["fractions"]]
        if len(shares) != len(PARTS):
            raise ValueError(f"fractions is {checked.shown(shares)}, not three shares")


def _numbers(value: Any, name: str) -> list[int]:
    """The value, where it is a list of numbers that a 64-bit integer holds; ValueError for anything else."""
    if not isinstance(value, list):
        raise ValueError(f"{name} is {checked.shown(value)}, not a list of numbers")
    return [checked.whole(number, name, -LARGEST - 1, LARGEST) for number in value]


def listed(names: list[str]) -> str:
    """The first `NAMED` of them, and how many more."""
    shown = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        return f"{shown} and {len(names) - NAMED} more"
    return shown


def dataset_digest(windows: WindowSet) -> str:
    """SHA-256 of the dataset's manifest: names the one dataset that a split belongs to."""
    return hashlib.sha256((windows.path / "schema.json").read_bytes()).hexdigest()


def members_of(windows: WindowSet, column: str) -> list[str]:
    """What each recording has in a column of `recordings.parquet`, as text.

    Raises SplitError where recordings have no such column.
    """
    if column not in windows.recordings.columns:
        known = ", ".join(windows.recordings.columns)
        raise SplitError(
            f"recordings have no column {column!r} to hold out by",
            where=windows.path,
            remedy=f"one of: {known}",
        )
    members: list[str] = windows.recordings[column].cast(pl.String).fill_null("").to_list()
    return members


def groups_of(
    windows: WindowSet, recipe: Recipe, steps: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The group of every step, or of those at `steps`, `(n,)`; -1 for padding.

    Raises SplitError where the recipe is by other things than groups, or the dataset has no such groups.
    """
    return _group_reader(windows, recipe)(steps)


def _group_reader(
    windows: WindowSet, recipe: Recipe
) -> Callable[[NDArray[np.int64] | None], NDArray[np.int64]]:
    """What gives `groups_of` steps, without reading the table that says them each time."""
    if recipe.unit != "group" or recipe.stream not in windows.streams:
        raise SplitError(
            f"the dataset has no groups of steps for a {recipe} split",
            where=windows.path,
            remedy="use another --split",
        )
    number: NDArray[np.int64] | None = None
    if recipe.table:
        number = windows.table(recipe.table)[recipe.column].to_numpy().astype(np.int64)
        # Row 0 stands for padding, whatever group the table gives it.
        number[:1] = 0

    def read(steps: NDArray[np.int64] | None) -> NDArray[np.int64]:
        if steps is None:
            rows = windows.streams[recipe.stream].astype(np.int64)
        else:
            rows = windows.streams.at(recipe.stream, steps).astype(np.int64)
        if number is None:
            return np.asarray(rows - 1)
        return np.asarray(number[rows] - 1)

    return read


def groups_in_pieces(windows: WindowSet, recipe: Recipe) -> Iterator[tuple[WindowSet, NDArray[np.int64]]]:
    """The windows piece by piece, and the group of the step that each is of; see `groups_of`."""
    read = _group_reader(windows, recipe)
    for piece in windows.pieces(passes.PIECE):
        yield piece, read(piece.target_step)


def coded(split: Split, windows: WindowSet) -> Iterator[tuple[WindowSet, Codes]]:
    """The windows piece by piece, and the part of each, `(piece,)`; of a split by time, in the order of their
    recordings and positions."""
    if split.unit == "recording":
        of_recording = part_codes(split, windows)
        for piece in windows.pieces(passes.PIECE):
            yield piece, of_recording[piece.recording]
    elif split.unit == "span":
        yield from _span_coded(split, windows)
    elif split.unit == "group":
        part_of = _Lookup.of(split)
        for piece, groups in groups_in_pieces(windows, split.recipe):
            yield piece, part_of.find(groups)
    else:
        for piece in windows.pieces(passes.PIECE):
            step = piece.target_step
            begin = int(step.min())
            drawn = random_codes(
                int(step.max()) + 1 - begin, split.seed, split.assignment["fractions"], begin=begin
            )
            yield piece, drawn[step - begin]


def _add(counts: NDArray[np.int64], recording: NDArray[np.uint32], label: NDArray[np.uint8]) -> None:
    """Count windows into `counts (recordings, classes)`."""
    lowest = int(recording.min())
    span, k = int(recording.max()) + 1 - lowest, counts.shape[1]
    flat = np.bincount((recording.astype(np.int64) - lowest) * k + label, minlength=span * k)
    counts[lowest : lowest + span] += flat.reshape(span, k)


@dataclass(frozen=True)
class _Lookup:
    """Groups in ascending order, and the part of each."""

    groups: NDArray[np.int64]
    part: Codes

    @classmethod
    def of(cls, split: Split) -> _Lookup:
        members = [np.asarray(split.assignment[part], dtype=np.int64) for part in PARTS]
        groups = np.concatenate(members)
        part = np.repeat(np.arange(len(PARTS), dtype=np.int8), [len(side) for side in members])
        order = np.argsort(groups, kind="stable")
        return cls(groups[order], part[order])

    def find(self, groups: NDArray[np.int64]) -> Codes:
        """The part of each; NOWHERE for a group that no part has."""
        if not len(self.groups):
            return np.full(len(groups), NOWHERE, dtype=np.int8)
        at = np.searchsorted(self.groups, groups).clip(max=len(self.groups) - 1)
        return np.where(self.groups[at] == groups, self.part[at], np.int8(NOWHERE))


def part_codes(split: Split, windows: WindowSet) -> Codes:
    """The part of every recording."""
    part_of = {name: code for code, part in enumerate(PARTS) for name in split.assignment[part]}
    codes = [part_of.get(name, NOWHERE) for name in windows.recordings["id"].to_list()]
    return np.array(codes, dtype=np.int8)


def _span_coded(split: Split, windows: WindowSet) -> Iterator[tuple[WindowSet, Codes]]:
    """The part of every window, by the time of its target step (see `WindowSet.placed_ns`); windows near a
    cut are purged.

    A window stays only when a whole window length lies between its first step and the last step that a
    window earlier in the same recording, of another part, looks at: no step is looked at from two sides.
    """
    cuts = split.assignment["cuts_ns"]
    recording, before, end, barrier = -1, NOWHERE, 0, _NO_BARRIER
    for piece, placed_ns in passes.placed(passes.sorted_windows(windows)):
        codes = np.searchsorted(cuts, placed_ns, side="left").astype(np.int8)
        of, last = piece.recording.astype(np.int64), piece.last_step
        fresh = np.diff(of, prepend=recording) != 0
        changed = (np.diff(codes, prepend=np.int8(before)) != 0) & ~fresh
        # The step up to which windows are purged: set anew where the part changes, lifted where a recording
        # begins, and otherwise still the one that the nearest window before has.
        barriers = np.full(len(of), _NO_BARRIER, dtype=np.int64)
        barriers[changed] = np.r_[end, last[:-1]][changed] + windows.schema.length
        source = np.maximum.accumulate(np.where(fresh | changed, np.arange(len(of)), -1))
        barriers = np.where(source < 0, barrier, barriers[source])
        recording, before, end, barrier = int(of[-1]), int(codes[-1]), int(last[-1]), int(barriers[-1])
        codes[piece.position <= barriers] = NOWHERE
        yield piece, codes


_NO_BARRIER = -1


def _sides(split: Split, windows: WindowSet, counts: SideCounts) -> list[WindowSet]:
    """The windows of each side: views of the dataset where they lie together in it, else copies."""
    if split.unit == "span" and not passes.in_order(windows):
        # They are coded in another order than they have.
        order = np.lexsort((windows.position, windows.recording))
        codes = np.empty(len(windows), dtype=np.int8)
        codes[order] = np.concatenate([part for _, part in coded(split, windows)])
        return [windows.select(codes == part) for part in range(len(PARTS))]
    together = [counts.rows(part) for part in range(len(PARTS))]
    sides = [windows.select(rows or slice(0)) for rows in together]
    sizes = list(counts.windows.values())
    apart = {part: Collector(windows, sizes[part]) for part in range(len(PARTS)) if together[part] is None}
    if any(sizes[part] for part in apart):
        for piece, codes in coded(split, windows):
            for part, collector in apart.items():
                collector.add(piece.select(codes == part))
    for part, collector in apart.items():
        sides[part] = collector.finish()
    return sides


def _interleaved(split: Split, windows: WindowSet) -> Parts:
    """Sides whose steps lie among each other's: each is the stream as if the others' had been deleted."""
    padding = windows.padding
    sides = []
    if split.unit == "window":
        codes = random_codes(len(padding), split.seed, split.assignment["fractions"])
        sides = [windows.within((codes == part) | padding) for part in range(len(PARTS))]
    else:
        groups = groups_of(windows, split.recipe)
        for part in PARTS:
            members = np.asarray(split.assignment[part], dtype=np.int64)
            sides.append(windows.within(np.isin(groups, members) | padding))
    train, validation, test = sides
    return Parts(train, validation, test, purged=len(windows) - len(train) - len(validation) - len(test))


def random_codes(n: int, seed: int, fractions: list[float] | Fractions, *, begin: int = 0) -> Codes:
    """A part for each of the `n` steps from `begin` on, independently at random."""
    # A number takes one step of the generator, so that it can begin at any of them.
    generator = np.random.PCG64(seed)
    generator.advance(begin)
    draws = np.random.Generator(generator).random(n)
    return np.searchsorted(np.cumsum(fractions)[:-1], draws, side="right").astype(np.int8)
