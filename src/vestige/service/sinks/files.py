"""Rows in a file that is turned over when it is large, or on standard output."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vestige.errors import OutputError
from vestige.log import get
from vestige.service.sinks.base import Format, Row, Sink

log = get(__name__)

LARGEST = 100_000_000
"""Bytes at which a file is turned over."""
KEPT = 10
"""Files kept beside the one being written: `alerts.jsonl.1` is the youngest."""
TAIL = 4096
"""Bytes before a position by which a file is known again."""


class LineSink(Sink):
    """What writes a line a row, and counts the rows for which its format has none."""

    def __init__(self, spec: str, form: Format) -> None:
        self.spec = spec
        self._form = form
        self._without = 0

    def _lines(self, rows: Sequence[Row]) -> list[bytes]:
        lines = []
        for row in rows:
            line = self._form(row)
            if line is None:
                self._without += 1
            else:
                lines.append(line + b"\n")
        return lines

    def told(self) -> list[str]:
        """How many rows were no findings."""
        return [without_alert(self._without)] if self._without else []


def without_alert(count: int) -> str:
    """What is told of rows for which a format has no record."""
    return f"{count:,} steps without an alert were not written: this format has alerts and incidents only"


class StandardOutput(LineSink):
    """Lines on standard output; whoever reads them has them at once, and nothing can be taken back."""

    def write(self, rows: Sequence[Row]) -> None:
        """All lines, at once."""
        sys.stdout.flush()
        sys.stdout.buffer.write(b"".join(self._lines(rows)))
        sys.stdout.buffer.flush()


class FileSink(LineSink):
    """Appends to `path`; what is larger than `largest` bytes becomes `PATH.1`, and so on up to `kept`.

    A position says how long the file was and what stood before that, so that after a kill the same file is
    found again even if it has been turned over since, and every line is there exactly once. A file that
    somebody else moves away is begun anew; a device or a pipe is only written to. Raises OutputError where
    the file cannot be written.
    """

    def __init__(
        self, spec: str, form: Format, path: Path, *, largest: int = LARGEST, kept: int = KEPT
    ) -> None:
        super().__init__(spec, form)
        self.path = path.expanduser().resolve()
        self.largest, self.kept = largest, kept
        self._lost = self._dirty = False
        with self._advice():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._open()
            self._regular = stat.S_ISREG(os.fstat(self._file).st_mode)
        self._mend = self._regular and not self._ends_a_line()

    def write(self, rows: Sequence[Row]) -> None:
        """Append lines; whoever follows the file has them at once."""
        lines = self._lines(rows)
        with self._advice():
            self._follow()
            if self._mend and lines:
                # What was there before ends within a line; ours is not to become part of it.
                lines[0] = b"\n" + lines[0]
                self._mend = False
            size = self._size()
            batch: list[bytes] = []
            for line in lines:
                if self._regular and size and size + len(line) > self.largest:
                    self._append(b"".join(batch))
                    self._turn_over()
                    size, batch = 0, []
                batch.append(line)
                size += len(line)
            self._append(b"".join(batch))

    def flush(self) -> None:
        """Onto the disk."""
        if self._regular and self._dirty:
            with self._advice():
                os.fsync(self._file)
            self._dirty = False

    def position(self) -> Any:
        """Where the next line goes; None for what cannot be cut."""
        if not self._regular:
            return None
        size = self._size()
        return {"inode": os.fstat(self._file).st_ino, "size": size, "tail": _tail(self._file, size)}

    def restore(self, position: Any) -> None:
        """Cut the file to `position`; files that were begun after it are deleted."""
        if not self._regular or not isinstance(position, dict):
            return
        with self._advice():
            found = self._find(position)
            if found is None:
                self._lost = True
                return
            self._take_back(found, int(position["size"]))

    def close(self) -> None:
        """Onto the disk, and let go of the file."""
        self.flush()
        os.close(self._file)

    def told(self) -> list[str]:
        """Whether the file of the position was found again."""
        lost = []
        if self._lost:
            lost = [
                f"neither {self.path} nor a file that it was turned over to is the one that the state knows: "
                "it was moved or changed meanwhile, and lines after the state was saved may be there twice"
            ]
        return [*super().told(), *lost]

    def _advice(self) -> contextlib.AbstractContextManager[None]:
        return refusals(self.path)

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)

    def _size(self) -> int:
        return os.fstat(self._file).st_size

    def _ends_a_line(self) -> bool:
        size = self._size()
        return not size or os.pread(self._file, 1, size - 1) == b"\n"

    def _append(self, data: bytes) -> None:
        view = memoryview(data)
        self._dirty = True
        while view:
            view = view[os.write(self._file, view) :]

    def _follow(self) -> None:
        """Begin the file anew where somebody else has moved or deleted it."""
        if not self._regular:
            return
        with contextlib.suppress(FileNotFoundError):
            there, ours = self.path.stat(), os.fstat(self._file)
            if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                return
        self._reopen()

    def _reopen(self) -> None:
        os.close(self._file)
        self._file = self._open()
        self._mend = not self._ends_a_line()

    def _older(self, number: int) -> Path:
        """The file that was turned over so many times; 0 is the one being written."""
        return self.path.with_name(f"{self.path.name}.{number}") if number else self.path

    def _turn_over(self) -> None:
        os.fsync(self._file)
        for number in range(self.kept, 0, -1):
            with contextlib.suppress(FileNotFoundError):
                self._older(number - 1).replace(self._older(number))
        if not self.kept:
            self.path.unlink()
        self._reopen()
        _sync_folder(self.path.parent)

    def _find(self, position: dict[str, Any]) -> int | None:
        """How many times the file of a position was turned over since; None where it is not there."""
        matching = []
        for number in range(self.kept + 1):
            with contextlib.suppress(FileNotFoundError), self._older(number).open("rb") as file:
                status = os.fstat(file.fileno())
                same = status.st_ino == position["inode"]
                if same and not position["size"]:
                    return number
                if not position["size"] or status.st_size < position["size"]:
                    continue
                if _tail(file.fileno(), position["size"]) == position["tail"]:
                    matching.append((not same, number))
        return min(matching)[1] if matching else None

    def _take_back(self, number: int, size: int) -> None:
        for younger in range(number):
            self._older(younger).unlink()
        if number:
            for older in range(number, self.kept + 1):
                with contextlib.suppress(FileNotFoundError):
                    self._older(older).replace(self._older(older - number))
        self._reopen()
        back = self._size() - size
        os.ftruncate(self._file, size)
        os.fsync(self._file)
        _sync_folder(self.path.parent)
        self._mend = not self._ends_a_line()
        if back or number:
            log.info("%s is as it was when the state was saved; what came after is written again", self.path)


@contextlib.contextmanager
def refusals(path: Path) -> Any:
    """Turn the operating system's refusals to write into advice."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot be written ({error.strerror or error})",
            where=path,
            remedy="make room or choose another place, then start again: what is missing will be written",
        ) from error


def _tail(file: int, size: int) -> str:
    """A digest of what stands before `size`."""
    before = min(size, TAIL)
    return hashlib.sha256(os.pread(file, before, size - before)).hexdigest()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
