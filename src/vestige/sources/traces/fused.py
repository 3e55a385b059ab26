"""The fused loop, compiled: packets, last IP, memory map and branches in one pass, to values (`tokens.py`).

Nearly all of a trace is packets of one byte (TNT-8, PAD, CYC) and packets with an address. Both go by table.
Branches are written eight at a time. All others are measured as `kernel.py` does.

There are more numbers at hand than registers, so that what these packets take is counted in instructions:
a row of the memory map is a place in a flat array, and packets of one byte are counted all together.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vestige import native
from vestige.sources.traces import regions
from vestige.sources.traces.packets import kernel
from vestige.sources.traces.packets.kernel import (
    AT,
    BASE,
    BLOCK,
    CUT_OFF,
    CYC,
    ERROR_KIND,
    LAST_IP,
    NO_ERROR,
    PAD,
    PSB,
    SEARCHING,
    TNT_8,
    TNT_64,
    UNKNOWN_OPCODE,
    ZERO,
)
from vestige.sources.traces.packets.kinds import ADDRESS_SIZE, FIRST_KIND, LONGEST, Kind
from vestige.sources.traces.regions import FIRST, LAST, MODULE, ORIGIN

compiled = partial(native.native, after=(*kernel.SOURCES, regions.__file__), lanes=True)

MODULE_SHIFT = 48
TAKEN = (1 << MODULE_SHIFT) - 1
NOT_TAKEN = TAKEN - 1
LAST_OFFSET = NOT_TAKEN - 1
LANES = 8
"""Branches that are written at a time."""
ROOM = 48
"""Slots that must be free before a packet: a TNT-64 has 47 branches, and eight are written at a time."""
PAGES = 256
"""Slots of `guess`, which remembers the row of the memory map by page."""

Values = NDArray[np.uint64]
Offsets = NDArray[np.int64]
Content = NDArray[np.uint8]
State = NDArray[np.int64]

_U64 = np.uint64
_SHIFT, _LOW_BITS, _LAST = _U64(MODULE_SHIFT), _U64(TAKEN), _U64(LAST_OFFSET)
_NOT_TAKEN, _PAGE_BITS, _PAGES = _U64(NOT_TAKEN), _U64(12), _U64(PAGES - 1)
_TOP_BYTE = _U64(56)
_WORD_BITS = 64
_CYC_SHIFT = 32
"""Where CYC packets are counted, above PAD."""
_FIRST, _LAST_OF, _MODULE, _ORIGIN = _U64(FIRST), _U64(LAST), _U64(MODULE), _U64(ORIGIN)
_COLUMNS_SHIFT = 2
"""A row of the memory map has four numbers."""


def _steps() -> NDArray[np.uint8]:
    """Of eight branches, the oldest in the highest bit: a byte each, the oldest first, `(256, LANES)`."""
    return np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)


def _short() -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Of every packet of one byte: how many branches it has, these as `_steps`, and what it adds to `others`.

    TNT-8, PAD and the shortest CYC are told apart by nothing but this; other bytes have -1 branches.
    """
    counts, steps, others = np.full(256, -1), np.zeros((256, LANES), np.uint8), np.zeros(256, np.int64)
    counts[0], others[0] = 0, 1
    counts[3::8], others[3::8] = 0, 1 << _CYC_SHIFT
    for byte in range(4, 256, 2):
        counts[byte] = byte.bit_length() - 2
        steps[byte] = _STEPS[byte << 9 - byte.bit_length() & 0xFF]
    return counts, steps, others


_STEPS = _steps()
_SHORT_COUNT, _SHORT_STEPS, _SHORT_OTHERS = _short()
_SENT = kernel.MASK[np.maximum(ADDRESS_SIZE - 1, 0)]
"""By the first byte of a packet with an address: the bytes of it that are sent, of a word."""
_IS_TARGET = np.array([0 if kind == Kind.FUP else 1 for kind in FIRST_KIND])
"""By the first byte of a packet with an address: is it an event?"""


@compiled
def encode(
    content: Content,
    end: int,
    final: bool,
    state: State,
    counts: NDArray[np.int64],
    known: NDArray[np.uint64],
    guess: NDArray[np.int64],
    tip_only: bool,
    out: Values,
    place: Offsets,
    n: int,
) -> int:
    """Append to `out[n:]` until it is full or the buffer is used up; returns how many there are.

    `known` is a memory map's partition, its rows one after the other; `guess (PAGES,)` holds where rows of it
    begin, any, at first. `place`, unless empty, is told the byte of the trace that each value comes from.
    Full: less than `ROOM` is left.
    """
    stop, full = end if final else end - LONGEST + 1, len(out) - ROOM
    while n <= full:
        if state[SEARCHING]:
            if not kernel.search(content, end, final, state):
                break
            if state[ERROR_KIND] != NO_ERROR:
                counts[state[ERROR_KIND]] += 1
        if state[AT] >= stop:
            break
        n = _decode(content, stop, end, state, counts, known, guess, tip_only, out, place, n)
    return n


