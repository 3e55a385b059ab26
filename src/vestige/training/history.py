"""What happened in each epoch: rows of `history.csv`, written whole after every epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.storage import write_text

FILE = "history.csv"
Row = dict[str, Any]
"""`epoch` (from 1), `step` (optimiser steps so far), `train_loss`, `val_loss`, the objective's figure
(`val_macro_f1` or `val_top1`), `learning_rate` (of the last step), `seconds` (of this epoch, over all its
parts if it was resumed)."""
Report = Callable[[int, float], None]
"""Called with an epoch (from 1) and its score, which should be as high as possible: see `judge.Objective`."""


def write(directory: Path, rows: list[Row]) -> None:
    """Write `history.csv` atomically; its columns are the rows' keys in the order they first appear."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(directory / FILE, text.getvalue())


def macro_f1(truth: NDArray[Any], predicted: NDArray[Any], n_classes: int) -> float:
    """Mean F1 over the classes that occur among `truth (N,)` or `predicted (N,)`; 0 where there are none."""
    pairs = truth.astype(np.int64) * n_classes + predicted.astype(np.int64)
    confusion = np.bincount(pairs, minlength=n_classes * n_classes).reshape(n_classes, n_classes)
    hits = np.diag(confusion)
    support = confusion.sum(axis=0) + confusion.sum(axis=1)
    seen = support > 0
    if not seen.any():
        return 0.0
    return float(np.mean(2 * hits[seen] / support[seen]))
