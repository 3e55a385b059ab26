"""Feeding a compiled decoder: pieces of bytes in, a fixed buffer, its state carried from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from vestige.sources.traces.packets.kernel import (
    AT,
    BASE,
    ERROR_AT,
    ERROR_KIND,
    LOOK_BACK,
    MARGIN,
    N_STATE,
    NO_ERROR,
    SEARCHING,
)

PIECE = 1 << 18
_T = TypeVar("_T")
Bytes = bytes | bytearray | memoryview | NDArray[np.uint8]
Step = Callable[[NDArray[np.uint8], int, bool], Iterator[_T]]
"""Decodes `(content, end, final)`: bytes up to `end` are the trace's, and `MARGIN` more may be read. Unless
`final`, packets that could go beyond `end` are left for the next call."""


def fresh_state(base: int = 0) -> NDArray[np.int64]:
    """The state at the start of a trace, or at offset `base` of it: a PSB is searched for."""
    state = np.zeros(N_STATE, np.int64)
    state[BASE] = state[ERROR_AT] = base
    state[SEARCHING] = 1
    state[ERROR_KIND] = NO_ERROR
    return state


def feed(pieces: Iterable[Bytes], state: NDArray[np.int64], step: Step[_T]) -> Iterator[_T]:
    """Everything that `step` makes of the pieces, however they are cut.

    The buffer keeps what is not decoded yet and `LOOK_BACK` bytes before it, for the search after an error.
    """
    buffer = Buffer(state)
    for piece in cut(pieces):
        buffer.take(piece)
        yield from step(buffer.content, buffer.end, False)
    yield from step(buffer.content, buffer.end, True)


class Buffer:
    """The bytes that a decoder with this state has not decoded yet, and `LOOK_BACK` before them.

    They are in `content` up to `end`, with `MARGIN` zeros behind them once any were taken.
    """

    def __init__(self, state: NDArray[np.int64], most: int = PIECE) -> None:
        """`most`: of the bytes that are taken at a time."""
        self._state = state
        # To make all of it zero would take longer than many a trace does; `take` does so where it is read.
        self.content = np.empty(most + LOOK_BACK + 2 * MARGIN, np.uint8)
        self.end = 0

    def take(self, piece: NDArray[np.uint8]) -> None:
        """The next bytes; what is decoded makes room for them."""
        start = max(int(self._state[AT]) - LOOK_BACK, 0)
        kept = self.end - start
        self.content[:kept] = self.content[start : self.end].copy()
        self._state[AT] -= start
        self._state[BASE] += start
        self.end = kept + len(piece)
        self.content[kept : self.end] = piece
        self.content[self.end : self.end + MARGIN] = 0


def skipping(pieces: Iterable[bytes], n_bytes: int) -> Iterator[bytes]:
    """The pieces without their first `n_bytes`."""
    for piece in pieces:
        if n_bytes < len(piece):
            yield piece[n_bytes:]
        n_bytes = max(n_bytes - len(piece), 0)


def cut(pieces: Iterable[Bytes], most: int = PIECE) -> Iterator[NDArray[np.uint8]]:
    """The pieces as arrays of at most `most` bytes."""
    for piece in pieces:
        array = np.frombuffer(piece, np.uint8)
        for start in range(0, len(array), most):
            yield array[start : start + most]
