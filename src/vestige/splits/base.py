"""A split: what was assigned to which part, how to apply it to windows, and what it can and cannot test."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray

from vestige import checked, storage
from vestige.errors import SplitError
from vestige.reading.windows import WindowSet

PARTS = ("train", "validation", "test")
FRACTIONS = (0.6, 0.2, 0.2)
FORMAT = "vestige-split/1"
LARGEST = 2**63 - 1
"""Seeds, moments and groups of a saved split at most."""
NAMED = 12
"""Profiles that a line names."""
COLUMNS = {"host": "host", "sample": "sample", "type": "profile"}
"""Recipes that hold out all recordings of a kind, and the column that tells the kind."""

Codes = NDArray[np.int8]
"""Index into PARTS for each window, step or recording; NOWHERE belongs to none, EVERYWHERE is padding."""
NOWHERE, EVERYWHERE = -1, 3
Unit = Literal["recording", "span", "group", "window"]


@dataclass(frozen=True)
class Parts:
    """The three sides of a split, over the same streams. On none of them are windows that were `purged`
    around cuts, and those of recordings that were `left_out`, for nobody asked for them."""

    train: WindowSet
    validation: WindowSet
    test: WindowSet
    purged: int = 0
    left_out: int = 0

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

    `unit` says of what: whole `recording`s; a time `span` (`assignment["cuts_ns"]`); a `group` of steps,
    such as all lines of one template; or single `window`s at random. `in_distribution` marks a recipe
    whose test part looks like its training part: its figures say nothing about new hosts or later days.

    Of the profiles on any side, `untested` are those that test lacks, `unvalidated` those that validation
    lacks, `unseen` those that one of the two has and training lacks.
    """

    recipe: str
    unit: Unit
    dataset: str
    seed: int
    assignment: dict[str, Any]
    in_distribution: bool = False
    untested_profiles: list[str] = field(default_factory=list)
    unseen_profiles: list[str] = field(default_factory=list)
    unvalidated_profiles: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def parts(self, windows: WindowSet, step_groups: NDArray[np.int64] | None = None) -> Parts:
        """Apply to the windows of the same dataset. `step_groups (n_steps,)` is needed by unit `group`.

        Raises SplitError when the split was made for another dataset.
        """
        if dataset_digest(windows) != self.dataset:
            raise SplitError(
                "this split was made for another dataset",
                where=windows.path,
                remedy="make the split again (vestige split), or give the dataset it was made for",
            )
        if self.unit in {"group", "window"}:
            sides = [windows.within(_visible(self, windows, step_groups, part)) for part in range(len(PARTS))]
            return _parts(sides, len(windows))
        whole = self.unit == "recording"
        codes = recording_codes(self, windows) if whole else span_codes(self, windows)
        sides = [windows.select(codes == part) for part in range(len(PARTS))]
        return _parts(sides, len(windows), whole=whole)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"format": FORMAT, **asdict(self)}

    def save(self, path: Path) -> None:
        """Write `split.json` atomically."""
        storage.write_text(path, json.dumps(self.to_dict(), indent=1))

    @classmethod
    def load(cls, path: Path) -> Split:
        """Read what `save` wrote. Raises SplitError: file missing, damaged, or of another format."""
        remedy = "make the split again with vestige split"
        try:
            plain = checked.load(path.read_bytes())
            known = {one.name for one in fields(cls)}
            if plain.pop("format") != FORMAT or set(plain) - known:
                raise SplitError("not a split of this version", where=path, remedy=remedy)
            _refuse_impossible(plain)
            return cls(**plain)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SplitError(f"cannot read the split ({error})", where=path, remedy=remedy) from error


def _refuse_impossible(plain: dict[str, Any]) -> None:
    """Raise ValueError, KeyError or TypeError where a field of a saved split holds what no split does."""
    for name in ("recipe", "dataset"):
        checked.text(plain[name], name)
    checked.whole(plain["seed"], "seed", 0, LARGEST)
    checked.flag(plain.get("in_distribution", False), "in_distribution")
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
    if not isinstance(value, list):
        raise ValueError(f"{name} is {checked.shown(value)}, not a list of numbers")
    return [checked.whole(number, name, -LARGEST - 1, LARGEST) for number in value]


def _parts(sides: list[WindowSet], total: int, *, whole: bool = False) -> Parts:
    train, validation, test = sides
    rest = total - len(train) - len(validation) - len(test)
    return Parts(train, validation, test, left_out=rest) if whole else Parts(train, validation, test, rest)


def listed(names: list[str]) -> str:
    """The first `NAMED` of them, and how many more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def dataset_digest(windows: WindowSet) -> str:
    """SHA-256 of the dataset's manifest: names the one dataset that a split belongs to."""
    return hashlib.sha256((windows.path / "schema.json").read_bytes()).hexdigest()


def recording_codes(split: Split, windows: WindowSet) -> Codes:
    """The part of every window, by its recording."""
    return part_codes(split, windows)[windows.recording]


def part_codes(split: Split, windows: WindowSet) -> Codes:
    """The part of every recording."""
    part_of = {name: code for code, part in enumerate(PARTS) for name in split.assignment[part]}
    return np.array([part_of.get(one, NOWHERE) for one in windows.recordings["id"].to_list()], dtype=np.int8)


def span_codes(split: Split, windows: WindowSet) -> Codes:
    """The part of every window, by the time of its target step; windows near a cut are purged.

    A window stays only when a whole window length lies between its first step and the last step that a
    window earlier in the same recording, of another part, looks at: no step is looked at from two sides.
    """
    codes = np.searchsorted(split.assignment["cuts_ns"], windows.t_ns, side="left").astype(np.int8)
    order = np.lexsort((windows.position, windows.recording))
    recording, code = windows.recording[order], codes[order]
    first, last = windows.position[order], windows.last_step[order]
    fresh = np.r_[True, recording[1:] != recording[:-1]]
    changed = np.r_[False, (code[1:] != code[:-1])] & ~fresh
    barrier = np.where(changed, np.r_[0, last[:-1]] + windows.schema.length, np.where(fresh, -1, -2))
    purged = first <= _carry_forward(barrier)
    codes[order[purged]] = NOWHERE
    return codes


def _carry_forward(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each -2 takes the nearest earlier value that is not -2."""
    source = np.where(values != -2, np.arange(len(values)), 0)
    return values[np.maximum.accumulate(source)]


def _visible(
    split: Split, windows: WindowSet, step_groups: NDArray[np.int64] | None, part: int
) -> NDArray[np.bool_]:
    padding = windows.padding
    if split.unit == "window":
        codes = random_codes(len(padding), split.seed, split.assignment["fractions"])
        drawn: NDArray[np.bool_] = codes == part
        return drawn | padding
    if step_groups is None:
        raise SplitError(f"the {split.recipe} split needs the source's groups of steps")
    members = np.asarray(split.assignment[PARTS[part]], dtype=np.int64)
    return np.isin(step_groups, members) | padding


def random_codes(n: int, seed: int, fractions: list[float] | tuple[float, ...]) -> Codes:
    """A part for each of `n` steps, independently at random."""
    draws = np.random.default_rng(seed).random(n)
    return np.searchsorted(np.cumsum(fractions)[:-1], draws, side="right").astype(np.int8)
