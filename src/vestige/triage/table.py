"""`triage.csv`: a row a cluster, for an operator to fill in."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from vestige.escaping import visible
from vestige.triage.clusters import Cluster
from vestige.triage.spreadsheet import defused

TABLE, MEMBERS, LABELLED = "triage.csv", "triage_members.parquet", "triage_labelled.parquet"
HEADER = (
    "cluster", "label", "event", "new", "kind", "size", "machines", "on", "first", "last",
    "mean_surprise", "rank", "context", "example_1", "example_2", "example_3",
)  # fmt: skip
NAMED = 3
"""Machines that a row names."""


def summary(members: Path, clusters: list[Cluster]) -> pl.DataFrame:
    """What the members of each cluster have in common, a row a cluster in the order of `clusters`: cluster,
    machines (how many), on (the first few), first, last (ns), mean_surprise, rank (median), examples."""
    lazy = pl.scan_parquet(members)
    known = pl.col("t_ns").filter(pl.col("t_ns") > 0)
    found = lazy.group_by("cluster").agg(
        machines=pl.col("machine").n_unique(),
        on=pl.col("machine").unique().sort().head(NAMED),
        first=known.min(),
        last=known.max(),
        mean_surprise=pl.col("surprise").mean(),
        rank=pl.col("rank").median(),
    )
    place = pl.format("{}:{}", "file", "line")
    shown = lazy.filter("example").group_by("cluster").agg(examples=place.sort_by("window"))
    rows = [
        (cluster.id, cluster.event, cluster.new, cluster.kind, cluster.size, _context(cluster))
        for cluster in clusters
    ]
    names = ("cluster", "event", "new", "kind", "size", "context")
    kinds = (pl.String(), pl.String(), pl.Boolean(), pl.String(), pl.Int64(), pl.String())
    order = pl.DataFrame(rows, schema=dict(zip(names, kinds, strict=True)), orient="row")
    for part in (found, shown):
        every = part.collect(engine="streaming")
        order = order.join(every, on="cluster", how="left", maintain_order="left")
    return order


def write_table(path: Path, rows: pl.DataFrame) -> None:
    """Write the table; whatever evidence holds is made harmless (see `spreadsheet.defused`)."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADER)
        for row in rows.iter_rows(named=True):
            # Always three cells, however few examples there are.
            examples = [*map(_cell, row["examples"]), "", "", ""]
            new = "new" if row["new"] else ""
            rank = "" if row["rank"] is None else f"{row['rank']:.0f}"
            out.writerow(
                [
                    row["cluster"], "", _cell(row["event"]), new, row["kind"],
                    row["size"], row["machines"], _cell("; ".join(row["on"])), when(row["first"]),
                    when(row["last"]), f"{row['mean_surprise']:.3f}", rank,
                    _cell(row["context"]), *examples[:3],
                ]
            )  # fmt: skip


def is_ours(path: Path) -> bool:
    """Whether a file begins as `write_table` begins it, or as a spreadsheet saves that."""
    with path.open("rb") as file:
        head = file.readline(4096).decode("utf-8-sig", errors="replace")
    # Whatever a spreadsheet separated the columns with when it saved the table.
    cells = head.replace(";", ",").replace("\t", ",").split(",")
    return {"cluster", "label", "mean_surprise"} <= {cell.strip('"\r\n') for cell in cells}


def when(t_ns: int | None) -> str:
    """A time to the second, UTC; nothing where nobody knows."""
    if t_ns is None:
        return ""
    return datetime.fromtimestamp(t_ns // 10**9, tz=UTC).strftime("%Y-%m-%d %H:%M:%S")


def _context(cluster: Cluster) -> str:
    if cluster.kind == "rest":
        return "(of every kind)"
    return "; ".join(f"{visible(name, 200)} {share:.2f}" for name, share in cluster.context) or "(nothing)"


def _cell(text: str) -> str:
    return defused(visible(text))
