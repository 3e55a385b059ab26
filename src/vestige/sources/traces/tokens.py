"""A trace's packets as values of a recording: where the program went, one unsigned 64-bit number an event.

A value is `module << 48 | offset`. Modules are numbered by the memory map (`regions.py`), three of them by
itself: NOWHERE (no address known yet), UNMAPPED (an address outside the map) and ANONYMOUS (a region without
a file). The offset says what happened:

- a *target*: the address less the module's base, or the address itself where it is UNMAPPED: its low 48 bits,
  `LAST_OFFSET` at most.
- a conditional branch: `TAKEN` or `NOT_TAKEN`, in the module of the last IP.

Targets are TIP, TIP.PGE and those TIP.PGD that carry an address: the packets in which the processor says
where a program went. A FUP is no target (it tells where an asynchronous event struck, and repeats the current
address after every PSB, that is, by how full the buffer is), but it is an IP: the branches after it are in
its module. A PSB and an error forget the module, as they forget the last IP, so that a trace gives the same
values whichever PSB one begins at.

The value 0 is never produced: it is free for padding.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from vestige.sources.traces import fused
from vestige.sources.traces.fused import LAST_OFFSET, MODULE_SHIFT, NOT_TAKEN, TAKEN, Offsets, Values
from vestige.sources.traces.packets.kernel import AT, BASE, LOOK_BACK
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.packets.stream import PIECE, Buffer, Bytes, cut, fresh_state
from vestige.sources.traces.regions import Regions

__all__ = [
    "CHUNK",
    "LAST_OFFSET",
    "MODULE_SHIFT",
    "NOT_TAKEN",
    "TAKEN",
    "Decoder",
    "Offsets",
    "Values",
    "events",
    "values",
]

CHUNK = 1 << 17
"""Values in a chunk: 1 MiB."""
NO_VALUES, NO_OFFSETS = np.empty(0, np.uint64), np.empty(0, np.int64)


def values(
    pieces: Iterable[Bytes],
    regions: Regions,
    *,
    tip_only: bool = False,
    base: int = 0,
    quality: Quality | None = None,
) -> Iterator[Values]:
    """The values of a trace that comes in pieces, in chunks of at most `CHUNK`; the cuts make no difference.

    `tip_only` leaves the branches out. `quality` is told what was lost; `base` is the offset in the trace at
    which the pieces begin.
    """
    for chunk, _ in _chunks(pieces, regions, tip_only, base, quality, placed=False):
        yield chunk


def events(
    pieces: Iterable[Bytes],
    regions: Regions,
    *,
    tip_only: bool = False,
    base: int = 0,
    quality: Quality | None = None,
) -> Iterator[tuple[Values, Offsets]]:
    """The same chunks of values, each with the byte of the trace at which every value's packet begins."""
    return _chunks(pieces, regions, tip_only, base, quality, placed=True)


def _chunks(
    pieces: Iterable[Bytes],
    regions: Regions,
    tip_only: bool,
    base: int,
    quality: Quality | None,
    *,
    placed: bool,
) -> Iterator[tuple[Values, Offsets]]:
    decoder = Decoder(regions, tip_only=tip_only, base=base, placed=placed)
    for piece in pieces:
        yield from decoder.feed(piece)
    yield from decoder.finish()
    if quality is not None:
        decoder.tell(quality)


class Decoder:
    """Decodes a trace as its bytes come. `state`, taken when a chunk has just been given, is enough to go on
    from there: the packets from `position` on are then still to be decoded."""

    def __init__(
        self,
        regions: Regions,
        *,
        tip_only: bool = False,
        base: int = 0,
        placed: bool = True,
        state: list[int] | None = None,
        chunk: int = CHUNK,
        piece: int = PIECE,
    ) -> None:
        """`base`: the offset in the trace at which its bytes begin; of a decoder that goes on by the `state`
        of another, `begins_at(state)`. `chunk`: values that a chunk may hold, more than `fused.ROOM`;
        `piece`: bytes that are decoded at a time."""
        self._chunk, self._piece = chunk, piece
        self._state = fresh_state(base)
        if state is not None:
            self._state[:] = state
            self._state[AT] = position(state) - base
            self._state[BASE] = base
        self._base, self._tip_only, self._placed = base, tip_only, placed
        self._counts = np.zeros(len(Kind), np.int64)
        self._known, self._guess = regions.partition.ravel(), np.zeros(fused.PAGES, np.int64)
        self._buffer = Buffer(self._state, piece)
        self._n = 0
        self._out, self._place = NO_VALUES, NO_OFFSETS

    @property
    def state(self) -> list[int]:
        """The decoder's state, as JSON values."""
        state: list[int] = self._state.tolist()
        return state

    def feed(self, piece: Bytes) -> Iterator[tuple[Values, Offsets]]:
        """The chunks that these bytes fill."""
        for part in cut([piece], self._piece):
            self._buffer.take(part)
            yield from self._step(final=False)

    def flush(self) -> tuple[Values, Offsets] | None:
        """What a chunk holds so far; None where that is nothing."""
        if not self._n:
            return None
        return self._given()

    def finish(self) -> Iterator[tuple[Values, Offsets]]:
        """The last chunks: the trace is over."""
        yield from self._step(final=True)
        last = self.flush()
        if last is not None:
            yield last

    def tell(self, quality: Quality) -> None:
        """Fill in what decoding came to."""
        quality.take(self._state, self._counts, self._base)

    def _step(self, *, final: bool) -> Iterator[tuple[Values, Offsets]]:
        full = self._chunk - fused.ROOM
        while True:
            if not len(self._out):
                self._fresh()
            self._n = fused.encode(
                self._buffer.content, self._buffer.end, final, self._state, self._counts, self._known,
                self._guess, self._tip_only, self._out, self._place, self._n,
            )  # fmt: skip
            if self._n <= full:
                return
            yield self._given()

    def _given(self) -> tuple[Values, Offsets]:
        """The chunk, which is another's from now on; memory for the next is asked for when it is needed."""
        chunk = self._out[: self._n], self._place[: self._n]
        self._n, self._out, self._place = 0, NO_VALUES, NO_OFFSETS
        return chunk

    def _fresh(self) -> None:
        # One block of memory: two would be given back to the system and fetched again for every chunk.
        rows = 2 if self._placed else 1
        block = np.empty((rows, self._chunk), np.uint64)
        self._out, self._place = block[0], block[1:].ravel().view(np.int64)


def position(state: list[int]) -> int:
    """The byte of the trace at which a decoder of this state goes on."""
    return state[BASE] + state[AT]


def begins_at(state: list[int]) -> int:
    """The byte of the trace from which on a decoder needs the bytes again to go on by this state."""
    return max(position(state) - LOOK_BACK, 0)
