"""A split: what was assigned to which part, how to apply it to windows, and what it can and cannot test."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NoReturn, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige import checked, storage
from vestige.errors import SplitError
from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe, Unit

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

        Raises SplitError when the split was made for another dataset.
        """
        if dataset_digest(windows) != self.dataset:
            raise SplitError(
                "this split was made for another dataset",
                where=windows.path,
                remedy="make the split again (vestige split), or give the dataset it was made for",
            )
        if self.unit == "recording":
            codes = part_codes(self, windows)[windows.recording]
        elif self.unit == "span":
            codes = span_codes(self, windows)
        else:
            return _interleaved(self, windows)
        train, validation, test = (windows.select(codes == part) for part in range(len(PARTS)))
        rest = len(windows) - len(train) - len(validation) - len(test)
        if self.unit == "recording":
            return Parts(train, validation, test, left_out=rest)
        return Parts(train, validation, test, purged=rest)

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
        remedy = "make the split again with vestige split"
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
            raise SplitError(f"cannot read the split ({error})", where=path, remedy=remedy) from error


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
    if recipe.unit != "group" or recipe.stream not in windows.streams:
        raise SplitError(
            f"the dataset has no groups of steps for a {recipe} split",
            where=windows.path,
            remedy="use another --split",
        )
    if steps is None:
        rows = windows.streams[recipe.stream].astype(np.int64)
    else:
        rows = windows.streams.at(recipe.stream, steps).astype(np.int64)
    if not recipe.table:
        return np.asarray(rows - 1)
    number = windows.table(recipe.table)[recipe.column].to_numpy().astype(np.int64)
    # Row 0 stands for padding, whatever group the table gives it.
    number[:1] = 0
    return np.asarray(number[rows] - 1)


def part_codes(split: Split, windows: WindowSet) -> Codes:
    """The part of every recording."""
    part_of = {name: code for code, part in enumerate(PARTS) for name in split.assignment[part]}
    codes = [part_of.get(name, NOWHERE) for name in windows.recordings["id"].to_list()]
    return np.array(codes, dtype=np.int8)


def span_codes(split: Split, windows: WindowSet) -> Codes:
    """The part of every window, by the time of its target step (see `WindowSet.placed_ns`); windows near a
    cut are purged.

    A window stays only when a whole window length lies between its first step and the last step that a
    window earlier in the same recording, of another part, looks at: no step is looked at from two sides.
    """
    codes = np.searchsorted(split.assignment["cuts_ns"], windows.placed_ns, side="left").astype(np.int8)
    order = np.lexsort((windows.position, windows.recording))
    recording, code = windows.recording[order], codes[order]
    first, last = windows.position[order], windows.last_step[order]
    fresh = np.r_[True, recording[1:] != recording[:-1]]
    changed = np.r_[False, code[1:] != code[:-1]] & ~fresh
    # The step up to which windows are purged: set anew where the part changes, lifted where a recording
    # begins, and otherwise still the one that the nearest window before has.
    barrier = np.full(len(order), _AS_BEFORE, dtype=np.int64)
    barrier[fresh] = _NO_BARRIER
    barrier[changed] = np.r_[0, last[:-1]][changed] + windows.schema.length
    purged = first <= _carry_forward(barrier)
    codes[order[purged]] = NOWHERE
    return codes


_NO_BARRIER, _AS_BEFORE = -1, -2


def _carry_forward(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each `_AS_BEFORE` takes the nearest earlier value that is another; the first is one."""
    source = np.where(values != _AS_BEFORE, np.arange(len(values)), 0)
    return values[np.maximum.accumulate(source)]


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


def random_codes(n: int, seed: int, fractions: list[float] | Fractions) -> Codes:
    """A part for each of `n` steps, independently at random."""
    draws = np.random.default_rng(seed).random(n)
    return np.searchsorted(np.cumsum(fractions)[:-1], draws, side="right").astype(np.int8)
