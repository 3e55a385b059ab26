"""Detectors on parts of the test windows: by profile, host, recording, seen or never seen inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.figures import GroupRow, GroupTable
from vestige.evaluation.metrics import Sweep, at_threshold, confusion, macro_f1
from vestige.evaluation.predictions import Place, Predictions
from vestige.evaluation.results import DetectorResults

MOST_ROWS = 200
"""Rows of a table that are kept, in `metrics.json`."""
MOST_SHOWN = 30
"""Rows of a table that a page shows: it has one for all detectors, and one for each model."""
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


@dataclass(frozen=True)
class Grouping:
    """One way to part the test windows, as a page shows it: `tables` by detector, all of the same groups."""

    title: str
    tables: Mapping[str, GroupTable]

    @property
    def total(self) -> int:
        """Groups in all."""
        return len(self._any.rows) + self._any.omitted

    @property
    def shown(self) -> int:
        """Groups that the page shows, the largest."""
        return min(MOST_SHOWN, len(self._any.rows))

    @property
    def kept(self) -> int:
        """Groups that `metrics.json` holds, the largest."""
        return len(self._any.rows)

    def rows_of(self, detector: DetectorResults) -> list[GroupRow]:
        """What is shown of one detector."""
        return self.tables[detector.name].rows[:MOST_SHOWN]

    def beside(
        self, detectors: Sequence[DetectorResults]
    ) -> Iterator[tuple[GroupRow, list[GroupRow | None]]]:
        """Each group that is shown, and what each detector makes of it; None where it has no such group."""
        known = [{row.name: row for row in self.tables[detector.name].rows} for detector in detectors]
        for row in self.rows_of(detectors[0]):
            yield row, [rows.get(row.name) for rows in known]

    @property
    def _any(self) -> GroupTable:
        return next(iter(self.tables.values()))


def groupings(detectors: Sequence[DetectorResults]) -> list[Grouping]:
    """By profile, by host and by recording; the last two are one where each host has a single recording of
    its name."""
    if not detectors:
        return []
    by_profile = {detector.name: detector.per_profile for detector in detectors}
    by_host = {detector.name: detector.per_host for detector in detectors}
    by_recording = {detector.name: detector.per_recording for detector in detectors}
    if by_host == by_recording:
        return [Grouping("By profile", by_profile), Grouping("By host, each one recording", by_host)]
    return [
        Grouping("By profile", by_profile),
        Grouping("By host", by_host),
        Grouping("By recording", by_recording),
    ]