@compiled
def _decode(  # noqa: PLR0912, PLR0915 - a call that is handed arrays costs more than what it would do
    content: Content,
    stop: int,
    end: int,
    state: State,
    counts: NDArray[np.int64],
    known: NDArray[np.uint64],
    guess: NDArray[np.int64],
    tip_only: bool,
    out: Values,
    place: Offsets,
    n: int,
) -> int:
    """The same for the packets that start before `stop`, up to an error."""
    at, block, last = state[AT], state[BLOCK], _U64(state[LAST_IP])
    branch = (_U64(state[kernel.MODULE]) << _SHIFT) | _NOT_TAKEN
    placed, base, full = len(place) > 0, state[BASE], len(out) - ROOM
    short, others, error = 0, 0, NO_ERROR
    while at < stop and n <= full:
        first = _U64(content[_U64(at)])
        if block != 0 and _SHORT_COUNT[first] > 0 and first & _U64(7) != _U64(4):
            block = 0  # branches end a block
        if block == 0:  # within one, the same bytes may be items of it
            began = at
            count = _SHORT_COUNT[first]
            while count >= 0 and at < stop and n <= full:
                if not tip_only:
                    _put_eight(out, _U64(n), branch, _SHORT_STEPS, first)
                    if placed:
                        _put_same(place, _U64(n), base + at)
                    n += count
                others += _SHORT_OTHERS[first]
                at += 1
                first = _U64(content[_U64(at)])
                count = _SHORT_COUNT[first]
            short += at - began
            if at >= stop or n > full:
                break
        kind, size = FIRST_KIND[first], ADDRESS_SIZE[first]
        if size != 0 and at + size <= end:
            last = kernel.full_ip(first >> _U64(5), kernel.word(content, at + 1) & _SENT[first], last)
            page = (last >> _PAGE_BITS) & _PAGES
            row = _U64(guess[page])
            if not known[row + _FIRST] <= last <= known[row + _LAST_OF]:
                row = _U64(_search(last, known))
                guess[page] = row
            tag = known[row + _MODULE] << _SHIFT
            branch = tag | _NOT_TAKEN
            out[_U64(n)] = tag | min((last - known[row + _ORIGIN]) & _LOW_BITS, _LAST)
            if placed:
                place[_U64(n)] = base + at
            n += _IS_TARGET[first]
            counts[kind] += 1
            if block != 0:
                block = kernel.next_block(kind, kernel.word(content, at), block)
            at += size
        else:
            word = kernel.word(content, at)
            kind, size, _ = kernel.measure(word, kernel.word(content, at + 8), block)
            if at + size > end:
                state[CUT_OFF] = end - at
                at = end
                break
            if kind >= UNKNOWN_OPCODE:
                error = kind
                break
            if kind == PSB:
                last, branch = ZERO, _NOT_TAKEN
            elif kind == TNT_64 and not tip_only:
                n = _long_branches(word >> _U64(16), branch, base + at, out, place, n)
            elif kind == kernel.PIP:
                kernel.note_space(state, word)
            counts[kind] += 1
            if block != 0 or kind == kernel.BBP:
                block = kernel.next_block(kind, word, block)
            at += size
    cycles = others >> _CYC_SHIFT
    pads = others - (cycles << _CYC_SHIFT)
    counts[PAD] += pads
    counts[CYC] += cycles
    counts[TNT_8] += short - pads - cycles
    state[AT], state[BLOCK], state[LAST_IP] = at, block, np.int64(last)
    state[kernel.MODULE] = np.int64(branch >> _SHIFT)
    if error != NO_ERROR:
        kernel.fail(state, at, error)
    return n


@compiled
def _long_branches(sent: np.uint64, branch: np.uint64, at: int, out: Values, place: Offsets, n: int) -> int:
    """Append the branches below the stop bit, the highest set one, of a TNT-64 at byte `at` of the trace."""
    count = kernel.branches(sent)
    sent <<= _U64(_WORD_BITS - count)
    for i in range(0, count, LANES):
        _put_eight(out, _U64(n + i), branch, _STEPS, sent >> _TOP_BYTE)
        if len(place) > 0:
            _put_same(place, _U64(n + i), at)
        sent <<= _U64(LANES)
    return n + count


@compiled
def _put_eight(out: Values, at: np.uint64, base: np.uint64, steps: NDArray[np.uint8], row: np.uint64) -> None:
    """`out[at + i] = base + steps[row, i]`, eight times."""
    for i in range(LANES):
        out[at + _U64(i)] = base + _U64(steps[row, _U64(i)])


@compiled
def _put_same(place: Offsets, at: np.uint64, offset: int) -> None:
    """`place[at + i] = offset`, eight times."""
    for i in range(LANES):
        place[at + _U64(i)] = offset


@compiled
def _search(address: np.uint64, known: NDArray[np.uint64]) -> int:
    """Where the row begins that an address is in."""
    low, high = 0, len(known) >> _COLUMNS_SHIFT
    while high - low > 1:
        middle = (low + high) >> 1
        if known[_U64(middle << _COLUMNS_SHIFT) + _FIRST] <= address:
            low = middle
        else:
            high = middle
    return low << _COLUMNS_SHIFT
