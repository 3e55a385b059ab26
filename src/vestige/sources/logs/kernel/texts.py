"""Texts that are kept, each once and under a number: found byte by byte, by a hash whose key nobody knows."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vestige.native import native
from vestige.sources.logs.kernel import hashes
from vestige.sources.logs.kernel.hashes import Bytes, Words, siphash

compiled = partial(native, after=(hashes.__file__,), inline=True)

Numbers = NDArray[np.int64]


@compiled
def find_text(text: Bytes, n: int, key: Words, slots: NDArray[np.int32], pool: Bytes, starts: Numbers) -> int:
    """The slot of `text[:n]`: what it holds is the text's number, or -1. Texts are compared byte by byte."""
    last = len(slots) - 1
    at: int = np.int64(siphash(text, n, key) & np.uint64(last))  # type: ignore[assignment]
    while slots[at] >= 0:
        begin = starts[slots[at]]
        if starts[slots[at] + 1] - begin == n:
            same = True
            for j in range(n):
                if pool[begin + j] != text[j]:
                    same = False
                    break
            if same:
                return at
        at = (at + 1) & last
    return at


@compiled
def keep_text(
    text: Bytes,
    n: int,
    key: Words,
    slots: NDArray[np.int32],
    pool: Bytes,
    starts: Numbers,
    known: Numbers,
) -> int:
    """The number of `text[:n]` among those kept, of which there are `known[0]`; it is added where it is new,
    for which there must be room."""
    at = find_text(text, n, key, slots, pool, starts)
    number: int = slots[at]
    if number < 0:
        number = known[0]
        slots[at] = number
        begin = starts[number]
        for j in range(n):
            pool[begin + j] = text[j]
        starts[number + 1] = begin + n
        known[0] += 1
    return number


@compiled
def place_texts(n: int, key: Words, slots: NDArray[np.int32], pool: Bytes, starts: Numbers) -> None:
    """Put the numbers of `n` kept texts, all different, into empty slots."""
    last = len(slots) - 1
    for number in range(n):
        begin, end = starts[number], starts[number + 1]
        at = np.int64(siphash(pool[begin:end], end - begin, key) & np.uint64(last))
        while slots[at] >= 0:
            at = (at + 1) & last
        slots[at] = number


@compiled
def number_texts(
    text: NDArray[np.int32],
    stamps: Numbers,
    stamp: int,
    local: Numbers,
    out: NDArray[np.uint32],
    kept: Numbers,
) -> int:
    """Number the texts of one block anew, in the order in which they come: `out (n,)`; `kept[:returned]` are
    their numbers among all. `stamps` of texts that came are set to `stamp`."""
    n = 0
    for m in range(len(text)):
        number = text[m]
        if stamps[number] != stamp:
            stamps[number] = stamp
            local[number] = n
            kept[n] = number
            n += 1
        out[m] = local[number]
    return n
