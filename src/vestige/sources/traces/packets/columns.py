"""Packets as columns: every packet of a trace, one row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from vestige.compiling import compiled
from vestige.sources.traces.packets import kernel
from vestige.sources.traces.packets.kernel import (
    AT,
    BASE,
    BLOCK,
    CUT_OFF,
    ERROR_AT,
    ERROR_KIND,
    LAST_IP,
    NO_ERROR,
    PSB,
    RESUMED_AT,
    SEARCHING,
    UNKNOWN_OPCODE,
)
from vestige.sources.traces.packets.kinds import CARRIES_IP, IP_BYTES, KEEPS_BLOCK, LONGEST, Kind
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.packets.stream import Bytes, feed, fresh_state

ROWS = 1 << 15
NOWHERE = np.uint64((1 << 64) - 1)
"""`value` of an error after which no PSB comes any more."""
_TNT_8, _TNT_64, _CYC = int(Kind.TNT_8), int(Kind.TNT_64), int(Kind.CYC)


@dataclass(frozen=True)
class Packets:
    """`n` packets in the order in which they were decoded; each column is `(n,)`.

    After an error that swallowed the start of a PSB, decoding goes back to that PSB, and so does `offset`.
    """

    offset: NDArray[np.uint64]
    """Byte of the trace at which the packet starts."""
    kind: NDArray[np.uint8]
    """See `Kind`, the two kinds of error included."""
    ip: NDArray[np.uint64]
    """Full address of an IP packet that carries one, else 0."""
    bits: NDArray[np.uint64]
    """TNT: the branches, the oldest in the highest of `n_bits` bits, 1 for taken. Else: the last byte of the
    header, in which an IP has its compression (bits 7:5), PTW its size and IP bit, EVD its type, BIP its id."""
    n_bits: NDArray[np.uint8]
    """Number of branches; 0 for all but TNT."""
    value: NDArray[np.uint64]
    """The payload as a little-endian number (CYC: the cycles). Of an error: the offset of the PSB at which
    decoding went on, `NOWHERE` if there was none."""

    def __len__(self) -> int:
        return len(self.offset)

    @classmethod
    def empty(cls, rows: int = 0) -> Packets:
        """`rows` rows to be written."""
        wide, narrow = np.uint64, np.uint8
        dtypes = (wide, narrow, wide, wide, narrow, wide)
        return cls(*(np.zeros(rows, dtype) for dtype in dtypes))

    @classmethod
    def joined(cls, parts: Iterable[Packets]) -> Packets:
        """Rows of all parts, one after the other."""
        parts = [cls.empty(), *parts]
        return cls(*(np.concatenate([getattr(one, each.name) for one in parts]) for each in fields(cls)))

    def _columns(self) -> tuple[NDArray[np.generic], ...]:
        return self.offset, self.kind, self.ip, self.bits, self.n_bits, self.value

    def _first(self, rows: int) -> Packets:
        return Packets(*(column[:rows].copy() for column in self._columns()))


def decode(buffer: Bytes, quality: Quality | None = None) -> Packets:
    """All packets of a trace; never fails, whatever the bytes. `quality` is told what was lost."""
    return Packets.joined(packets([buffer], quality=quality))


def packets(pieces: Iterable[Bytes], *, base: int = 0, quality: Quality | None = None) -> Iterator[Packets]:
    """Packets of a trace that comes in pieces, in runs of at most `ROWS`; the cuts make no difference.

    `base` is the offset in the trace at which the pieces begin.
    """
    state = fresh_state(base)
    counts = np.zeros(len(Kind), np.int64)
    out = Packets.empty(ROWS)

    def step(buffer: NDArray[np.uint8], end: int, final: bool) -> Iterator[Packets]:
        while rows := _fill(buffer, end, final, state, counts, *out._columns()):
            yield out._first(rows)

    yield from feed(pieces, state, step)
    if quality is not None:
        quality.take(state, counts, base)


@compiled
def _fill(  # noqa: PLR0914
    buffer: NDArray[np.uint8],
    end: int,
    final: bool,
    state: NDArray[np.int64],
    counts: NDArray[np.int64],
    offset: NDArray[np.uint64],
    kind: NDArray[np.uint8],
    ip: NDArray[np.uint64],
    bits: NDArray[np.uint64],
    n_bits: NDArray[np.uint8],
    value: NDArray[np.uint64],
) -> int:
    """Write rows until they are full or the buffer is used up; returns how many."""
    row = 0
    while row < len(offset):
        if state[SEARCHING]:
            if not kernel.search(buffer, end, final, state):
                return row
            if state[ERROR_KIND] != NO_ERROR:
                offset[row] = state[ERROR_AT]
                kind[row] = state[ERROR_KIND]
                ip[row] = bits[row] = n_bits[row] = 0
                value[row] = np.uint64(state[RESUMED_AT])
                counts[state[ERROR_KIND]] += 1
                row += 1
            continue
        at = state[AT]
        if at >= end or (not final and at + LONGEST > end):
            return row
        what, size, head = kernel.measure(buffer, at, state[BLOCK])
        if at + size > end:
            state[CUT_OFF] = end - at
            state[AT] = end
            return row
        if what >= UNKNOWN_OPCODE:
            kernel.fail(state, at, what)
            continue
        offset[row] = state[BASE] + at
        kind[row] = what
        _payload(buffer, at, what, size, head, state, ip, bits, n_bits, value, row)
        state[BLOCK] = kernel.next_block(what, buffer[at + 2], state[BLOCK], KEEPS_BLOCK[what])
        counts[what] += 1
        state[AT] = at + size
        row += 1
    return row


@compiled
def _payload(
    buffer: NDArray[np.uint8],
    at: int,
    what: int,
    size: int,
    head: int,
    state: NDArray[np.int64],
    ip: NDArray[np.uint64],
    bits: NDArray[np.uint64],
    n_bits: NDArray[np.uint8],
    value: NDArray[np.uint64],
    row: int,
) -> None:
    n_bits[row] = ip[row] = 0
    bits[row] = buffer[at + head - 1]
    if what == _TNT_8 or what == _TNT_64:  # noqa: PLR1714
        word = np.uint64(buffer[at] >> 1) if what == _TNT_8 else kernel.load(buffer, at + 2, 6)
        count = kernel.branches(word)
        n_bits[row] = count
        bits[row] = word ^ (np.uint64(1) << np.uint64(count))
        value[row] = word
    elif what == _CYC:
        value[row] = kernel.cyc_value(buffer, at, size)
    elif what == PSB:
        value[row] = 0
        state[LAST_IP] = 0
    else:
        value[row] = kernel.load(buffer, at + head, size - head)
    if CARRIES_IP[what] and size > 1:
        address = kernel.full_ip(buffer[at] >> 5, value[row], np.uint64(state[LAST_IP]))
        state[LAST_IP] = np.int64(address)
        ip[row] = address
