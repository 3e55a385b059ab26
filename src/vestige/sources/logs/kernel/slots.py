"""Values that masks replaced, from the bytes of messages: as `sources.logs.slots` has them. Compiled."""

from __future__ import annotations

import sys
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vestige.native import native
from vestige.reading import values
from vestige.sources.logs import slots
from vestige.sources.logs.kernel import hashes, lines, machine
from vestige.sources.logs.kernel.hashes import blake2b
from vestige.sources.logs.kernel.lines import gather
from vestige.sources.logs.kernel.machine import TOO_DEEP, Bytes, Numbers, Words

compiled = partial(
    native,
    after=(hashes.__file__, lines.__file__, machine.__file__, slots.__file__, values.__file__),
    inline=True,
)

Floats = NDArray[np.float64]

_N, _HEAD = slots.N_SLOTS, slots.HEAD
_OTHER, _DIGITS, _NUMBER, _SIZE = slots.OTHER, slots.DIGITS, slots.NUMBER, slots.SIZE
_MOST_DECIMALS, _POWERS = slots.MOST_DECIMALS, slots.POWERS
_LARGEST = sys.float_info.max
_NOT_A_NUMBER, _FRACTION = np.uint64(values.NOT_A_NUMBER), np.uint64((1 << 52) - 1)
_UNITS = np.ones(128)
"""Bytes of a unit that begins with this small letter."""
for _letter, _factor in slots.UNITS.items():
    _UNITS[ord(_letter)] = _factor
_LESS, _B, _I, _S, _SLASH, _DOT, _PLUS, _MINUS = (ord(character) for character in "<Bis/.+-")
HELD, HELD_BYTES = 1 << 10, 40
"""Texts that are remembered with their values, and their bytes at most."""
_PRIME = np.uint64(0x9E3779B97F4A7C15)
_BYTES = np.frombuffer(b"bytes", np.uint8)
_PREFIXES = np.frombuffer(b"KMGTkmg", np.uint8)


@compiled
def read_slots(
    data: Bytes,
    begins: Numbers,
    ends: Numbers,
    first: Numbers,
    after: Numbers,
    content: Numbers,
    spans: Numbers,
    text: NDArray[np.int32],
    pool: Bytes,
    starts: Numbers,
    names: Bytes,
    bounds: Numbers,
    kinds: Numbers,
    most: int,
    work: Bytes,
    out: Words,
    numbers: Floats,
    held: Bytes,
    held_of: Words,
    state: Words,
    blocks: Words,
) -> None:
    """Fill in `out (n, N_SLOTS)`, which holds zeros, the values of each message, in the lines `first (n,)` to
    before `after (n,)`, whose masked text is `pool[starts[text[m]]:starts[text[m] + 1]]`.

    `numbers` is the same memory as floats. `names[bounds[i]:bounds[i + 1]]` are placeholders, `kinds` what
    they stand for. `held` and `held_of` are the last texts, see `_text_value`; `state (8,)` and `blocks
    (16,)` are room to work in.
    """
    for m in range(len(first)):
        begin, end = starts[text[m]], starts[text[m] + 1]
        place, name = _find_placeholder(pool, begin, end, names, bounds)
        at = first[m]
        if name < 0:
            continue
        n = gather(data, begins, ends, at, after[m], content[at], spans[at], work, most)
        if n == TOO_DEEP:
            continue
        has_constants = _walk(
            work, n, pool, begin, end, place, name, names, bounds, kinds, out[m], numbers[m], held, held_of,
            state, blocks,
        )  # fmt: skip
        if not has_constants:
            for slot in range(_N):
                out[m, slot] = 0


@compiled
def _walk(
    text: Bytes,
    n: int,
    pool: Bytes,
    begin: int,
    end: int,
    place: int,
    name: int,
    names: Bytes,
    bounds: Numbers,
    kinds: Numbers,
    out: Words,
    numbers: Floats,
    held: Bytes,
    held_of: Words,
    state: Words,
    words: Words,
) -> bool:
    """Fill in the values of `text[:n]`, whose masked text is `pool[begin:end]` with the first placeholder,
    `name`, at `place`; False where it does not have the constants of that."""
    length = place - begin
    if length > n or not _same(text, 0, pool, begin, length):
        return False
    at, slot = length, 0
    while name >= 0 and slot < _N:
        kind = kinds[name]
        begin = place + bounds[name + 1] - bounds[name]
        place, name = _find_placeholder(pool, begin, end, names, bounds)
        while name >= 0 and place == begin:
            kind = _OTHER
            begin = place + bounds[name + 1] - bounds[name]
            place, name = _find_placeholder(pool, begin, end, names, bounds)
        length = place - begin
        least = max(at + 1, _least(kind, text, at, n))
        if name < 0:
            stop = n - length
        else:
            stop = _find(text, least, n, pool, begin, min(length, _HEAD))
        if stop < least or stop + length > n or not _same(text, stop, pool, begin, length):
            return False
        if kind == _OTHER or not _read_number(kind, text, at, stop, numbers, slot):
            out[slot] = _text_value(text, at, stop, held, held_of, state, words)
        at = stop + length
        slot += 1
    return True


