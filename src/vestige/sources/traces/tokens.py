"""A trace's packets as values of a run: where the program went, one unsigned 64-bit number an event.

A value is `module << 48 | offset`. Modules are numbered by the memory map (`regions.py`), three of them by
itself: NOWHERE (no address known yet), UNMAPPED (an address outside the map) and ANONYMOUS (a region without
a file). The offset says what happened:

- a *target*: the address less the module's base. UNMAPPED keeps the address's low 48 bits. Offsets above
  `LAST_OFFSET` become `LAST_OFFSET`.
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
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vestige import compiling
from vestige.sources.traces.packets import kernel
from vestige.sources.traces.packets.kernel import (
    AT,
    BASE,
    BLOCK,
    CUT_OFF,
    ERROR_KIND,
    LAST_IP,
    MODULE,
    NO_ERROR,
    ONE,
    PSB,
    SEARCHING,
    UNKNOWN_OPCODE,
    ZERO,
)
from vestige.sources.traces.packets.kinds import CARRIES_IP, FIRST_KIND, LONGEST, Kind
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.packets.stream import Bytes, feed, fresh_state
from vestige.sources.traces.regions import UNMAPPED, Regions

compiled = partial(compiling.compiled, after=kernel.SOURCES)

MODULE_SHIFT = 48
TAKEN = (1 << MODULE_SHIFT) - 1
NOT_TAKEN = TAKEN - 1
LAST_OFFSET = NOT_TAKEN - 1

Values = NDArray[np.uint64]
Offsets = NDArray[np.int64]

CHUNK = 1 << 17
"""Values in a chunk: 1 MiB."""
_MOST_BRANCHES = 47
"""In one packet: those of a TNT-64."""
_FULL = CHUNK - _MOST_BRANCHES
_SHIFT, _LOW_BITS, _LAST = np.uint64(MODULE_SHIFT), np.uint64(TAKEN), np.uint64(LAST_OFFSET)
_NOT_TAKEN = np.uint64(NOT_TAKEN)
_OUTSIDE, _TOP = np.uint64(UNMAPPED << MODULE_SHIFT), np.uint64((1 << 64) - 1)

# Rows of the table of regions, and of the one that is kept at hand: a tag is a module, shifted to its place.
_START, _END, _TAG, _ORIGIN = range(4)


def _short_branches() -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Of every TNT-8 byte: how many branches, `(256,)`, and the branches, oldest first, `(256, 6)`.

    A PAD counts as one without branches, which spares a guess between the two; other bytes have -1.
    """
    counts, taken = np.full(256, -1), np.zeros((256, 6), np.uint64)
    counts[0] = 0
    for byte in range(4, 256, 2):
        digits = f"{byte >> 1:b}"[1:]
        counts[byte] = len(digits)
        taken[byte, : len(digits)] = [int(one) for one in digits]
    return counts, taken


_SHORT_COUNT, _SHORT_TAKEN = _short_branches()


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
    tags = regions.modules.astype(np.uint64) << _SHIFT
    table = np.stack([regions.starts, regions.ends, tags, regions.bases])
    near = np.array([1, 0, 0, 0], np.uint64)
    n = 0

    def fresh() -> tuple[Values, Offsets]:
        # One block of memory: two would be given back to the system and fetched again for every chunk.
        block = np.empty((2 if placed else 1, CHUNK), np.uint64)
        return block[0], block[1:].ravel().view(np.int64)

    out, place = fresh()

    def step(words: NDArray[np.uint64], end: int, final: bool) -> Iterator[tuple[Values, Offsets]]:
        nonlocal out, place, n
        while (n := _encode(words, end, final, state, counts, table, near, tip_only, out, place, n)) > _FULL:
            yield out[:n], place[:n]
            n, (out, place) = 0, fresh()

    yield from feed(pieces, state, step)
    if n:
        yield out[:n], place[:n]
    if quality is not None:
        quality.take(state, counts, base)


