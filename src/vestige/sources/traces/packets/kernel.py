"""The compiled core: one packet at a time, the last IP, and the way back to a PSB after an error.

Every function may read up to `MARGIN` bytes from the position it is given, whatever the bytes say: who calls
it sees to it that they are there (see `stream.py`). Positions are signed, payloads are unsigned: the two never
meet in one expression, where they would become floating point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.compiling import compiled
from vestige.sources.traces.packets.kinds import (
    EXTENDED,
    FIRST_KIND,
    FIRST_SIZE,
    LONGEST,
    SECOND_KIND,
    SECOND_SIZE,
    Kind,
)

MARGIN = LONGEST + 2
"""A PSB and the two bytes after it, which tell whether a longer run of its pattern goes on."""
LOOK_BACK = LONGEST - 1
"""Bytes before an error at which the search begins: a bad packet may have swallowed the start of a PSB."""

# The state of a decoder, an int64 array; positions are in the buffer at hand, BASE is its place in the trace.
AT, BASE, SEARCHING, LAST_IP, BLOCK = range(5)
# Of the error being searched after: its position in the trace, its kind (-1 at the start of a trace), and where
# decoding went on (-1: nowhere).
ERROR_AT, ERROR_KIND, RESUMED_AT = range(5, 8)
SKIPPED, CUT_OFF, MODULE = range(8, 11)
N_STATE = 11
NO_ERROR = -1

BIP, BBP, CYC = int(Kind.BIP), int(Kind.BBP), int(Kind.CYC)
PSB, TMA, TNT_64, MNT, EVD, TRIG = (
    int(one) for one in (Kind.PSB, Kind.TMA, Kind.TNT_64, Kind.MNT, Kind.EVD, Kind.TRIG)
)
MODE_EXEC, MODE_TSX = int(Kind.MODE_EXEC), int(Kind.MODE_TSX)
UNKNOWN_OPCODE, UNKNOWN_PACKET = int(Kind.UNKNOWN_OPCODE), int(Kind.UNKNOWN_PACKET)

_BYTE = np.uint64(8)
_MASK = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
_KEPT = np.array([(~0 << bits) % (1 << 64) for bits in (0, 16, 32, 48, 48, 0, 64, 0)], np.uint64)
"""Bits of the last IP that an IP keeps, by its compression."""
_KEPT[[3, 6]] = 0
_SIGN, _UPPER = np.uint64(1 << 47), np.uint64(0xFFFF << 48)


@compiled
def load(buffer: NDArray[np.uint8], at: int, n_bytes: int) -> np.uint64:
    """`n_bytes` (at most 8) from `at`, little-endian."""
    word = np.uint64(buffer[at])
    for i in range(1, 8):
        word |= np.uint64(buffer[at + i]) << (np.uint64(i) * _BYTE)
    return word & _MASK[n_bytes]


@compiled
def _is_psb(buffer: NDArray[np.uint8], at: int) -> bool:
    for i in range(0, LONGEST, 2):
        if buffer[at + i] != 0x02 or buffer[at + i + 1] != 0x82:
            return False
    return True


@compiled
def _cyc_size(buffer: NDArray[np.uint8], at: int) -> tuple[int, int]:
    """Kind and size of a CYC: its value has at most 64 bits, that is nine bytes."""
    if not buffer[at] & 4:
        return CYC, 1
    for size in range(2, 10):
        if not buffer[at + size - 1] & 1:
            return CYC, size
    return UNKNOWN_PACKET, 10


@compiled
def cyc_value(buffer: NDArray[np.uint8], at: int, size: int) -> np.uint64:
    """A CYC's count of cycles: five bits of the first byte, seven of every further one."""
    value = np.uint64(buffer[at]) >> np.uint64(3)
    for i in range(1, size):
        value |= (np.uint64(buffer[at + i]) >> np.uint64(1)) << np.uint64(7 * i - 2)
    return value


