"""From a store to its index: every episode looked at once, unless it is known already."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from vestige.engine import LOCAL, Engine, WorkerDiedError
from vestige.reading.steps import Progress
from vestige.sources.telemetry import guard, index, store
from vestige.sources.telemetry.episode import Episode
from vestige.sources.telemetry.faults import Fault, FaultError
from vestige.validation.check import Finding, check
from vestige.validation.journal import Journal, Row, row_of
from vestige.validation.options import ValidateOptions

CHUNK = 16
PART = 2_000
"""Episodes that a killed sweep loses at most."""
PASSING = ("io:", "raised:", "repeated_id:")
"""Reasons that may be gone although the manifest has not changed."""


IN_TRANSIT: Row = ()
"""In place of a row: nothing can be said yet."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep came to: `rows` is the index; `known` of them were taken over from an earlier one."""

    index: Path
    rows: pl.DataFrame
    known: int
    in_transit: int
    skipped: list[str]
    unreadable: list[str]

    def counts(self, column: str = "verdict") -> dict[str, int]:
        """Episodes by the value of a column."""
        return dict(self.rows[column].value_counts(sort=True).iter_rows())

    def reasons(self) -> dict[str, int]:
        """Episodes by reason (`code:subject`, without the particulars), the most frequent first."""
        what = self.rows["reasons"].explode(empty_as_null=False).str.extract(r"^([^:]*:[^:]*)")
        counted = what.value_counts().sort(["count", "reasons"], descending=[True, False])
        return dict(counted.iter_rows())


def validate(
    root: Path,
    options: ValidateOptions,
    *,
    output: Path | None = None,
    engine: Engine = LOCAL,
    again: bool = False,
    progress: Progress | None = None,
    part_size: int = PART,
) -> Sweep:
    """Sweep the store at `root` and write its index, `validation_v1.parquet` in it or at `output`.

    An episode whose manifest has not changed since it was swept under the same rules keeps its verdict,
    unless `again`. No episode can stop the sweep; `part_size` verdicts are written down at a time, and a
    sweep that is stopped goes on behind them. Raises EvidenceError where there is no store, UsageError where
    another sweep writes the same index, OutputError where it cannot be written.
    """
    found = store.find(root)
    linked = [
        _row(Finding(path, [Fault("link", "folder", store.LINK)]), None, options) for path in found.links
    ]
    target = output or root / index.NAME
    in_transit = known = 0
    with Journal(target) as kept_rows:
        before = kept_rows.known()
        digests = {} if again else _usable(before, options)
        numbers = dict(zip(before["path"], range(before.height), strict=True))
        results = zip(found.paths, _results(root, found, digests, options, engine), strict=True)
        done = 0
        for part in _parts(results, part_size):
            rows: list[Row] = []
            kept: list[int] = []
            for path, row in part:
                if row is None:
                    kept.append(numbers[path])
                elif row == IN_TRANSIT:
                    in_transit += 1
                else:
                    rows.append(row)
            kept_rows.add(_frame(rows, before[kept]))
            known += len(kept)
            done += len(part)
            if progress:
                progress(done, len(found.paths))
        kept_rows.add(_frame(linked, before[[]]))
        return Sweep(target, kept_rows.commit(), known, in_transit, found.skipped, found.unreadable)


def _parts(results: Iterator[tuple[str, Row | None]], size: int) -> Iterator[list[tuple[str, Row | None]]]:
    while part := list(itertools.islice(results, size)):
        yield part


def _frame(rows: list[Row], kept: pl.DataFrame) -> pl.DataFrame:
    fresh = pl.DataFrame(rows, schema=index.SCHEMA, orient="row")
    return pl.concat([fresh, kept]).sort("path")


def _usable(before: pl.DataFrame, options: ValidateOptions) -> dict[str, str]:
    """Digests of manifests whose verdict still holds, by path."""
    passing = pl.col("reasons").list.eval(
        pl.any_horizontal(pl.element().str.starts_with(prefix) for prefix in PASSING)
    )
    rows = before.filter(
        pl.col("validator_version") == options.rules,
        pl.col("deep") | (not options.deep),
        pl.col("manifest_sha256").is_not_null(),
        ~passing.list.any(),
    )
    return dict(rows.select("path", "manifest_sha256").iter_rows())


def _results(
    root: Path, found: store.Listing, digests: dict[str, str], options: ValidateOptions, engine: Engine
) -> Iterator[Row | None]:
    """A row for each path, None where the one that is known still holds, `IN_TRANSIT`."""
    twins = found.repeated
    # An episode that repeats another's id is judged anew: its verdict depends on more than its manifest.
    known = {path: digest for path, digest in digests.items() if path not in twins}
    items = ((path, known.get(path), twins.get(path)) for path in found.paths)
    work = functools.partial(_look, root=root, options=options)
    outcomes = engine.map(work, items, chunk=CHUNK, isolate=True, reads=lambda item: (root / item[0],))
    for outcome in outcomes:
        if outcome.error is None:
            yield outcome.value
        else:
            path, _, twin = outcome.item
            yield _row(_lost(root, path, outcome.error), twin, options)


def _look(item: tuple[str, str | None, str | None], root: Path, options: ValidateOptions) -> Row | None:
    path, known, twin = item
    with guard.limits():
        finding = check(root, path, known, options)
    if finding is None:
        return None
    return _row(finding, twin, options)


def _row(finding: Finding, twin: str | None, options: ValidateOptions) -> Row:
    if finding.in_transit:
        return IN_TRANSIT
    if twin is not None:
        finding.faults.append(Fault("repeated_id", "episode", twin))
    return row_of(finding, options)


def _lost(root: Path, path: str, error: Exception) -> Finding:
    """What can be said of an episode whose check did not come back: no more than its manifest says."""
    if isinstance(error, FaultError):
        fault = error.fault
    else:
        code = "died" if isinstance(error, WorkerDiedError) else "io"
        fault = Fault(code, "episode", str(error))
    finding = Finding(path, [fault])
    with contextlib.suppress(FaultError), Episode(root, path) as episode:
        finding.digest = episode.digest
        finding.manifest = episode.manifest
    return finding
