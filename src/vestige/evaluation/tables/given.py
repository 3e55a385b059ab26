"""Predictions that a person gives for the test table, row by row or by id.

Letters: N test rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.escaping import visible
from vestige.evaluation.tables.reading import class_name, open_table
from vestige.evaluation.tables.sides import Side

SCORES, CLASSES, ALERTS = ("score", "anomaly_score", "probability"), ("predicted", "prediction"), ("alert",)
ALERTING = {"true", "1", "1.0", "yes"}


@dataclass(frozen=True)
class Given:
    """What was said of each test row: `score (N,)`, `predicted (N,)` a class, `alert (N,)`, or None."""

    score: NDArray[np.float64] | None
    predicted: NDArray[np.int64] | None
    alert: NDArray[np.bool_] | None
    of: str = "the predictions"


def read(path: Path, test: Side, classes: list[str], id_column: str | None) -> Given:
    """Columns `score` (or `proba_CLASS`), `predicted`, `alert`; rows by id where both tables have ids of
    one row each, else in the test table's order. Raises EvidenceError."""
    table = open_table(path)
    names = list(table.kinds)
    score = next((name for name in SCORES if name in names), None)
    said = next((name for name in CLASSES if name in names), None)
    alert = next((name for name in ALERTS if name in names), None)
    of_class = {
        class_name(pl.Series([name.removeprefix("proba_")]))[0]: name
        for name in names
        if name.startswith("proba_")
    }
    whole = all(name in of_class for name in classes)
    probabilities = [of_class[name] for name in classes] if whole else []
    if not (score or said or alert or whole):
        raise EvidenceError(
            f"has no column of predictions; it has: {', '.join(visible(name, 40) for name in names[:12])}",
            where=path,
            remedy="name them score, predicted, alert, or proba_CLASS for every class",
        )
    by_id = id_column in names and test.ids is not None and len(np.unique(test.ids)) == len(test)
    for name in (said, alert, id_column if by_id else None):
        if name:
            table.kinds[name] = "text"
    columns = [name for name in (score, said, alert, id_column if by_id else None) if name]
    columns += probabilities
    frame = pl.concat(list(table.batches(columns)))
    order = _order(path, frame, test, id_column if by_id else None)
    frame = frame[order]
    scores, proba = None, None
    if whole:
        proba = _finite(path, frame, probabilities, order)
        scores = 1.0 - proba[:, 0]
    if score:
        scores = _finite(path, frame, [score], order)[:, 0]
    predicted = _classes(path, frame[said], classes, order) if said else None
    if predicted is None and proba is not None:
        predicted = np.argmax(proba, axis=1).astype(np.int64)
    alerts = None
    if alert:
        alerts = frame[alert].str.strip_chars().str.to_lowercase().is_in(list(ALERTING)).to_numpy()
    if predicted is None and alerts is not None and len(classes) == 2:
        predicted = alerts.astype(np.int64)
    return Given(scores, predicted, alerts)


def _order(path: Path, frame: pl.DataFrame, test: Side, id_column: str | None) -> NDArray[np.int64]:
    if id_column is None:
        if frame.height != len(test):
            raise EvidenceError(
                f"has {frame.height:,} rows, the test table {len(test):,}",
                where=path,
                remedy="give a row for each test row, or ids (--id) that both tables have",
            )
        return np.arange(frame.height)
    assert test.ids is not None  # noqa: S101 - the caller has looked
    mine = frame[id_column].fill_null("").hash(1).to_numpy()
    order = np.argsort(mine, kind="stable")
    at = order[np.minimum(np.searchsorted(mine[order], test.ids), len(mine) - 1)]
    missing = mine[at] != test.ids
    if missing.any():
        raise EvidenceError(
            f"says nothing of {int(missing.sum()):,} test rows, the first row {int(np.argmax(missing)) + 2}",
            where=path,
            remedy="give a row for each id of the test table",
        )
    return at.astype(np.int64)


def _finite(
    path: Path, frame: pl.DataFrame, names: list[str], order: NDArray[np.int64]
) -> NDArray[np.float64]:
    for name in names:
        values = frame[name].cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        bad = ~np.isfinite(values)
        if bad.any():
            row = int(np.argmax(bad))
            raise EvidenceError(
                f"column {visible(name, 80)!r} holds no number: {visible(str(frame[name][row]), 40)!r}",
                where=path,
                row=int(order[row]) + 2,
                remedy="give a finite number in every row",
            )
    return frame.select(pl.col(name).cast(pl.Float64) for name in names).to_numpy()


def _classes(
    path: Path, column: pl.Series, classes: list[str], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    codes = {name: code for code, name in enumerate(classes)}
    found = class_name(column).replace_strict(codes, default=-1, return_dtype=pl.Int64).to_numpy()
    if (found < 0).any():
        row = int(np.argmax(found < 0))
        raise EvidenceError(
            f"predicts a class that the tables do not have: {visible(str(column[row]), 60)!r}",
            where=path,
            row=int(order[row]) + 2,
            remedy="use the names of the label column",
        )
    return found
