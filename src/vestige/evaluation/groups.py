"""The same detector on parts of the test windows: by profile, host, recording, seen or never seen inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.figures import GroupRow, GroupTable
from vestige.evaluation.metrics import Sweep, at_threshold, confusion, macro_f1
from vestige.evaluation.predictions import Place, Predictions

MOST_ROWS = 200
NAMELESS = "(none)"


def group_row(name: str, test: Predictions, rows: NDArray[Any], threshold: float) -> GroupRow:
    """Measures of the windows at `rows` (indices or a boolean mask)."""
    part = test.select(rows)
    support = np.bincount(part.label, minlength=len(test.classes))
    found = at_threshold(part.score, part.positive, threshold)
    return GroupRow(
        name=name,
        windows=len(part),
        per_class=dict(zip(test.classes, support.tolist(), strict=True)),
        macro_f1=group_macro_f1(test, part),
        average_precision=Sweep.of(part.score, part.positive).average_precision,
        recall=found.recall,
        fpr=found.fpr,
        alerts=found.tp + found.fp,
    )


def group_macro_f1(test: Predictions, part: Predictions) -> float | None:
    """Macro F1 of a `part` of `test`; None when a class of the whole is missing in it: over fewer classes it
    would be another, usually prettier, measure."""
    k = len(test.classes)
    in_part, in_all = (np.bincount(labels, minlength=k) > 0 for labels in (part.label, test.label))
    if not len(part) or not np.array_equal(in_part, in_all):
        return None
    return float(macro_f1(confusion(part.label, part.predicted, k)))


def group_table(test: Predictions, place: Place, threshold: float) -> GroupTable:
    """A row for each profile, host or recording (`id`) that has windows, the largest first."""
    codes, names = test.groups(place)
    sizes = np.bincount(codes, minlength=len(names))
    largest = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows = [
        group_row(names[code] or NAMELESS, test, order[starts[code] : starts[code + 1]], threshold)
        for code in largest[:MOST_ROWS]
    ]
    return GroupTable(rows=rows, omitted=max(0, len(largest) - MOST_ROWS))
