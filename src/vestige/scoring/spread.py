"""Scoring by the workers of an engine: each reads and judges whole units, and leaves its rows in a file.

What one process decides about the units in their order (which alerts are within a budget, which recording is
the worst) is decided here, so that the rows are those of `windows.score` and `recordings.score_recordings`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import lru_cache, partial
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from vestige.checkpoint import Loaded, Pooling, load
from vestige.engine import Engine
from vestige.errors import UsageError, VestigeError
from vestige.log import get
from vestige.reading import live
from vestige.reading.steps import Evidence, Listing, Progress, Reader, Unit
from vestige.runs.directory import RunDirectory
from vestige.scoring.normal import NormalScorer
from vestige.scoring.recordings import Tally, ranked, tallied
from vestige.scoring.windows import json_line, judge_batches, rows_of, tell_rounded

CHUNK = 8
"""Isolated units that a worker gets at a time: each process that may be killed loads the detector anew."""

log = get(__name__)


class Numbered(NamedTuple):
    """A unit on its way to a worker."""

    number: int
    unit: Any


def score(
    run: Path,
    evidence: Sequence[Path],
    engine: Engine,
    *,
    quantize: bool = False,
    rounded: bool = False,
    alerts_only: bool = False,
    progress: Progress | None = None,
) -> Iterator[dict[str, Any]]:
    """The dicts of `windows.score`, in its order. Raises as that does, and UsageError for evidence that no
    worker can read apart: standard input, and files in which the events of many machines lie mixed."""
    with tempfile.TemporaryDirectory(prefix="vestige-") as folder:
        work = partial(_score_unit, run, quantize, rounded, alerts_only, Path(folder))
        scorer = NormalScorer.of(load(run))
        if rounded:
            tell_rounded()
        for path in of_units(run, evidence, engine, work, progress, writes=Path(folder)):
            with path.open("rb") as file:
                yield from _rows(file, scorer, alerts_only)
            path.unlink()
        if scorer is not None:
            scorer.tell()


def score_recordings(
    run: Path,
    evidence: Sequence[Path],
    engine: Engine,
    *,
    quantize: bool = False,
    rounded: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """The dicts of `recordings.score_recordings`. Raises as `score` does."""
    found: dict[str, Tally] = {}
    called = "file"
    detector = load(run)
    if rounded:
        tell_rounded()
    work = partial(_tally_unit, run, quantize, rounded)
    for of_unit, tallies in of_units(run, evidence, engine, work, progress):
        called = of_unit
        found |= tallies
    return ranked(found, called, detector)


def of_units(
    run: Path,
    evidence: Sequence[Path],
    engine: Engine,
    work: partial[Any],
    progress: Progress | None,
    writes: Path | None = None,
) -> Iterator[Any]:
    """What `work` says of each unit, in their order; a unit that cannot be read is left out, and told."""
    reader = load(run).reader()
    listing = _listing(reader, evidence)
    for defect in listing.left_out:
        log.warning("%s was left out: %s", defect.file, defect.why)
    outcomes = engine.map(
        work,
        map(Numbered, count(), listing.units),
        chunk=CHUNK if reader.isolate else 1,
        isolate=reader.isolate,
        reads=lambda item: (*item.unit.paths, run),
        writes=writes,
    )
    done, refused, read = 0, None, False
    for outcome in outcomes:
        unit = outcome.item.unit
        try:
            yield outcome.unwrap()
            read = True
        except VestigeError as error:
            refused = refused or error
            if unit.named or error.fatal:
                raise
            log.warning("%s was left out: %s", unit.name, error.what)
        done += unit.size or 0
        if progress is not None:
            progress(done, listing.total)
    if refused is not None and not read:
        raise refused


def _listing(reader: Reader[Any], evidence: Sequence[Path]) -> Listing[Any]:
    if reader.interleaved:
        raise UsageError(
            "the events of many machines lie mixed in these files: one process scores them in their order",
            remedy="leave out --engine",
        )
    listing = reader.units(Evidence(tuple(evidence), "live"))
    if any(unit.size is None for unit in listing.units):
        raise UsageError(
            "what comes bit by bit is scored where it comes", remedy="leave out --engine, or give files"
        )
    return listing


def _score_unit(
    run: Path, quantize: bool, rounded: bool, alerts_only: bool, folder: Path, item: Numbered
) -> Path:
    """What a worker does: the rows of a unit, in a file.

    Of each batch there is a line of JSON: how many windows, what their recordings are called, how many rows.
    Of a detector with a budget ln of the p-values `(B,)` float64 follow, and the recordings `(B,)` int64.
    Then come the rows, a line each: of windows that may be within a budget as if they were.
    """
    detector, reader = loaded(run, quantize, rounded)
    scorer = NormalScorer.of(detector)
    path = folder / f"{item.number}.rows"
    with path.open("wb") as file, closing(live.windows_of(reader, alone(item.unit))) as batches:
        for judged in judge_batches(detector, batches):
            if scorer is None:
                rows = rows_of(judged, detector)
                lines = [json_line(row) for row in rows if not alerts_only or row["alert"]]
                _write_batch(file, {"rows": len(lines)}, lines)
                continue
            log_p, names = scorer.strangeness(judged)
            possible = scorer.budget.possible(log_p)
            lines = [json_line(row) for row in scorer.told(judged, possible, alerts_only=alerts_only)]
            about = {"rows": len(lines), "windows": len(log_p), "names": names}
            _write_batch(file, about, lines, log_p, judged.batch.recording.astype(np.int64))
    return path


def _write_batch(
    file: BinaryIO, about: dict[str, Any], lines: list[str], *arrays: np.ndarray[Any, Any]
) -> None:
    file.write(json.dumps(about).encode() + b"\n")
    file.writelines(array.tobytes() for array in arrays)
    file.writelines(line.encode() + b"\n" for line in lines)


def _rows(file: BinaryIO, scorer: NormalScorer | None, alerts_only: bool) -> Iterator[dict[str, Any]]:
    """The rows that a worker wrote, those beyond the budget as what they are."""
    while header := file.readline():
        about = json.loads(header)
        if scorer is None:
            for _ in range(about["rows"]):
                yield json.loads(file.readline())
            continue
        n = about["windows"]
        log_p = np.frombuffer(file.read(8 * n), dtype=np.float64)
        recording = np.frombuffer(file.read(8 * n), dtype=np.int64)
        alert = scorer.budget.decide(log_p, recording, about["names"])
        told = np.arange(n)
        if alerts_only:
            told = np.flatnonzero(scorer.budget.possible(log_p))
        for at in told.tolist():
            row = json.loads(file.readline())
            if alert[at] or not row["alert"]:
                yield row
            elif not alerts_only:
                yield NormalScorer.without_reasons(row)


def _tally_unit(run: Path, quantize: bool, rounded: bool, item: Numbered) -> tuple[str, dict[str, Tally]]:
    detector, reader = loaded(run, quantize, rounded)
    pooling = detector.header.notes.pooling or Pooling(kind="max")
    with closing(live.windows_of(reader, alone(item.unit))) as batches:
        return tallied(judge_batches(detector, batches), detector, pooling)


def alone(unit: Unit) -> Listing[Any]:
    """Of one unit."""
    # As if a person had named it: that it cannot be read is then an error, which the caller tells.
    return Listing([replace(unit, named=True)])


def loaded(run: Path, quantize: bool = False, rounded: bool = False) -> tuple[Loaded, Reader[Any]]:
    """A detector with its reader, loaded once by each worker."""
    return _load_once(str(RunDirectory.open(run).detector().absolute()), quantize, rounded)


@lru_cache(maxsize=1)
def _load_once(run: str, quantize: bool, rounded: bool) -> tuple[Loaded, Reader[Any]]:
    loaded = load(Path(run))
    if quantize:
        loaded.detector.quantize()
    if rounded:
        loaded.detector.round_products()
    return loaded, loaded.reader()
