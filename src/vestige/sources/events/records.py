"""A file's bytes in blocks of whole records: streaming, with exact offsets and line numbers.

A record is a line, or a row of a table whose quoted cells may hold line ends. Where blocks are cut decides
about nothing: a quote that is not closed within `max_record` bytes makes its own line a bad record, and
reading goes on after that line; after `MOST_UNCLOSED` of them quotes mean nothing in that file any more,
since each may cost a look at `max_record` bytes.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_BYTES = 1 << 18
MOST_FAULTS = 8
MOST_UNCLOSED = 100

Fault = tuple[int, str]
"""A 1-based line, and what is wrong with the record that begins in it."""


@dataclass(frozen=True)
class Block:
    """Whole records of one file: `data` begins at byte `offset` of it, in its 1-based line `line`.

    `starts`: where in `data` records begin; None where each line is one. `ends`: where they end, of records
    with something between them; None where each goes on to the next. `origins`: of records that were put
    together, byte and line of the file where each begins; `before` is then the state of whoever did that.
    """

    data: bytes
    offset: int
    line: int
    starts: tuple[int, ...] | None = None
    ends: tuple[int, ...] | None = None
    origins: tuple[tuple[int, int], ...] | None = None
    before: dict[str, Any] | None = None


@lru_cache(maxsize=16)
def row_pattern(delimiter: str, max_record: int) -> re.Pattern[bytes]:
    """One row of a table with its line end. Possessive throughout: time is linear in the row."""
    if not delimiter:
        return re.compile(rb"[^\n]{0,%d}+\n" % max_record)
    end = re.escape(delimiter).encode() + rb"\n"
    cell = rb'(?:"(?:[^"]++|"")*+"[^%s]*+|(?!")[^%s]*+)' % (end, end)
    return re.compile(rb"(?:%s%s)*+%s\n" % (cell, re.escape(delimiter).encode(), cell))


_CELL, _QUOTED, _REST = range(3)


@dataclass
class _Scan:
    """A row of a table that begins at `begin`, cell by cell, that can stop where the buffer ends and go on
    when there is more: at `at`, at the beginning of a cell, within quotes, or in what needs none."""

    begin: int
    at: int
    state: int = _CELL

    def go_on(self, buffer: bytearray, delimiter: str) -> int:
        """Behind the row's line end; 0 where that has not come."""
        ends = _cell_ends(delimiter)
        while self.at < len(buffer):
            if self.state == _CELL:
                quoted = buffer[self.at] == _QUOTE
                self.state = _QUOTED if quoted else _REST
                self.at += quoted
            elif self.state == _QUOTED:
                quote = buffer.find(b'"', self.at)
                if quote < 0:
                    self.at = len(buffer)
                    return 0
                if quote + 1 == len(buffer):
                    # Whether this quote closes the cell or is doubled, only the next byte tells.
                    self.at = quote
                    return 0
                doubled = buffer[quote + 1] == _QUOTE
                self.at = quote + 1 + doubled
                if not doubled:
                    self.state = _REST
            else:
                end = ends.search(buffer, self.at)
                if end is None:
                    self.at = len(buffer)
                    return 0
                self.at = end.end()
                if end[0] == b"\n":
                    return self.at
                self.state = _CELL
        return 0


_QUOTE = ord('"')


@lru_cache(maxsize=16)
def _cell_ends(delimiter: str) -> re.Pattern[bytes]:
    return re.compile(b"[" + re.escape(delimiter).encode() + rb"\n]")


