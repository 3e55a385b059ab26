"""WindowSet: streams kept once, and windows as views on them.

A prepared dataset is a directory that is there whole or not at all:

    schema.json           the schema, its digest, size and digests of every other file, notes of the extractor
    recordings.parquet    id host sample profile t_start_ns t_end_ns first_step n_steps n_windows digest
    index/<column>.npy    recording position label t_ns: of every window (21 bytes), memory-mapped
    streams/<name>.npy    every recording's steps, one after the other, memory-mapped
    tables/<name>.*       what stream values may point into (unique messages, embeddings)

A batch is one vectorised gather: `stream[position[:, None] + arange(length)]`. Sliding by one step
instead of ten therefore costs index rows, never copies of steps.

What is read is what was written: recordings and index are checked against their digests when the dataset is
opened, tables when they are read, and of streams the blocks that a gather touches, each once
(`reading.digests`); `verify` checks everything. Nothing in a dataset is a link.
"""

from __future__ import annotations

import functools
import itertools
import math
import mmap
import os
import tokenize
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige import checked, parquet
from vestige.errors import DatasetError
from vestige.reading.digests import BLOCK, REMEDY, CheckedFile, FileDigest, Streams
from vestige.reading.steps import Steps
from vestige.reading.times import placed
from vestige.schema import Schema, Stream

FORMAT = "vestige-dataset/4"
RECORDING_COLUMNS: dict[str, pl.DataType] = {
    "id": pl.String(),
    "host": pl.String(),
    "sample": pl.String(),
    "profile": pl.String(),
    "t_start_ns": pl.Int64(),
    "t_end_ns": pl.Int64(),
    "first_step": pl.Int64(),
    "n_steps": pl.Int64(),
    "n_windows": pl.List(pl.Int64()),
    "digest": pl.String(),
}
"""`n_windows`: how many windows of each class."""
INDEX = (
    Stream("recording", "uint32"),
    Stream("position", "int64"),
    Stream("label", "uint8"),
    Stream("t_ns", "int64", unit="ns"),
)
"""What is kept of a window; recordings come one after the other, the windows of each in their order."""
RECORDINGS = "recordings.parquet"
MANIFEST = "schema.json"
LARGEST_MANIFEST = 256 * 2**20
"""Bytes of a manifest at most: the digests of 4 TiB."""
MOST_FILES = 10_000
"""Files of a dataset at most."""
MOST_CLASSES = 1 << 8
"""What a label of one byte can tell apart."""
PIECE = 1 << 20
LET_GO = 1 << 22
"""Windows after which a pass lets go of the index: 88 MB of it."""

IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class WindowSet:
    """Windows on streams. Immutable; `select` and `within` return smaller sets over the same streams.

    `recording (N,)` uint32, `position (N,)` int64 (where a window's first step lies in the streams),
    `label (N,)` uint8 (an index into `schema.classes`), `t_ns (N,)` int64 (time of the step it is of,
    `NO_TIME` where nobody knows).
    `order (M,)` int64, where given, is the sub-stream that the windows look at: positions count in it.
    """

    path: Path
    schema: Schema
    recordings: pl.DataFrame
    streams: Streams
    recording: NDArray[np.uint32]
    position: IntArray
    label: NDArray[np.uint8]
    t_ns: IntArray
    order: IntArray | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    files: Mapping[str, CheckedFile] = field(default_factory=dict, repr=False)
    """Every file of the dataset but its manifest, by its path within."""

    @classmethod
    def open(cls, path: Path, *, fresh: bool = False) -> WindowSet:
        """Open a prepared dataset, its streams and its index memory-mapped. `fresh`: this process has just
        written it, so that its index is not read again to be checked.

        Raises DatasetError when the directory is no dataset, when a file is missing, of another size than
        recorded, damaged, a link, or no such table or array, or when the schema does not match its digest.
        """
        manifest = read_manifest(path)
        schema, files = manifest.schema, manifest.files
        recordings = _table(_listed(path, files, RECORDINGS))
        if recordings.schema != RECORDING_COLUMNS:
            raise DatasetError("other columns than recordings have", where=path, remedy=REMEDY)
        steps, windows = _counted(recordings, schema, path)
        streams = {stream.name: _mapped(path, "streams", stream, steps, files) for stream in schema.streams}
        index = {column.name: _mapped(path, "index", column, windows, files) for column in INDEX}
        if not fresh:
            for column in INDEX:
                files[f"index/{column.name}.npy"].check()
        return cls(
            path=path,
            schema=schema,
            recordings=recordings,
            streams=Streams(streams, {name: files[f"streams/{name}.npy"] for name in streams}),
            # Plain arrays on the mapped memory: the subclass costs time at every batch.
            **{name: np.asarray(array) for name, array in index.items()},
            notes=manifest.notes,
            files=files,
        )

    def verify(self) -> None:
        """Check every byte of the dataset against its digests, and what recordings tell against the index.

        Raises DatasetError, which names the file and the block that was damaged.
        """
        for file in self.files.values():
            file.check()
        told = self.recordings["n_windows"].to_list()
        if len(self) == sum(map(sum, told)) and self.counts.tolist() != told:
            raise DatasetError(
                "recordings have other windows than they tell of", where=self.path / RECORDINGS, remedy=REMEDY
            )

    @property
    def labelled(self) -> bool:
        """Whether the evidence had labels: where it had none, every `label` is 0 and means nothing."""
        return bool(self.notes.get("labelled", True))

    def __len__(self) -> int:
        return len(self.position)

    @property
    def nbytes(self) -> int:
        """Bytes that the index takes: of the whole dataset on disk, of chosen windows in memory."""
        arrays: list[NDArray[Any]] = [self.recording, self.position, self.label, self.t_ns]
        if self.order is not None:
            arrays.append(self.order)
        return sum(array.nbytes for array in arrays)

    @functools.cached_property
    def counts(self) -> IntArray:
        """How many windows of each class each recording has, `(recordings, classes)` int64, read-only.

        Raises DatasetError for a window of no recording or of no class.
        """
        n, k = self.recordings.height, len(self.schema.classes)
        flat = np.zeros(n * k, dtype=np.int64)
        for piece in self.pieces():
            if piece.recording.max() >= n or piece.label.max() >= k:
                raise DatasetError("a window of no recording or of no class", where=self.path, remedy=REMEDY)
            # Recording and label as one number, so that one count does for the whole table.
            flat += np.bincount(piece.recording.astype(np.int64) * k + piece.label, minlength=n * k)
        flat.flags.writeable = False
        return flat.reshape(n, k)

    @functools.cached_property
    def placed_ns(self) -> IntArray:
        """Where each window stands in time, `(N,)` int64: see `times.placed`. What sorts or cuts by time
        takes these."""
        return placed(self.t_ns, self.recording)

    @property
    def present(self) -> IntArray:
        """Which recordings have windows here: ascending rows of `recordings`."""
        return np.flatnonzero(self.counts.any(axis=1))

    @property
    def last_step(self) -> IntArray:
        """Where each window's last step lies in the streams, `(N,)` int64."""
        end = self.position + (self.schema.length - 1)
        if self.order is None:
            return end
        return self.order[end]

    @property
    def target_step(self) -> IntArray:
        """Where the step lies whose label, time and place each window has, `(N,)` int64: the last one, unless
        the schema looks ahead."""
        step = self.position + self.schema.before
        if self.order is None:
            return step
        return self.order[step]

    @property
    def padding(self) -> NDArray[np.bool_]:
        """Which steps of the streams are padding around recordings, `(n_steps,)`."""
        first = self.recordings["first_step"].to_numpy()
        end = first + self.recordings["n_steps"].to_numpy()
        marks = np.zeros(int(end[-1]) if len(end) else 0, dtype=np.bool_)
        if self.schema.padded:
            lead = first[:, None] + np.arange(self.schema.before)
            tail = end[:, None] - 1 - np.arange(self.schema.ahead)
            marks[lead.ravel()] = marks[tail.ravel()] = True
        return marks

    def select(self, rows: NDArray[Any] | slice) -> WindowSet:
        """The windows at `rows` (indices, a boolean mask, or a slice), over the same streams; what lies
        together by slice or mask is not copied. Raises IndexError for a mask of other windows."""
        masked = isinstance(rows, np.ndarray) and rows.dtype == np.bool_
        chosen = rows
        if masked:
            chosen = _run(np.asarray(rows), len(self))
        return replace(
            self,
            recording=self.recording[chosen],
            position=self.position[chosen],
            label=self.label[chosen],
            t_ns=self.t_ns[chosen],
        )

    def pieces(self, size: int = PIECE) -> Iterator[WindowSet]:
        """The same windows in their order, `size` at a time: what goes over all of them needs no copies, and
        does not keep the index resident."""
        read = 0
        for start in range(0, len(self), size):
            yield self.select(slice(start, start + size))
            read += size
            if read >= LET_GO:
                self.let_go()
                read = 0

    def times_judged(self, stream: str, n: int) -> NDArray[np.int64]:
        """How many windows judge each symbol, `(n,)`: those that the numbers in `stream`, below `n`, name."""
        found = np.zeros(n, dtype=np.int64)
        for piece in self.pieces():
            found += np.bincount(self.streams.at(stream, piece.target_step), minlength=n)
        return found

    def runs(self) -> Iterator[tuple[int, slice]]:
        """Windows of one recording after the other: which recording, and where they lie."""
        of = self.recording.astype(np.int64)
        edges = np.r_[0, np.flatnonzero(np.diff(of)) + 1, len(of)].tolist()
        for start, end in itertools.pairwise(edges):
            if end > start:
                yield int(of[start]), slice(start, end)

    def within(self, visible: NDArray[np.bool_]) -> WindowSet:
        """The windows of a visible step, looking back and ahead over visible steps only.

        `visible (n_steps,)` marks the steps of one side of a split whose sides interleave (padding counts
        as visible to every side), as if all other steps had been deleted from the stream. A window that
        would leave the sub-stream is padded by the recording's own padding.
        """
        if self.schema.target == "recording":
            raise DatasetError(
                "windows labelled by recording cannot be cut within a recording", where=self.path
            )
        target = self.position + self.schema.before
        mine = visible[target]
        order = np.flatnonzero(visible).astype(np.int64)
        rank = np.searchsorted(order, target[mine])
        return replace(self.select(mine), position=rank - self.schema.before, order=order)

    def steps(self, rows: NDArray[Any] | slice = slice(None)) -> IntArray:
        """Which steps the windows at `rows` look at, `(B, length)` int64."""
        index: IntArray = self.position[rows][:, None] + np.arange(self.schema.length)
        if self.order is None:
            return index
        return self.order[index]

    def gather(self, rows: NDArray[Any] | slice = slice(None), names: tuple[str, ...] | None = None) -> Steps:
        """The stream values under the windows at `rows`: one vectorised gather for each stream."""
        wanted = names
        if wanted is None:
            wanted = tuple(self.streams)
        if self.order is None:
            position = self.position[rows]
            windows = {name: self.streams.under(name, position, self.schema.length) for name in wanted}
            if all(stream.flags.c_contiguous for stream in windows.values()):
                return {name: self._copied(stream, position) for name, stream in windows.items()}
        index = self.steps(rows)
        return {name: np.take(self.streams.under(name, index, 1), index, axis=0) for name in wanted}

    def _copied(self, stream: NDArray[Any], position: IntArray) -> NDArray[Any]:
        """`stream[position[:, None] + arange(length)]`, but whole windows, not step by step."""
        from vestige.reading import copying  # Numba takes its time

        shape = (len(position), self.schema.length, *stream.shape[1:])
        out = np.empty(shape, dtype=stream.dtype)
        step = stream.itemsize * math.prod(stream.shape[1:])
        if not out.nbytes:
            return out
        raw = np.asarray(stream).reshape(-1).view(np.uint8)
        if not copying.copy_windows(raw, position, step, out.reshape(len(out), -1).view(np.uint8)):
            raise DatasetError("a window lies beyond its stream", where=self.path, remedy=REMEDY)
        return out

    def let_go(self) -> None:
        """Take the pages of memory-mapped files out of this process's memory; what is read again comes back
        from the system's cache. Where the system has no such call, nothing happens."""
        if not hasattr(mmap, "MADV_DONTNEED"):
            return
        for column in (self.recording, self.position, self.label, self.t_ns, *self.streams.arrays()):
            memory: Any = column
            while isinstance(memory, np.ndarray):
                memory = memory.base
            if isinstance(memory, mmap.mmap):
                memory.madvise(mmap.MADV_DONTNEED)

    def table(self, name: str) -> pl.DataFrame:
        """The table `tables/<name>.parquet`; DatasetError where the dataset has none, or a damaged one."""
        if not self.has_table(name):
            raise DatasetError(f"the dataset has no table {name!r}", where=self.path)
        return _table(self.files[f"tables/{name}.parquet"])

    def has_table(self, name: str) -> bool:
        """Whether the dataset was written with a table of that name."""
        return f"tables/{name}.parquet" in self.files