@compiled
def _text_value(
    text: Bytes, at: int, end: int, held: Bytes, held_of: Words, state: Words, words: Words
) -> np.uint64:
    """The value of `text[at:end]`, which is no number. Many come again and again: `held (slots, most bytes)`
    are the last ones, `held_of (slots, 2)` their lengths and values."""
    length = end - at
    place = np.uint64(length)
    if length <= HELD_BYTES:
        for i in range(at, end):
            place = (place ^ np.uint64(text[i])) * _PRIME
        place = (place >> np.uint64(32)) & np.uint64(HELD - 1)
        if held_of[place, 0] == length and _same(text, at, held[place], 0, length):
            known: np.uint64 = held_of[place, 1]
            return known
    bits = blake2b(text, at, end, state, words) | _NOT_A_NUMBER
    if bits & _FRACTION == 0:
        bits |= np.uint64(1)
    if length <= HELD_BYTES:
        for i in range(length):
            held[place, i] = text[at + i]
        held_of[place, 0], held_of[place, 1] = np.uint64(length), bits
    return bits


@compiled
def _find_placeholder(pool: Bytes, begin: int, end: int, names: Bytes, bounds: Numbers) -> tuple[int, int]:
    """Where the next placeholder in `pool[begin:end]` begins, and which it is; `end` and -1 for none."""
    for at in range(begin, end):
        if pool[at] != _LESS:
            continue
        for name in range(len(bounds) - 1):
            length = bounds[name + 1] - bounds[name]
            if at + length <= end and _same(pool, at, names, bounds[name], length):
                return at, name
    return end, -1


@compiled
def _same(one: Bytes, at: int, other: Bytes, begin: int, length: int) -> bool:
    i = 0
    while i < length and one[at + i] == other[begin + i]:
        i += 1
    return i == length


@compiled
def _find(text: Bytes, at: int, n: int, pool: Bytes, begin: int, length: int) -> int:
    """Where `pool[begin:begin + length]`, a few bytes, next stands in `text[at:n]`; -1 where nowhere."""
    while at + length <= n:
        if text[at] == pool[begin] and _same(text, at, pool, begin, length):
            return at
        at += 1
    return -1


@compiled
def _is_digit(code: int) -> bool:
    return 48 <= code <= 57


@compiled
def _is_letter(code: int) -> bool:
    return 97 <= code | 32 <= 122


@compiled
def _least(kind: int, text: Bytes, at: int, n: int) -> int:
    """Up to where what begins at `at` is part of a value of this kind at least."""
    if kind == _OTHER:
        return at
    if at < n and (text[at] == _PLUS or text[at] == _MINUS):
        at += 1
    while at < n and _is_digit(text[at]):
        at += 1
    if kind == _DIGITS:
        return at
    while at + 1 < n and text[at] == _DOT and _is_digit(text[at + 1]):
        at += 1
        while at < n and _is_digit(text[at]):
            at += 1
    if kind == _SIZE:
        if at < n and text[at] == 32:
            at += 1
        while at < n and _is_letter(text[at]):
            at += 1
        if at + 1 < n and text[at] == _SLASH and text[at + 1] == _S:
            at += 2
    return at


@compiled
def _read_number(kind: int, text: Bytes, at: int, end: int, numbers: Floats, slot: int) -> bool:
    """Put the number that `text[at:end]` reads as, of a size in bytes, into `numbers[slot]`; False: none."""
    negative = text[at] == _MINUS
    if negative or text[at] == _PLUS:
        at += 1
    if at >= end or not _is_digit(text[at]):
        return False
    value, decimals = 0.0, 0
    while at < end and _is_digit(text[at]):
        value = value * 10.0 + (text[at] - 48)
        at += 1
    if at + 1 < end and text[at] == _DOT and _is_digit(text[at + 1]):
        at += 1
        while at < end and _is_digit(text[at]):
            if decimals < _MOST_DECIMALS:
                value = value * 10.0 + (text[at] - 48)
                decimals += 1
            at += 1
    value = min(value / _POWERS[decimals], _LARGEST)
    if kind == _SIZE:
        scale, at = _unit(text, at, end)
        value = min(value * scale, _LARGEST)
    if at != end:
        return False
    if negative or value == 0.0:
        value = -value
    numbers[slot] = value
    return True


@compiled
def _unit(text: Bytes, at: int, end: int) -> tuple[float, int]:
    """How many bytes the unit at `at` is, and where it is over; -1 where there is none."""
    scale = 1.0
    if at < end and text[at] == 32:
        at += 1
    if at + len(_BYTES) <= end and _same(text, at, _BYTES, 0, len(_BYTES)):
        at += len(_BYTES)
    else:
        for prefix in _PREFIXES:
            if at < end and text[at] == prefix:
                scale = _UNITS[prefix | 32]
                at += 1
                if at < end and text[at] == _I:
                    at += 1
                break
        if at >= end or text[at] != _B:
            return scale, -1
        at += 1
    if at + 1 < end and text[at] == _SLASH and text[at + 1] == _S:
        at += 2
    return scale, at
