"""A validation part taken out of the training part, by the split's own rule, where a split has none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.reading.steps import NO_TIME
from vestige.reading.windows import WindowSet
from vestige.splits.assign import assign
from vestige.splits.split import PARTS, Split, groups_of, members_of
from vestige.splits.stratify import Table

SHARE = 0.25
"""Of the training part, that becomes validation."""


def with_validation(split: Split, windows: WindowSet) -> Split:
    """The split with a quarter of its training part as validation; what is in the test part stays there.

    What the recipe keeps on one side (hosts, samples, templates) stays on one side; a split by time gives the
    last quarter. Raises SplitError where the training part cannot be divided so that every class is on both
    sides.
    """
    note = f"the split has no validation part: {SHARE:.0%} of its training part became one, by the same rule"
    told = replace(split, notes=[*split.notes, note])
    if split.unit == "span":
        placed_ns = split.parts(windows).train.placed_ns
        known = np.sort(placed_ns[placed_ns != NO_TIME])
        if len(known) < 2:
            raise SplitError("the training part is too small to take validation windows from")
        cut = int(known[int(len(known) * (1 - SHARE)) - 1])
        return replace(told, assignment={"cuts_ns": [cut, split.assignment["cuts_ns"][1]]})
    if split.unit == "window":
        train, validation, test = split.assignment["fractions"]
        rest = train + validation
        return replace(told, assignment={"fractions": [rest * (1 - SHARE), rest * SHARE, test]})
    return replace(told, assignment=_assigned(split, windows))


def _assigned(split: Split, windows: WindowSet) -> dict[str, Any]:
    """Members of each part: recordings, or groups."""
    if split.unit == "group":
        member_of = groups_of(windows, split.recipe, windows.target_step)
        keys: list[Any] = sorted({member for part in PARTS for member in split.assignment[part]})
        number = {key: at for at, key in enumerate(keys)}
        unit = np.array([number.get(member, -1) for member in member_of.tolist()], dtype=np.int64)
        codes = _codes(split, windows, unit, len(keys), [number[key] for key in split.assignment["test"]])
        return {part: [keys[at] for at in np.flatnonzero(codes == code)] for code, part in enumerate(PARTS)}
    ids = windows.recordings["id"].to_list()
    held = dict(zip(ids, members_of(windows, split.recipe.held_column), strict=True))
    assigned = [name for part in PARTS for name in split.assignment[part]]
    keys = sorted({held[name] for name in assigned})
    number = {key: at for at, key in enumerate(keys)}
    known = set(assigned)
    of_recording = np.array([number[held[name]] if name in known else -1 for name in ids], dtype=np.int64)
    test = sorted({number[held[name]] for name in split.assignment["test"]})
    codes = _codes(split, windows, of_recording[windows.recording], len(keys), test)
    return {
        part: [name for name in assigned if codes[number[held[name]]] == code]
        for code, part in enumerate(PARTS)
    }


def _codes(
    split: Split, windows: WindowSet, unit: NDArray[np.int64], n_units: int, test: list[int]
) -> NDArray[np.int8]:
    """A part for every unit, those of `test` in the test part. `unit (N,)`: of every window; -1 for none."""
    kept = unit >= 0
    table = Table.of(windows.select(kept), unit[kept], n_units)
    sizes = table.counts[:, : len(table.classes)].sum(axis=1)
    share = float(sizes[test].sum() / max(1, sizes.sum()))
    rest = 1 - share
    return assign(
        table,
        (rest * (1 - SHARE), rest * SHARE, share),
        split.seed,
        unit=split.recipe.cluster or "recording",
        fixed_test=test,
        stratify=split.unit == "recording" and split.recipe.stratified,
    )
