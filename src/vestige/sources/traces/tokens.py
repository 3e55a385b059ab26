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
from numpy.typing import NDArray

from vestige.sources.traces import fused
from vestige.sources.traces.fused import LAST_OFFSET, MODULE_SHIFT, NOT_TAKEN, TAKEN, Offsets, Values
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.packets.stream import Bytes, feed, fresh_state
from vestige.sources.traces.regions import Regions

__all__ = [
    "CHUNK",
    "LAST_OFFSET",
    "MODULE_SHIFT",
    "NOT_TAKEN",
    "TAKEN",
    "Offsets",
    "Values",
    "events",
    "values",
]

CHUNK = 1 << 17
"""Values in a chunk: 1 MiB."""


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
    state = fresh_state(base)
    counts = np.zeros(len(Kind), np.int64)
    known, guess = regions.partition(), np.zeros(fused.PAGES, np.int64)
    full, n = CHUNK - fused.ROOM, 0

    def fresh() -> tuple[Values, Offsets]:
        # One block of memory: two would be given back to the system and fetched again for every chunk.
        block = np.empty((2 if placed else 1, CHUNK), np.uint64)
        return block[0], block[1:].ravel().view(np.int64)

    out, place = fresh()

    def step(words: NDArray[np.uint64], end: int, final: bool) -> Iterator[tuple[Values, Offsets]]:
        nonlocal out, place, n
        while (
            n := fused.encode(words, end, final, state, counts, known, guess, tip_only, out, place, n)
        ) > full:
            yield out[:n], place[:n]
            n, (out, place) = 0, fresh()

    yield from feed(pieces, state, step)
    if n:
        yield out[:n], place[:n]
    if quality is not None:
        quality.take(state, counts, base)
