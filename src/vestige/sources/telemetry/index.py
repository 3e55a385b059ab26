"""`validation_v1.parquet`: what a sweep of a store found, a row an episode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from vestige import parquet
from vestige.errors import EvidenceError
from vestige.sources.telemetry.fields import COLLECTORS

NAME = "validation_v1.parquet"
AGAIN = "remove it and sweep the store again"
PACED = ("few_rows", "too_slow")
"""Reasons that hold for one grid only."""
SCHEMA: dict[str, Any] = {
    "episode_id": pl.String,
    "path": pl.String,
    "host_id": pl.String,
    "sample_sha256": pl.String,
    "profile": pl.String,
    "t_start_ns": pl.Int64,
    "t_end_ns": pl.Int64,
    "verdict": pl.String,
    "reasons": pl.List(pl.String),
    **{f"rows_{collector}": pl.Int64 for collector in COLLECTORS},
    "bytes": pl.Int64,
    "manifest_sha256": pl.String,
    "validator_version": pl.String,
    "deep": pl.Boolean,
}
"""`path` is that of the folder in the store, and unique; host and id are the folder's, not the manifest's."""


def rules(version: str, grid_seconds: int, digest: str) -> str:
    """`validator_version`: by which rules an episode was judged."""
    return f"{version}-{grid_seconds}s-{digest}"


def judged_for(rules: str | None) -> int:
    """For a grid of steps of how many seconds an episode was judged by these rules."""
    _, _, rest = (rules or "").partition("-")
    seconds, unit, _ = rest.partition("s-")
    if unit and seconds.isdecimal():
        return int(seconds)
    return 1


def read(path: Path) -> pl.DataFrame:
    """An index. Raises EvidenceError where it is none."""
    if not path.is_file():
        raise EvidenceError("no such file", where=path, remedy=AGAIN)
    try:
        found = parquet.read(path)
    except ValueError as error:
        raise EvidenceError("is no index of a sweep", where=path, remedy=AGAIN) from error
    if found.schema != pl.Schema(SCHEMA):
        raise EvidenceError("is an index of another version", where=path, remedy=AGAIN)
    return found
