"""Messages as they stand in a log, with the values that masks replace: read again, where somebody asks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestige.sources.logs.blocks import Block
from vestige.sources.logs.parse import Messages, Parser, places

FEW = 8
"""Where fewer than one message in so many is asked for, each is read alone."""


@dataclass(frozen=True)
class RawMessages:
    """Of the messages of a block, which begin at the bytes `offset (n,)` of their file, in their order
    (several may begin at one), the texts of those asked for. `parser` replaces nothing."""

    parser: Parser
    block: Block
    offset: NDArray[np.int64]

    def __call__(self, rows: NDArray[np.int64]) -> list[str]:
        """The texts of the messages at `rows (m,)`."""
        begins = np.unique(self.offset)
        # Which of those that begin where it does each message is.
        which = rows - np.searchsorted(self.offset, self.offset[rows])
        if len(rows) * FEW > len(begins):
            return self._of(self.parser.parse(self.block), self.offset[rows], which)
        found: list[str] = []
        lines, offsets, _ = places(self.block, self.block.data.count(b"\n") + 1)
        for offset, number in zip(self.offset[rows].tolist(), which.tolist(), strict=True):
            after = int(np.searchsorted(begins, offset, side="right"))
            begin, end = int(lines[np.searchsorted(offsets, offset)]), len(self.block.data)
            if after < len(begins):
                end = int(lines[np.searchsorted(offsets, begins[after])])
            message = Block(self.block.data[begin:end], offset, 1, final=True)
            found += self._of(self.parser.parse(message), np.array([offset]), np.array([number]))
        return found

    @staticmethod
    def _of(messages: Messages, offset: NDArray[np.int64], which: NDArray[np.int64]) -> list[str]:
        at = np.searchsorted(messages.offset, offset) + which
        return [messages.texts[row] for row in messages.text[at].tolist()]
