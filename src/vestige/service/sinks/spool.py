"""Records that wait on disk until the other side has taken them."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import uuid
import zlib
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vestige.errors import OutputError
from vestige.service.sinks.files import refusals
from vestige.storage import locked, write_text

FORMAT = "vestige-spool/1"
LARGEST = 256_000_000
"""Bytes that may wait."""
SEGMENT = 8_000_000
"""Bytes of a file of the spool; one that was wholly sent is deleted."""
MARK = "sent.json"
HEAD = struct.Struct(">III")
"""Before each payload: its length, how many rows it is made of, its CRC-32."""


@dataclass(frozen=True)
class Frame:
    """What is sent at a time: `payload`, made of so many `rows`; it ends at `end` of all that was ever
    spooled."""

    payload: bytes
    rows: int
    end: int


class DamagedError(Exception):
    """A part of the spool cannot be read; the next that can begins at `resume`."""

    def __init__(self, resume: int) -> None:
        super().__init__(resume)
        self.resume = resume


class Spool:
    """A queue in the files of `folder`. Offsets count all bytes that were ever put in: what lies before
    `sent` was taken by the other side, what lies before `end` is there. `waiting` rows lie between.

    Whoever uses it from several threads does so under a lock; a second process is refused. Raises OutputError
    where the folder cannot be written, or where another process writes it.
    """

    def __init__(self, folder: Path, *, largest: int = LARGEST, segment: int = SEGMENT) -> None:
        self.folder, self.largest, self.segment = folder, largest, segment
        self._reading: tuple[int, int] | None = None
        self._synced = -1
        with contextlib.ExitStack() as stack, refusals(folder):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            stack.enter_context(locked(folder))
            self._starts = sorted(int(path.stem) for path in folder.glob("*.part") if path.stem.isdecimal())
            self.id, sent = self._read_mark()
            if not self._starts:
                self._starts = [sent]
            self.sent = max(sent, self._starts[0])
            self._writing = self._open(self._starts[-1])
            self.end = self._starts[-1] + os.fstat(self._writing).st_size
            self.sent = min(self.sent, self.end)
            self.waiting, whole = self._count()
            # A kill within a write leaves half a frame, which nobody was told to be there.
            self._cut_last(whole)
            self.mark(self.sent, 0, save=True)
            self._lock = stack.pop_all()

    def append(self, frames: Iterable[tuple[bytes, int]]) -> int:
        """Put payloads in, each with its number of rows; the number of rows for which there was no room."""
        data, left_out, rows = bytearray(), 0, 0
        for payload, count in frames:
            if self.end + len(data) + HEAD.size + len(payload) - self.sent > self.largest:
                left_out += count
                continue
            data += HEAD.pack(len(payload), count, zlib.crc32(payload)) + payload
            rows += count
        if data:
            with refusals(self.folder):
                self._write(bytes(data))
            self.waiting += rows
        return left_out

    def read(self, at: int) -> Frame | None:
        """The frame that begins at `at`; None at the end. Raises DamagedError for one that is not whole."""
        if at >= self.end:
            return None
        start, after = self._segment_of(at)
        if self._reading is None or self._reading[0] != start:
            self._stop_reading()
            self._reading = start, os.open(self._path(start), os.O_RDONLY | os.O_CLOEXEC)
        file = self._reading[1]
        head = os.pread(file, HEAD.size, at - start)
        if len(head) < HEAD.size:
            raise DamagedError(after)
        length, rows, check = HEAD.unpack(head)
        if at + HEAD.size + length > after:
            raise DamagedError(after)
        payload = os.pread(file, length, at - start + HEAD.size)
        if len(payload) < length or zlib.crc32(payload) != check:
            raise DamagedError(after)
        return Frame(payload, rows, at + HEAD.size + length)

    def mark(self, sent: int, rows: int, *, save: bool) -> None:
        """All before `sent` was taken, `rows` more than until now. Saved at once only where asked for: a mark
        that is lost means that records are sent again, not that any is lost."""
        self.sent = sent
        self.waiting = max(self.waiting - rows, 0)
        if self.sent == self.end:
            self.waiting = 0
        while len(self._starts) > 1 and self._starts[1] <= sent:
            with contextlib.suppress(FileNotFoundError):
                self._path(self._starts[0]).unlink()
            del self._starts[0]
        if save:
            mark = json.dumps({"format": FORMAT, "id": self.id, "sent": sent})
            write_text(self.folder / MARK, mark)

    def sync(self) -> None:
        """Onto the disk."""
        if self._synced == self.end:
            return
        with refusals(self.folder):
            os.fsync(self._writing)
        self._synced = self.end

    def cut(self, end: int) -> None:
        """Forget what was put in after `end`; also what of it was sent already, since it will come again."""
        with refusals(self.folder):
            while self._starts[-1] > end and len(self._starts) > 1:
                self._drop_last()
            self._cut_last(max(end, self._starts[-1]))
        self.sent = min(self.sent, self.end)
        self.waiting, _ = self._count()
        self.mark(self.sent, 0, save=True)

    def close(self) -> None:
        """Save the mark and let go of the files."""
        self.mark(self.sent, 0, save=True)
        self.abandon()

    def abandon(self) -> None:
        """Let go of the files as they are, as the end of a process does."""
        self._stop_reading()
        os.close(self._writing)
        self._lock.close()

    def _read_mark(self) -> tuple[str, int]:
        """The name of this spool and how far it was sent."""
        path = self.folder / MARK
        try:
            found = json.loads(path.read_text(encoding="ascii"))
            if found["format"] == FORMAT:
                return str(found["id"]), int(found["sent"])
        except FileNotFoundError:
            return uuid.uuid4().hex, 0
        except (ValueError, KeyError, TypeError) as error:
            raise OutputError(
                "is no mark of a spool",
                where=path,
                remedy="delete it: all that is still in the spool is sent again",
            ) from error
        raise OutputError(
            f"is of another format than {FORMAT}", where=path, remedy="delete the folder, or use that version"
        )

    def _path(self, start: int) -> Path:
        return self.folder / f"{start:020d}.part"

    def _open(self, start: int) -> int:
        return os.open(self._path(start), os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _segment_of(self, at: int) -> tuple[int, int]:
        """Where the file that holds `at` begins, and where the next does."""
        number = bisect_right(self._starts, at) - 1
        after = self.end
        if number + 1 < len(self._starts):
            after = self._starts[number + 1]
        return self._starts[number], after

    def _write(self, data: bytes) -> None:
        if self.end - self._starts[-1] >= self.segment:
            os.fsync(self._writing)
            os.close(self._writing)
            self._starts.append(self.end)
            self._writing = self._open(self.end)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._writing, view) :]
        except OSError:
            self._cut_last(self.end)
            raise
        self.end += len(data)

    def _count(self) -> tuple[int, int]:
        """Rows that wait, and where what can be read of the last file ends."""
        rows, at = 0, self.sent
        while True:
            try:
                frame = self.read(at)
            except DamagedError as damage:
                if damage.resume >= self.end:
                    return rows, at
                at = damage.resume
                continue
            if frame is None:
                return rows, at
            rows, at = rows + frame.rows, frame.end

    def _cut_last(self, end: int) -> None:
        os.ftruncate(self._writing, end - self._starts[-1])
        self.end, self._synced = end, -1

    def _drop_last(self) -> None:
        self._stop_reading()
        os.close(self._writing)
        self._path(self._starts.pop()).unlink()
        self._writing = self._open(self._starts[-1])
        self.end = self._starts[-1] + os.fstat(self._writing).st_size

    def _stop_reading(self) -> None:
        if self._reading is not None:
            os.close(self._reading[1])
            self._reading = None
