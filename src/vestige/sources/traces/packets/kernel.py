"""The compiled core: one packet at a time, the last IP, and the way back to a PSB after an error.

A trace is seen as overlapping words: `word(content, at)` is eight bytes from `at` on, little-endian. What a
packet is and says follows from the two words at its start, whatever the bytes; so nothing here reads more
than `MARGIN` bytes from the position at hand, and `stream.py` sees to it that they are there. Positions are
signed, payloads unsigned: the two never meet in one expression, where they would become floating point.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vestige import native
from vestige.sources.traces.packets import kinds
from vestige.sources.traces.packets.kinds import (
    EXTENDED,
    FIRST_KIND,
    FIRST_SIZE,
    KEEPS_BLOCK,
    LONGEST,
    SECOND_KIND,
    SECOND_SIZE,
    SIGN_EXTENDED,
    Kind,
)

compiled = partial(native.native, after=(kinds.__file__,))

SOURCES = (__file__, kinds.__file__)
"""What decoders are compiled from beside their own file."""
MARGIN = 24
"""Bytes that may be read from a position: those of a PSB, and the word after it."""
LOOK_BACK = LONGEST - 1
"""Bytes before an error at which the search begins: a bad packet may have swallowed the start of a PSB."""

# The state of a decoder, an int64 array. Positions AT are in the buffer at hand, which begins at BASE.
AT, BASE, SEARCHING, LAST_IP, BLOCK = range(5)
# Of the error being searched after: its place in the trace, its kind (NO_ERROR: the trace begins), and where
# decoding went on (-1: nowhere).
ERROR_AT, ERROR_KIND, RESUMED_AT = range(5, 8)
SKIPPED, CUT_OFF, MODULE = range(8, 11)
# How many address spaces PIP packets named, and which: those from FIRST_SPACE on, MOST_SPACES at the most.
SPACES, FIRST_SPACE, MOST_SPACES = 11, 12, 8
N_STATE = FIRST_SPACE + MOST_SPACES
NO_ERROR = -1

BIP, BBP, CYC, PSB, TMA, MNT, EVD, TRIG = (
    int(kind) for kind in (Kind.BIP, Kind.BBP, Kind.CYC, Kind.PSB, Kind.TMA, Kind.MNT, Kind.EVD, Kind.TRIG)
)
PAD, TNT_8, TNT_64, PIP = int(Kind.PAD), int(Kind.TNT_8), int(Kind.TNT_64), int(Kind.PIP)
MODE_EXEC, MODE_TSX = int(Kind.MODE_EXEC), int(Kind.MODE_TSX)
UNKNOWN_OPCODE, UNKNOWN_PACKET = int(Kind.UNKNOWN_OPCODE), int(Kind.UNKNOWN_PACKET)

ZERO, ONE = np.uint64(0), np.uint64(1)
_PATTERN = np.uint64(0x8202820282028202)
MASK = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
"""The lowest `n` bytes of a word."""
_KEPT = np.array([(~0 << bits) % (1 << 64) for bits in (0, 16, 32, 64, 48, 0, 64, 0)], np.uint64)
"""Bits of the last IP that an IP keeps, by its compression."""
_SIGN = np.zeros(8, np.uint64)
_SIGN[SIGN_EXTENDED] = 1 << 47
"""The sign bit of an IP that is sign-extended, by its compression."""
_UPPER = np.uint64(0xFFFF)
_SPACE_SHIFT = np.uint64(16 + 1 + 13 - 5)
"""Of a PIP as a word: two bytes of header, a bit (NR), then CR3 from its bit 5 on."""


@compiled
def word(content: NDArray[np.uint8], at: int) -> np.uint64:
    """Eight bytes as a number. The compiler makes one read of them, wherever they lie."""
    found = ZERO
    for i in range(8):
        found |= np.uint64(content[np.uint64(at + i)]) << np.uint64(8 * i)
    return found


@compiled
def byte(word: np.uint64, i: int) -> np.int64:
    """Byte `i` of a word."""
    return np.int64((word >> np.uint64(8 * i)) & np.uint64(0xFF))


@compiled
def _cyc_size(word: np.uint64, rest: np.uint64) -> tuple[int, int]:
    """Kind and size of a CYC: its value has at most 64 bits, that is nine bytes."""
    if not byte(word, 0) & 4:
        return CYC, 1
    for i in range(1, 9):
        if not (byte(word, i) if i < 8 else byte(rest, 0)) & 1:
            return CYC, i + 1
    return UNKNOWN_PACKET, 10


@compiled
def cyc_value(word: np.uint64, rest: np.uint64, size: int) -> np.uint64:
    """A CYC's count of cycles: five bits of the first byte, seven of every further one."""
    value = np.uint64(byte(word, 0) >> 3)
    for i in range(1, size):
        value |= np.uint64((byte(word, i) if i < 8 else byte(rest, 0)) >> 1) << np.uint64(7 * i - 2)
    return value


