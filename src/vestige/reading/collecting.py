"""Windows picked out of a dataset piece by piece, their index kept in memory or, of many, in a file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.errors import OutputError
from vestige.log import get
from vestige.reading.windows import INDEX, WindowSet

IN_MEMORY = 1 << 28
"""Bytes of an index that are kept in memory at most: 256 MiB, of 12 million windows."""

log = get(__name__)


class Collector:
    """Takes `n` of the windows of a set, in pieces: `add` them, then `finish`.

    An index above `in_memory` bytes is written to files without names in the folder for temporary files
    (`TMPDIR`), and memory-mapped: the pages that are not in use cost no memory, and the files go with the
    process, however it ends. Raises OutputError where they cannot be written.
    """

    def __init__(self, windows: WindowSet, n: int, *, in_memory: int = IN_MEMORY) -> None:
        self._windows = windows
        size = n * sum(np.dtype(column.dtype).itemsize for column in INDEX)
        spilled = size > in_memory
        if spilled:
            log.info("the index of %s windows is kept in %s (%s MB)", n, tempfile.gettempdir(), size // 10**6)
        kind = _OnDisk if spilled else _InMemory
        self._columns = {column.name: kind(column.dtype, n) for column in INDEX}

    def add(self, piece: WindowSet) -> None:
        """The next windows."""
        for name, column in self._columns.items():
            column.add(getattr(piece, name))

    def finish(self) -> WindowSet:
        """All of them, over the same streams."""
        columns: dict[str, Any] = {name: column.finish() for name, column in self._columns.items()}
        return replace(self._windows, **columns)


class _InMemory:
    def __init__(self, dtype: str, n: int) -> None:
        self._values = np.empty(n, dtype=dtype)
        self._n = 0

    def add(self, values: NDArray[Any]) -> None:
        self._values[self._n : self._n + len(values)] = values
        self._n += len(values)

    def finish(self) -> NDArray[Any]:
        return self._values[: self._n]


class _OnDisk:
    def __init__(self, dtype: str, n: int) -> None:
        self._dtype, self._n = np.dtype(dtype), n
        with _explained(n * self._dtype.itemsize):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it stays open until it is mapped

    def add(self, values: NDArray[Any]) -> None:
        # Written, not stored through the map: a full disk is an error then, and no signal that kills.
        with _explained(self._n * self._dtype.itemsize):
            self._file.write(np.ascontiguousarray(values, dtype=self._dtype).data)

    def finish(self) -> NDArray[Any]:
        with self._file, _explained(self._n * self._dtype.itemsize):
            self._file.flush()
            n = self._file.tell() // self._dtype.itemsize
            return np.asarray(np.memmap(self._file, dtype=self._dtype, mode="r", shape=(n,)))


@contextlib.contextmanager
def _explained(size: int) -> Iterator[None]:
    """Raise OutputError for what the disk refuses."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"the index of a part of the dataset cannot be kept ({error.strerror or error})",
            where=Path(tempfile.gettempdir()),
            remedy=f"set TMPDIR to a folder with {-(-size // 10**6)} MB of room for each of its columns",
        ) from error
