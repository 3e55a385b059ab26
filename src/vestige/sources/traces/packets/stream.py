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
Step = Callable[[NDArray[np.uint64], int, bool], Iterator[_T]]
"""Decodes `(words, end, final)`: bytes up to `end` are the trace's, and `MARGIN` more may be read. Unless
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
    buffer = np.zeros(PIECE + LOOK_BACK + 2 * MARGIN, np.uint8)
    words = np.ndarray(len(buffer) - 7, np.uint64, buffer, strides=(1,))
    end = 0
    for piece in _cut(pieces):
        start = max(int(state[AT]) - LOOK_BACK, 0)
        kept = end - start
        buffer[:kept] = buffer[start:end].copy()
        state[AT] -= start
        state[BASE] += start
        end = kept + len(piece)
        buffer[kept:end] = piece
        yield from step(words, end, False)
    yield from step(words, end, True)


def skipping(pieces: Iterable[bytes], n_bytes: int) -> Iterator[bytes]:
    """The pieces without their first `n_bytes`."""
    for piece in pieces:
        if n_bytes < len(piece):
            yield piece[n_bytes:]
        n_bytes = max(n_bytes - len(piece), 0)


def _cut(pieces: Iterable[Bytes]) -> Iterator[NDArray[np.uint8]]:
    for piece in pieces:
        array = np.frombuffer(piece, np.uint8)
        for start in range(0, len(array), PIECE):
            yield array[start : start + PIECE]
