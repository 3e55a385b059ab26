"""The index of a sweep in the making: there whole or not at all; and what a killed sweep left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import Any, Self

import polars as pl

from vestige.errors import OutputError, UsageError
from vestige.sources.telemetry.fields import COLLECTORS
from vestige.sources.telemetry.index import SCHEMA, read
from vestige.sources.telemetry.manifest import same_name
from vestige.storage import atomic_file
from vestige.validation.check import Finding
from vestige.validation.options import ValidateOptions

Row = tuple[Any, ...]


def row_of(finding: Finding, options: ValidateOptions) -> Row:
    """A finding as a row of the index."""
    manifest = finding.manifest
    host, _, rest = same_name(finding.path).partition("/")
    said: tuple[Any, ...] = (None,) * 4
    size = None
    if manifest is not None:
        said = (manifest.sample.sha256, manifest.profile, manifest.t_start_ns, manifest.t_end_ns)
        size = sum(file.bytes for file in manifest.files)
    return (
        rest.rpartition("/")[2], finding.path, host, *said, finding.verdict, list(map(str, finding.faults)),
        *(finding.rows.get(collector) for collector in COLLECTORS), size,
        finding.digest, options.rules, options.deep,
    )  # fmt: skip


class Journal:
    """The rows of a sweep at work, in parts beside the index: a sweep that is killed loses its last part.

    A context manager that keeps other sweeps away. Raises UsageError where one is at work already,
    OutputError where the index cannot be written.
    """

    def __init__(self, index: Path) -> None:
        self.index = index
        self.folder = index.with_name(f".{index.name}.parts")
        self._parts: list[Path] = []

    def __enter__(self) -> Self:
        if self.index.is_dir():
            raise OutputError("is a folder", where=self.index, remedy="give the index a file's name, with -o")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            what = f"cannot be written: {error.strerror}"
            raise OutputError(
                what, where=self.index, remedy="choose another place with -o (--output)"
            ) from error
        self._lock = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise UsageError("another sweep is at work", where=self.index, remedy="let it end") from error
        self._left = sorted(self.folder.glob("*.parquet"))
        return self

    def __exit__(self, *exc: object) -> None:
        os.close(self._lock)
        with contextlib.suppress(OSError):  # there are parts: they are kept
            self.folder.rmdir()

    def known(self) -> pl.DataFrame:
        """What earlier sweeps found, the one that was killed included: a row a folder."""
        files = [file for file in (self.index, *self._left) if file.is_file()]
        return pl.concat([pl.DataFrame(schema=SCHEMA), *map(read, files)]).unique("path", keep="last")

    def add(self, rows: pl.DataFrame) -> None:
        """Keep these rows whatever happens."""
        number = len(self._left) + len(self._parts)
        part = self.folder / f"{number:08}.parquet"
        with atomic_file(part) as working:
            rows.write_parquet(working)
        self._parts.append(part)

    def commit(self) -> pl.DataFrame:
        """Make this sweep's rows the index, and give them."""
        rows = pl.concat([pl.DataFrame(schema=SCHEMA), *map(read, self._parts)])
        with atomic_file(self.index) as working:
            rows.write_parquet(working)
        shutil.rmtree(self.folder)
        return rows
