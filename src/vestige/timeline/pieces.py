"""Every event of some recordings with its surprise, piece by piece: of a test part, or of evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.checkpoint import Loaded
from vestige.log import get
from vestige.models.base import Detector
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.runs.directory import RunDirectory
from vestige.scoring.judged import JudgedBatch

log = get(__name__)

PIECE = 16_384
"""Events at a time."""


@dataclass(frozen=True)
class Piece:
    """Consecutive events of a recording, `(n,)` each: their number in the recording (from 1), the byte of the
    trace, the row of `table` that says what they are, and how surprising they were (NaN: not judged).

    `table` has `text`, `token`, `module` and `kind` (see `sources.traces.symbols`); `truth` is the
    recording's label, "" where nobody said.
    """

    recording: str
    truth: str
    event: NDArray[np.int64]
    offset: NDArray[np.int64]
    symbol: NDArray[np.int64]
    surprise: NDArray[np.float64]
    table: pl.DataFrame


def of_test_part(folder: Path, loaded: Loaded) -> Iterator[Piece]:
    """The test recordings of the run that the detector in `folder` belongs to, all of their events."""
    test = RunDirectory(folder).test_part(loaded)
    windows = test.windows
    table = windows.table("symbols")
    if windows.schema.stride > 1:
        log.warning(
            "judged is one event in %d, as in the dataset: name raw recordings to have every one judged",
            windows.schema.stride,
        )
    for number in windows.present.tolist():
        yield from _of_recording(number, test, loaded.detector, table)


def _of_recording(
    number: int, test: EncodedWindows, detector: Detector, table: pl.DataFrame
) -> Iterator[Piece]:
    windows = test.windows.select(test.windows.recording == number)
    mine, target = test.over(windows), windows.target_step
    recording = windows.recordings.row(number, named=True)
    first, end = recording["first_step"], recording["first_step"] + recording["n_steps"]
    symbols, offsets = windows.streams["symbol"], windows.streams["offset"]
    truth = windows.schema.classes[int(windows.label[0])]
    seen = 0
    for start in range(first, end, PIECE):
        stop = min(start + PIECE, end)
        surprise = np.full(stop - start, np.nan)
        low, high = np.searchsorted(target, [start, stop])
        if high > low:
            batch = mine.batch(slice(low, high), detector.input_names)
            surprise[target[low:high] - start] = surprise_of(detector, batch)
        real = np.flatnonzero(symbols[start:stop])
        event = np.arange(seen + 1, seen + len(real) + 1)
        seen += len(real)
        yield Piece(
            recording["id"], truth, event, offsets[start:stop][real],
            symbols[start:stop][real].astype(np.int64), surprise[real], table,
        )  # fmt: skip


def of_evidence(judged: Iterator[JudgedBatch]) -> Iterator[Piece]:
    """Raw traces, as `vestige score` reads them."""
    for found in judged:
        place, batch = found.batch.place, found.batch
        yield Piece(
            place["file"][0], "", place["event"].to_numpy(), place["offset"].to_numpy(),
            batch.steps["symbol"][:, -1].astype(np.int64), found.judgement.strangeness, batch.symbols,
        )  # fmt: skip


def surprise_of(detector: Detector, batch: Batch) -> NDArray[np.float64]:
    """Surprise in nats `(B,)`, or a classifier's score. Equal windows are judged once."""
    names: Sequence[str] = detector.input_names
    if len(names) != 1 or detector.inputs[0].kind != "tokens":
        return detector.judge(batch).strangeness
    distinct, again = np.unique(batch[names[0]], axis=0, return_inverse=True)
    strangeness: NDArray[np.float64] = detector.judge({names[0]: distinct}).strangeness[again.reshape(-1)]
    return strangeness
