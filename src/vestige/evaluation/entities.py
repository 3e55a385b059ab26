"""Checks of who and when: time order, nobody on two sides, every class on each side."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.results import CheckResult
from vestige.reading.windows import WindowSet
from vestige.splits import Parts, Split


def sides(parts: Parts) -> dict[str, WindowSet]:
    """The parts by name."""
    return {"train": parts.train, "validation": parts.validation, "test": parts.test}


def time_order(parts: Parts, split: Split) -> list[CheckResult]:
    """Training must lie before validation and that before test: over all, and for each host by itself.

    Promised by the recipe `time` alone; any other recipe gets the warning that it is not a forecast.
    Figure: the share of training windows that are not earlier than the first test window (of their host).
    """
    return [_time_order(parts, split, per_host=False), _time_order(parts, split, per_host=True)]


def _time_order(parts: Parts, split: Split, *, per_host: bool) -> CheckResult:
    name = "time_order_per_host" if per_host else "time_order"
    times = [side.t_ns for side in sides(parts).values() if len(side)]
    if not times or min(t_ns.min() for t_ns in times) == max(t_ns.max() for t_ns in times):
        return CheckResult(name=name, status="not_applicable", detail="the windows carry no times")
    where = "on the same host" if per_host else "of all hosts"
    late = _late(parts.train, parts.test, per_host)
    later = max(
        late,
        _late(parts.train, parts.validation, per_host),
        _late(parts.validation, parts.test, per_host),
    )
    if later == 0:
        detail = f"training lies before validation and test, {where}"
        return CheckResult(name=name, status="pass", figure=0.0, detail=detail)
    if split.recipe == "time":
        detail = f"a part reaches into a later one ({where}), although the split is by time"
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
    codes = (
        _codes(before.recordings["host"]) if per_host else np.zeros(before.recordings.height, dtype=np.int64)
    )
    first = np.full(int(codes.max()) + 1, np.iinfo(np.int64).max)
    for piece in after.pieces():
        np.minimum.at(first, codes[piece.recording], piece.t_ns)
    late = [np.count_nonzero(piece.t_ns >= first[codes[piece.recording]]) for piece in before.pieces()]
    return sum(late) / len(before)


def _codes(column: pl.Series) -> NDArray[np.int64]:
    return column.rank("dense").to_numpy().astype(np.int64) - 1


def disjoint(parts: Parts, split: Split, groups: NDArray[np.int64] | None = None) -> list[CheckResult]:
    """Nobody may be on two sides: recordings, hosts, samples, and groups of steps, as the recipe promises.

    `groups (n_steps,)`: the group of every step, needed where the split is by such groups.
    """
    return [
        _entities("recordings_disjoint", "id", parts, promised=split.unit == "recording", split=split),
        _entities("hosts_disjoint", "host", parts, promised=split.recipe == "host", split=split),
        _entities("samples_disjoint", "sample", parts, promised=split.recipe == "sample", split=split),
        _entities("types_disjoint", "profile", parts, promised=split.recipe == "type", split=split),
        _groups(parts, split, groups),
    ]


def _entities(name: str, column: str, parts: Parts, *, promised: bool, split: Split) -> CheckResult:
    members = {part: _members(side, column) for part, side in sides(parts).items()}
    return _shared(name, f"{column if column != 'id' else 'recording'}s", members, promised, split)


def _members(windows: WindowSet, column: str) -> set[Any]:
    return set(windows.recordings[column][windows.present].to_list()) - {""}


def _groups(parts: Parts, split: Split, groups: NDArray[np.int64] | None) -> CheckResult:
    name, what = "groups_disjoint", f"{split.recipe if split.unit == 'group' else 'group'}s"
    if groups is None:
        return CheckResult(name=name, status="not_applicable", detail="the source has no groups of steps")
    members = {part: set(groups[side.target_step].tolist()) for part, side in sides(parts).items()}
    return _shared(name, what, members, split.unit == "group", split)


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
    classes = parts.train.schema.classes
    counts = {part: side.counts.sum(axis=0) for part, side in sides(parts).items()}
    lacking = [
        f"{part} lacks {', '.join(classes[k] for k in np.flatnonzero(count == 0))}"
        for part, count in counts.items()
        if (count == 0).any()
    ]
    if not lacking:
        return CheckResult(name="classes_present", status="pass", detail="every class on each side")
    one_class = any((counts[part] > 0).sum() < 2 for part in ("train", "test"))
    return CheckResult(
        name="classes_present",
        status="fail" if one_class else "warn",
        figure=float(len(lacking)),
        detail="; ".join(lacking),
    )