@compiled
def _extended(word: np.uint64, rest: np.uint64) -> tuple[int, int, int]:
    second = byte(word, 1)
    kind, size = SECOND_KIND[second], SECOND_SIZE[second]
    if kind == PSB and (word != _PATTERN or rest != _PATTERN):
        return UNKNOWN_PACKET, size, 2
    if kind == TNT_64 and word >> np.uint64(16) <= ONE:
        return UNKNOWN_PACKET, size, 2
    if kind == TMA and (byte(word, 4) != 0 or byte(word, 6) & 0xFE):
        return UNKNOWN_PACKET, size, 2
    if kind == MNT:
        if byte(word, 2) != 0x88:
            return UNKNOWN_OPCODE, 3, 2
        return MNT, 11, 3
    return kind, size, 3 if kind == EVD else 2


@compiled
def _mode(word: np.uint64) -> tuple[int, int, int]:
    leaf = byte(word, 1) >> 5
    if leaf > 1:
        return UNKNOWN_PACKET, 2, 1
    return MODE_EXEC if leaf == 0 else MODE_TSX, 2, 1


@compiled
def measure(word: np.uint64, rest: np.uint64, block: int) -> tuple[int, int, int]:
    """What begins with these 16 bytes: its kind, its size, and the bytes of it that are header.

    `block` is the size of BIP payloads within a block of them, else 0. For an error, the size is the bytes
    that had to be seen to know.
    """
    first = byte(word, 0)
    if block != 0 and first & 7 == 4:
        return BIP, 1 + block, 1
    kind, size = FIRST_KIND[first], FIRST_SIZE[first]
    if size != 0:
        return kind, size, 1
    if first == EXTENDED:
        return _extended(word, rest)
    if kind == CYC:
        kind, size = _cyc_size(word, rest)
        return kind, size, 1
    if kind == TRIG:
        return TRIG, 5 if byte(word, 1) & 0x40 else 3, 1
    return _mode(word)


@compiled
def payload(word: np.uint64, rest: np.uint64, head: int, size: int) -> np.uint64:
    """What follows a header of 1 to 3 bytes in a packet of `size`, as a little-endian number."""
    both = (word >> np.uint64(8 * head)) | (rest << np.uint64(64 - 8 * head))
    kept: np.uint64 = both & MASK[min(size - head, 8)]
    return kept


@compiled
def full_ip(compression: int | np.int64 | np.uint64, sent: np.uint64, last: np.uint64) -> np.uint64:
    """The address that a compressed one stands for, given the last (SDM: "IP Compression")."""
    sign = _SIGN[compression]
    full: np.uint64 = (last & _KEPT[compression]) | sent | ((sent & sign) << ONE) * _UPPER
    return full


@compiled
def branches(sent: np.uint64) -> int:
    """Branches in a TNT payload: the bits below its highest set one, the stop bit."""
    count = 0
    while sent > ONE:
        sent >>= ONE
        count += 1
    return count


@compiled
def next_block(kind: int, word: np.uint64, block: int) -> int:
    """The size of BIP payloads after a packet: a BBP begins a block, and most packets end one."""
    if kind == BBP:
        return 4 if byte(word, 2) & 0x80 else 8
    return block if KEEPS_BLOCK[kind] else 0


@compiled
def note_space(state: NDArray[np.int64], word: np.uint64) -> None:
    """Keep in mind which address space a PIP names: its CR3 but for the lowest 13 bits.

    These say nothing of the process: there lie the number of a cached translation (PCID), and the bit by
    which a kernel that isolates its page tables tells its own from the process's.
    """
    space = np.int64(word >> _SPACE_SHIFT)
    count = state[SPACES]
    for at in range(FIRST_SPACE, FIRST_SPACE + min(count, MOST_SPACES)):
        if state[at] == space:
            return
    if count < MOST_SPACES:
        state[FIRST_SPACE + count] = space
    state[SPACES] = min(count + 1, MOST_SPACES + 1)


@compiled
def fail(state: NDArray[np.int64], at: int, kind: int) -> None:
    """Note an error at `at`; the search for a PSB begins a little before it."""
    state[ERROR_AT] = state[BASE] + at
    state[ERROR_KIND] = kind
    state[SEARCHING] = 1
    state[AT] = max(at - LOOK_BACK, 0)


@compiled
def search(content: NDArray[np.uint8], end: int, final: bool, state: NDArray[np.int64]) -> bool:
    """Go to the last 16 bytes of the next run of PSB bytes. False: more of the trace is needed.

    At the end of the trace the search ends too, at `end`. Either way the loss is added up.
    """
    at = state[AT]
    found = False
    while not found and at + LONGEST <= end:
        if word(content, at) != _PATTERN or word(content, at + 8) != _PATTERN:
            at += 1
        elif at + LONGEST + 2 <= end:
            found = word(content, at + LONGEST) & np.uint64(0xFFFF) != _PATTERN & np.uint64(0xFFFF)
            at += 0 if found else 2
        elif final:
            found = True
        else:
            break
    state[AT] = at
    if not found:
        if not final:
            return False
        state[AT] = end
    state[RESUMED_AT] = state[BASE] + at if found else -1
    state[SKIPPED] += max(state[BASE] + state[AT] - state[ERROR_AT], 0)
    state[SEARCHING] = state[LAST_IP] = state[BLOCK] = state[MODULE] = 0
    return True
