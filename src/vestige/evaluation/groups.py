"""The same detector on parts of the test windows: by profile, host, recording, seen or never seen inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.metrics import Sweep, at_threshold, confusion, macro_f1
from vestige.evaluation.predictions import Place, Predictions
from vestige.evaluation.results import GroupRow, GroupTable

MOST_ROWS = 200
NAMELESS = "(none)"


def group_row(name: str, test: Predictions, rows: NDArray[Any], threshold: float) -> GroupRow:
    """Measures of the windows at `rows` (indices or a boolean mask).

    Macro F1 is null when a class of the whole test part is missing among them: over fewer classes it
    would be another, usually prettier, measure.
    """
    part = test.select(rows)
    k = len(test.classes)
    support = np.bincount(part.label, minlength=k)
    whole = bool(((support > 0) == (np.bincount(test.label, minlength=k) > 0)).all())
    found = at_threshold(part.score, part.positive, threshold)
    return GroupRow(
        name=name,
        windows=len(part),
        per_class=dict(zip(test.classes, support.tolist(), strict=True)),
        macro_f1=float(macro_f1(confusion(part.label, part.predicted, k))) if whole and len(part) else None,
        average_precision=Sweep.of(part.score, part.positive).average_precision,
        recall=found.recall,
        fpr=found.fpr,
        alerts=found.tp + found.fp,
    )


def group_table(test: Predictions, place: Place, threshold: float) -> GroupTable:
    """A row for each profile, host or recording (`id`) that has windows, the largest first."""
    codes, names = test.groups(place)
    sizes = np.bincount(codes, minlength=len(names))
    largest = np.argsort(-sizes, kind="stable")[: int((sizes > 0).sum())]
    order = np.argsort(codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    rows = [
        group_row(names[one] or NAMELESS, test, order[starts[one] : starts[one + 1]], threshold)
        for one in largest[:MOST_ROWS]
    ]
    return GroupTable(rows=rows, omitted=max(0, len(largest) - MOST_ROWS))
