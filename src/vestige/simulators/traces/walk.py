"""The processor: runs a program's blocks and writes the packets that its trace unit would.

One compiled loop. Its state lies in two arrays, so that a recording of any length is written in pieces.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vestige import compiling
from vestige.simulators.traces import packets, program
from vestige.simulators.traces.packets import (
    FUP,
    TIP,
    TIP_PGD,
    TIP_PGE,
    compression,
    put_cbr,
    put_cyc,
    put_extended,
    put_ip,
    put_mode_exec,
    put_mtc,
    put_psb,
    put_tma,
    put_tnt,
    put_tsc,
)
from vestige.simulators.traces.program import (
    CALL,
    COND,
    DISPATCH,
    JUMP,
    LOOP,
    POINTER,
    RET,
    SWITCH,
    SYSCALL,
)

compiled = partial(compiling.compiled, after=(packets.__file__, program.__file__))

BLOCK, DEPTH, COMPRESSED, TNT_COUNT, TNT_MOST, SINCE_PSB, LOST, REWIND, CHAIN, WRITTEN, HIJACKED_AT, TICKS = (
    range(12)
)
N_SIGNED = 12
RANDOM, LAST_IP, TNT_BITS, TSC, LEFT_AT = range(5)
N_UNSIGNED = 5
NEVER = -1

PSB_BYTES = 4096
STACK, RETURN_STACK = 256, 64
"""Frames there can be, and returns that the processor compresses to a taken bit."""
MARGIN = 64 << 10
"""Bytes of the buffer that packets between two checks take at most: those lost in an overflow among them."""
MOST_LOST = 200
ODD_COMPRESSION, ASYNCHRONOUS, CYCLES = 64, 6000, 9
"""One address in so many is told at greater length than it need be, one block in so many is interrupted, one
address in so many comes with its cycles."""

Signed = NDArray[np.int64]
Unsigned = NDArray[np.uint64]
Ints = NDArray[np.int32]


class Code(NamedTuple):
    """A program's blocks where they lie in this recording: see `program.Program`; `mix`: how often each
    handler is chosen, summed up."""

    address: Unsigned
    kind: NDArray[np.uint8]
    follow: Ints
    target: Ints
    bias: NDArray[np.float32]
    first: Ints
    many: Ints
    choices: Ints
    mix: NDArray[np.float64]


class Chain(NamedTuple):
    """Addresses `ips (k,)` gone to one after the other, and after each the last `counts` of `bits`."""

    ips: Unsigned
    bits: Unsigned
    counts: Signed


@compiled
def draw(u: Unsigned) -> np.uint64:
    """xorshift64* (Vigna, 2016)."""
    x: np.uint64 = u[RANDOM]
    x ^= x >> np.uint64(12)
    x ^= x << np.uint64(25)
    x ^= x >> np.uint64(27)
    u[RANDOM] = x
    mixed: np.uint64 = x * np.uint64(0x2545F4914F6CDD1D)
    return mixed


@compiled
def uniform(u: Unsigned) -> float:
    """In [0, 1)."""
    return float(draw(u) >> np.uint64(11)) * (1.0 / (1 << 53))


@compiled
def one_in(u: Unsigned, many: int) -> bool:
    """True once in `many` times."""
    return uniform(u) * many < 1.0


@compiled
def flush(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned) -> int:
    """Write the branches held back."""
    if s[TNT_COUNT]:
        n = put_tnt(out, n, u[TNT_BITS], s[TNT_COUNT])
        s[TNT_COUNT], u[TNT_BITS] = 0, 0
    return n


@compiled
def branch(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, taken: bool) -> int:
    """A conditional branch, or a compressed return."""
    u[TNT_BITS] = u[TNT_BITS] << np.uint64(1) | np.uint64(1 if taken else 0)
    s[TNT_COUNT] += 1
    if s[TNT_COUNT] < s[TNT_MOST]:
        return n
    return flush(out, n, s, u)


@compiled
def go(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, kind: int, ip: np.uint64) -> int:
    """An address packet, after the branches that came before it."""
    n = flush(out, n, s, u)
    if kind == TIP and one_in(u, CYCLES):
        n = put_cyc(out, n, draw(u) >> np.uint64(50))
    ipc = compression(ip, u[LAST_IP])
    if one_in(u, ODD_COMPRESSION):
        # Longer than need be: whole, or (where the upper 16 bits are those of the last one) 48 bits.
        ipc = 6 if one_in(u, 2) or ip >> np.uint64(48) != u[LAST_IP] >> np.uint64(48) else 4
    n = put_ip(out, n, kind, ip, ipc)
    u[LAST_IP] = ip
    return n


@compiled
def synchronise(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, ip: np.uint64, first: bool) -> int:
    """PSB to PSBEND: times, ratio, mode, and where the program is (unless tracing is yet to begin)."""
    n = put_psb(out, flush(out, n, s, u))
    u[LAST_IP], s[COMPRESSED], s[SINCE_PSB] = 0, 0, 0
    n = put_tsc(out, n, u[TSC])
    n = put_tma(out, n, u[TSC] >> np.uint64(8) & np.uint64(0xFFFF), draw(u) >> np.uint64(55))
    n = put_cbr(out, n, 28)
    if not first:
        n = put_mode_exec(out, n, 1)
        n = go(out, n, s, u, FUP, ip)
    return put_extended(out, n, 0x23)


@compiled
def begin(out: NDArray[np.uint8], s: Signed, u: Unsigned, ip: np.uint64) -> int:
    """The first packets of a trace that begins at `ip`."""
    n = synchronise(out, 0, s, u, ip, True)
    return go(out, put_mode_exec(out, n, 1), s, u, TIP_PGE, ip)


@compiled
def finish(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned) -> int:
    """The last ones: tracing is switched off, and the buffer filled up to 16 bytes."""
    n = put_ip(out, flush(out, n, s, u), TIP_PGD, np.uint64(0), 0)
    while n % 16:
        out[n] = 0
        n += 1
    return n


@compiled
def hijack(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, chain: Chain) -> int:
    """Go where an attacker wants; the way back is no return that the processor foresaw."""
    for at in range(len(chain.ips)):
        n = go(out, n, s, u, TIP, chain.ips[at])
        for left in range(chain.counts[at]):
            bit = chain.bits[at] >> np.uint64(chain.counts[at] - 1 - left) & np.uint64(1)
            n = branch(out, n, s, u, bit != np.uint64(0))
    s[COMPRESSED] = 0
    return n


@compiled
def choose(code: Code, block: int, u: Unsigned) -> int:
    """Which way through a pointer: the first ones more often."""
    return int(code.choices[code.first[block] + int(code.many[block] * uniform(u) ** 2)])


@compiled
def call(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, code: Code, stack: Ints, block: int) -> int:
    """Put the frame on the stack, and go where the call leads; directly, or through a pointer."""
    what = code.kind[block]
    stack[s[DEPTH]] = code.follow[block]
    s[DEPTH] += 1
    s[COMPRESSED] = min(s[COMPRESSED] + 1, RETURN_STACK)
    s[BLOCK] = code.target[block]
    if what == POINTER:
        s[BLOCK] = choose(code, block, u)
    elif what == DISPATCH:
        s[BLOCK] = code.choices[code.first[block] + np.searchsorted(code.mix, uniform(u))]
    if what == CALL:  # where a direct call leads stands in the code: no packet says it
        return n
    return go(out, n, s, u, TIP, code.address[s[BLOCK]])


@compiled
def give_back(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, code: Code, stack: Ints) -> int:
    """A return: a taken bit while the processor knows who called, an address else."""
    s[DEPTH] -= 1
    s[BLOCK] = stack[s[DEPTH]]
    if s[COMPRESSED] > 0:
        s[COMPRESSED] -= 1
        return branch(out, n, s, u, True)
    return go(out, n, s, u, TIP, code.address[s[BLOCK]])


@compiled
def step(
    out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, code: Code, stack: Ints, rounds: Ints
) -> int:
    """The end of the block: its packets, and the next block."""
    block = s[BLOCK]
    what = code.kind[block]
    if what in (COND, LOOP):
        taken = uniform(u) < code.bias[block]
        if what == LOOP:
            rounds[block] += 1
            taken = rounds[block] < code.bias[block]
            if not taken:
                rounds[block] = 0
        s[BLOCK] = code.target[block] if taken else code.follow[block]
        return branch(out, n, s, u, taken)
    if what == RET:
        return give_back(out, n, s, u, code, stack)
    if what == SWITCH:
        s[BLOCK] = choose(code, block, u)
        return go(out, n, s, u, TIP, code.address[s[BLOCK]])
    if what == SYSCALL:
        n = put_ip(out, flush(out, n, s, u), TIP_PGD, np.uint64(0), 0)
        s[BLOCK] = code.follow[block]
        return go(out, n, s, u, TIP_PGE, code.address[s[BLOCK]])
    if what == JUMP or s[DEPTH] == STACK:
        s[BLOCK] = code.target[block] if what == JUMP else code.follow[block]
        return n
    return call(out, n, s, u, code, stack, block)


@compiled
def interrupt(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, ip: np.uint64) -> int:
    """The clock's packet, and now and then an interrupt."""
    s[TICKS] += 1
    if s[TICKS] & 0x1FF == 0:
        n = put_mtc(out, flush(out, n, s, u), s[TICKS] >> 9)
    if one_in(u, ASYNCHRONOUS):
        n = go(out, n, s, u, FUP, ip)
        n = put_ip(out, n, TIP_PGD, np.uint64(0), 0)
        n = go(out, n, s, u, TIP_PGE, ip)
    return n