def _table(file: CheckedFile) -> pl.DataFrame:
    """A Parquet file of a dataset. Raises DatasetError where it was damaged or cannot be read."""
    file.check()
    try:
        return parquet.read(file.path)
    except ValueError as error:
        raise DatasetError(f"cannot be read ({error})", where=file.path, remedy=REMEDY) from error


def _listed(path: Path, files: Mapping[str, CheckedFile], name: str) -> CheckedFile:
    """The file `name` of a dataset. Raises DatasetError where its manifest does not list it."""
    if name not in files:
        raise DatasetError("cannot be read (schema.json does not list it)", where=path / name, remedy=REMEDY)
    return files[name]


def _counted(recordings: pl.DataFrame, schema: Schema, path: Path) -> tuple[int, int]:
    """How many steps and windows the recordings have. Raises DatasetError where they cannot have so many:
    each begins where the one before it ends, and none has less than nothing."""
    first = recordings["first_step"].to_list()
    n_steps = recordings["n_steps"].to_list()
    n_windows = recordings["n_windows"].to_list()
    padding = schema.before + schema.ahead if schema.padded else 0
    steps = windows = 0
    for number, (begin, n, counts) in enumerate(zip(first, n_steps, n_windows, strict=True)):
        sound = (
            begin == steps
            and n is not None
            and n >= padding
            and counts is not None
            and len(counts) == len(schema.classes)
            and all(count is not None and 0 <= count <= n for count in counts)
        )
        if not sound:
            raise DatasetError(
                f"recording {number} has steps or windows that cannot be",
                where=path / RECORDINGS,
                remedy=REMEDY,
            )
        steps += n
        windows += sum(counts)
    return steps, windows


