"""WindowSet: streams kept once, and windows as views on them.

A prepared dataset is a directory that is there whole or not at all:

    schema.json           the schema, its digest, the size of every other file, notes of the extractor
    recordings.parquet    id host sample profile t_start_ns t_end_ns first_step n_steps digest
    windows.parquet       recording, start, label, t_wall_ns: one row a window (21 bytes)
    streams/<name>.npy    every recording's steps, one after the other, memory-mapped
    tables/<name>.*       what stream values may point into (unique messages, embeddings)

A batch is one vectorised gather: `stream[position[:, None] + arange(length)]`. Sliding by one step
instead of ten therefore costs index rows, never copies of steps.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vestige.errors import DatasetError
from vestige.schema import Schema

FORMAT = "vestige-dataset/1"
RECORDING_COLUMNS: dict[str, pl.DataType] = {
    "id": pl.String(),
    "host": pl.String(),
    "sample": pl.String(),
    "profile": pl.String(),
    "t_start_ns": pl.Int64(),
    "t_end_ns": pl.Int64(),
    "first_step": pl.Int64(),
    "n_steps": pl.Int64(),
    "digest": pl.String(),
}
WINDOW_COLUMNS: dict[str, pl.DataType] = {
    "recording": pl.UInt32(),
    "start": pl.Int64(),
    "label": pl.UInt8(),
    "t_wall_ns": pl.Int64(),
}

IntArray = NDArray[np.int64]
Steps = dict[str, NDArray[Any]]
"""Gathered stream values by stream name, each `(B, length, *shape)`."""


@dataclass(frozen=True)
class WindowSet:
    """Windows on streams. Immutable; `select` and `within` return smaller sets over the same streams.

    `recording (N,)` uint32, `position (N,)` int64 (where a window's first step lies in the streams),
    `label (N,)` uint8 (an index into `schema.classes`), `t_wall_ns (N,)` int64 (time of the step it is of).
    `order (M,)` int64, where given, is the sub-stream that the windows look at: positions count in it.
    """

    path: Path
    schema: Schema
    recordings: pl.DataFrame
    streams: dict[str, NDArray[Any]]
    recording: NDArray[np.uint32]
    position: IntArray
    label: NDArray[np.uint8]
    t_wall_ns: IntArray
    order: IntArray | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path) -> WindowSet:
        """Open a prepared dataset, its streams memory-mapped.

        Raises DatasetError when the directory is no dataset, when a file is missing or of another size
        than recorded, or when the schema does not match its own digest.
        """
        manifest = read_manifest(path)
        schema = Schema.from_dict(manifest["schema"])
        streams = {
            one.name: np.load(path / f"streams/{one.name}.npy", mmap_mode="r") for one in schema.streams
        }
        recordings = pl.read_parquet(path / "recordings.parquet")
        windows = pl.read_parquet(path / "windows.parquet")
        recording = windows["recording"].to_numpy()
        first = recordings["first_step"].to_numpy()
        return cls(
            path=path,
            schema=schema,
            recordings=recordings,
            streams=streams,
            recording=recording,
            position=first[recording] + windows["start"].to_numpy(),
            label=windows["label"].to_numpy(),
            t_wall_ns=windows["t_wall_ns"].to_numpy(),
            notes=manifest.get("notes", {}),
        )

    def __len__(self) -> int:
        return len(self.position)

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the index takes: the streams stay on disk."""
        arrays = (self.recording, self.position, self.label, self.t_wall_ns)
        return sum(one.nbytes for one in arrays) + (0 if self.order is None else self.order.nbytes)

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

    def select(self, rows: NDArray[Any]) -> WindowSet:
        """The windows at `rows` (indices or a boolean mask), over the same streams."""
        return replace(
            self,
            recording=self.recording[rows],
            position=self.position[rows],
            label=self.label[rows],
            t_wall_ns=self.t_wall_ns[rows],
        )

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
        length = self.schema.length
        if self.order is None and all(one.ndim == 1 and len(one) >= length for one in wanted.values()):
            # Whole windows are copied, not step by step: about four times as fast.
            position = self.position[rows]
            return {name: sliding_window_view(one, length)[position] for name, one in wanted.items()}
        index = self.steps(rows)
        return {name: np.take(stream, index, axis=0) for name, stream in wanted.items()}

    def table(self, name: str) -> pl.DataFrame:
        """The table `tables/<name>.parquet`; DatasetError where the dataset has none."""
        file = self.path / "tables" / f"{name}.parquet"
        if not file.is_file():
            raise DatasetError(f"the dataset has no table {name!r}", where=self.path)
        return pl.read_parquet(file)


def read_manifest(path: Path) -> dict[str, Any]:
    """Check a dataset directory against its own `schema.json` and return it. Raises DatasetError."""
    file = path / "schema.json"
    remedy = "prepare the dataset again (vestige prepare)"
    if not file.is_file():
        raise DatasetError("not a prepared dataset: schema.json is missing", where=path, remedy=remedy)
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        digest = Schema.from_dict(manifest["schema"]).digest
        sizes: dict[str, int] = manifest["files"]
        intact = manifest["format"] == FORMAT and digest == manifest["digest"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError(f"schema.json cannot be read ({error})", where=file, remedy=remedy) from error
    if not intact:
        raise DatasetError("the schema does not match its digest", where=file, remedy=remedy)
    for name, size in sizes.items():
        member = path / name
        if not member.is_file() or member.stat().st_size != size:
            found = f"{member.stat().st_size} bytes" if member.is_file() else "nothing"
            raise DatasetError(f"expected {size} bytes, found {found}", where=member, remedy=remedy)
    return manifest