@compiled
def _extended(buffer: NDArray[np.uint8], at: int) -> tuple[int, int, int]:
    second = buffer[at + 1]
    kind, size = SECOND_KIND[second], SECOND_SIZE[second]
    if kind == PSB and not _is_psb(buffer, at):
        return UNKNOWN_PACKET, size, 2
    if kind == TNT_64 and load(buffer, at + 2, 6) <= np.uint64(1):
        return UNKNOWN_PACKET, size, 2
    if kind == TMA and (buffer[at + 4] != 0 or buffer[at + 6] & 0xFE):
        return UNKNOWN_PACKET, size, 2
    if kind == MNT:
        if buffer[at + 2] != 0x88:
            return UNKNOWN_OPCODE, 3, 2
        return MNT, 11, 3
    return kind, size, 3 if kind == EVD else 2


@compiled
def measure(buffer: NDArray[np.uint8], at: int, block: int) -> tuple[int, int, int]:
    """What stands at `at`: its kind, its size, and the bytes of it that are header.

    `block` is the size of BIP payloads within a block of them, else 0. For an error, the size is the bytes
    that had to be seen to know.
    """
    first = buffer[at]
    if block != 0 and first & 7 == 4:
        return BIP, 1 + block, 1
    size = FIRST_SIZE[first]
    if size != 0:
        return FIRST_KIND[first], size, 1
    if first == EXTENDED:
        return _extended(buffer, at)
    if first & 3 == 3:
        kind, size = _cyc_size(buffer, at)
        return kind, size, 1
    if FIRST_KIND[first] == TRIG:
        return TRIG, 5 if buffer[at + 1] & 0x40 else 3, 1
    leaf = buffer[at + 1] >> 5
    if leaf > 1:
        return UNKNOWN_PACKET, 2, 1
    return MODE_EXEC if leaf == 0 else MODE_TSX, 2, 1


@compiled
def full_ip(compression: int, payload: np.uint64, last: np.uint64) -> np.uint64:
    """The address that a compressed one stands for, given the last (SDM: "IP Compression")."""
    if compression == 3:
        return payload | _UPPER if payload & _SIGN else payload
    return (last & _KEPT[compression]) | payload


@compiled
def branches(word: np.uint64) -> int:
    """Branches in a TNT payload: the bits below its highest set one, the stop bit."""
    count = 0
    while word > np.uint64(1):
        word >>= np.uint64(1)
        count += 1
    return count


@compiled
def next_block(kind: int, third: int, block: int, keeps: bool) -> int:
    """The size of BIP payloads after a packet of `kind` whose third byte is `third`."""
    if kind == BBP:
        return 4 if third & 0x80 else 8
    return block if keeps else 0


@compiled
def fail(state: NDArray[np.int64], at: int, kind: int) -> None:
    """Note an error at `at`; the search for a PSB begins a little before it."""
    state[ERROR_AT] = state[BASE] + at
    state[ERROR_KIND] = kind
    state[SEARCHING] = 1
    state[AT] = max(at - LOOK_BACK, 0)


@compiled
def search(buffer: NDArray[np.uint8], end: int, final: bool, state: NDArray[np.int64]) -> bool:
    """Go to the last 16 bytes of the next run of PSB bytes. False: more of the trace is needed.

    At the end of the trace the search ends too, at `end`. Either way the loss is added up.
    """
    at = state[AT]
    found = False
    while not found and at + LONGEST <= end:
        if buffer[at] != 0x02 or not _is_psb(buffer, at):
            at += 1
        elif at + MARGIN <= end and buffer[at + LONGEST] == 0x02 and buffer[at + LONGEST + 1] == 0x82:
            at += 2
        elif at + MARGIN <= end or final:
            found = True
        else:
            break
    state[AT] = at
    if not found and not final:
        return False
    if not found:
        state[AT] = end
    state[RESUMED_AT] = state[BASE] + at if found else -1
    state[SKIPPED] += max(state[BASE] + state[AT] - state[ERROR_AT], 0)
    state[SEARCHING] = state[LAST_IP] = state[BLOCK] = state[MODULE] = 0
    return True