def _mapped(
    path: Path, folder: str, spec: Stream, rows: int, files: Mapping[str, CheckedFile]
) -> NDArray[Any]:
    """A `.npy` file of a dataset, `(rows, *spec.shape)`. Raises DatasetError where it is none, or holds
    something else, or its first block (its header is in it) was damaged."""
    if Path(str(spec.name)).name != spec.name:
        raise DatasetError(f"{spec.name!r} is no name of a stream", where=path, remedy=REMEDY)
    checked_file = _listed(path, files, f"{folder}/{spec.name}.npy")
    checked_file.check_first()
    file = checked_file.path
    try:
        array: np.memmap[Any, Any] = np.lib.format.open_memmap(file, mode="r")
        dtype = np.dtype(spec.dtype)
    except (ValueError, TypeError, OverflowError, SyntaxError, tokenize.TokenError, OSError) as error:
        raise DatasetError(f"cannot be read ({error})", where=file, remedy=REMEDY) from error
    expected = (rows, *spec.shape)
    if array.dtype != dtype or array.shape != expected:
        what = f"holds {array.dtype} {array.shape}, not {spec.dtype} {expected}"
        raise DatasetError(what, where=file, remedy=REMEDY)
    if array.offset + array.nbytes != file.stat().st_size:
        raise DatasetError("cannot be read (more bytes than its header tells of)", where=file, remedy=REMEDY)
    return array


