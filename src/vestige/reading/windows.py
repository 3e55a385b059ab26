"""WindowSet: streams kept once, and windows as views on them.

A prepared dataset is a directory that is there whole or not at all:

    schema.json           the schema, its digest, the size of every other file, notes of the extractor
    recordings.parquet    id host sample profile t_start_ns t_end_ns first_step n_steps n_windows digest
    index/<column>.npy    recording position label t_ns: of every window (21 bytes), memory-mapped
    streams/<name>.npy    every recording's steps, one after the other, memory-mapped
    tables/<name>.*       what stream values may point into (unique messages, embeddings)

A batch is one vectorised gather: `stream[position[:, None] + arange(length)]`. Sliding by one step
instead of ten therefore costs index rows, never copies of steps.
"""

from __future__ import annotations

import functools
import json
import math
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import DatasetError
from vestige.schema import Schema, Stream

FORMAT = "vestige-dataset/3"
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
REMEDY = "prepare the dataset again (vestige prepare)"
PIECE = 1 << 20

IntArray = NDArray[np.int64]
Steps = dict[str, NDArray[Any]]
"""Gathered stream values by stream name, each `(B, length, *shape)`."""


@dataclass(frozen=True)
class WindowSet:
    """Windows on streams. Immutable; `select` and `within` return smaller sets over the same streams.

    `recording (N,)` uint32, `position (N,)` int64 (where a window's first step lies in the streams),
    `label (N,)` uint8 (an index into `schema.classes`), `t_ns (N,)` int64 (time of the step it is of).
    `order (M,)` int64, where given, is the sub-stream that the windows look at: positions count in it.
    """

    path: Path
    schema: Schema
    recordings: pl.DataFrame
    streams: dict[str, NDArray[Any]]
    recording: NDArray[np.uint32]
    position: IntArray
    label: NDArray[np.uint8]
    t_ns: IntArray
    order: IntArray | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> WindowSet:
        """Open a prepared dataset, its streams and its index memory-mapped.

        Raises DatasetError when the directory is no dataset, when a file is missing, of another size than
        recorded or no such table or array, or when the schema does not match its own digest.
        """
        manifest = read_manifest(path)
        schema = Schema.from_dict(manifest["schema"])
        recordings = _table(path / "recordings.parquet")
        if recordings.schema != RECORDING_COLUMNS:
            raise DatasetError("other columns than recordings have", where=path, remedy=REMEDY)
        steps = recordings.select((pl.col("first_step") + pl.col("n_steps")).last()).item() or 0
        windows = int(recordings["n_windows"].list.sum().sum())
        return cls(
            path=path,
            schema=schema,
            recordings=recordings,
            streams={one.name: _mapped(path, "streams", one, steps) for one in schema.streams},
            # Plain arrays on the mapped memory: the subclass costs time at every batch.
            **{one.name: np.asarray(_mapped(path, "index", one, windows)) for one in INDEX},
            notes=manifest.get("notes", {}),
        )

    def __len__(self) -> int:
        return len(self.position)

    @property
    def nbytes(self) -> int:
        """Bytes that the index takes: of the whole dataset on disk, of chosen windows in memory."""
        arrays = (self.recording, self.position, self.label, self.t_ns)
        return sum(one.nbytes for one in arrays) + (0 if self.order is None else self.order.nbytes)

    @functools.cached_property
    def counts(self) -> IntArray:
        """How many windows of each class each recording has, `(recordings, classes)` int64, read-only.

        Raises DatasetError for a window of no recording or of no class.
        """
        n, k = self.recordings.height, len(self.schema.classes)
        flat = np.zeros(n * k, dtype=np.int64)
        for one in self.pieces():
            if one.recording.max() >= n or one.label.max() >= k:
                raise DatasetError("a window of no recording or of no class", where=self.path, remedy=REMEDY)
            flat += np.bincount(one.recording.astype(np.int64) * k + one.label, minlength=n * k)
        flat.flags.writeable = False
        return flat.reshape(n, k)

    @property
    def present(self) -> IntArray:
        """Which recordings have windows here: ascending rows of `recordings`."""
        return np.flatnonzero(self.counts.any(axis=1))

    @property
    def last_step(self) -> IntArray:
        """Where each window's last step lies in the streams, `(N,)` int64."""
        end = self.position + (self.schema.length - 1)
        return end if self.order is None else self.order[end]

    @property
    def target_step(self) -> IntArray:
        """Where the step lies whose label, time and place each window has, `(N,)` int64: the last one, unless
        the schema looks ahead."""
        step = self.position + self.schema.before
        return step if self.order is None else self.order[step]

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
        chosen = _run(np.asarray(rows), len(self)) if masked else rows
        return replace(
            self,
            recording=self.recording[chosen],
            position=self.position[chosen],
            label=self.label[chosen],
            t_ns=self.t_ns[chosen],
        )

    def pieces(self, size: int = PIECE) -> Iterator[WindowSet]:
        """The same windows in their order, `size` at a time: what goes over all of them needs no copies."""
        for start in range(0, len(self), size):
            yield self.select(slice(start, start + size))

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
        index = self.position[rows][:, None] + np.arange(self.schema.length)
        return index if self.order is None else self.order[index]

    def gather(self, rows: NDArray[Any] | slice = slice(None), names: tuple[str, ...] | None = None) -> Steps:
        """The stream values under the windows at `rows`: one vectorised gather for each stream."""
        wanted = self.streams if names is None else {name: self.streams[name] for name in names}
        if self.order is None and all(one.flags.c_contiguous for one in wanted.values()):
            position = self.position[rows]
            return {name: self._copied(stream, position) for name, stream in wanted.items()}
        index = self.steps(rows)
        return {name: np.take(stream, index, axis=0) for name, stream in wanted.items()}

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

    def table(self, name: str) -> pl.DataFrame:
        """The table `tables/<name>.parquet`; DatasetError where the dataset has none."""
        file = self.path / "tables" / f"{name}.parquet"
        if not file.is_file():
            raise DatasetError(f"the dataset has no table {name!r}", where=self.path)
        return _table(file)


