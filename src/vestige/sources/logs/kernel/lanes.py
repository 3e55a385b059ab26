"""BLAKE2b of eight messages at once: a vector holds one word of each of them. Compiled.

Messages are short, and the rounds of one wait for one another; those of eight side by side do not. What the
compiler makes of a loop over lanes is no vector code, so the rounds are written out as vectors here.
"""

from __future__ import annotations

import os
from functools import partial
from typing import Any

import numpy as np

from vestige.native import BUILDS, native
from vestige.sources.logs.kernel import hashes
from vestige.sources.logs.kernel.hashes import IV, PARAMETERS, SIGMA, Bytes, Words, word_at
from vestige.sources.logs.kernel.machine import Numbers

compiled = partial(native, after=(hashes.__file__,), inline=True)

LANES = 8
_BLOCK = 128
_STATE, _COUNT, _LAST, _ACTIVE, _LENGTH = (LANES * row for row in (16, 24, 25, 26, 27))
ROOM = 28 * LANES
"""Words to work in: rows of `LANES` words each, 16 of a block's words, 8 of the state; how many bytes there
are up to the block's end; all bits where a block is the last one, and where there is one at all; and the
message's length."""
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ROTATIONS = (32, 24, 16, 63)
_QUARTERS = (
    (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
    (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
)  # fmt: skip
"""Words that are mixed with one another in a round (RFC 7693, 3.2)."""


def _compress(builder: Any, place: Any, ir: Any) -> None:
    """Write code that compresses a block of each lane; `place` is a pointer to the room, `ir` llvmlite's."""
    word = ir.IntType(64)
    vector = ir.VectorType(word, LANES)

    def all_lanes(value: int) -> Any:
        return ir.Constant(vector, [value] * LANES)

    def row(at: int) -> Any:
        return builder.bitcast(builder.gep(place, [ir.Constant(word, at)], source_etype=word), pointer)

    def rotated(value: Any, by: int) -> Any:
        right, left = builder.lshr(value, all_lanes(by)), builder.shl(value, all_lanes(64 - by))
        return builder.or_(right, left)

    pointer = vector.as_pointer()
    words = [builder.load(row(LANES * at), align=8, typ=vector) for at in range(16)]
    state = [builder.load(row(_STATE + LANES * at), align=8, typ=vector) for at in range(8)]
    count, last, active = (builder.load(row(at), align=8, typ=vector) for at in (_COUNT, _LAST, _ACTIVE))
    v = [*state, *(all_lanes(int(value)) for value in IV)]
    v[12], v[14] = builder.xor(v[12], count), builder.xor(v[14], last)
    for order in SIGMA:
        for at, (a, b, c, d) in enumerate(_QUARTERS):
            for half in (0, 1):
                v[a] = builder.add(builder.add(v[a], v[b]), words[order[2 * at + half]])
                v[d] = rotated(builder.xor(v[d], v[a]), _ROTATIONS[2 * half])
                v[c] = builder.add(v[c], v[d])
                v[b] = rotated(builder.xor(v[b], v[c]), _ROTATIONS[2 * half + 1])
    for at in range(8):
        change = builder.and_(builder.xor(v[at], v[at + 8]), active)
        builder.store(builder.xor(state[at], change), row(_STATE + LANES * at), align=8)


def _compress_for_numba() -> Any:
    """`_compress` as a function that compiled code can call with the room `(ROOM,)`."""
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    @intrinsic
    def compress(context: Any, room: Any) -> Any:  # noqa: ARG001 - Numba's order of arguments
        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = context.make_array(signature.args[0])(context, builder, arguments[0]).data
            _compress(builder, place, ir)
            return context.get_dummy_value()

        return types.none(room), write

    return compress


# Numba is there where code is compiled, and nowhere else.
_compress_lanes: Any = _compress_for_numba() if os.environ.get(BUILDS) else None


@compiled
def hash_messages(data: Bytes, begins: Numbers, ends: Numbers, most: int, room: Words, raw: Words) -> None:
    """The BLAKE2b `raw (n,)` of each message's bytes, up to `most`, without line ends at its end, as
    `hashes.blake2b` has it. `room (ROOM,)` is to work in."""
    for first in range(0, len(raw), LANES):
        n = min(LANES, len(raw) - first)
        longest = 0
        for lane in range(LANES):
            room[_ACTIVE + lane] = 0
            for at in range(8):
                room[_STATE + LANES * at + lane] = IV[at]
            room[_STATE + lane] ^= PARAMETERS
            if lane < n:
                begin = begins[first + lane]
                end = min(ends[first + lane], begin + most)
                while end > begin and (data[end - 1] == 10 or data[end - 1] == 13):
                    end -= 1
                room[_LENGTH + lane] = end - begin
                longest = max(longest, end - begin)
        done = 0
        while done == 0 or done < longest:
            for lane in range(n):
                _fill(data, begins[first + lane], done, lane, room)
            _compress_lanes(room)
            done += _BLOCK
        for lane in range(n):
            raw[first + lane] = room[_STATE + lane]


@compiled
def _fill(data: Bytes, begin: int, done: int, lane: int, room: Words) -> None:
    """Put the block of a message behind its first `done` bytes into a lane."""
    length = np.int64(room[_LENGTH + lane])
    left = length - done
    room[_ACTIVE + lane] = 0
    if done > 0 and left <= 0:
        return
    room[_ACTIVE + lane] = _ONES
    room[_COUNT + lane], room[_LAST + lane] = done + _BLOCK, 0
    if left <= _BLOCK:
        room[_COUNT + lane], room[_LAST + lane] = length, _ONES
    for at in range(16):
        place, rest = begin + done + 8 * at, left - 8 * at
        word = np.uint64(0)
        if rest >= 8:
            word = word_at(data, place)
        else:
            for i in range(rest):
                word |= np.uint64(data[place + i]) << np.uint64(8 * i)
        room[LANES * at + lane] = word
