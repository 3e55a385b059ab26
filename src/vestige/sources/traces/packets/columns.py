"""Packets as columns: every packet of a trace, one row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import native
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
    RESUMED_AT,
    SEARCHING,
    UNKNOWN_OPCODE,
)
from vestige.sources.traces.packets.kinds import CARRIES_IP, LONGEST, Kind
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.packets.stream import Bytes, feed, fresh_state

compiled = partial(native.native, after=kernel.SOURCES)

ROWS = 1 << 15
NOWHERE = np.uint64((1 << 64) - 1)
"""`value` of an error after which no PSB comes any more."""


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
    """TNT: the branches, the oldest in the highest of `n_bits` bits, 1 for taken. Else the last byte of the
    header: there an IP has its compression (bits 7:5), PTW its size and IP bit, EVD its type, BIP its id."""
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
        return cls(*(np.zeros(rows, dtype) for dtype in ("u8", "u1", "u8", "u8", "u1", "u8")))

    @classmethod
    def joined(cls, parts: Iterable[Packets]) -> Packets:
        """Rows of all parts, one after the other."""
        # The empty ones first, so that no parts at all come to columns of the right dtypes.
        columns = zip(*(part._columns() for part in (cls.empty(), *parts)), strict=True)
        return cls(*map(np.concatenate, columns))

    def _columns(self) -> tuple[NDArray[Any], ...]:
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

    def step(content: NDArray[np.uint8], end: int, final: bool) -> Iterator[Packets]:
        while rows := _fill(content, end, final, state, counts, *out._columns()):
            yield out._first(rows)

    yield from feed(pieces, state, step)
    if quality is not None:
        quality.take(state, counts, base)


@compiled
def _fill(
    content: NDArray[np.uint8],
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
            if not kernel.search(content, end, final, state):
                break
            if state[ERROR_KIND] != NO_ERROR:
                counts[state[ERROR_KIND]] += 1
                offset[row], kind[row] = state[ERROR_AT], state[ERROR_KIND]
                ip[row], bits[row], n_bits[row] = 0, 0, 0
                value[row] = np.uint64(state[RESUMED_AT])
                row += 1
            continue
        at = state[AT]
        if at >= end or (not final and at + LONGEST > end):
            break
        word, rest = kernel.word(content, at), kernel.word(content, at + 8)
        what, size, head = kernel.measure(word, rest, state[BLOCK])
        if at + size > end:
            state[CUT_OFF] = end - at
            state[AT] = end
            break
        if what >= UNKNOWN_OPCODE:
            kernel.fail(state, at, what)
            continue
        counts[what] += 1
        offset[row], kind[row] = state[BASE] + at, what
        bits[row], n_bits[row], value[row] = _contents(word, rest, what, size, head)
        ip[row] = 0
        if CARRIES_IP[what] and size > 1:
            ip[row] = kernel.full_ip(kernel.byte(word, 0) >> 5, value[row], np.uint64(state[LAST_IP]))
            state[LAST_IP] = np.int64(ip[row])
        elif what == kernel.PSB:
            state[LAST_IP] = 0
        elif what == kernel.PIP:
            kernel.note_space(state, word)
        state[BLOCK] = kernel.next_block(what, word, state[BLOCK])
        state[AT] = at + size
        row += 1
    return row


@compiled
def _contents(
    word: np.uint64, rest: np.uint64, kind: int, size: int, head: int
) -> tuple[np.uint64, int, np.uint64]:
    """The columns `bits`, `n_bits` and `value` of a packet."""
    if kind == kernel.TNT_8 or kind == kernel.TNT_64:  # noqa: PLR1714
        sent = np.uint64(kernel.byte(word, 0) >> 1) if kind == kernel.TNT_8 else word >> np.uint64(16)
        count = kernel.branches(sent)
        return sent ^ (kernel.ONE << np.uint64(count)), count, sent
    header = np.uint64(kernel.byte(word, head - 1))
    if kind == kernel.CYC:
        return header, 0, kernel.cyc_value(word, rest, size)
    if kind == kernel.PSB:
        return header, 0, kernel.ZERO
    return header, 0, kernel.payload(word, rest, head, size)
