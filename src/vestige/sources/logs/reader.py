"""A file's bytes in blocks that begin with a message: streaming, with exact offsets and line numbers.

A message is a line that fits the format's header and the lines after it that do not (a stack trace). Blocks
are cut only where one begins. What does not fit in memory is left out and counted: the rest of an over-long
line, and the rest of a message beyond `MESSAGE_BYTES`; a block's `gaps` keep the offsets behind it true.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

BLOCK_BYTES = 1 << 18
MESSAGE_BYTES = 1 << 20

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
    """Cuts pieces of a file's decoded content into blocks of about `size` bytes.

    `is_start` tells whether a line (without its end) begins a message. Afterwards `digest`, `n_bytes` and
    `over_long` (lines and messages that were cut) hold what the file came to.
    """

    is_start: Callable[[bytes], bool]
    size: int = BLOCK_BYTES
    max_line: int = 1 << 16
    over_long: int = 0
    n_bytes: int = 0
    _hash: hashlib._Hash = field(default_factory=hashlib.sha256)
    _buffer: bytearray = field(default_factory=bytearray)
    _gaps: list[Gap] = field(default_factory=list)
    _offset: int = 0
    _line: int = 1
    _searched: int = 0
    _line_start: int = 0
    _skipping: bool = False

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of all that was read."""
        return self._hash.hexdigest()

    def blocks(self, pieces: Iterator[bytes]) -> Iterator[Block]:
        """The file in blocks; none for a file without bytes."""
        for piece in pieces:
            self._hash.update(piece)
            self.n_bytes += len(piece)
            self._append(piece)
            while len(self._buffer) >= self.size and (cut := self._last_start()):
                yield self._take(cut)
            self._shorten()
        if self._buffer:
            yield self._take(len(self._buffer), final=True)

    def _append(self, piece: bytes) -> None:
        """Take in a piece, without what exceeds `max_line` in a line."""
        ends = np.flatnonzero(np.frombuffer(piece, np.uint8) == 10)
        carried = len(self._buffer) - self._line_start
        longest = int(np.diff(ends, prepend=-carried - 1, append=len(piece)).max()) - 1
        if longest <= self.max_line and not self._skipping:
            if len(ends):
                self._line_start = len(self._buffer) + int(ends[-1]) + 1
            self._buffer += piece
            return
        at = 0
        for end in [*ends.tolist(), None]:
            stop = len(piece) if end is None else end + 1
            self._append_line(piece[at:stop], ended=end is not None)
            at = stop

    def _append_line(self, part: bytes, *, ended: bool) -> None:
        body = part[:-1] if ended else part
        room = 0 if self._skipping else self.max_line - (len(self._buffer) - self._line_start)
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

    def _last_start(self) -> int:
        """Where the last complete line that begins a message starts; 0 where only the first one does."""
        end = self._line_start
        while end > max(self._searched, 1):
            start = self._buffer.rfind(b"\n", 0, end - 1) + 1
            if start and self.is_start(bytes(self._buffer[start : end - 1])):
                return start
            end = start
        self._searched = self._line_start
        return 0

    def _take(self, cut: int, *, final: bool = False) -> Block:
        gaps = [gap for gap in self._gaps if gap[0] <= cut]
        block = Block(bytes(self._buffer[:cut]), self._offset, self._line, tuple(gaps), final)
        self._offset += cut + sum(gap[1] for gap in gaps)
        self._line += block.data.count(b"\n") + sum(gap[2] for gap in gaps)
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
        lines = self._buffer.count(b"\n", keep, end) + sum(gap[2] for gap in inside)
        left_out = end - keep + sum(gap[1] for gap in inside)
        before = [gap for gap in self._gaps if gap[0] < keep]
        after = [(at - (end - keep), n, m) for at, n, m in self._gaps if at >= end]
        self.over_long += not any(gap[0] == keep for gap in inside)
        self._gaps = [*before, (keep, left_out, lines), *after]
        del self._buffer[keep:end]
        self._line_start = self._searched = keep
