"""Evidence that is in memory, and scores as a frame: what Python hands over where the command line has files.

Lines and frames are written to a file in a temporary directory and read from there: so they are read as any
evidence is, and nothing depends on where it came from.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError, UsageError
from vestige.reading.preview import Row
from vestige.scoring import windows
from vestige.scoring.normal import NormalScorer

LINES, EVENTS = "lines.log", "events.jsonl"
TEXT = ("text", "line", "message")
"""Columns that hold a log's lines, where a frame has several columns of strings."""
STEPS = 1 << 14
"""Rows that become columns at a time."""
TIME = pl.Datetime("ns", "UTC")
PLACE: dict[str, Any] = {
    "host": pl.String,
    "recording": pl.String,
    "file": pl.String,
    "line": pl.Int64,
    "offset": pl.Int64,
}


@dataclass(frozen=True)
class Given:
    """Evidence as a file. `begins (N,)`: the line, from 1, that each of the N lines or rows given begins
    with; None of what was a file already."""

    path: Path
    begins: NDArray[np.int64] | None = None


def path_of(evidence: str | os.PathLike[str]) -> Path:
    """The path of evidence. Raises UsageError for an empty one, which would be the working directory."""
    if evidence == "":
        raise UsageError("the path is empty", remedy="give a file or a directory; lines are given as a list")
    return Path(evidence)


@contextlib.contextmanager
def as_file(
    evidence: str | os.PathLike[str] | Sequence[str] | pl.DataFrame, source: str, text: str | None = None
) -> Iterator[Given]:
    """Evidence as a file for the source that reads it, as long as the block runs.

    Raises UsageError for what the source cannot read from memory, EvidenceError where nothing was given.
    """
    if isinstance(evidence, str | os.PathLike):
        yield Given(path_of(evidence))
        return
    if not isinstance(evidence, pl.DataFrame | Sequence):
        raise UsageError(
            f"evidence that is {type(evidence).__name__}",
            remedy="give a path, a list of str, or a Polars frame",
        )
    if not len(evidence):
        raise EvidenceError("there are no lines", remedy="give at least one")
    with tempfile.TemporaryDirectory(prefix="vestige-") as place:
        if isinstance(evidence, pl.DataFrame) and source == "events":
            path = Path(place) / EVENTS
            evidence.write_ndjson(path)
            yield Given(path, np.arange(1, evidence.height + 1))
            return
        if source != "logs":
            raise UsageError(
                f"{source} cannot be read from {type(evidence).__name__}",
                remedy="give the path of the evidence" + (", or a frame" if source == "events" else ""),
            )
        path = Path(place) / LINES
        yield Given(path, _write(path, _lines(evidence, text)))


def scores(
    run: Path, given: Given, *, device: str = "cpu", alerts_only: bool = False, explain: bool = True
) -> pl.DataFrame:
    """What the detector in the directory `run` says of evidence, a row a window: see `vestige.api`."""
    loaded, batches = windows.judge(run, [given.path], device=device)
    scorer = NormalScorer.of(loaded)
    frames = []
    for judged in batches:
        if scorer is not None:
            rows = list(scorer.rows(judged, alerts_only=alerts_only))
        else:
            texts = judged.batch.messages(np.arange(len(judged.batch)))
            names = [judged.batch.recordings[code] for code in judged.batch.recording.tolist()]
            rows = [
                {"host": name.host or None, "recording": name.id, "text": text} | row
                for row, text, name in zip(
                    windows.rows_of(judged, loaded, explain=explain), texts, names, strict=True
                )
                if not alerts_only or row["alert"]
            ]
        frames.append(_score_frame(rows))
    if scorer is not None:
        scorer.tell()
    found = pl.concat(frames, how="diagonal_relaxed") if frames else _score_frame([])
    if given.begins is not None and "line" in found:
        row = np.searchsorted(given.begins, found["line"].to_numpy(), side="right") - 1
        found = found.insert_column(5, pl.Series("row", row, dtype=pl.Int64))
    return found


def step_frame(rows: Iterator[Row]) -> pl.DataFrame:
    """Steps as `reading.preview` gives them, as a frame."""
    first = {
        "time": pl.String,
        "host": pl.String,
        "recording": pl.String,
        "text": pl.String,
        "label": pl.String,
    }
    frames = []
    while piece := list(itertools.islice(rows, STEPS)):
        frames.append(_frame(piece, first | PLACE))
    if not frames:
        return _timed(pl.DataFrame(schema=first | PLACE))
    return _timed(pl.concat(frames, how="diagonal_relaxed"))


def _score_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    first = {
        "time": pl.String,
        "text": pl.String,
        "score": pl.Float64,
        "alert": pl.Boolean,
        "reasons": pl.List(pl.String),
    }
    plain = [row | {"reasons": list(map(_sentence, row.get("reasons", ())))} for row in rows]
    # What an alert tells besides (what was expected, the nearest example) is nested: the command line has it.
    kept = [{name: value for name, value in row.items() if not _is_nested(name, value)} for row in plain]
    return _timed(_frame(kept, first | PLACE))


def _sentence(reason: dict[str, Any]) -> str:
    if "says" in reason:
        return str(reason["says"])
    return f"{reason['what']} ({reason['contribution']:+.3g}, step {reason['step']})"


def _is_nested(name: str, value: Any) -> bool:
    return name != "reasons" and isinstance(value, list | dict)


def _frame(rows: Sequence[dict[str, Any]], known: dict[str, Any]) -> pl.DataFrame:
    """Rows as a frame: the known columns first, with their types, then whatever else a row has."""
    others = dict.fromkeys(name for row in rows for name in row if name not in known)
    columns = {name: pl.Series(name, [row.get(name) for row in rows], dtype=known[name]) for name in known}
    more = {name: pl.Series(name, [row.get(name) for row in rows], strict=False) for name in others}
    return pl.DataFrame(columns | more)


def _timed(frame: pl.DataFrame) -> pl.DataFrame:
    time = pl.col("time").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="ns").dt.replace_time_zone("UTC")
    return frame.with_columns(time.cast(TIME))


def _lines(evidence: Iterable[str] | pl.DataFrame, column: str | None) -> Iterable[str]:
    """The lines of a log. Raises UsageError for what holds none."""
    if not isinstance(evidence, pl.DataFrame):
        return evidence
    strings = [name for name, kind in evidence.schema.items() if kind == pl.String]
    chosen = column
    if chosen is None:
        chosen = strings[0] if len(strings) == 1 else next((name for name in TEXT if name in strings), None)
    if chosen not in strings:
        raise UsageError(
            f"no column {chosen!r} of strings" if chosen else "it is not clear which column holds the lines",
            remedy=f"name one as `text`; columns of strings: {', '.join(strings) or 'none'}",
        )
    return evidence[chosen].fill_null("").to_list()


def _write(path: Path, lines: Iterable[str]) -> NDArray[np.int64]:
    """Write lines, and return the number, from 1, of the line of the file that each begins with. A text of
    several lines is that message with the lines that follow it."""
    begins, number = [], 1
    with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        for line in lines:
            if not isinstance(line, str):
                raise UsageError(
                    f"line {len(begins)} is no str but {type(line).__name__}", remedy="give a list of str"
                )
            file.write(line + "\n")
            begins.append(number)
            number += line.count("\n") + 1
    return np.array(begins, dtype=np.int64)
