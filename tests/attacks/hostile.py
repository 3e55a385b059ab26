"""Files as somebody would make them who means harm: every digest in them fits."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vestige.checkpoint.header import digest_of
from vestige.schema import Schema

DEEP: list[Any] = []
for _ in range(60):
    DEEP = [DEEP]
VALUES: tuple[Any, ...] = (
    -1, 0, 1, 2**31, 2**62, 10**18, 1e300, -1e300, 0.5, None, True, "", "x", "../../../etc/passwd",
    "/etc/passwd", "(" * 3000, "(a|aa)+$", "\ud800", "a\0b", [], {}, [None], [[1]], {"a": 1}, DEEP, ["x"] * 3,
    "%Y" * 50, "nan", "(?P<x>a)(?P<x>b)", "\\",
    "__import__('os').system('true')", "!!python/object:os.system",
)  # fmt: skip
"""What is put in the place of any value: other types, numbers beyond all ranges, paths, expressions that
hang, code."""
Place = tuple[Any, ...]


def places(plain: Any, path: Place = ()) -> Iterator[Place]:
    """Where values stand in a JSON document; of a long list, the first three."""
    if path:
        yield path
    if isinstance(plain, dict):
        for key, value in plain.items():
            yield from places(value, (*path, key))
    elif isinstance(plain, list):
        for at, value in enumerate(plain[:3]):
            yield from places(value, (*path, at))


def changed(plain: dict[str, Any], rng: random.Random, chosen: list[Place]) -> dict[str, Any]:
    """A copy with one value of a place replaced, or left out."""
    copy: dict[str, Any] = json.loads(json.dumps(plain))
    *way, last = rng.choice(chosen)
    inner: Any = copy
    for key in way:
        inner = inner[key]
    if isinstance(inner, dict) and rng.random() < 0.1:
        del inner[last]
    else:
        inner[last] = rng.choice(VALUES)
    return copy


def sealed(header: dict[str, Any]) -> str:
    """A checkpoint's header with digests that fit, as far as there are schemas that have some."""
    for schema, digest in (("schema", "schema_digest"), ("dataset_schema", "dataset_schema_digest")):
        try:
            header[digest] = Schema.from_dict(header[schema]).digest
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return json.dumps({**header, "digest": digest_of(header)})


def unsealed(file: Path) -> dict[str, Any]:
    """A checkpoint's header without its digest."""
    plain: dict[str, Any] = json.loads(file.read_text())
    del plain["digest"]
    return plain
