"""An operator's labels, from clusters to their members; and how far they can be believed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from vestige.errors import DatasetError, EvidenceError
from vestige.runs.directory import RunDirectory
from vestige.storage import atomic_file
from vestige.triage.spreadsheet import rows_of
from vestige.triage.table import LABELLED, MEMBERS

LONGEST = 200
"""Characters of a label."""


@dataclass(frozen=True)
class OfLabel:
    """Members that got one label. `shown`: those shown as examples; `checked`: others whose true class is
    known; `agree`: how many of them are of that class, None where the label is the name of no class."""

    label: str
    clusters: int
    alerts: int
    shown: int
    checked: int
    agree: int | None


@dataclass(frozen=True)
class Spread:
    """What spreading labels came to. `usual`: share of the commonest true class among those checked."""

    alerts: int
    clusters: int
    by_label: list[OfLabel]
    usual: float | None
    path: Path

    @property
    def labelled(self) -> int:
        """Alerts that have a label now."""
        return sum(row.alerts for row in self.by_label)

    @property
    def given(self) -> int:
        """Labels that the operator gave."""
        return sum(row.clusters for row in self.by_label)

    @property
    def shown(self) -> int:
        """Examples that the operator had to look at for that."""
        return sum(row.shown for row in self.by_label)

    @property
    def checked(self) -> int:
        """Alerts whose label can be compared with the true one: those shown as examples not counted."""
        return sum(row.checked for row in self.by_label if row.agree is not None)

    @property
    def agree(self) -> int:
        """How many of them have the true one."""
        return sum(row.agree or 0 for row in self.by_label)

    @property
    def worth(self) -> bool:
        """Whether more of them do than would if all of them were given the commonest."""
        return self.usual is not None and self.agree > round(self.usual * self.checked)


def spread(run: Path, table: Path, out: Path | None = None) -> Spread:
    """Give every member the label of its cluster in `table`; writes `triage_labelled.parquet` beside them.

    Raises EvidenceError, with file and row, for an unknown or repeated cluster; DatasetError without members.
    """
    if out is None:
        out = RunDirectory.open(run).detector()
    members = out / MEMBERS
    if not members.is_file():
        raise DatasetError("there is no triage here", where=out, remedy="make one: vestige triage RUN")
    try:
        lazy = pl.scan_parquet(members)
        known = lazy.select(pl.col("cluster").unique().sort()).collect(engine="streaming")["cluster"]
        given = read_labels(table, set(known.to_list()))
        frame = pl.LazyFrame(
            list(given.items()), schema={"cluster": pl.String(), "label": pl.String()}, orient="row"
        )
        with atomic_file(out / LABELLED) as working:
            joined = lazy.join(frame, on="cluster", how="left", maintain_order="left")
            joined.sink_parquet(working, maintain_order=True)
            return _count(pl.scan_parquet(working), len(known), out / LABELLED)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise DatasetError(
            f"cannot be read ({error})", where=members, remedy="make the triage again, with --overwrite"
        ) from error


def read_labels(table: Path, known: set[str]) -> dict[str, str]:
    """Cluster -> label, of the rows that have one."""
    given: dict[str, str] = {}
    seen: set[str] = set()
    for row, cells in rows_of(table, ("cluster", "label")):
        cluster, label = cells["cluster"].strip(), cells["label"].strip()
        if cluster not in known:
            raise EvidenceError(
                f"there is no cluster {cluster[:50]!r} in this triage",
                where=table,
                row=row,
                remedy="labels belong to the triage that they were written for: give its table",
            )
        if cluster in seen:
            raise EvidenceError(
                f"cluster {cluster} comes twice", where=table, row=row, remedy="keep one of its rows"
            )
        if len(label) > LONGEST:
            what = f"a label of {len(label):,} characters; {LONGEST} at most"
            raise EvidenceError(what, where=table, row=row, remedy="shorten it")
        seen.add(cluster)
        if label:
            given[cluster] = label
    return given


def _count(labelled: pl.LazyFrame, clusters: int, path: Path) -> Spread:
    usable = pl.col("truth").is_not_null() & ~pl.col("example")
    same = pl.col("label").str.to_lowercase() == pl.col("truth").str.to_lowercase()
    counted = labelled.group_by("label").agg(
        clusters=pl.col("cluster").n_unique(),
        alerts=pl.len(),
        shown=pl.col("example").sum(),
        checked=usable.sum(),
        agree=(same & usable).sum(),
    )
    found = counted.sort("alerts", "label", descending=[True, False]).collect(engine="streaming")
    classes = labelled.select(pl.col("truth").drop_nulls().unique()).collect(engine="streaming")["truth"]
    names = {name.lower() for name in classes}
    # The commonest class of the very alerts that are compared: those with a label that is a class.
    compared = usable & pl.col("label").str.to_lowercase().is_in(list(names))
    of_truth = labelled.filter(compared).group_by("truth").len().collect(engine="streaming")["len"]
    by_label: list[OfLabel] = []
    for row in found.iter_rows(named=True):
        if row["label"] is None:
            continue
        agree = row["agree"]
        if row["label"].lower() not in names:
            # A label that is no class of the evidence can neither agree with the truth nor differ from it.
            agree = None
        counts = (row["clusters"], row["alerts"], row["shown"], row["checked"])
        by_label.append(OfLabel(row["label"], *counts, agree))
    usual = None
    if not of_truth.is_empty():
        usual = of_truth.sort()[-1] / of_truth.sum()
    return Spread(int(found["alerts"].sum()), clusters, by_label, usual, path)
