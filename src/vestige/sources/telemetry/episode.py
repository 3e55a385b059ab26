"""One episode's folder, read so that nothing in it can lead anywhere else.

Folders and files are opened one name at a time, relative to what is open already, and links are never
followed; only names of `manifest.FILE_NAMES` are ever opened. A file is read once: the bytes that are decoded
are those whose digest was checked.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import polars as pl

from vestige.sources.telemetry import fields, labels, manifest, stamps, tables
from vestige.sources.telemetry.faults import FAULTS, Fault, FaultError
from vestige.sources.telemetry.fields import MONO, WALL, CollectorName
from vestige.sources.telemetry.manifest import File, Manifest
from vestige.sources.telemetry.tables import Table

MAX_BYTES = 256 << 20
"""Bytes of one file, packed; an episode of ten minutes has about 200 kB in all."""
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Episode:
    """An episode's open folder and its manifest; a context manager.

    `Episode(path)` trusts the way to the folder, `Episode(store, "host-1/2026-03-02/ep-1")` only that to the
    store. Raises FaultError (`link`, `io`, `size`; `absent` where the manifest is still to come); reading
    `manifest` may raise `json`, `path` or `manifest`.
    """

    def __init__(self, root: Path, inside: str = "") -> None:
        self.path, self._inside = root / inside, inside
        self._folder = _open_folder(root, inside)
        try:
            self._manifest = self._read(manifest.NAME, "manifest", manifest.MAX_BYTES)
        except FaultError:
            self.close()
            raise

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest: through its files' digests, of the whole episode."""
        return hashlib.sha256(self._manifest).hexdigest()

    @functools.cached_property
    def manifest(self) -> Manifest:
        """What the episode says of itself."""
        return manifest.parse(self._manifest, str(self.path))

    def close(self) -> None:
        """Close the folder."""
        os.close(self._folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def strangers(self) -> list[Fault]:
        """Whether it is what its place in the store says (`identity`), in the units we know (`registry`)."""
        found = []
        ours = (self.manifest.host.id, self.manifest.episode_id)
        host, _, rest = self._inside.partition("/")
        folder = (manifest.same_name(host), manifest.same_name(rest.rpartition("/")[2]))
        if self._inside and ours != folder:
            what = f"{ours[1]} of {ours[0]}, in the folder of {folder[1]} of {folder[0]}"
            found.append(Fault("identity", "manifest", what))
        if self.manifest.registry_sha256 != fields.digest():
            found.append(Fault("registry", "manifest", self.manifest.registry_sha256))
        return found

    def content(self, file: File) -> bytes:
        """The content of one of the manifest's files, its size and digest checked.

        Raises FaultError (`absent`, `link`, `io`, `size`, `bytes`, `sha256`).
        """
        if file.bytes > MAX_BYTES:
            raise self._fault(f"{file.bytes:,} bytes, of {MAX_BYTES:,} at most", "size", file.source)
        data = self._read(file.path, file.source, file.bytes, code="bytes")
        if len(data) != file.bytes:
            raise self._fault(f"{len(data):,} bytes, not {file.bytes:,}", "bytes", file.source)
        if hashlib.sha256(data).hexdigest() != file.sha256:
            raise self._fault("its digest is not the manifest's", "sha256", file.source)
        return data

    def tables(self, columns: Mapping[CollectorName, Sequence[str] | None]) -> dict[CollectorName, Table]:
        """The raw tables of those collectors that have a file, each with its lesser defects.

        `columns`: by collector, which of its raw columns to read besides stamps and `seq`; None: all of them.
        Raises FaultError, those of `content` and of `tables.read`.
        """
        raws = [
            tables.Raw(collector, file, self.content(file), tables.dtypes(collector, some, self.manifest))
            for collector, some in columns.items()
            if (file := self.manifest.file(collector)) is not None
        ]
        found = tables.read(raws, self.manifest, str(self.path))
        return {raw.collector: table for raw, table in zip(raws, found, strict=True)}

    def table(self, collector: CollectorName, columns: Sequence[str] | None = None) -> Table | None:
        """Like `tables`, of one collector; None where the episode has no such file."""
        return self.tables({collector: columns}).get(collector)

    def aligned(self, collector: CollectorName) -> tuple[pl.DataFrame, list[Fault]] | None:
        """Like `table`, all raw columns, stamped in Unix ns (`t_wall_ns`), in the order of time.

        Raises FaultError also where stamps go back (`stamps`, `seq`) or cannot be mapped (`clock_base`).
        """
        found = self.table(collector)
        if found is None:
            return None
        table, defects = found
        defects += stamps.faults(table, collector, self.manifest)
        for fault in defects:
            if FAULTS[fault.code][0] == "rejected":
                raise self._fault(fault.detail, fault.code, fault.subject)
        t_ns = stamps.unix_ns(table, collector, self.manifest, str(self.path))
        column = pl.Series(WALL, t_ns)
        frame = table.drop(WALL, MONO, strict=False).insert_column(0, column)
        if not column.is_sorted():
            frame = frame.sort(WALL, maintain_order=True)
        return frame, defects

    def labels(self) -> pl.DataFrame:
        """`t_wall_ns, label, phase` by time. Raises FaultError (`labels`, and those of `content`)."""
        file = self.manifest.file("labels")
        if file is None:
            raise self._fault("the manifest names no labels", "labels", "labels")
        return labels.read(self.content(file), file, self.manifest, str(self.path))

    def _read(self, name: str, subject: str, most: int, *, code: str = "size") -> bytes:
        """All of a plain file that holds no more than `most` bytes; more of it is never read."""
        try:
            handle = os.open(name, _FILE, dir_fd=self._folder)
        except OSError as error:
            raise self._refused(error, name, subject) from error
        with os.fdopen(handle, "rb", buffering=0) as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise self._fault(f"{name} is no plain file", "link", subject)
            if found.st_size > most:
                raise self._fault(f"{found.st_size:,} bytes, not {most:,}", code, subject)
            try:
                return file.read(most + 1) or b""
            except OSError as error:
                raise self._refused(error, name, subject) from error

    def _refused(self, error: OSError, name: str, subject: str) -> FaultError:
        code = {errno.ELOOP: "link", errno.ENXIO: "link", errno.ENOENT: "absent"}.get(error.errno or 0, "io")
        what = f"{name}: {error.strerror}"
        if error.errno == errno.ELOOP:
            what = f"{name} is a link, which is never followed"
        return self._fault(what, code, subject)

    def _fault(self, what: str, code: str, subject: str) -> FaultError:
        return FaultError(what, where=self.path, code=code, subject=subject)


def _open_folder(root: Path, inside: str) -> int:
    try:
        handle = os.open(root, _FOLDER)
        for name in filter(None, inside.split("/")):
            outer = handle
            try:
                handle = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=outer)
            finally:
                os.close(outer)
    except OSError as error:
        code, what = "io", f"{error.strerror}"
        if error.errno in {errno.ELOOP, errno.ENOTDIR}:
            # What opening answers where O_NOFOLLOW meets a link in place of the folder.
            code, what = "link", "a link, or no folder: it is never followed"
        raise FaultError(what, where=root / inside, code=code, subject="episode") from error
    return handle
