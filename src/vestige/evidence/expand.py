"""Bytes of plain, gzip and Zstandard files in pieces, never more in memory than a piece.

What is damaged or cut off ends the file there: what came before is kept, and `defects` says what happened.
"""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import zstandard

from vestige.errors import EvidenceError

PIECE = 1 << 18
BOMB_BYTES, BOMB_RATIO = 1 << 30, 1000
"""A file that unpacks to more than both is refused: no log compresses so well."""

GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
UNSUPPORTED = {b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"PK\x03\x04": "zip", b"7z\xbc\xaf": "7z"}
LONGEST_MAGIC = 6
MOST_WINDOW = 1 << 27
_ZSTD_STEP = 1 << 10
"""Bytes of compressed input at a time: 1 KiB can unpack to 32 MiB at the worst."""


def is_packed(file: BinaryIO) -> bool:
    """Whether a file is packed, whatever its name says. It stands at its beginning, before and afterwards."""
    start = file.read(LONGEST_MAGIC)
    file.seek(0)
    return start.startswith((GZIP, ZSTD, *UNSUPPORTED))


@dataclass
class Expander:
    """Reads `file`, whatever its compression. `taken` and `given` count bytes in and out."""

    file: BinaryIO
    where: str
    bomb_bytes: int = BOMB_BYTES
    taken: int = 0
    given: int = 0
    defects: list[str] = field(default_factory=list)
    _entered: bool = False
    """Whether reading begins in the middle of a plain file, where nothing is looked for."""

    def pieces(self) -> Iterator[bytes]:
        """The decompressed content; an empty piece where there is nothing now, but may be later.

        Raises EvidenceError for a decompression bomb or an unknown packing.
        """
        start = yield from self._next()
        if self._entered:
            pieces = self._plain(start)
        else:
            while 0 < len(start) < LONGEST_MAGIC:
                more = yield from self._next()
                if not more:
                    break
                start += more
            pieces = self._unpacked(start)
        for piece in pieces:
            self.given += len(piece)
            if self.given > self.bomb_bytes and self.given > BOMB_RATIO * self.taken:
                raise EvidenceError(
                    f"{self.taken} bytes unpack to more than {self.given}: refused as a decompression bomb",
                    where=self.where,
                    remedy="unpack it yourself if it is what it should be",
                )
            yield piece

    def seek(self, offset: int, file: BinaryIO) -> bool:
        """Go to the byte `offset` of a plain `file`, before anything was read; False for a packed one, which
        has to be unpacked up to there."""
        packed = is_packed(file)
        if not packed:
            file.seek(offset)
            self.taken = self.given = offset
            self._entered = True
        return not packed

    def _unpacked(self, start: bytes) -> Iterator[bytes]:
        """The content of a file that begins with `start`, by its packing."""
        for magic, name in UNSUPPORTED.items():
            if start.startswith(magic):
                raise EvidenceError(
                    f"{name} files are not read", where=self.where, remedy="unpack it, or use .gz or .zst"
                )
        if start.startswith(GZIP):
            return self._gzip(start)
        if start.startswith(ZSTD):
            return self._zstd(start)
        return self._plain(start)

    def _next(self) -> Generator[bytes, None, bytes]:
        """The next bytes of the file; while there are none now, empty pieces. Nothing: the file is over."""
        while (piece := self._take()) is None:
            yield b""
        return piece

    def _take(self) -> bytes | None:
        """What there is, `PIECE` bytes at most: a pipe is not waited for until it has filled a piece. None:
        there is nothing now."""
        read = getattr(self.file, "read1", None) or self.file.read
        try:
            piece: bytes | None = read(PIECE)
        except OSError as error:
            self.defects.append(f"reading failed after {self.taken} bytes: {error.strerror}")
            return b""
        self.taken += len(piece or b"")
        return piece

    def _plain(self, piece: bytes) -> Iterator[bytes]:
        while piece:
            yield piece
            piece = yield from self._next()

    def _gzip(self, data: bytes) -> Iterator[bytes]:
        unpack = None
        while data := data or (yield from self._next()):
            if unpack is None:
                data = data.lstrip(b"\0")
                if not GZIP.startswith(data[:2]):
                    self.defects.append("bytes after the end of the gzip data were left out")
                    return
                if not data:
                    continue
                unpack = zlib.decompressobj(wbits=31)
            try:
                piece = unpack.decompress(data, PIECE)
            except zlib.error as error:
                self.defects.append(f"damaged gzip data after {self.given} bytes ({error})")
                return
            if piece:
                yield piece
            data = unpack.unconsumed_tail
            if unpack.eof:
                data, unpack = unpack.unused_data, None
        if unpack is not None:
            if rest := unpack.flush():
                yield rest
            if not unpack.eof:
                self.defects.append(f"the gzip data are cut off after {self.given} bytes")

    def _zstd(self, data: bytes) -> Iterator[bytes]:
        packing = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW)
        unpack = packing.decompressobj()
        fresh = True
        while data := data or (yield from self._next()):
            step, data = data[:_ZSTD_STEP], data[_ZSTD_STEP:]
            try:
                piece = unpack.decompress(step)
            except zstandard.ZstdError as error:
                self.defects.append(f"damaged Zstandard data after {self.given} bytes ({error})")
                return
            fresh = False
            for at in range(0, len(piece), PIECE):
                yield piece[at : at + PIECE]
            if unpack.eof:
                data = unpack.unused_data + data
                unpack = packing.decompressobj()
                fresh = True
        if not fresh:
            self.defects.append(f"the Zstandard data are cut off after {self.given} bytes")
