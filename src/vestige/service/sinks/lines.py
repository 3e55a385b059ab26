"""Rows as JSON that every parser takes: one line, ASCII, no lone surrogates, no numbers that JSON lacks."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from vestige.escaping import visible
from vestige.service.sinks.base import Row

DEEPEST = 20
"""Levels of objects and lists that are written where a row is not JSON as it is; deeper ones are counted."""
EXTRA = 40
"""Characters by which a shortened text may be longer than asked for: what says how much is left out."""


def json_line(row: Row) -> bytes:
    """`row` as one line of JSON, without its end."""
    try:
        text = _dump(row)
    except (TypeError, ValueError, RecursionError):
        text = _dump(_plain(row))
    if "\\ud" in text:
        # Half a surrogate pair is no character: Elasticsearch, for example, refuses the whole document.
        text = _dump(_plain(row))
    return text.encode("ascii")


def short(text: str, most: int) -> str:
    """`text` in which nothing steers a terminal or ends a line, of about `most` characters."""
    return visible(text, most)[: most + EXTRA]


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def _plain(value: Any, depth: int = 0) -> Any:
    """`value` with nothing in it that JSON lacks."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < DEEPEST and isinstance(value, dict):
        return {whole(str(key)): _plain(inner, depth + 1) for key, inner in value.items()}
    if depth < DEEPEST and isinstance(value, list | tuple):
        return [_plain(inner, depth + 1) for inner in value]
    if isinstance(value, dict | list | tuple):
        return f"({len(value):,} values, nested too deeply)"
    return whole(str(value))


def whole(text: str) -> str:
    """`text` as characters only: pairs of surrogates joined, halves replaced."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