def _run(mask: NDArray[np.bool_], n_windows: int) -> NDArray[np.bool_] | slice:
    """The mask as a slice, where what it chooses lies together."""
    if mask.shape != (n_windows,):
        raise IndexError(f"a mask of {mask.shape} for {n_windows} windows")
    n = int(np.count_nonzero(mask))
    first = int(mask.argmax()) if n else 0
    # A slice gives views of the arrays, where a mask would copy them.
    if mask[first : first + n].all():
        return slice(first, first + n)
    return mask


@dataclass(frozen=True)
class Manifest:
    """What `schema.json` says, checked: numbers have their range, files their size, nothing is a link."""

    schema: Schema
    files: dict[str, CheckedFile]
    notes: dict[str, Any]


def read_manifest(path: Path) -> Manifest:
    """Check a dataset directory against its own `schema.json`, sizes only, and return that.

    Raises DatasetError: no dataset or one of another version, damaged, with a link in it, or a file missing.
    """
    file = path / MANIFEST
    _refuse_links(path)
    if not file.is_file():
        remedy = "name a directory that vestige prepare wrote"
        if not path.exists():
            raise DatasetError("not a prepared dataset: it does not exist", where=path, remedy=remedy)
        if (path / "dataset" / MANIFEST).is_file():
            remedy = f"it lies in the run: name {path / 'dataset'}"
        elif path.is_dir():
            remedy += ", or prepare the dataset again"
        raise DatasetError("not a prepared dataset: schema.json is missing", where=path, remedy=remedy)
    if file.stat().st_size > LARGEST_MANIFEST:
        what = f"is larger than any manifest ({LARGEST_MANIFEST >> 20} MiB)"
        raise DatasetError(what, where=file, remedy=REMEDY)
    try:
        plain = checked.load(file.read_bytes())
        if plain["format"] != FORMAT:
            what = f"a dataset of another version ({checked.shown(plain['format'])}, read is {FORMAT})"
            raise DatasetError(what, where=path, remedy=REMEDY)
        manifest = _manifest(path, plain)
        intact = manifest.schema.digest == plain["digest"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise DatasetError(f"schema.json cannot be read ({error})", where=file, remedy=REMEDY) from error
    if not intact:
        raise DatasetError("the schema does not match its digest", where=file, remedy=REMEDY)
    for member in manifest.files.values():
        member.check_size()
    return manifest


def _manifest(path: Path, plain: dict[str, Any]) -> Manifest:
    """Raises ValueError, KeyError or TypeError where a field is missing or holds something else."""
    schema = Schema.from_dict(plain["schema"])
    if not 1 <= len(schema.classes) <= MOST_CLASSES:
        raise ValueError(f"{len(schema.classes)} classes, of {MOST_CLASSES} at most")
    checked.whole(plain["block"], "block (bytes that a digest is of)", BLOCK, BLOCK)
    listed = checked.mapping(plain["files"], "files")
    if len(listed) > MOST_FILES:
        raise ValueError(f"{len(listed)} files, of {MOST_FILES} at most")
    files = {}
    for name, entry in listed.items():
        parts = PurePosixPath(name).parts
        if not parts or "\0" in name or name != "/".join(parts) or ".." in parts or name.startswith("/"):
            raise ValueError(f"{checked.shown(name)} is no name of a file within")
        files[name] = CheckedFile(path / name, FileDigest.from_dict(entry, name))
    notes = checked.mapping(plain.get("notes", {}), "notes")
    checked.flag(notes.get("labelled", True), "notes: labelled")
    return Manifest(schema, files, notes)


def _refuse_links(path: Path) -> None:
    """Raise DatasetError for a link anywhere in a dataset: it would lead to what nobody prepared."""
    for folder, directories, names in os.walk(path):
        for name in (*directories, *names):
            member = Path(folder) / name
            if member.is_symlink():
                raise DatasetError(
                    "is a symbolic link, and nothing in a dataset may be one",
                    where=member,
                    remedy="put the file itself in its place, or prepare the dataset again (vestige prepare)",
                )
