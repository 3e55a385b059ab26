"""Hashes in compiled code: BLAKE2b of 64 bits (RFC 7693), and SipHash-1-3 (Aumasson and Bernstein, 2012)."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from vestige.native import native

compiled = partial(native, inline=True)

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]

_U = np.uint64
IV = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
PARAMETERS = _U(0x01010008)
"""No key, one leaf, a digest of eight bytes."""
SIGMA = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    ],
    np.int64,
)
_BLOCK = 128


@compiled
def _turned(word: np.uint64, by: int) -> np.uint64:
    return (word >> _U(by)) | (word << _U(64 - by))


@compiled
def word_at(data: Bytes, at: int) -> np.uint64:
    """Eight bytes, the first one lowest."""
    word = _U(0)
    for i in range(8):
        word |= _U(data[_U(at + i)]) << _U(8 * i)
    return word


@compiled
def _mix(
    a: np.uint64, b: np.uint64, c: np.uint64, d: np.uint64, x: np.uint64, y: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    a = a + b + x
    d = _turned(d ^ a, 32)
    c += d
    b = _turned(b ^ c, 24)
    a = a + b + y
    d = _turned(d ^ a, 16)
    c += d
    b = _turned(b ^ c, 63)
    return a, b, c, d


@compiled
def _compress(state: Words, words: Words, count: int, last: bool) -> None:
    """One block, its `words (16,)`, of a content that has `count` bytes up to its end."""
    v0, v1, v2, v3, v4, v5, v6, v7 = (
        state[0], state[1], state[2], state[3], state[4], state[5], state[6], state[7],
    )  # fmt: skip
    v8, v9, v10, v11, v12, v13, v14, v15 = IV[0], IV[1], IV[2], IV[3], IV[4], IV[5], IV[6], IV[7]
    v12 ^= _U(count)
    if last:
        v14 = ~v14
    for r in range(12):
        s = SIGMA[r]
        v0, v4, v8, v12 = _mix(v0, v4, v8, v12, words[s[0]], words[s[1]])
        v1, v5, v9, v13 = _mix(v1, v5, v9, v13, words[s[2]], words[s[3]])
        v2, v6, v10, v14 = _mix(v2, v6, v10, v14, words[s[4]], words[s[5]])
        v3, v7, v11, v15 = _mix(v3, v7, v11, v15, words[s[6]], words[s[7]])
        v0, v5, v10, v15 = _mix(v0, v5, v10, v15, words[s[8]], words[s[9]])
        v1, v6, v11, v12 = _mix(v1, v6, v11, v12, words[s[10]], words[s[11]])
        v2, v7, v8, v13 = _mix(v2, v7, v8, v13, words[s[12]], words[s[13]])
        v3, v4, v9, v14 = _mix(v3, v4, v9, v14, words[s[14]], words[s[15]])
    state[0] ^= v0 ^ v8
    state[1] ^= v1 ^ v9
    state[2] ^= v2 ^ v10
    state[3] ^= v3 ^ v11
    state[4] ^= v4 ^ v12
    state[5] ^= v5 ^ v13
    state[6] ^= v6 ^ v14
    state[7] ^= v7 ^ v15


@compiled
def blake2b(data: Bytes, begin: int, end: int, state: Words, words: Words) -> np.uint64:
    """`int.from_bytes(hashlib.blake2b(data[begin:end], digest_size=8).digest(), "little")`; `state (8,)` and
    `words (16,)` are room to work in."""
    for i in range(8):
        state[i] = IV[i]
    state[0] ^= PARAMETERS
    at = begin
    while end - at > _BLOCK:
        for i in range(16):
            words[i] = word_at(data, at + 8 * i)
        at += _BLOCK
        _compress(state, words, at - begin, False)
    for i in range(16):
        left = end - at - 8 * i
        words[i] = _U(0)
        if left >= 8:
            words[i] = word_at(data, at + 8 * i)
        else:
            for j in range(left):
                words[i] |= _U(data[at + 8 * i + j]) << _U(8 * j)
    _compress(state, words, end - begin, True)
    return np.uint64(state[0])


@compiled
def siphash(data: Bytes, n: int, key: Words) -> np.uint64:
    """SipHash-1-3 of `data[:n]` under a `key (2,)`: who does not know it can make no two texts alike."""
    v0, v1 = key[0] ^ _U(0x736F6D6570736575), key[1] ^ _U(0x646F72616E646F6D)
    v2, v3 = key[0] ^ _U(0x6C7967656E657261), key[1] ^ _U(0x7465646279746573)
    whole = n & ~7
    for at in range(0, whole, 8):
        word = word_at(data, at)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    word = _U(n & 0xFF) << _U(56)
    for i in range(n - whole):
        word |= _U(data[whole + i]) << _U(8 * i)
    v3 ^= word
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= word
    v2 ^= _U(0xFF)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@compiled
def _round(
    v0: np.uint64, v1: np.uint64, v2: np.uint64, v3: np.uint64
) -> tuple[np.uint64, np.uint64, np.uint64, np.uint64]:
    v0 += v1
    v1 = _turned(v1, 51) ^ v0
    v0 = _turned(v0, 32)
    v2 += v3
    v3 = _turned(v3, 48) ^ v2
    v0 += v3
    v3 = _turned(v3, 43) ^ v0
    v2 += v1
    v1 = _turned(v1, 47) ^ v2
    v2 = _turned(v2, 32)
    return v0, v1, v2, v3
