"""A validation part taken out of the training part, by the split's own rule, where a split has none."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.reading.windows import WindowSet
from vestige.splits import passes
from vestige.splits.assign import assign
from vestige.splits.split import PARTS, Split, groups_in_pieces, members_of
from vestige.splits.stratify import Table

Pieces = Iterable[tuple[WindowSet, NDArray[np.int64]]]
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
        known = passes.known_times(passes.sorted_windows(split.parts(windows).train))
        n = sum(map(len, known()))
        if n < 2:
            raise SplitError("the training part is too small to take validation windows from")
        rank = int(n * (1 - SHARE)) - 1
        cut = passes.at_ranks(known, [rank])[rank]
        return replace(told, assignment={"cuts_ns": [cut, split.assignment["cuts_ns"][1]]})
    if split.unit == "window":
        train, validation, test = split.assignment["fractions"]
        rest = train + validation
        return replace(told, assignment={"fractions": [rest * (1 - SHARE), rest * SHARE, test]})
    return replace(told, assignment=_assigned(split, windows))


def _assigned(split: Split, windows: WindowSet) -> dict[str, Any]:
    """Members of each part: recordings, or groups."""
    if split.unit == "group":
        keys: list[Any] = sorted({member for part in PARTS for member in split.assignment[part]})
        number = {key: at for at, key in enumerate(keys)}
        units = ((piece, _numbered(number, of)) for piece, of in groups_in_pieces(windows, split.recipe))
        codes = _codes(split, windows, units, len(keys), [number[key] for key in split.assignment["test"]])
        return {part: [keys[at] for at in np.flatnonzero(codes == code)] for code, part in enumerate(PARTS)}
    ids = windows.recordings["id"].to_list()
    held = dict(zip(ids, members_of(windows, split.recipe.held_column), strict=True))
    assigned = [name for part in PARTS for name in split.assignment[part]]
    keys = sorted({held[name] for name in assigned})
    number = {key: at for at, key in enumerate(keys)}
    known = set(assigned)
    of_recording = np.array([number[held[name]] if name in known else -1 for name in ids], dtype=np.int64)
    test = sorted({number[held[name]] for name in split.assignment["test"]})
    units = ((piece, of_recording[piece.recording]) for piece in windows.pieces())
    codes = _codes(split, windows, units, len(keys), test)
    return {
        part: [name for name in assigned if codes[number[held[name]]] == code]
        for code, part in enumerate(PARTS)
    }


def _numbered(number: dict[int, int], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.array([number.get(group, -1) for group in groups.tolist()], dtype=np.int64)


def _codes(
    split: Split, windows: WindowSet, units: Pieces, n_units: int, test: list[int]
) -> NDArray[np.int8]:
    """A part for every unit, those of `test` in the test part. `units`: of every window; -1 for none."""
    table = Table.of(windows, units, n_units)
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
