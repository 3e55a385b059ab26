"""Evidence of a set as its source reads it: unpacked, joined with its labels, or simulated."""

from __future__ import annotations

import zipfile
from pathlib import Path, PurePosixPath

import polars as pl

from vestige import storage
from vestige.board.sets import LabelledSet
from vestige.errors import EvidenceError
from vestige.simulators import registry

MOST_BYTES, MOST_FILES = 8 << 30, 1 << 20
"""What a zip may unpack to."""
TABLE = "events.csv"
MADE = "made-by-vestige"
"""A mark beside nothing: evidence that is made here appears whole, and is never replaced."""


def absent(one: LabelledSet, data: Path | None) -> str:
    """Why a set is not at hand; empty where it is."""
    if one.simulate:
        return ""
    if data is None:
        return "no --data was named"
    missing = [name for name in (one.evidence, one.labels) if name and not (data / name).exists()]
    if missing:
        return f"{missing[0]} is not in the folder of the data"
    return ""


def lies_at(one: LabelledSet, data: Path | None, place: Path) -> Path:
    """Where a source finds the evidence of a set, which is made in `place` where it must be."""
    raw = (data or Path()) / one.evidence
    if one.simulate or raw.suffix == ".zip":
        return place
    return place / TABLE if raw.suffix == ".parquet" else raw


def at_hand(one: LabelledSet, data: Path | None, place: Path) -> Path:
    """Where the evidence of a set lies that is not absent; made in `place` once, where it must be.

    Raises EvidenceError for a zip that is damaged or beyond all bounds, and for tables that do not fit.
    """
    where = lies_at(one, data, place)
    if not where.is_relative_to(place) or place.exists():
        return where
    if one.simulate:
        simulator = registry.get(one.source)
        simulator.write(place, simulator.options(**one.simulate), overwrite=False)
        return where
    raw = (data or Path()) / one.evidence
    with storage.atomic_directory(place, marker=MADE) as working:
        if raw.suffix == ".zip":
            _unpack(raw, working)
        else:
            _join(raw, (data or Path()) / one.labels if one.labels else None, one.joined_on, working / TABLE)
    return where


def _unpack(file: Path, to: Path) -> None:
    """Unpack regular files whose names stay inside; anything else is refused, and nothing is left."""
    remedy = "unzip it yourself, and name the folder in a list of sets of your own"
    try:
        with zipfile.ZipFile(file) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            size = sum(member.file_size for member in members)
            if size > MOST_BYTES or len(members) > MOST_FILES:
                raise EvidenceError(
                    f"unpacks to {len(members):,} files of {size:,} bytes", where=file, remedy=remedy
                )
            for member in members:
                name = PurePosixPath(member.filename)
                if name.is_absolute() or ".." in name.parts or "\\" in member.filename:
                    raise EvidenceError(
                        f"holds {member.filename!r}, which lies outside of it", where=file, remedy=remedy
                    )
                archive.extract(member, to)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise EvidenceError(f"cannot be unpacked ({error})", where=file, remedy=remedy) from error


def _join(table: Path, labels: Path | None, on: str, to: Path) -> None:
    """Write a Parquet table as CSV, with the labels of another one where they lie apart."""
    try:
        frame = pl.scan_parquet(table)
        if labels is not None:
            frame = frame.join(pl.scan_parquet(labels), on=on, how="left", maintain_order="left")
        frame.sink_csv(to)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise EvidenceError(
            f"cannot be read as a table ({str(error).splitlines()[0]})",
            where=table,
            remedy="check the columns that the list of sets names",
        ) from error