@compiled
def lose(out: NDArray[np.uint8], n: int, s: Signed, u: Unsigned, ip: np.uint64) -> int:
    """One block less to lose; after the last all of them are taken back, and OVF says so."""
    s[LOST] -= 1
    if s[LOST]:
        return n
    s[TNT_COUNT], u[TNT_BITS], s[COMPRESSED] = 0, 0, 0
    n = put_extended(out, s[REWIND], 0xF3)
    u[LAST_IP] = ip
    return put_ip(out, n, FUP, ip, 3)


@compiled
def walk(
    out: NDArray[np.uint8],
    n: int,
    most: int,
    s: Signed,
    u: Unsigned,
    stack: Ints,
    rounds: Ints,
    code: Code,
    overflow: float,
    hijack_at: int,
    chain: Chain,
) -> int:
    """Run from the state on until `most` bytes of `out` are written, or few more; returns how many are.

    `overflow`: their probability a byte; `hijack_at`: from that byte of the trace on, the next return goes
    the way of `chain` (NEVER: none does).
    """
    while n < most or s[LOST]:
        before = n
        u[TSC] += draw(u) >> np.uint64(59)
        wanted = hijack_at >= 0 and s[HIJACKED_AT] < 0 and s[WRITTEN] + n >= hijack_at
        if wanted and code.kind[s[BLOCK]] == RET and not s[LOST]:
            n = flush(out, n, s, u)
            s[HIJACKED_AT], u[LEFT_AT] = s[WRITTEN] + n, code.address[s[BLOCK]]
            n = hijack(out, n, s, u, chain)
        n = step(out, n, s, u, code, stack, rounds)
        ip = code.address[s[BLOCK]]
        n = interrupt(out, n, s, u, ip)
        if s[LOST]:
            n = lose(out, n, s, u, ip)
            continue
        s[SINCE_PSB] += n - before
        if s[SINCE_PSB] >= PSB_BYTES:
            n = synchronise(out, n, s, u, ip, False)
            s[TNT_MOST] = 47 if one_in(u, 8) else 6
        elif overflow > 0 and uniform(u) < overflow * (n - before):
            n = flush(out, n, s, u)
            s[REWIND], s[LOST] = n, 1 + int(uniform(u) * MOST_LOST)
    s[WRITTEN] += n
    return n
