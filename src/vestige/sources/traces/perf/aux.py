"""The processor's data in a perf.data as a file of its own: pieces of it, one after the other."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from vestige.evidence.files import EvidenceFile

Pieces = NDArray[np.int64]
"""Where pieces of a file begin, and how many bytes they have, `(n, 2)`."""


@dataclass(frozen=True, eq=False)
class AuxFile(EvidenceFile):
    """The `pieces` of a file as one file."""

    pieces: Pieces = field(default_factory=lambda: np.empty((0, 2), np.int64))

    def open(self) -> BinaryIO:
        """See `EvidenceFile.open`."""
        return cast("BinaryIO", _Joined(super().open(), self.pieces))


class _Joined(io.RawIOBase):
    """Reads pieces of a file as if nothing lay between them. A piece whose bytes are not there ends it."""

    def __init__(self, file: BinaryIO, pieces: Pieces) -> None:
        self._file = file
        self._begins, self._sizes = pieces[:, 0], pieces[:, 1]
        self._ends = np.cumsum(pieces[:, 1])
        self._at = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """Of the file that the pieces lie in."""
        return self._file.fileno()

    def tell(self) -> int:
        """Bytes of the pieces before this place."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte of the pieces."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("seeking is from the start")
        self._at = offset
        return offset

    def read(self, size: int = -1, /) -> bytes:
        """Bytes of one piece, or of several where they are short; nothing at the end."""
        left = int(self._ends[-1:].sum()) - self._at
        if size >= 0:
            left = min(left, size)
        parts: list[bytes] = []
        while left > 0:
            piece = int(np.searchsorted(self._ends, self._at, side="right"))
            behind = int(self._ends[piece]) - self._at
            most = min(left, behind)
            self._file.seek(int(self._begins[piece] + self._sizes[piece]) - behind)
            part = self._file.read(most)
            if not part:
                break
            parts.append(part)
            self._at += len(part)
            left -= len(part)
        return b"".join(parts)

    read1 = read

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
        super().close()
