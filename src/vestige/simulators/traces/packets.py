"""Intel PT packets as a processor writes them (Intel SDM volume 3, "Packet Definitions").

Each function writes one packet at `n` of a buffer that has room (`ROOM` bytes at least) and returns where the
next one goes. The inverse of `vestige.sources.traces.packets`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.compiling import compiled

ROOM = 256
"""Bytes that a PSB with all that follows it, or any other single thing that is written, takes at most."""
TIP, TIP_PGE, TIP_PGD, FUP = 0x0D, 0x11, 0x01, 0x1D
"""First bytes of the packets that carry an address, without its compression."""
MOST_TNT_8, MOST_TNT_64 = 6, 47
IP_BYTES = (0, 2, 4, 6, 6, 0, 8, 0)
"""Bytes of an address by its compression (bits 7:5 of the first byte)."""
AUTO = 8
"""Compression to be chosen here: the shortest that tells the address."""

_ONE, _BYTE = np.uint64(1), np.uint64(8)
_SIZES = np.array(IP_BYTES, dtype=np.int64)

Buffer = NDArray[np.uint8]


@compiled
def put(out: Buffer, n: int, value: np.uint64, size: int) -> int:
    """The low `size` bytes of `value`, little-endian."""
    for _ in range(size):
        out[n] = value & np.uint64(0xFF)
        value >>= _BYTE
        n += 1
    return n


@compiled
def put_psb(out: Buffer, n: int) -> int:
    """PSB: the last IP begins anew after it."""
    for _ in range(8):
        out[n], out[n + 1] = 0x02, 0x82
        n += 2
    return n


@compiled
def put_extended(out: Buffer, n: int, opcode: int) -> int:
    """The two bytes of an extended packet: PSBEND 0x23, OVF 0xF3, TraceStop 0x83, or the start of another."""
    out[n], out[n + 1] = 0x02, opcode
    return n + 2


@compiled
def compression(ip: np.uint64, last_ip: np.uint64) -> int:
    """The shortest that tells `ip` to who knows `last_ip`."""
    if ip >> np.uint64(16) == last_ip >> np.uint64(16):
        return 1
    if ip >> np.uint64(32) == last_ip >> np.uint64(32):
        return 2
    top = ip >> np.uint64(47)
    if top == np.uint64(0) or top == np.uint64(0x1FFFF):
        return 3
    if ip >> np.uint64(48) == last_ip >> np.uint64(48):
        return 4
    return 6


@compiled
def put_ip(out: Buffer, n: int, kind: int, ip: np.uint64, ipc: int) -> int:
    """TIP, TIP.PGE, TIP.PGD or FUP with a compression that fits; 0: the address is not told."""
    out[n] = kind | ipc << 5
    return put(out, n + 1, ip, _SIZES[ipc])


@compiled
def put_tnt(out: Buffer, n: int, bits: np.uint64, count: int) -> int:
    """`count` branches, the oldest in the highest of that many bits: TNT-8 for up to 6, else TNT-64."""
    if count <= MOST_TNT_8:
        out[n] = (_ONE << np.uint64(count) | bits) << _ONE
        return n + 1
    n = put_extended(out, n, 0xA3)
    return put(out, n, _ONE << np.uint64(count) | bits, 6)


@compiled
def put_mode_exec(out: Buffer, n: int, bits: int) -> int:
    """MODE.Exec: 1 is 64-bit code (CS.L), 2 is 32-bit (CS.D)."""
    out[n], out[n + 1] = 0x99, bits
    return n + 2


@compiled
def put_cbr(out: Buffer, n: int, ratio: int) -> int:
    """Core to bus ratio."""
    n = put_extended(out, n, 0x03)
    out[n], out[n + 1] = ratio, 0
    return n + 2


@compiled
def put_tsc(out: Buffer, n: int, tsc: np.uint64) -> int:
    """The low 56 bits of the time-stamp counter."""
    out[n] = 0x19
    return put(out, n + 1, tsc, 7)


@compiled
def put_tma(out: Buffer, n: int, ctc: np.uint64, fast: np.uint64) -> int:
    """What relates TSC to MTC: the low 16 bits of the crystal clock, 9 bits of the fast counter."""
    n = put_extended(out, n, 0x73)
    n = put(out, n, ctc, 2)
    out[n] = 0
    return put(out, n + 1, fast, 2)


@compiled
def put_mtc(out: Buffer, n: int, ctc: int) -> int:
    """Eight bits of the crystal clock."""
    out[n], out[n + 1] = 0x59, ctc & 0xFF
    return n + 2


@compiled
def put_cyc(out: Buffer, n: int, cycles: np.uint64) -> int:
    """Cycles since the last CYC: 5 bits, then 7 bits a byte."""
    more = cycles >> np.uint64(5)
    out[n] = (cycles & np.uint64(0x1F)) << np.uint64(3) | np.uint64(0x7 if more else 0x3)
    n += 1
    while more:
        low = more & np.uint64(0x7F)
        more >>= np.uint64(7)
        out[n] = low << _ONE | np.uint64(1 if more else 0)
        n += 1
    return n
