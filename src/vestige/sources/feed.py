"""A file of evidence being read: opened, unpacked, looked at, then handed on in pieces."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

from vestige.errors import EvidenceError
from vestige.evidence.expand import Expander
from vestige.evidence.files import STDIN, EvidenceFile

SAMPLE_LINES, SAMPLE_BYTES = 200, 1 << 20


class EvidenceFeed(ABC):
    """Abstract. `open` looks at the file's beginning; a source's feed then reads `_pieces` to the end.

    `eager`: it looks at no more lines than it takes to know what the file is; more may be long in coming.
    """

    eager = False

    def __init__(self, file: EvidenceFile) -> None:
        self.file = file
        self._stack = ExitStack()

    @property
    def taken(self) -> int:
        """Bytes of the file itself read so far."""
        return self._expander.taken

    @property
    def defects(self) -> list[str]:
        """What was wrong with the file's packing."""
        return self._expander.defects

    def open(self) -> None:
        """Read the beginning. Raises EvidenceError when it is not what the source reads."""
        handle = self.file.open()
        if self.file.path != STDIN:
            self._stack.enter_context(handle)
        self._expander = Expander(handle, self.file.where)
        with ExitStack() as undo:
            undo.callback(self.close)
            self._pieces = self._sampled(self._expander.pieces())
            undo.pop_all()

    def close(self) -> None:
        """Let go of a file that is not read to its end."""
        self._stack.close()

    @abstractmethod
    def _begin(self, sample: bytes) -> None:
        """Check the first bytes of the content, about `SAMPLE_LINES` lines. Raises EvidenceError."""

    def _sampled(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """The whole content in pieces, after `_begin` has seen its first ones."""
        taken: list[bytes] = []
        sample = b""
        for piece in pieces:
            taken.append(piece)
            sample += piece[: SAMPLE_BYTES - len(sample)]
            if self.eager and b"\n" in sample and self._began(sample[: sample.rfind(b"\n") + 1]):
                return chain(taken, pieces)
            if sample.count(b"\n") > SAMPLE_LINES or len(sample) >= SAMPLE_BYTES:
                break
        self._begin(sample)
        return chain(taken, pieces)

    def _began(self, sample: bytes) -> bool:
        try:
            self._begin(sample)
        except EvidenceError:
            return False
        return True
