"""From alerts to a table of clusters: judge, explain, merge, cluster, write; piece by piece."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from vestige.checkpoint import Loaded, load
from vestige.engine import Engine
from vestige.errors import OutputError, UsageError
from vestige.models.base import Detector
from vestige.reading.steps import Progress
from vestige.runs.directory import RunDirectory
from vestige.scoring import check_device
from vestige.scoring.normal import NormalScorer
from vestige.scoring.windows import judge_batches, read_windows
from vestige.storage import atomic_file, locked, refuse_files, writing
from vestige.triage import spread
from vestige.triage.alerts import TOLD, alerts_of
from vestige.triage.clusters import Cluster, clusters_of, named
from vestige.triage.evidence import of_evidence, of_test_part
from vestige.triage.explained import Explanations
from vestige.triage.incidents import Grouping, Ranked, ranked
from vestige.triage.options import TriageOptions
from vestige.triage.table import MEMBERS, TABLE, is_ours, summary, write_table

JUDGED = {**TOLD, "number": pl.Int64()}


@dataclass(frozen=True)
class Outcome:
    """What was found: `looked_at` windows, `alerts` of them, the clusters, and where table and members lie.
    `explanations`: how many different ones, None of a detector of what is normal, which is asked for none.
    `summary`: a row a cluster, see `table.summary`."""

    looked_at: int
    alerts: int
    explanations: int | None
    clusters: list[Cluster]
    summary: pl.DataFrame
    table: Path
    members: Path


def triage(
    run: Path,
    out: Path | None = None,
    *,
    options: TriageOptions,
    evidence: Sequence[Path] = (),
    every: bool = False,
    overwrite: bool = False,
    device: str = "cpu",
    engine: Engine | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Cluster the alerts on a run's test part, or on raw `evidence`; `every`: all windows, alerts or not.

    A detector of what is normal has no test part: its clusters are incidents, and with `every` what is usual
    by machine and event. The workers of an `engine` judge the windows; None: this process does.

    Writes `triage.csv` and `triage_members.parquet` into `out` (the detector's folder), both or neither.
    Raises UsageError for a detector of another task, OutputError where there is a triage already.
    """
    check_device(device)
    folder = RunDirectory.open(run).detector()
    if out is None:
        out = folder
    _refuse_existing(out, overwrite=overwrite)
    loaded = load(folder, device=device)
    found = _found(loaded, folder, options, evidence, engine, every=every)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    # Locked, so that of two that begin at once the labels of neither are lost.
    with (
        locked(out),
        writing(out),
        tempfile.TemporaryDirectory(prefix=".triage.", suffix=".tmp", dir=out) as spool,
    ):
        _refuse_existing(out, overwrite=overwrite)
        looked_at = _spool(found.judged(), Path(spool), progress)
        clusters = found.clusters()
        with atomic_file(out / TABLE) as table, atomic_file(out / MEMBERS) as members:
            _write_members(Path(spool), clusters, members)
            rows = summary(members, clusters)
            write_table(table, rows)
    alerts = sum(cluster.size for cluster in clusters)
    explanations = None
    if isinstance(found, ByExplanation):
        explanations = sum(len(cluster.numbers) for cluster in clusters)
    return Outcome(looked_at, alerts, explanations, clusters, rows, out / TABLE, out / MEMBERS)