@dataclass(kw_only=True)
class Cutter(ABC):
    """Abstract. Cuts pieces of a file's decoded content into blocks of records.

    A record longer than `max_record` is a bad one; nothing of it is kept. Afterwards `n_bytes`, `bad` and the
    first `faults` say what the file came to; `told` is what is wrong beyond records: what and why.
    """

    max_record: int = 1 << 20
    n_bytes: int = 0
    bad: int = 0
    faults: list[Fault] = field(default_factory=list)
    told: list[tuple[str, str]] = field(default_factory=list)
    _buffer: bytearray = field(default_factory=bytearray)
    _offset: int = 0
    _line: int = 1

    @property
    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Where the next block begins, and what is known there, as JSON: `resume` takes it up."""

    @abstractmethod
    def state_at(self, block: Block) -> dict[str, Any]:
        """The `state` in which `block` was to come next."""

    @abstractmethod
    def resume(self, state: dict[str, Any]) -> None:
        """Go on where a reader had this `state`."""

    @property
    def is_open(self) -> bool:
        """Whether a record holds up what lies behind it, so that it could be given up."""
        return False

    @property
    def warnings(self) -> list[str]:
        """What is doubtful of the file, in sentences."""
        return []

    def feed(self, piece: bytes) -> None:
        """The next bytes of the file."""
        self.n_bytes += len(piece)
        self._buffer += piece

    @abstractmethod
    def take(self, *, now: bool = False) -> Iterator[Block]:
        """Blocks, where enough has come for them; `now`: of whatever whole records there are."""

    def give_up(self) -> Iterator[Block]:
        """What holds up the rest will not end: the blocks that come of it. By default nothing does."""
        yield from ()

    @abstractmethod
    def finish(self) -> Iterator[Block]:
        """The last blocks: the file is over."""


@dataclass
class RecordReader(Cutter):
    """Cuts pieces of a file's decoded content into blocks of about `size` bytes.

    `delimiter`: of a table's cells; empty where every line is a record whatever it holds.
    """

    delimiter: str = ""
    size: int = BLOCK_BYTES
    _skipping: bool = False
    _unclosed: int = 0
    _scan: _Scan | None = None
    """How far the last record of the buffer was looked at, where its end has not come yet."""
    _news: bool = False
    """Whether a line end came since the buffer was last cut."""

    def blocks(self, pieces: Iterator[bytes]) -> Iterator[Block]:
        """The file in blocks; none for a file without records."""
        for piece in pieces:
            for at in range(0, len(piece), self.size):
                self.feed(piece[at : at + self.size])
                yield from self.take()
        yield from self.finish()

    @property
    def state(self) -> dict[str, Any]:
        """See `Cutter.state`."""
        return {
            "offset": self._offset,
            "line": self._line,
            "skipping": int(self._skipping),
            "unclosed": self._unclosed,
        }

    def state_at(self, block: Block) -> dict[str, Any]:
        """See `Cutter.state_at`."""
        return self.state | {"offset": block.offset, "line": block.line, "skipping": 0}

    def resume(self, state: dict[str, Any]) -> None:
        """See `Cutter.resume`."""
        self._offset, self._line = state["offset"], state["line"]
        self._skipping, self._unclosed = bool(state["skipping"]), state["unclosed"]
        if self._unclosed >= MOST_UNCLOSED:
            self.delimiter = ""

    @property
    def is_open(self) -> bool:
        """Whether a record waits for its end although whole lines of it are there: a quote is not closed."""
        return self._scan is not None and b"\n" in self._buffer

    def feed(self, piece: bytes) -> None:
        """See `Cutter.feed`."""
        super().feed(piece)
        self._news = self._news or b"\n" in piece

    def take(self, *, now: bool = False) -> Iterator[Block]:
        """Blocks, where the buffer has grown to `size`; `now`: of whatever whole records there are."""
        too_long = len(self._buffer) > self.max_record
        if (len(self._buffer) >= self.size or now) and (self._news or too_long):
            self._news = False
            yield from self._cut(final=False)

    def give_up(self) -> Iterator[Block]:
        """The record at the beginning of the buffer will not end: its first line is a bad record, and what
        comes after that line is read."""
        self._scan = None
        if self._refuse_line():
            yield from self._cut(final=False)

    def finish(self) -> Iterator[Block]:
        """The last blocks: the file is over."""
        if self._buffer and not self._buffer.endswith(b"\n"):
            self._buffer += b"\n"
        yield from self._cut(final=True)

    def _cut(self, *, final: bool) -> Iterator[Block]:
        """Blocks of all records that are complete; the rest stays in the buffer."""
        if self._skipping and not self._skip_line():
            return
        if self._is_plain():
            end = self._buffer.rfind(b"\n") + 1
            if end:
                yield self._take(end, None)
        else:
            yield from self._cut_exactly(final=final)
        if len(self._buffer) > self.max_record and b"\n" not in self._buffer:
            self._refuse_line()

    def _is_plain(self) -> bool:
        """Whether every line of the buffer is a record for certain."""
        if self.delimiter and b'"' in self._buffer:
            return False
        lengths = np.diff(_line_ends(self._buffer), prepend=0)
        return not (lengths > self.max_record + 1).any()

    def _cut_exactly(self, *, final: bool) -> Iterator[Block]:
        starts: list[int] = []
        at = 0
        while at < len(self._buffer):
            if plain := self._plain_lines(at):
                starts += [at, *plain[:-1]]
                at = plain[-1]
                continue
            end = self._record_end(at)
            if end:
                starts.append(at)
                at = end
                continue
            if not final and len(self._buffer) - at <= self.max_record:
                break
            self._scan = None
            if starts:
                yield self._take(at, tuple(starts))
            starts, at = [], 0
            if not self._refuse_line():
                return
        if starts:
            yield self._take(at, tuple(starts))

    def _record_end(self, at: int) -> int:
        """Behind the record that begins at `at`; 0 where it does not end within the buffer, or is too long.

        A record whose end has not come is looked at once: what comes later goes on where that ended, so that
        time is linear however the bytes arrive.
        """
        if self._scan is not None and self._scan.begin == at:
            end = self._scan.go_on(self._buffer, self.delimiter)
            if end:
                self._scan = None
            if end > at + self.max_record + 1:
                return 0
            return end
        match = row_pattern(self.delimiter, self.max_record).match
        row = match(self._buffer, at, at + self.max_record + 1)
        if row is not None:
            return row.end()
        if self.delimiter and len(self._buffer) - at <= self.max_record:
            self._scan = _Scan(at, at)
            end = self._scan.go_on(self._buffer, self.delimiter)
            if end:
                self._scan = None
            return end
        return 0

    def _plain_lines(self, at: int) -> list[int]:
        """Ends of the lines from `at` on that are records for certain: no quote, not too long."""
        limit = len(self._buffer)
        if self.delimiter:
            quote = self._buffer.find(b'"', at)
            if quote >= 0:
                limit = quote
        # The line with the quote is left out whole: it may be the beginning of a longer record.
        end = self._buffer.rfind(b"\n", at, limit) + 1
        if end <= at:
            return []
        ends = _line_ends(self._buffer[at:end])
        too_long = np.diff(ends, prepend=0) > self.max_record + 1
        if too_long.any():
            ends = ends[: int(too_long.argmax())]
        plain: list[int] = (ends + at).tolist()
        return plain

    def _take(self, end: int, starts: tuple[int, ...] | None) -> Block:
        block = Block(bytes(self._buffer[:end]), self._offset, self._line, starts)
        self._drop(end)
        return block

    def _drop(self, end: int) -> None:
        if self._scan is not None:
            if self._scan.begin < end:
                # The record that was looked at has been taken, as part of lines without any quote.
                self._scan = None
            else:
                self._scan.begin -= end
                self._scan.at -= end
        self._offset += end
        self._line += self._buffer.count(b"\n", 0, end)
        del self._buffer[:end]

    def _refuse_line(self) -> bool:
        """Count the buffer's first line as a bad record and leave it out; False where it goes on."""
        self.bad += 1
        whole = b"\n" in self._buffer[: self.max_record + 1]
        if len(self.faults) < MOST_FAULTS:
            what = f"longer than {self.max_record} bytes"
            if whole:
                what = "a quote is not closed"
            self.faults.append((self._line, what))
        self._unclosed += whole
        if self._unclosed == MOST_UNCLOSED:
            self.delimiter = ""
        return self._skip_line()

    def _skip_line(self) -> bool:
        end = self._buffer.find(b"\n") + 1
        self._skipping = end == 0
        self._drop(end or len(self._buffer))
        return not self._skipping


def _line_ends(lines: bytes | bytearray) -> NDArray[np.int64]:
    """Behind each line end."""
    ends: NDArray[np.int64] = np.flatnonzero(np.frombuffer(lines, np.uint8) == 10) + 1
    return ends
