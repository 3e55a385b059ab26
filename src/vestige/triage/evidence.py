"""The windows that triage looks at, piece by piece: of a run's test part, or of raw evidence.

Letters: B windows, T tokens of a window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.checkpoint import Loaded
from vestige.reading.encoding import EncodedWindows
from vestige.reading.steps import NO_TIME
from vestige.reading.windower import WindowBatch
from vestige.reading.windows import WindowSet
from vestige.runs.directory import RunDirectory
from vestige.scoring.windows import read_windows
from vestige.sources import registry

PIECE = 16_384
"""Windows of a test part at a time."""
COLUMNS = {
    "window": pl.Int64(),
    "file": pl.String(),
    "line": pl.Int64(),
    "machine": pl.String(),
    "t_ns": pl.Int64(),
    "truth": pl.String(),
}
"""What is known of a window: its number (from 0), where it ends, when (null: nobody knows), its label or
null."""


@dataclass(frozen=True)
class Piece:
    """Some windows: `tokens (B, T)`, `about` with `COLUMNS`, and what each judged event is called."""

    tokens: NDArray[np.int64]
    about: pl.DataFrame
    texts: pl.Series


def of_test_part(folder: Path, loaded: Loaded) -> Iterator[Piece]:
    """The test part that the detector in `folder` was judged by. Raises as opening run and dataset does."""
    test = RunDirectory(folder).test_part(loaded)
    return of_rows(test, loaded, 0, len(test))


def of_rows(test: EncodedWindows, loaded: Loaded, begin: int, end: int) -> Iterator[Piece]:
    """The windows of a test part from the row `begin` up to `end`."""
    windows = test.windows.select(slice(begin, end))
    source = registry.get(windows.schema.source)
    name = loaded.detector.inputs[0].name
    for rows, batch in test.over(windows).batches(PIECE, (name,)):
        place = source.place(windows, rows)
        hosts = windows.recordings["host"].gather(windows.recording[rows])
        truth = _truth(windows, rows)
        about = _about(begin + int(rows[0]), place, place.get_column("machine", default=hosts))
        about = about.with_columns(t_ns=_times(windows.t_ns[rows]), truth=truth)
        yield Piece(batch[name], _typed(about), place["text"])


def of_evidence(paths: Sequence[Path], loaded: Loaded) -> Iterator[Piece]:
    """Raw evidence, as `vestige score` reads it; of sources that know no machines the file stands for it."""
    return of_batches(read_windows(paths, loaded), loaded)


def of_batches(batches: Iterable[WindowBatch], loaded: Loaded) -> Iterator[Piece]:
    """Windows of raw evidence, the first of which has the number 0."""
    name, first = loaded.detector.inputs[0].name, 0
    for batch in batches:
        bound = loaded.encoder.bind(batch.symbols)
        tokens = bound.encode(batch.steps, (name,))[name]
        yield Piece(tokens, about_of(batch, first), batch.text)
        first += len(tokens)


def about_of(batch: WindowBatch, first: int) -> pl.DataFrame:
    """What is known of windows of raw evidence, the first of which has the number `first`."""
    about = _about(first, batch.place, batch.place.get_column("machine", default=batch.place["file"]))
    return _typed(about.with_columns(t_ns=_times(batch.t_ns), truth=pl.lit(None, pl.String())))


def _times(t_ns: NDArray[np.int64]) -> pl.Series:
    return pl.Series(t_ns).replace(NO_TIME, None)


def _truth(test: WindowSet, rows: NDArray[np.int64]) -> pl.Series:
    if not test.notes.get("labelled", True):
        return pl.Series([None] * len(rows), dtype=pl.String())
    return pl.Series(test.schema.classes, dtype=pl.String()).gather(test.label[rows].astype(np.int64))


def _about(first: int, place: pl.DataFrame, machine: pl.Series) -> pl.DataFrame:
    numbers = pl.Series("window", np.arange(first, first + place.height))
    if "line" in place.columns:
        line = place["line"]
    else:
        # Recordings have no lines: what is looked up there is the number of the event.
        line = place["event"].alias("line")
    return pl.DataFrame([numbers, place["file"], line, machine.alias("machine")])


def _typed(about: pl.DataFrame) -> pl.DataFrame:
    casts: list[Any] = [pl.col(name).cast(kind) for name, kind in COLUMNS.items()]
    return about.select(casts)
