"""Numbers for values: each different one gets the next, in the order in which they first come. Compiled.

A table of slots, probed one after the other. Evidence is hostile, and could be made of values that all want
one slot: where they go depends on two random numbers (`mix`), what they are numbered does not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.native import native

U64Array = NDArray[np.uint64]
U32Array = NDArray[np.uint32]

_WORD_BITS, _HALF, _FOLD = 64, np.uint64(32), np.uint64(29)


def fresh_mix() -> U64Array:
    """Two odd random numbers."""
    return np.random.SeedSequence().generate_state(2, np.uint64) | np.uint64(1)


@native
def number(
    values: U64Array, out: U32Array, at: int, known: U64Array, n: int, keys: U64Array, numbers: U32Array,
    mix: U64Array,
) -> tuple[int, int]:  # fmt: skip
    """Write the numbers of `values[at:]` to `out`; new ones go on from `n` and are put in `known[n:]`.

    `keys` and `numbers` are the slots, a power of two and more than `known` holds; a key of 0 is a free slot,
    so the value 0 is numbered 0. Returns how far it got and how many are known: it stops where `known` is
    full.
    """
    shift, last = np.uint64(_WORD_BITS - _bits(len(keys))), np.uint64(len(keys) - 1)
    first, second = mix[0], mix[1]
    while at < len(values):
        value = values[np.uint64(at)]
        mixed = (value ^ (value >> _HALF)) * first
        slot = ((mixed ^ (mixed >> _FOLD)) * second) >> shift
        while keys[slot] != value and keys[slot] != 0:
            slot = (slot + np.uint64(1)) & last
        if keys[slot] != value:
            if n == len(known):
                break
            keys[slot], numbers[slot], known[n] = value, n, value
            n += 1
        out[np.uint64(at)] = numbers[slot]
        at += 1
    return at, n


@native
def _bits(slots: int) -> int:
    bits = 0
    while slots > 1:
        slots >>= 1
        bits += 1
    return bits
