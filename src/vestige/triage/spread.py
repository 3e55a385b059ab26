"""Judging for a triage by the workers of an engine: each judges whole units, and leaves in files what
triage needs of them. The one that asks puts it together, and decides by a budget, in the units' order."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from vestige.checkpoint import Loaded
from vestige.engine import Engine
from vestige.reading import live
from vestige.reading.encoding import EncodedWindows
from vestige.runs.directory import RunDirectory
from vestige.scoring import spread
from vestige.scoring.normal import NormalScorer
from vestige.scoring.windows import judge_batches
from vestige.triage.alerts import alerts_of
from vestige.triage.evidence import COLUMNS, PIECE, Piece, about_of, of_batches, of_rows
from vestige.triage.incidents import Ranked

PARTS = 4
"""Pieces of a test part for each worker, so that all end at about the same time."""


class Left(NamedTuple):
    """What a worker left of some windows: how many they are, and the file with a table of them."""

    windows: int
    file: Path


class Rows(NamedTuple):
    """Windows of a test part, from one row up to another."""

    begin: int
    end: int


def alerts(
    run: Path, evidence: Sequence[Path], engine: Engine, limit: float
) -> Iterator[tuple[int, pl.DataFrame]]:
    """How many windows were looked at, and those at or above `limit`, as `alerts_of` has them: of evidence,
    or of the run's test part. Raises as `scoring.spread.score` does."""
    with tempfile.TemporaryDirectory(prefix="vestige-") as folder:
        if evidence:
            work = partial(_alerts_of_unit, run, limit, Path(folder))
            every = spread.of_units(run, evidence, engine, work, None, writes=Path(folder))
        else:
            every = _of_test_part(run, engine, limit, Path(folder))
        first = 0
        for found in every:
            for windows, file in found:
                yield windows, pl.read_parquet(file).with_columns(pl.col("window") + first)
                file.unlink()
                first += windows


def ranked(
    run: Path, evidence: Sequence[Path], engine: Engine, scorer: NormalScorer, *, rest: bool
) -> Iterator[Ranked]:
    """What `Ranked.of` says of each batch of evidence: of all windows (`rest`), or of those that may be rare.
    Raises as `scoring.spread.score` does."""
    with tempfile.TemporaryDirectory(prefix="vestige-") as folder:
        work = partial(_ranked_of_unit, run, rest, Path(folder))
        first = 0
        for found in spread.of_units(run, evidence, engine, work, None, writes=Path(folder)):
            for windows, file in found:
                yield _decided(pl.read_parquet(file), first, scorer)
                file.unlink()
                first += windows


def _of_test_part(run: Path, engine: Engine, limit: float, folder: Path) -> Iterator[list[Left]]:
    part = _test_part(str(run))[1]
    most = min(PIECE, -(-len(part) // (PARTS * engine.workers)))
    items = [Rows(begin, min(begin + most, len(part))) for begin in range(0, len(part), most)]
    owner = RunDirectory(run)
    needed = (run, owner.dataset, owner.split)
    work = partial(_alerts_of_rows, run, limit, folder)
    for outcome in engine.map(work, items, reads=lambda _: needed, writes=folder):
        yield outcome.unwrap()


def _alerts_of_rows(run: Path, limit: float, folder: Path, rows: Rows) -> list[Left]:
    loaded, part = _test_part(str(run))
    return _alerts(of_rows(part, loaded, *rows), loaded, limit, folder, f"rows-{rows.begin}", rows.begin)


def _alerts_of_unit(run: Path, limit: float, folder: Path, item: spread.Numbered) -> list[Left]:
    loaded, reader = spread.loaded(run)
    with closing(live.windows_of(reader, spread.alone(item.unit))) as batches:
        return _alerts(of_batches(batches, loaded), loaded, limit, folder, f"unit-{item.number}", 0)


def _alerts(
    pieces: Iterator[Piece], loaded: Loaded, limit: float, folder: Path, name: str, first: int
) -> list[Left]:
    """A file for each piece, whose windows are counted from `first` on in it, and from 0 in the file."""
    left: list[Left] = []
    for number, piece in enumerate(pieces):
        found = alerts_of(piece, loaded.detector, limit)
        here = first + sum(windows for windows, _ in left)
        left.append(Left(len(piece.tokens), folder / f"{name}-{number}.parquet"))
        found.with_columns(pl.col("window") - here).write_parquet(left[-1].file)
    return left


def _ranked_of_unit(run: Path, rest: bool, folder: Path, item: spread.Numbered) -> list[Left]:
    """A file for each batch, with a row for each window: what a budget decides by; of those that are wanted
    also where they are, the event, and the row that `vestige score` would write if it could alert."""
    loaded, reader = spread.loaded(run)
    scorer = NormalScorer.of(loaded)
    if scorer is None:
        raise TypeError("only a detector of the task normal ranks windows")
    left: list[Left] = []
    with closing(live.windows_of(reader, spread.alone(item.unit))) as batches:
        for number, judged in enumerate(judge_batches(loaded, batches)):
            left.append(Left(len(judged.batch), folder / f"unit-{item.number}-{number}.parquet"))
            log_p, names = scorer.strangeness(judged)
            possible = scorer.budget.possible(log_p)
            wanted = np.flatnonzero(possible | rest)
            rows = map(json.dumps, scorer.told(judged, possible, alerts_only=not rest))
            told = about_of(judged.batch, 0)[wanted].with_columns(
                event=judged.batch.text.gather(wanted), row=pl.Series([*rows], dtype=pl.String())
            )
            owner = pl.Series(names, dtype=pl.String()).gather(judged.batch.recording.astype(np.int64))
            every = pl.DataFrame({"at": np.arange(len(log_p)), "log_p": log_p, "owner": owner})
            told = told.with_columns(at=pl.Series(wanted))
            every.join(told, on="at", how="left", maintain_order="left").write_parquet(left[-1].file)
    return left


def _decided(table: pl.DataFrame, first: int, scorer: NormalScorer) -> Ranked:
    """A worker's batch, those beyond the budget as what they are."""
    owners = table["owner"].unique(maintain_order=True).to_list()
    of = table["owner"].replace_strict(owners, range(len(owners)), return_dtype=pl.Int64)
    log_p = table["log_p"].to_numpy()
    alert = pl.Series(scorer.budget.decide(log_p, of.to_numpy(), owners))
    wanted = table.with_columns(alert=alert).filter(pl.col("row").is_not_null())
    rows = []
    for text, alerts in zip(wanted["row"].to_list(), wanted["alert"].to_list(), strict=True):
        row = json.loads(text)
        if row["alert"] and not alerts:
            row = NormalScorer.without_reasons(row)
        rows.append(row)
    about = wanted.select(COLUMNS.keys()).with_columns(pl.col("window") + first)
    return Ranked(table.height, about, wanted["event"].to_list(), -wanted["log_p"].to_numpy(), rows)


@lru_cache(maxsize=1)
def _test_part(run: str) -> tuple[Loaded, EncodedWindows]:
    loaded, _ = spread.loaded(Path(run))
    return loaded, RunDirectory(Path(run)).test_part(loaded)
