"""Writing a prepared dataset: streams and index grow on disk as steps arrive; it appears whole.

with DatasetWriter(path, schema) as writer:
    writer.begin(id="a/app.log", host="a", ...)      # a recording; its leading padding is written
    writer.extend({"message": rows}, ...)            # its steps, in as many pieces as one likes
    writer.table("messages", frame)
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.digests import BLOCK, BlockHasher, FileDigest, rewritten
from vestige.reading.times import span
from vestige.reading.windows import FORMAT, INDEX, MANIFEST, MOST_CLASSES, RECORDING_COLUMNS, RECORDINGS
from vestige.schema import Schema, Stream
from vestige.storage import atomic_directory

TOGETHER = 4096
"""Recordings that become columns at a time."""


def occurrences(label: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """How often each class comes, `(classes,)`."""
    if len(label) and (label[0] == label).all():
        # A recording is mostly of one class, and comparing bytes is ten times as fast as counting them.
        counts = np.zeros(classes, dtype=np.int64)
        counts[label[0]] = len(label)
        return counts
    return np.bincount(label, minlength=classes)


class StreamWriter:
    """A `.npy` file that grows: appended to, its header rewritten in place at the end.

    The digests of its blocks are taken of what is appended, so that nothing is read back but the first block.
    """

    def __init__(self, path: Path, spec: Stream) -> None:
        self.spec = spec
        self.dtype = np.dtype(spec.dtype)
        self.steps = 0
        self.path = path
        self._hasher = BlockHasher()
        self._file = path.open("w+b")
        self._file.write(self._hashed(self._header()))

    def append(self, values: NDArray[Any]) -> None:
        """Add steps, `(n, *shape)`; the values must fit the stream's dtype."""
        block = np.ascontiguousarray(values, dtype=self.dtype)
        if block.shape[1:] != self.spec.shape:
            raise ValueError(f"stream {self.spec.name}: expected (n, *{self.spec.shape}), got {block.shape}")
        if block.nbytes:
            self._file.write(self._hashed(block.reshape(-1).view(np.uint8).data))
        self.steps += len(block)

    def close(self) -> FileDigest:
        """Write the true shape into the header; the digests of the file."""
        self._file.seek(0)
        self._file.write(self._header())
        before = FileDigest(self._hasher.n_bytes, self._hasher.blocks)
        digest = rewritten(self._file, before)
        self._file.close()
        return digest

    def abandon(self) -> None:
        """Close without finishing, if that is still to do: the directory is about to vanish, and a full disk
        must not hide the cause."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _hashed(self, data: bytes | memoryview) -> bytes | memoryview:
        self._hasher.update(data)
        return data

    def _header(self) -> bytes:
        written = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            written,
            {
                "descr": np.lib.format.dtype_to_descr(self.dtype),
                "fortran_order": False,
                "shape": (self.steps, *self.spec.shape),
            },
        )
        return written.getvalue()


class DatasetWriter:
    """A dataset in the making. Leaving the block well makes it appear at `path`; an error leaves nothing.

    Raises OutputError when `path` holds something already (see `atomic_directory`) or the disk is full.
    """

    def __init__(self, path: Path, schema: Schema, *, overwrite: bool = False) -> None:
        if schema.ahead and not schema.padded:
            raise ValueError("windows that look ahead need padding")
        if len(schema.classes) > MOST_CLASSES:
            raise ValueError(f"{len(schema.classes)} classes, of {MOST_CLASSES} at most")
        self.schema = schema
        self.notes: dict[str, Any] = {}
        self._target = atomic_directory(path, marker=MANIFEST, overwrite=overwrite)
        self._recordings: list[dict[str, Any]] = []
        self._settled: list[pl.DataFrame] = []
        self._begun = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self._root = stack.enter_context(self._target)
            (self._root / "tables").mkdir()
            self._streams = self._growing("streams", self.schema.streams, stack)
            self._index = self._growing("index", INDEX, stack)
            self._stack = stack.pop_all()
        return self

    def _growing(
        self, folder: str, specs: tuple[Stream, ...], stack: contextlib.ExitStack
    ) -> dict[str, StreamWriter]:
        (self._root / folder).mkdir()
        growing = {}
        for spec in specs:
            growing[spec.name] = StreamWriter(self._root / folder / f"{spec.name}.npy", spec)
            stack.callback(growing[spec.name].abandon)
        return growing

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._finish()

    @property
    def root(self) -> Path:
        """The directory in the making: what a source leaves there for a while it must take away again."""
        return self._root

    @property
    def steps(self) -> int:
        """How many steps the streams hold so far, padding included."""
        return next(iter(self._streams.values())).steps

    def begin(self, *, id: str, host: str, sample: str = "", profile: str = "") -> None:  # noqa: A002
        """Start a recording. Where the schema is `padded` it gets steps of padding, so that its first step
        already has a window, and at its end so has its last."""
        self._pad_end()
        if len(self._recordings) == TOGETHER:
            self._settle()
        self._begun += 1
        self._recordings.append(
            {
                "id": id, "host": host, "sample": sample, "profile": profile, "t_start_ns": None,
                "t_end_ns": None, "first_step": self.steps, "n_steps": 0,
                "n_windows": np.zeros(len(self.schema.classes), dtype=np.int64), "digest": "",
            }
        )  # fmt: skip
        self._pad(self.schema.before if self.schema.padded else 0)

    def extend(
        self, steps: dict[str, NDArray[Any]], *, t_ns: NDArray[np.int64], label: NDArray[np.uint8]
    ) -> None:
        """Add steps to the current recording, and a window for each that falls on the stride.

        `steps`: every stream's values, `(n, *shape)`; `t_ns (n,)`, which may hold `NO_TIME`, and `label (n,)`
        are those of the windows whose target each step is. Windows never reach over a recording and its
        padding.
        """
        current = self._recordings[-1]
        stride = self.schema.stride
        for name, stream in self._streams.items():
            stream.append(steps[name])
        before, n = current["n_steps"], len(t_ns)
        # The windows that end on these steps begin `schema.before` earlier, and on multiples of the stride.
        first = max(0, self.schema.before - before)
        first += (self.schema.before - before - first) % stride
        kept = slice(first, n, stride)
        label = label[kept]
        starts = np.arange(first, n, stride, dtype=np.int64) + (
            before - self.schema.before + current["first_step"]
        )
        recording = np.broadcast_to(np.uint32(self._begun - 1), len(starts))
        for writer, column in zip(self._index.values(), (recording, starts, label, t_ns[kept]), strict=True):
            writer.append(column)
        current["n_windows"] += occurrences(label, len(self.schema.classes))
        current["n_steps"] = before + n
        if (times := span(t_ns)) is not None:
            low, high = times
            was_low, was_high = current["t_start_ns"], current["t_end_ns"]
            current["t_start_ns"] = low if was_low is None else min(low, was_low)
            current["t_end_ns"] = high if was_high is None else max(high, was_high)

    def close_recording(self, digest: str) -> None:
        """Note the digest of the recording's raw content: equal digests are copies of one another, and
        of one sample where `begin` named none."""
        current = self._recordings[-1]
        current["digest"] = digest
        current["sample"] = current["sample"] or digest

    def pad(self, steps: int) -> None:
        """Begin the current recording with so many more steps of padding: windows that do not overlap are
        shifted by them."""
        self._pad(steps)

    def _pad(self, steps: int) -> None:
        for stream in self._streams.values():
            stream.append(np.full((steps, *stream.spec.shape), stream.spec.fill, dtype=stream.dtype))
        self._recordings[-1]["n_steps"] += steps

    def _pad_end(self) -> None:
        """What the last windows of the recording before look ahead at."""
        if self._recordings:
            self._pad(self.schema.ahead)

    def table(self, name: str, frame: pl.DataFrame) -> None:
        """Write `tables/<name>.parquet`."""
        frame.write_parquet(self._root / f"tables/{name}.parquet")

    def _settle(self) -> None:
        """Put recordings that are complete into columns: a dict for each takes far more memory, and
        evidence may name millions of machines."""
        # As plain lists: of arrays, Polars asks what imports all of masked arrays.
        rows = [{**each, "n_windows": each["n_windows"].tolist()} for each in self._recordings]
        self._settled.append(pl.DataFrame(rows, schema=RECORDING_COLUMNS))
        self._recordings.clear()

    def _finish(self) -> None:
        self._pad_end()
        digests = {stream.path: stream.close() for stream in (*self._streams.values(), *self._index.values())}
        self._settle()
        recordings = pl.concat(self._settled, rechunk=True)
        recordings.write_parquet(self._root / RECORDINGS)
        files = {}
        for file in sorted(file for file in self._root.rglob("*") if file.is_file()):
            digest = digests.get(file) or FileDigest.of(file)
            files[file.relative_to(self._root).as_posix()] = digest.to_dict()
        manifest = {
            "format": FORMAT,
            "digest": self.schema.digest,
            "schema": self.schema.to_dict(),
            "block": BLOCK,
            "files": files,
            "notes": {"labelled": True, **self.notes},
        }
        text = json.dumps(manifest, indent=1, allow_nan=False)
        (self._root / MANIFEST).write_text(text, encoding="utf-8")
