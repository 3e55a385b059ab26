"""A file's bytes in blocks that begin with a message: streaming, with exact offsets and line numbers.

A message is a line that fits the format's header and the lines after it that do not (a stack trace). Blocks
are cut only where one begins. What does not fit in memory is left out and counted: the rest of an over-long
line, and the rest of a message beyond `MESSAGE_BYTES`; a block's `gaps` keep the offsets behind it true.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from vestige.reading.digests import BlockHasher

BLOCK_BYTES = 1 << 20
FIRST_BYTES = 1 << 18
"""Of a file's first block: by it the plain reader's pace is told."""
FOLLOWED_BYTES = 1 << 18
"""Of a log that is followed: a watch holds many such blocks at a time, and is to stay small."""
SHORT_BYTES = 1 << 12
"""Of a block: one of fewer bytes the plain reader reads as fast as the kernel."""
MOST_LINES = 1 << 14
"""A block of so many lines is cut however few its bytes are: memory goes by lines, too."""
MESSAGE_BYTES = 1 << 20

COLUMNS = b"#Fields:"
"""With this a line begins that names the columns of those below it (W3C)."""

Gap = tuple[int, int, int]
"""Before byte `at` of a block, so many bytes with so many line ends of the file were left out."""


@dataclass(frozen=True)
class Block:
    """Whole messages of one file: `data` begins at byte `offset` of it, in its 1-based line `line`.

    `data` starts with a header, or with the start of the file.
    """

    data: bytes
    offset: int
    line: int
    gaps: tuple[Gap, ...] = ()
    final: bool = False


@dataclass
class BlockReader:
    """Cuts pieces of a file's decoded content into blocks of about `size` bytes, or `most_lines` lines.

    `is_start` tells whether a line (without its end) begins a message, `goes_on`, where there is one, whether
    the message of a line goes on in the next one nevertheless; `inside`, which lines (from 0) of what begins
    with a message are none whatever they look like; `columns`, where it is not None, the last line that named
    columns: another one that names others begins a block. Afterwards `digest`, `n_bytes` and `over_long`
    (lines and messages that were cut) hold what the file came to.
    """

    is_start: Callable[[bytes], bool]
    size: int = BLOCK_BYTES
    max_line: int = 1 << 16
    most_lines: int = MOST_LINES
    goes_on: Callable[[bytes, bytes], bool] | None = None
    inside: Callable[[bytes], set[int]] | None = None
    columns: bytes | None = None
    over_long: int = 0
    n_bytes: int = 0
    _hash: BlockHasher = field(default_factory=BlockHasher)
    _buffer: bytearray = field(default_factory=bytearray)
    _gaps: list[Gap] = field(default_factory=list)
    _offset: int = 0
    _line: int = 1
    _searched: int = 0
    _line_start: int = 0
    _skipping: bool = False
    _n_lines: int = 0
    _begun: bool = False
    _hashes: bool = True

    @property
    def digest(self) -> str:
        """The digest (hex) of all that was read, of a reader of a whole file."""
        return self._hash.hexdigest()

    @classmethod
    def at(
        cls,
        is_start: Callable[[bytes], bool],
        *,
        max_line: int,
        offset: int,
        line: int,
        goes_on: Callable[[bytes, bytes], bool] | None = None,
    ) -> BlockReader:
        """A reader of what begins at byte `offset` of a file, in its 1-based line `line`. It takes no digest:
        that would not be the file's."""
        reader = cls(is_start, max_line=max_line, goes_on=goes_on)
        reader._hashes = False
        reader._offset, reader._line = offset, line
        return reader

    @cached_property
    def _blank_begins(self) -> bool:
        """Whether a line without anything begins a message."""
        return self.is_start(b"")

    @property
    def place(self) -> tuple[int, int]:
        """Byte and line of the file at which the next block begins."""
        return self._offset, self._line

    def feed(self, piece: bytes) -> None:
        """The next bytes of the file."""
        if self._hashes:
            self._hash.update(piece)
        self.n_bytes += len(piece)
        self._append(piece)

    def take(self, *, now: bool = False) -> Block | None:
        """A block, where the buffer has grown to `size`; `now`: of whatever whole messages there are. None
        where there is none."""
        if now or self._is_enough():
            cut = self._last_start()
            if cut:
                return self._take(self._to_columns(cut))
            self._shorten()
        return None

    def _is_enough(self) -> bool:
        size = self.size if self._begun else min(self.size, FIRST_BYTES)
        return len(self._buffer) >= size or self._n_lines >= self.most_lines

    def finish(self) -> Block | None:
        """The last block: the file is over. None where nothing is left."""
        if not self._buffer:
            return None
        cut = self._to_columns(len(self._buffer))
        return self._take(cut, final=cut == len(self._buffer))

    def pending(self) -> Block | None:
        """The last message as far as it is there, in whole lines; it stays in the buffer, because lines of it
        may follow."""
        end = self._line_start
        if not end:
            return None
        gaps = tuple(gap for gap in self._gaps if gap[0] <= end)
        return Block(bytes(self._buffer[:end]), self._offset, self._line, gaps)

    def count_lines_from_here(self) -> None:
        """The next line is line 1."""
        self._line = 1

    def drop_line(self) -> bool:
        """Leave out the first line, whatever it is; False while its end has not come."""
        end = self._buffer.find(b"\n") + 1
        self._drop(end)
        return end > 0

    def drop_to_start(self) -> bool:
        """Leave out the lines before the first that begins a message; False while none is complete."""
        start = self._next_start(0)
        if start is None:
            self._drop(self._line_start)
            return False
        self._drop(start)
        return True

    def mark(self) -> int:
        """Where in the buffer the bytes fed from now on begin."""
        return len(self._buffer)

    def look_further(self, at: int) -> int:
        """No message begins in the whole lines from `at` on: they belong to the message at the buffer's
        beginning, of which no more is kept than of any other. Returns where to look next."""
        self._searched = end = self._line_start
        self._shorten()
        return self._line_start if self._line_start < end else max(at, end)

    def take_to_start_from(self, mark: int) -> Block | None:
        """The block up to the first message that begins at `mark` or after it; None while that is unknown."""
        start = self._next_start(min(mark, self._line_start))
        if start is None:
            return None
        return self._take(start, final=True)

    def _append(self, piece: bytes) -> None:
        """Take in a piece, without what exceeds `max_line` in a line."""
        ends = np.frombuffer(piece, np.uint8) == 10
        self._n_lines += int(np.count_nonzero(ends))
        if not self._skipping and self._fits(piece):
            last = piece.rfind(b"\n")
            if last >= 0:
                self._line_start = len(self._buffer) + last + 1
            self._buffer += piece
            return
        at = 0
        for end in [*np.flatnonzero(ends).tolist(), None]:
            stop = len(piece) if end is None else end + 1
            self._append_line(piece[at:stop], ended=end is not None)
            at = stop

    def _fits(self, piece: bytes) -> bool:
        """Whether no line that a piece goes on with, or holds, is longer than `max_line`."""
        begin = self._line_start - len(self._buffer)
        while len(piece) - begin > self.max_line:
            # The last end of a line that the line here may have: whatever lies before it is short enough.
            end = piece.rfind(b"\n", max(begin, 0), max(begin + self.max_line + 1, 0))
            if end < 0:
                return False
            begin = end + 1
        return True

    def _append_line(self, part: bytes, *, ended: bool) -> None:
        body = part
        if ended:
            body = part[:-1]
        room = 0
        if not self._skipping:
            room = self.max_line - (len(self._buffer) - self._line_start)
        self._buffer += body[:room]
        if len(body) > room:
            self.over_long += not self._skipping
            self._skipping = True
            self._gap(len(self._buffer), len(body) - room, 0)
        if ended:
            self._buffer += b"\n"
            self._line_start = len(self._buffer)
            self._skipping = False

    def _gap(self, at: int, n_bytes: int, n_lines: int) -> None:
        if self._gaps and self._gaps[-1][0] == at:
            _, more_bytes, more_lines = self._gaps.pop()
            n_bytes, n_lines = n_bytes + more_bytes, n_lines + more_lines
        self._gaps.append((at, n_bytes, n_lines))

    def _to_columns(self, cut: int) -> int:
        """Where before `cut` the first line begins that names other columns than those before it did; `cut`
        where there is none."""
        if self.columns is None:
            return cut
        if self._buffer.startswith(COLUMNS):
            self.columns = self._line_at(0)
        begin = b"\n" + COLUMNS
        at = self._buffer.find(begin, 0, cut) + 1
        while at:
            if self._line_at(at) != self.columns:
                return at
            at = self._buffer.find(begin, at, cut) + 1
        return cut

    def _line_at(self, start: int) -> bytes:
        """The line that begins at `start`, without blanks at its end."""
        end = self._buffer.find(b"\n", start)
        return bytes(self._buffer[start : end if end >= 0 else len(self._buffer)]).rstrip()

    def _last_start(self) -> int:
        """Where the last complete line that begins a message starts; 0 where only the first one does."""
        end = self._line_start
        inside: set[int] = set()
        number = 0
        if self.inside is not None:
            whole = bytes(self._buffer[:end])
            inside, number = self.inside(whole), whole.count(b"\n")
        while end > max(self._searched, 1):
            start = self._buffer.rfind(b"\n", 0, end - 1) + 1
            number -= 1
            if start and number not in inside and self._begins(start, end - 1):
                return start
            end = start
        self._searched = self._line_start
        return 0

    def _next_start(self, at: int) -> int | None:
        """Where the first complete line at `at` or after it that begins a message starts."""
        start = at
        if at and self._buffer[at - 1] != ord("\n"):
            start = self._buffer.find(b"\n", at) + 1
            if not start:
                return None
        while start < self._line_start:
            end = self._buffer.find(b"\n", start)
            if self._begins(start, end):
                return start
            start = end + 1
        return None

    def _begins(self, start: int, end: int) -> bool:
        """Whether the line from `start` to `end` begins a message."""
        if start == end and not self._blank_begins:  # a few kilobytes unpack to millions of them
            return False
        line = bytes(self._buffer[start:end])
        if not self.is_start(line):
            return False
        if self.goes_on is None or not start:
            return True
        before = self._buffer.rfind(b"\n", 0, start - 1) + 1
        return not self.goes_on(bytes(self._buffer[before : start - 1]), line)

    def _drop(self, n: int) -> None:
        if n:
            self._take(n)

    def _take(self, cut: int, *, final: bool = False) -> Block:
        gaps = [gap for gap in self._gaps if gap[0] <= cut]
        with memoryview(self._buffer) as view:
            data = bytes(view[:cut])  # of a slice of the buffer itself it would be a copy of a copy
        block = Block(data, self._offset, self._line, tuple(gaps), final)
        self._offset += cut + sum(gap[1] for gap in gaps)
        # What stays is a message at most, for the most part, and counted faster than what goes.
        n_lines = (
            data.count(b"\n")
            if 2 * cut < len(self._buffer)
            else self._n_lines - self._buffer.count(b"\n", cut)
        )
        self._line += n_lines + sum(gap[2] for gap in gaps)
        self._n_lines -= n_lines
        self._begun = True
        del self._buffer[:cut]
        self._gaps = [(at - cut, n, lines) for at, n, lines in self._gaps if at > cut]
        self._line_start -= cut
        self._searched = max(self._searched - cut, 0)
        return block

    def _shorten(self) -> None:
        """Where a single message has outgrown `MESSAGE_BYTES`, leave out its further complete lines."""
        end = self._line_start
        if self._searched < end or end <= self.size + MESSAGE_BYTES:
            return
        keep = self._buffer.rfind(b"\n", 0, MESSAGE_BYTES) + 1
        inside = [gap for gap in self._gaps if keep <= gap[0] < end]
        here = self._buffer.count(b"\n", keep, end)
        lines = here + sum(gap[2] for gap in inside)
        left_out = end - keep + sum(gap[1] for gap in inside)
        before = [gap for gap in self._gaps if gap[0] < keep]
        after = [(at - (end - keep), n, m) for at, n, m in self._gaps if at >= end]
        self.over_long += not any(gap[0] == keep for gap in inside)
        self._gaps = [*before, (keep, left_out, lines), *after]
        del self._buffer[keep:end]
        self._n_lines -= here
        self._line_start = self._searched = keep