@compiled
def _encode(
    words: NDArray[np.uint64],
    end: int,
    final: bool,
    state: NDArray[np.int64],
    counts: NDArray[np.int64],
    table: NDArray[np.uint64],
    near: NDArray[np.uint64],
    tip_only: bool,
    out: Values,
    place: Offsets,
    n: int,
) -> int:
    """Append to `out[n:]` until it is full or the buffer is used up; returns how many there are."""
    stop = end if final else end - LONGEST + 1
    while n <= _FULL:
        if state[SEARCHING]:
            if not kernel.search(words, end, final, state):
                break
            if state[ERROR_KIND] != NO_ERROR:
                counts[state[ERROR_KIND]] += 1
        if state[AT] >= stop:
            break
        n = _decode(words, stop, end, state, counts, table, near, tip_only, out, place, n)
    return n


@compiled
def _decode(  # noqa: PLR0912
    words: NDArray[np.uint64],
    stop: int,
    end: int,
    state: NDArray[np.int64],
    counts: NDArray[np.int64],
    table: NDArray[np.uint64],
    near: NDArray[np.uint64],
    tip_only: bool,
    out: Values,
    place: Offsets,
    n: int,
) -> int:
    """The same for the packets that start before `stop`, up to an error."""
    at, block, last = state[AT], state[BLOCK], np.uint64(state[LAST_IP])
    branch = (np.uint64(state[MODULE]) << _SHIFT) | _NOT_TAKEN
    placed, base = len(place) > 0, state[BASE]
    while at < stop and n <= _FULL:
        word = words[at]
        first = kernel.byte(word, 0)
        count = _SHORT_COUNT[first]
        if count >= 0 and (block == 0 or (first & 7 != 4 and count > 0)):
            block = 0
            counts[FIRST_KIND[first]] += 1
            if not tip_only:
                for i in range(6):
                    out[n + i] = branch + _SHORT_TAKEN[first, i]
                if placed:
                    for i in range(6):
                        place[n + i] = base + at
                n += count
            at += 1
            continue
        kind, size, _ = kernel.measure(word, words[at + 8], block)
        if at + size > end:
            state[CUT_OFF] = end - at
            at = end
            break
        if kind >= UNKNOWN_OPCODE:
            kernel.fail(state, at, kind)
            return n
        counts[kind] += 1
        if CARRIES_IP[kind]:
            if size > 1:
                sent = kernel.payload(word, words[at + 8], 1, size)
                last = kernel.full_ip(first >> 5, sent, last)
                if not near[_START] <= last < near[_END]:
                    _locate(last, table, near)
                branch = near[_TAG] | _NOT_TAKEN
                if kind != kernel.FUP:
                    out[n] = _target(last, near)
                    if placed:
                        place[n] = base + at
                    n += 1
        elif kind == kernel.TNT_64:
            if not tip_only:
                if placed:
                    for i in range(_MOST_BRANCHES):
                        place[n + i] = base + at
                n = _long_branches(word >> np.uint64(16), branch, out, n)
        elif kind == PSB:
            last, branch = ZERO, _NOT_TAKEN
        block = kernel.next_block(kind, word, block)
        at += size
    state[AT], state[BLOCK], state[LAST_IP] = at, block, np.int64(last)
    state[MODULE] = np.int64(branch >> _SHIFT)
    return n


@compiled
def _long_branches(word: np.uint64, branch: np.uint64, out: Values, n: int) -> int:
    count = kernel.branches(word)
    for i in range(count):
        out[n + i] = branch + ((word >> np.uint64(count - 1 - i)) & ONE)
    return n + count


@compiled
def _target(address: np.uint64, near: NDArray[np.uint64]) -> np.uint64:
    offset = (address - near[_ORIGIN]) & _LOW_BITS
    value: np.uint64 = near[_TAG] | min(offset, _LAST)
    return value


@compiled
def _locate(address: np.uint64, table: NDArray[np.uint64], near: NDArray[np.uint64]) -> None:
    """Bring into `near` the region of an address, or the gap between two regions as one of UNMAPPED."""
    starts, ends = table[_START], table[_END]
    low, high = 0, len(ends)
    while low < high:
        middle = (low + high) >> 1
        if ends[middle] <= address:
            low = middle + 1
        else:
            high = middle
    if low < len(starts) and starts[low] <= address:
        near[:] = table[:, low]
        return
    near[_START] = ends[low - 1] if low > 0 else ZERO
    near[_END] = starts[low] if low < len(starts) else _TOP
    near[_TAG], near[_ORIGIN] = _OUTSIDE, ZERO
