"""JSON that comes from a file: every number has a range before it has a type.

A file may have been damaged, edited, or made to do harm. `load` refuses numbers that are none or that no
field could hold; `whole`, `real`, `flag`, `text` and `texts` say what a single field may be. All of them
raise ValueError, which callers turn into an error that names the file and a remedy. `refused` says which
value a model refused, and what for.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pydantic import ValidationError

DEEPEST = 64
"""Brackets within brackets at most."""
LARGEST = 256 * 2**20
"""Bytes of a file of JSON at most."""
SHOWN = 40
"""Characters of a refused value that a message shows."""

WORDS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "missing": "is missing",
    "extra_forbidden": "there is nothing of this name",
    "finite_number": "must be a number",
    "int_from_float": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "bool_parsing": "must be true or false",
    "bool_type": "must be true or false",
    "string_type": "must be a text",
}
"""What Pydantic refuses a value for, by its own name for it."""


def read(path: Path, most: int = LARGEST) -> bytes:
    """The content of a regular file. Raises OSError where there is none, or a pipe or device lies in its
    place: it would be waited for. Raises ValueError for more than `most` bytes."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    with os.fdopen(handle, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"more than {most >> 20} MiB")
    return data


def load(data: bytes, *, bits: int = 64, finite: bool = True) -> dict[str, Any]:
    """The JSON object in `data`, UTF-8.

    Raises ValueError: no JSON, no object, nested too deeply, a number that is not finite (unless it may be:
    Python writes NaN and Infinity), or a whole number that takes more than `bits` bits.
    """

    def whole_number(digits: str) -> int:
        # No number of so many bits has more digits than bits; int() takes quadratic time over them.
        if len(digits) > bits or (value := int(digits)).bit_length() > bits:
            raise ValueError(f"a number of {len(digits)} digits")
        return value

    try:
        written = data.decode("utf-8")
        if finite:
            plain = json.loads(written, parse_int=whole_number, parse_float=_finite, parse_constant=_refuse)
        else:
            plain = json.loads(written, parse_int=whole_number)
    except json.JSONDecodeError as error:
        raise ValueError(f"Invalid JSON: {error}") from error
    except RecursionError as error:
        raise ValueError("brackets within too many brackets") from error
    if not isinstance(plain, dict):
        raise ValueError(f"an object is expected, not {shown(plain)}")
    _refuse_deep(plain)
    return plain


def reason(error: Exception) -> str:
    """Why a file could not be read, in words: what `read`, `load` and the checks of fields raise, without
    what is Python's alone."""
    if isinstance(error, OSError):
        return (error.strerror or str(error)).lower()
    if isinstance(error, UnicodeDecodeError):
        return "it is no text in UTF-8"
    if isinstance(error, KeyError) and error.args:
        return f"it has no {shown(error.args[0])}"
    return str(error)


def whole(value: Any, name: str, low: int, high: int) -> int:
    """`value`, if it is a whole number within `low..high` (and no bool). Raises ValueError."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{name} is {shown(value)}, not a whole number within {low}..{high}")
    return value


def real(value: Any, name: str, low: float, high: float) -> float:
    """`value`, if it is a number within `low..high` (no bool, not NaN). Raises ValueError."""
    if type(value) not in {int, float} or not low <= value <= high:
        raise ValueError(f"{name} is {shown(value)}, not a number within {low:g}..{high:g}")
    return float(value)


def flag(value: Any, name: str) -> bool:
    """`value`, if it is true or false. Raises ValueError."""
    if type(value) is not bool:
        raise ValueError(f"{name} is {shown(value)}, neither true nor false")
    return value


def text(value: Any, name: str) -> str:
    """`value`, if it is a text. Raises ValueError."""
    if type(value) is not str:
        raise ValueError(f"{name} is {shown(value)}, not a text")
    return value


def texts(value: Any, name: str) -> list[str]:
    """`value`, if it is a list of texts. Raises ValueError."""
    if type(value) not in {list, tuple}:
        raise ValueError(f"{name} is {shown(value)}, not a list of texts")
    return [text(entry, name) for entry in value]


def mapping(value: Any, name: str) -> dict[str, Any]:
    """`value`, if it is a JSON object. Raises ValueError."""
    if type(value) is not dict:
        raise ValueError(f"{name} is {shown(value)}, not an object")
    return value


def shown(value: Any) -> str:
    """The beginning of a value, for a message."""
    written = repr(value)
    return written if len(written) <= SHOWN else f"{written[:SHOWN]}..."


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"a number beyond all numbers ({digits[:SHOWN]})")
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number of JSON")


def _refuse_deep(plain: Any) -> None:
    """Raise ValueError for brackets deeper than `DEEPEST`: whoever walks them later may recurse."""
    level = [plain]
    for _ in range(DEEPEST):
        inner: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inner.extend(value.values())
            elif isinstance(value, list):
                inner.extend(value)
        level = [value for value in inner if isinstance(value, dict | list)]
        if not level:
            return
    raise ValueError("brackets within too many brackets")


def refused(error: ValidationError) -> tuple[str, str]:
    """The first value that a model refused: its name, the parts of which have dots between them (empty where
    values do not go together), and what it must be."""
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])), in_words(first)


def in_words(problem: Mapping[str, Any]) -> str:
    """One of the `errors()` of a Pydantic `ValidationError` as a person would say it: what the value must be
    and, where that is short, what it is."""
    if problem["type"] not in WORDS:
        return str(problem["msg"]).removeprefix("Value error, ")
    bounds = {
        name: int(bound) if isinstance(bound, float) and bound.is_integer() else bound
        for name, bound in problem.get("ctx", {}).items()
    }
    said, given = WORDS[problem["type"]].format(**bounds), problem["input"]
    short = isinstance(given, float) or (isinstance(given, str) and len(given) <= SHOWN)
    if isinstance(given, int):  # of one with too many digits Python makes no text
        short = given.bit_length() <= 64
    return f"{said}, not {given!r}" if short and said.startswith("must") else said