def _table(file: Path) -> pl.DataFrame:
    """A Parquet file of a dataset. Raises DatasetError where it cannot be read."""
    try:
        return pl.read_parquet(file)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        what = str(error).partition("\n")[0]
        raise DatasetError(f"cannot be read ({what})", where=file, remedy=REMEDY) from error


def _mapped(path: Path, folder: str, spec: Stream, rows: int) -> NDArray[Any]:
    """A `.npy` file of a dataset, `(rows, *spec.shape)`. Raises DatasetError where it is none, or holds
    something else."""
    if Path(str(spec.name)).name != spec.name:
        raise DatasetError(f"{spec.name!r} is no name of a stream", where=path, remedy=REMEDY)
    file = path / folder / f"{spec.name}.npy"
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
    return slice(first, first + n) if mask[first : first + n].all() else mask


def read_manifest(path: Path) -> dict[str, Any]:
    """Check a dataset directory against its own `schema.json` and return it. Raises DatasetError."""
    file = path / "schema.json"
    if not file.is_file():
        raise DatasetError("not a prepared dataset: schema.json is missing", where=path, remedy=REMEDY)
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            what = f"a dataset of another version ({manifest['format']}, read is {FORMAT})"
            raise DatasetError(what, where=path, remedy=REMEDY)
        schema = Schema.from_dict(manifest["schema"])
        if not isinstance(schema.length, int) or schema.length < 1:
            raise ValueError(f"windows of {schema.length} steps")
        sizes: dict[str, int] = dict(manifest["files"])
        intact = schema.digest == manifest["digest"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"schema.json cannot be read ({error})", where=file, remedy=REMEDY) from error
    if not intact:
        raise DatasetError("the schema does not match its digest", where=file, remedy=REMEDY)
    for name, size in sizes.items():
        member = path / name
        if not member.is_file() or member.stat().st_size != size:
            found = f"{member.stat().st_size} bytes" if member.is_file() else "nothing"
            raise DatasetError(f"expected {size} bytes, found {found}", where=member, remedy=REMEDY)
    return manifest
