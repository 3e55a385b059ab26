"""How the records of one file lie: a table's delimiter and columns, JSON lines, or lines of sessions."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from vestige.errors import EvidenceError
from vestige.sources.events import fields
from vestige.sources.events.mapping import FIELDS, Mapping
from vestige.sources.events.records import row_pattern

DELIMITERS = (",", ";", "\t", "|")
Places = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Layout:
    """What a worker must know about a file to read its records.

    For a table: `delimiter`, how many `columns`, the `header` as it lies there, and where each of
    `mapping.FIELDS` is. For sessions, what the file's name says: see `sessions.About`.
    """

    kind: Literal["csv", "jsonl", "sessions"]
    delimiter: str = ""
    columns: int = 0
    header: str = ""
    places: tuple[Places, ...] = ()
    split: str = ""
    profile: str = ""
    anomalous: bool = False


def find(sample: bytes, mapping: Mapping, where: str) -> Layout:
    """The layout that the beginning of a file shows. Raises EvidenceError: columns are missing."""
    kind = mapping.kind
    if kind == "auto":
        first = sample.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
        kind = "jsonl" if first in (b"{", b"[") else "csv"
    if kind == "csv":
        return _table(sample, mapping, where)
    return Layout(kind)


def split_row(row: str, delimiter: str) -> list[str]:
    """The cells of a row, as the standard library's csv module reads them."""
    if '"' not in row:
        return row.split(delimiter)
    cells = []
    for cell in _cells(delimiter).finditer(row):
        quoted, rest, plain = cell.groups()
        if quoted is None:
            cells.append(plain)
        else:
            cells.append(quoted.replace('""', '"') + rest)
    return cells


@lru_cache(maxsize=8)
def _cells(delimiter: str) -> re.Pattern[str]:
    mark = re.escape(delimiter)
    return re.compile(rf'(?:\A|{mark})(?:"((?:[^"]++|"")*+)"([^{mark}]*+)|([^{mark}]*+))')


def _table(sample: bytes, mapping: Mapping, where: str) -> Layout:
    sample = sample.removeprefix(codecs.BOM_UTF8)
    if sample.lstrip()[:1] == b"{":
        raise EvidenceError("these are JSON lines, not a table", where=where, row=1)
    tried = [_with(delimiter, sample, mapping) for delimiter in DELIMITERS]
    best = max(tried, key=_fit)
    missing = [name for name, places in zip(FIELDS[:3], best.places, strict=False) if not places]
    if missing:
        named = ", ".join(repr(alternative) for alternative in getattr(mapping, missing[0]))
        shown = ", ".join(split_row(best.header, best.delimiter)[:24])
        raise EvidenceError(
            f"no column for the {missing[0]} ({named}); the header has: {shown[:400]}",
            where=where,
            row=1,
            remedy=f"name it with --{missing[0]} NAME, or choose another --mapping",
        )
    return best


def _fit(layout: Layout) -> tuple[int, int]:
    """How well a layout reads the table: the needed fields that have a column, then all columns."""
    return sum(bool(places) for places in layout.places[:3]), layout.columns


def _with(delimiter: str, sample: bytes, mapping: Mapping) -> Layout:
    ended = sample
    if b"\n" not in ended:
        ended += b"\n"
    row = row_pattern(delimiter, len(sample)).match(ended)
    if row:
        first = row[0]
    else:
        # A quote that is not closed: the header is then the first line as it stands.
        first = sample.partition(b"\n")[0]
    header = first.decode("utf-8", errors="replace").removesuffix("\n").removesuffix("\r")
    names: Sequence[str] = [cell.strip() for cell in split_row(header, delimiter)]
    places = tuple(fields.columns(getattr(mapping, name), names) for name in FIELDS)
    return Layout("csv", delimiter, len(names), header, places)
