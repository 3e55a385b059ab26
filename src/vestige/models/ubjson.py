"""Universal Binary JSON, as far as XGBoost writes it: read without trusting a byte, and written anew.

Objects without a count, arrays with one (`[#L`), of one type where they are (`[$d#L`): Draft 12 of the
format, https://ubjson.org. Every length is compared with what is left before anything of that length is made.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEEPEST = 16
"""Containers within containers at most."""
_INTEGERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8"}
_NUMBERS = _INTEGERS | {b"d": ">f4", b"D": ">f8"}
_TYPES = {np.dtype(code): letter for letter, code in _NUMBERS.items()}
_WORDS = {b"T": True, b"F": False, b"Z": None}


def loads(data: bytes) -> dict[str, Any]:
    """The object in `data`: texts, numbers, lists, objects, and one-dimensional arrays of one type.

    Raises ValueError for anything else, for a length beyond the end, and for bytes behind the object.
    """
    reader = _Reader(data)
    if reader.take(1) != b"{":
        raise ValueError("no UBJSON object")
    made = reader.mapping(0)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes behind the UBJSON object")
    return made


def dumps(value: Any) -> bytes:
    """`value` as `loads` reads it; arrays keep their type, whole numbers are of 64 bits, others of 32."""
    pieces: list[bytes] = []
    _write(value, pieces)
    return b"".join(pieces)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, n: int) -> bytes:
        if not 0 <= n <= len(self.data) - self.at:
            raise ValueError(f"the UBJSON ends within a value, at byte {self.at}")
        piece = self.data[self.at : self.at + n]
        self.at += n
        return piece

    def length(self) -> int:
        if self.take(1) != b"L":
            raise ValueError(f"a length of another kind than XGBoost writes, at byte {self.at - 1}")
        return int(struct.unpack(">q", self.take(8))[0])

    def text(self) -> str:
        return self.take(self.length()).decode("utf-8")

    def mapping(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}
        while self.data[self.at : self.at + 1] != b"}":
            key = self.text()
            if key in made:
                raise ValueError(f"the key {key[:40]!r} comes twice")
            made[key] = self.value(depth + 1)
        self.take(1)
        return made

    def value(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise ValueError("containers within too many containers")
        letter = self.take(1)
        if letter in _NUMBERS:
            return self.array(letter, 1)[0].item()
        if letter == b"S":
            return self.text()
        if letter == b"{":
            return self.mapping(depth)
        if letter == b"[":
            return self.list_or_array(depth)
        if letter in _WORDS:
            return _WORDS[letter]
        raise ValueError(f"an unknown kind of value, {letter!r}, at byte {self.at - 1}")

    def list_or_array(self, depth: int) -> list[Any] | NDArray[Any]:
        mark = self.take(1)
        letter = b""
        if mark == b"$":
            letter, mark = self.take(1), self.take(1)
        if mark != b"#":
            raise ValueError(f"an array without a count, at byte {self.at - 1}")
        n = self.length()
        if letter:
            return self.array(letter, n)
        if not 0 <= n <= len(self.data) - self.at:  # every value takes a byte at least
            raise ValueError(f"an array of {n} values in {len(self.data) - self.at} bytes")
        return [self.value(depth + 1) for _ in range(n)]

    def array(self, letter: bytes, n: int) -> NDArray[Any]:
        if letter not in _NUMBERS:
            raise ValueError(f"an array of an unknown type, {letter!r}, at byte {self.at - 1}")
        dtype = np.dtype(_NUMBERS[letter])
        return np.frombuffer(self.take(n * dtype.itemsize), dtype=dtype)


def _write(value: Any, pieces: list[bytes]) -> None:
    if isinstance(value, np.ndarray):
        letter = _TYPES[value.dtype]
        pieces += [b"[$" + letter + b"#", _length(len(value)), value.tobytes()]
    elif isinstance(value, dict):
        pieces.append(b"{")
        for key, inner in value.items():
            pieces.append(_text(key))
            _write(inner, pieces)
        pieces.append(b"}")
    elif isinstance(value, list):
        pieces += [b"[#", _length(len(value))]
        for inner in value:
            _write(inner, pieces)
    elif isinstance(value, str):
        pieces += [b"S", _text(value)]
    elif type(value) is int:
        pieces.append(_length(value))
    else:
        raise TypeError(f"no value of a model: {value!r}")


def _length(n: int) -> bytes:
    return b"L" + struct.pack(">q", n)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return _length(len(encoded)) + encoded