class Found(Protocol):
    """What is put together."""

    def judged(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """Of each piece of evidence how many windows it has, and the alerts among them, with `JUDGED`."""

    def clusters(self) -> list[Cluster]:
        """What they are put together to, once all are judged."""


@dataclass
class ByExplanation:
    """Alerts of a next-token detector: how many windows were looked at, and those of them that alert."""

    alerts: Iterator[tuple[int, pl.DataFrame]]
    found: Explanations
    detector: str

    def judged(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """See `Found.judged`."""
        for windows, alerts in self.alerts:
            kept = alerts.select(TOLD.keys())
            number = pl.Series(dtype=pl.Int64())
            if alerts.height:
                number = pl.Series(self.found.add(alerts))
            yield windows, kept.with_columns(number=number)

    def clusters(self) -> list[Cluster]:
        """See `Found.clusters`."""
        return clusters_of(self.found, self.detector)


@dataclass
class ByIncident:
    """What a detector of what is normal finds rare."""

    batches: Iterable[Ranked]
    grouping: Grouping
    detector: str

    def judged(self) -> Iterator[tuple[int, pl.DataFrame]]:
        """See `Found.judged`."""
        yield from self.grouping.add(self.batches)

    def clusters(self) -> list[Cluster]:
        """See `Found.clusters`."""
        return named(self.grouping.clusters(), f"{self.detector} {self.grouping.rest}")


def _found(
    loaded: Loaded,
    where: Path,
    options: TriageOptions,
    evidence: Sequence[Path],
    engine: Engine | None,
    *,
    every: bool,
) -> Found:
    scorer, digest = NormalScorer.of(loaded), loaded.header.weights.sha256
    if scorer is not None:
        if not evidence:
            raise UsageError(
                "a detector of what is normal has no test part",
                where=where,
                remedy=f"name evidence: vestige triage {where} EVIDENCE",
            )
        if engine is None:
            batches = ranked(judge_batches(loaded, read_windows(evidence, loaded)), scorer)
        else:
            batches = spread.ranked(where, evidence, engine, scorer, rest=every)
        return ByIncident(batches, Grouping(scorer.detector, every), digest)
    detector, limit = _next_token(loaded, where), -np.inf
    if not every:
        limit = _threshold(loaded, where)
    alerts: Iterator[tuple[int, pl.DataFrame]]
    if engine is None:
        pieces = of_evidence(evidence, loaded) if evidence else of_test_part(where, loaded)
        alerts = ((len(piece.tokens), alerts_of(piece, detector, limit)) for piece in pieces)
    else:
        alerts = spread.alerts(where, evidence, engine, limit)
    return ByExplanation(alerts, Explanations(detector, options), digest)


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    """An operator's labels may be in the table that lies there."""
    remedy = "keep it with its labels and choose another folder (-o)"
    refuse_files(out / TABLE, out / MEMBERS, overwrite=overwrite, remedy=remedy)
    if (out / TABLE).exists() and not is_ours(out / TABLE):
        raise OutputError(
            "was not written by this program; it is left alone",
            where=out / TABLE,
            remedy="choose another folder (-o)",
        )


def _next_token(loaded: Loaded, where: Path) -> Detector:
    if loaded.detector.task == "next":
        return loaded.detector
    source = loaded.schema.source
    raise UsageError(
        "triage needs a detector of the task next, or one that vestige learn made; "
        f"{loaded.detector.name} is a classifier",
        where=where,
        remedy=f"train one: vestige run {source} CORPUS --task next -o RUN",
    )


def _threshold(loaded: Loaded, where: Path) -> float:
    if loaded.threshold is not None:
        return loaded.threshold
    raise UsageError("this detector has no alert threshold", where=where, remedy="add --all")


def _spool(judged: Iterator[tuple[int, pl.DataFrame]], spool: Path, progress: Progress | None) -> int:
    """Leave the alerts of every piece in `spool`; returns how many windows there were."""
    seen = 0
    pl.DataFrame(schema=JUDGED).write_parquet(spool / f"{0:08d}.parquet")
    for number, (windows, kept) in enumerate(judged, 1):
        if kept.height:
            kept.write_parquet(spool / f"{number:08d}.parquet")
        seen += windows
        if progress is not None:
            progress(seen, None)
    return seen


def _write_members(spool: Path, clusters: list[Cluster], path: Path) -> None:
    """Every alert with its cluster, in the order in which they came, without holding them all."""
    rows: list[tuple[int, str, str]] = []
    examples: list[int] = []
    for cluster in clusters:
        rows += [(number, cluster.id, cluster.event) for number in cluster.numbers]
        examples += cluster.examples
    schema = {"number": pl.Int64(), "cluster": pl.String(), "event": pl.String()}
    of_number = pl.LazyFrame(rows, schema=schema, orient="row")
    shown = pl.Series(examples, dtype=pl.Int64())
    members = pl.scan_parquet(sorted(spool.glob("*.parquet")))
    joined = members.join(of_number, on="number", how="left", maintain_order="left")
    marked = joined.with_columns(example=pl.col("window").is_in(shown.implode()))
    marked.rename({"number": "explanation"}).sink_parquet(path, maintain_order=True)
