"""Bytes of plain, gzip and Zstandard files in pieces, never more in memory than a piece.

What is damaged or cut off ends the file there: what came before is kept, and `defects` says what happened.
"""

from __future__ import annotations

import errno
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
SKIPPABLE = tuple(bytes([low]) + b"\x2a\x4d\x18" for low in range(0x50, 0x60))
"""Frames of Zstandard that hold no content (RFC 8878, 3.1.2): pzstd begins with one."""
UNSUPPORTED = {
    b"BZh": ("bzip2", "bzip2 -d FILE"),
    b"\xfd7zXZ\0": ("xz", "xz -d FILE"),
    b"PK\x03\x04": ("zip", "unzip FILE"),
    b"7z\xbc\xaf": ("7z", "7z x FILE"),
}
LONGEST_MAGIC = 6
MOST_WINDOW = 1 << 27
LONGEST_HEADER = 18
"""Bytes of a Zstandard frame's header at most (RFC 8878, 3.1.1.1)."""
TAR_BLOCK = 512
_ZSTD_STEP = 1 << 10
"""Bytes of compressed input at a time: 1 KiB can unpack to 32 MiB at the worst."""


def is_packed(file: BinaryIO) -> bool:
    """Whether a file is packed, whatever its name says. It stands at its beginning, before and afterwards."""
    start = file.read(LONGEST_MAGIC)
    file.seek(0)
    return start.startswith((GZIP, ZSTD, *SKIPPABLE, *UNSUPPORTED))


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

        Raises EvidenceError for a decompression bomb, an unknown packing, or an archive.
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
            pieces = self._but_archives(self._unpacked(start))
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
        for magic, (name, command) in UNSUPPORTED.items():
            if start.startswith(magic):
                raise EvidenceError(
                    f"{name} files are not read",
                    where=self.where,
                    remedy=f"unpack it ({command}), or use .gz or .zst",
                )
        if start.startswith(GZIP):
            return self._gzip(start)
        if start.startswith((ZSTD, *SKIPPABLE)):
            return self._zstd(start)
        return self._plain(start)

    def _but_archives(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The same content. Raises EvidenceError where it begins like a tar archive: the headers of its
        members are no lines of theirs."""
        start = b""
        for piece in pieces:
            start += piece
            # A member's name fills 100 bytes with NULs: text is not waited for, nor what does not come now.
            if start and (not piece or len(start) >= TAR_BLOCK or b"\0" not in start):
                break
            if not piece:
                yield piece
        if is_tar(start):
            raise EvidenceError(
                "it is a tar archive",
                where=self.where,
                remedy="unpack it (tar -xf FILE) and give the directory",
            )
        if start:
            yield start
        yield from pieces

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
            if error.errno == errno.ESTALE:
                raise  # it is followed, and has to be opened anew: this is no defect of it
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
        fresh, header = True, b""
        while data := data or (yield from self._next()):
            step, data = data[:_ZSTD_STEP], data[_ZSTD_STEP:]
            header = (header + step)[:LONGEST_HEADER]
            try:
                piece = unpack.decompress(step)
            except zstandard.ZstdError as error:
                self.defects.append(self._zstd_defect(header, error))
                return
            fresh = False
            for at in range(0, len(piece), PIECE):
                yield piece[at : at + PIECE]
            if unpack.eof:
                data = unpack.unused_data + data
                unpack = packing.decompressobj()
                fresh, header = True, b""
        if not fresh:
            self.defects.append(f"the Zstandard data are cut off after {self.given} bytes")

    def _zstd_defect(self, header: bytes, error: zstandard.ZstdError) -> str:
        """What is wrong with a frame that begins so: it may be sound, and too large, or be none."""
        if not header.startswith((ZSTD, *SKIPPABLE)):
            return "bytes after the end of the Zstandard data were left out"
        try:
            frame = zstandard.get_frame_parameters(header)
        except zstandard.ZstdError:
            return f"damaged Zstandard data after {self.given} bytes ({error})"
        if frame.window_size > MOST_WINDOW:
            return (
                f"sound Zstandard data, packed with a window of {frame.window_size >> 20:,} MiB, of which "
                f"{MOST_WINDOW >> 20} MiB are read; unpack it: zstd -d --long=31 FILE"
            )
        if frame.dict_id:
            return (
                f"sound Zstandard data, packed with the dictionary {frame.dict_id}, which is not in it; "
                "unpack it: zstd -d -D DICTIONARY FILE"
            )
        return f"damaged Zstandard data after {self.given} bytes ({error})"


def is_tar(start: bytes) -> bool:
    """Whether this is how a tar archive begins: with a block of 512 bytes whose sum, its own field taken as
    blanks, stands in it in octal digits (POSIX.1-2017, pax, ustar interchange format)."""
    block = start[:TAR_BLOCK]
    digits = block[148:156].strip(b" \0")
    if len(block) < TAR_BLOCK or not digits or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(block) - sum(block[148:156]) + 8 * ord(" ")
