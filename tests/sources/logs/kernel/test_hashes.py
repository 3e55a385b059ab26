"""Compiled hashes are those of their specifications."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vestige.sources.logs.kernel.hashes import blake2b, siphash
from vestige.sources.logs.kernel.lanes import ROOM, hash_messages

KEY = np.frombuffer(bytearray(range(16)), np.uint64)


@given(before=st.binary(max_size=9), data=st.binary(max_size=400))
def test_blake2b_is_that_of_hashlib(before: bytes, data: bytes) -> None:
    content = np.frombuffer(bytearray(before + data + b"behind"), np.uint8)
    state, words = np.zeros(8, np.uint64), np.zeros(16, np.uint64)
    found = blake2b(content, len(before), len(before) + len(data), state, words)
    assert int(found) == int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def test_siphash_gives_the_known_values() -> None:
    # SipHash-1-3 of the bytes 0, 1, 2, ... under the key 0, 1, ..., 15.
    text = np.arange(16, dtype=np.uint8)
    assert int(siphash(text, 0, KEY)) == 0xABAC0158050FC4DC
    assert int(siphash(text, 1, KEY)) == 0xC9F49BF37D57CA93


@given(text=st.binary(min_size=1, max_size=40), at=st.integers(0, 39), bit=st.integers(0, 7))
def test_siphash_depends_on_every_bit_and_on_the_key(text: bytes, at: int, bit: int) -> None:
    data = np.frombuffer(bytearray(text), np.uint8)
    other = data.copy()
    other[at % len(other)] ^= 1 << bit
    assert siphash(data, len(data), KEY) != siphash(other, len(other), KEY)
    assert siphash(data, len(data), KEY) != siphash(data, len(data), KEY[::-1].copy())


@given(st.lists(st.tuples(st.binary(max_size=400), st.sampled_from([b"", b"\n", b"\r\n"])), max_size=30))
def test_hashes_of_many_messages_are_those_of_each(messages: list[tuple[bytes, bytes]]) -> None:
    data = np.frombuffer(bytearray(b"".join(map(b"".join, messages)) + b"behind"), np.uint8)
    ends = np.cumsum([len(text) + len(end) for text, end in messages]).astype(np.int64)
    begins = np.array([0, *ends[:-1]], np.int64)[: len(ends)]
    raw = np.zeros(len(messages), np.uint64)
    hash_messages(data, begins, ends, 300, np.zeros(ROOM, np.uint64), raw)
    whole = [(text + end)[:300].rstrip(b"\r\n") for text, end in messages]
    expected = [int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little") for text in whole]
    assert raw.tolist() == expected
