"""Checks of who and when: time order, nobody on two sides, every class on each side."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.results import CheckResult
from vestige.reading.steps import NO_TIME
from vestige.reading.times import span
from vestige.reading.windows import WindowSet
from vestige.splits import Parts, Split, groups_of, members_of

COLUMNS = ("id", "host", "sample", "profile")
"""Columns of the recordings that are looked at in every split, whatever it is by."""


def time_order(parts: Parts, split: Split) -> list[CheckResult]:
    """Training must lie before validation and that before test: over all, and for each host by itself.

    A recipe that does not promise it gets the warning that its figures are no forecast.
    Figure: the share of training windows that are not earlier than the first test window (of their host).
    """
    return [_time_order(parts, split, per_host=False), _time_order(parts, split, per_host=True)]


def _time_order(parts: Parts, split: Split, *, per_host: bool) -> CheckResult:
    name, where = "time_order", "of all hosts"
    if per_host:
        name, where = "time_order_per_host", "on the same host"
    spans = [found for side in parts.sides.values() if (found := span(side.t_ns)) is not None]
    if not spans or min(first for first, _ in spans) == max(last for _, last in spans):
        return CheckResult(name=name, status="not_applicable", detail="the windows carry no times")
    late = _late(parts.train, parts.test, per_host)
    later = max(
        late,
        _late(parts.train, parts.validation, per_host),
        _late(parts.validation, parts.test, per_host),
    )
    if later == 0:
        detail = f"training lies before validation and test, {where}"
        return CheckResult(name=name, status="pass", figure=0.0, detail=detail)
    if name in split.recipe.promises:
        detail = f"a part reaches into a later one ({where}), although the split is by {split.recipe}"
        return CheckResult(name=name, status="fail", figure=later, detail=detail)
    what = f"{late:.2%} of the training windows are not earlier than the first test window"
    if late == 0:
        what = "the test part comes last, but training and validation are not in the order of time"
    detail = f"{what} {where}: the figures are no forecast"
    return CheckResult(name=name, status="warn", figure=late, detail=detail)


def _late(before: WindowSet, after: WindowSet, per_host: bool) -> float:
    """Share of `before` that is not earlier than the first of `after`."""
    if not len(before) or not len(after):
        return 0.0
    codes = np.zeros(before.recordings.height, dtype=np.int64)
    if per_host:
        codes = _codes(before.recordings["host"])
    first = np.full(int(codes.max()) + 1, np.iinfo(np.int64).max)
    for piece in after.pieces():
        known = piece.t_ns != NO_TIME
        np.minimum.at(first, codes[piece.recording[known]], piece.t_ns[known])
    late = [np.count_nonzero(piece.t_ns >= first[codes[piece.recording]]) for piece in before.pieces()]
    return sum(late) / len(before)


def _codes(column: pl.Series) -> NDArray[np.int64]:
    return column.rank("dense").to_numpy().astype(np.int64) - 1


def disjoint(parts: Parts, split: Split, groups: NDArray[np.int64] | None = None) -> list[CheckResult]:
    """Nobody may be on two sides: recordings, hosts, samples, profiles, what else the recipe holds out, and
    groups of steps, as it promises.

    `groups (n_steps,)`: the group of every step, where the split is not by groups and the source has any.
    """
    columns = dict.fromkeys([*COLUMNS, split.recipe.held_column])
    return [*(_entities(column, parts, split) for column in columns), _groups(parts, split, groups)]


def _entities(column: str, parts: Parts, split: Split) -> CheckResult:
    """Whether recordings that are equal in `column` are on one side."""
    every = np.array(members_of(parts.train, column), dtype=object)
    members = {part: set(every[side.present].tolist()) - {""} for part, side in parts.sides.items()}
    what, promised = f"{column}s", f"{column}s_disjoint" in split.recipe.promises
    if column == "id":
        what, promised = "recordings", split.unit == "recording"
    return _shared(f"{what}_disjoint", what, members, promised, split)


def _groups(parts: Parts, split: Split, groups: NDArray[np.int64] | None) -> CheckResult:
    """Whether the steps of a group are on one side."""
    name, what = "groups_disjoint", "groups"
    if split.unit == "group":
        what = f"{split.recipe.cluster}s"
        members = {
            part: set(groups_of(side, split.recipe, side.target_step).tolist())
            for part, side in parts.sides.items()
        }
    elif groups is not None:
        members = {part: set(groups[side.target_step].tolist()) for part, side in parts.sides.items()}
    else:
        return CheckResult(name=name, status="not_applicable", detail="the source has no groups of steps")
    return _shared(name, what, members, name in split.recipe.promises, split)


def _shared(name: str, what: str, members: dict[str, set[Any]], promised: bool, split: Split) -> CheckResult:
    known = members["train"] | members["validation"]
    both = (known & members["test"]) | (members["train"] & members["validation"])
    total = max(1, len(set().union(*members.values())))
    if not both:
        return CheckResult(name=name, status="pass", figure=0.0, detail=f"no {what} on two sides")
    share = len(both) / total
    if promised:
        shown = ", ".join(str(member) for member in sorted(both, key=str)[:5])
        detail = f"{len(both)} {what} on two sides of a split by {split.recipe}: {shown}"
        return CheckResult(name=name, status="fail", figure=share, detail=detail)
    detail = f"{len(both)} of {total} {what} on two sides: the {split.recipe} split does not hold out {what}"
    return CheckResult(name=name, status="not_applicable", figure=share, detail=detail)


def classes_present(parts: Parts) -> CheckResult:
    """Fails when training or test knows one class only; warns when any part lacks any class."""
    if not parts.train.labelled:
        return CheckResult(
            name="classes_present", status="not_applicable", detail="the dataset has no labels"
        )
    classes = parts.train.schema.classes
    counts = {part: side.counts.sum(axis=0) for part, side in parts.sides.items()}
    lacking = [
        f"{part} lacks {', '.join(classes[k] for k in np.flatnonzero(count == 0))}"
        for part, count in counts.items()
        if (count == 0).any()
    ]
    if not lacking:
        return CheckResult(name="classes_present", status="pass", detail="every class on each side")
    status: Literal["fail", "warn"] = "warn"
    if any((counts[part] > 0).sum() < 2 for part in ("train", "test")):
        status = "fail"
    return CheckResult(
        name="classes_present",
        status=status,
        figure=float(len(lacking)),
        detail="; ".join(lacking),
    )
