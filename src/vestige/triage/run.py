"""From alerts to a table of clusters: judge, explain, merge, cluster, write; piece by piece."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.checkpoint import Loaded, load
from vestige.errors import OutputError, UsageError
from vestige.models.base import Detector
from vestige.reading.steps import Progress
from vestige.runs.directory import RunDirectory
from vestige.scoring import check_device
from vestige.storage import atomic_file, locked, refuse_files, writing
from vestige.triage.clusters import Cluster, clusters_of
from vestige.triage.evidence import COLUMNS, Piece, of_evidence, of_test_part
from vestige.triage.explained import Explanations
from vestige.triage.options import TriageOptions
from vestige.triage.table import MEMBERS, TABLE, is_ours, summary, write_table

JUDGED = {**COLUMNS, "surprise": pl.Float64(), "rank": pl.Int64(), "number": pl.Int64()}


@dataclass(frozen=True)
class Outcome:
    """What was found: `looked_at` windows, `alerts` of them, `explanations` different ones, the clusters,
    and where table and members lie. `summary`: a row a cluster, see `table.summary`."""

    looked_at: int
    alerts: int
    explanations: int
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
    progress: Progress | None = None,
) -> Outcome:
    """Cluster the alerts on a run's test part, or on raw `evidence`; `every`: all windows, alerts or not.

    Writes `triage.csv` and `triage_members.parquet` into `out` (the detector's folder), both or neither.
    Raises UsageError for a detector of another task, OutputError where there is a triage already.
    """
    check_device(device)
    folder = RunDirectory.open(run).detector()
    if out is None:
        out = folder
    _refuse_existing(out, overwrite=overwrite)
    loaded = load(folder, device=device)
    found = Explanations(_next_token(loaded, folder), options)
    limit = -np.inf
    if not every:
        limit = _threshold(loaded, folder)
    if evidence:
        pieces = of_evidence(evidence, loaded)
    else:
        pieces = of_test_part(folder, loaded)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    # Locked, so that of two that begin at once the labels of neither are lost.
    with (
        locked(out),
        writing(out),
        tempfile.TemporaryDirectory(prefix=".triage.", suffix=".tmp", dir=out) as spool,
    ):
        _refuse_existing(out, overwrite=overwrite)
        looked_at = _spool(pieces, found, limit, Path(spool), progress)
        clusters = clusters_of(found, loaded.header.weights.sha256)
        with atomic_file(out / TABLE) as table, atomic_file(out / MEMBERS) as members:
            _write_members(Path(spool), clusters, members)
            rows = summary(members, clusters)
            write_table(table, rows)
    alerts = sum(cluster.size for cluster in clusters)
    return Outcome(looked_at, alerts, len(found.count), clusters, rows, out / TABLE, out / MEMBERS)


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
        f"triage needs a detector of the task next; {loaded.detector.name} is a classifier",
        where=where,
        remedy=f"train one: vestige run {source} CORPUS --task next -o RUN",
    )


def _threshold(loaded: Loaded, where: Path) -> float:
    if loaded.threshold is not None:
        return loaded.threshold
    raise UsageError("this detector has no alert threshold", where=where, remedy="add --all")


def _spool(
    pieces: Iterator[Piece], found: Explanations, limit: float, spool: Path, progress: Progress | None
) -> int:
    """Judge and explain every piece and leave its alerts in `spool`; returns how many windows there were."""
    seen = 0
    pl.DataFrame(schema=JUDGED).write_parquet(spool / f"{0:08d}.parquet")
    for number, piece in enumerate(pieces, 1):
        kept = _alerts(piece, found, limit)
        if kept.height:
            kept.write_parquet(spool / f"{number:08d}.parquet")
        seen += len(piece.tokens)
        if progress is not None:
            progress(seen, None)
    return seen


def _alerts(piece: Piece, found: Explanations, limit: float) -> pl.DataFrame:
    """The alerts of a piece with `JUDGED`. Equal windows are judged once."""
    detector = found.detector
    # Windows that show the same tokens are judged once.
    unique, again = np.unique(piece.tokens, axis=0, return_inverse=True)
    judgement = detector.judge({detector.inputs[0].name: unique})
    of_window: NDArray[np.int64] = again.reshape(-1)
    rows = np.flatnonzero(judgement.score[of_window] >= limit)
    if not len(rows):
        return pl.DataFrame(schema=JUDGED)
    about = piece.about[rows]
    texts = piece.texts.gather(rows).to_list()
    number = found.add(piece.tokens[rows], texts, about["window"].to_numpy())
    chosen = of_window[rows]
    if judgement.rank is None:
        rank = pl.Series([None] * len(rows), dtype=pl.Int64())
    else:
        rank = pl.Series(judgement.rank[chosen], dtype=pl.Int64())
    surprise = pl.Series(judgement.strangeness[chosen])
    return about.with_columns(surprise=surprise, rank=rank, number=pl.Series(number))


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
