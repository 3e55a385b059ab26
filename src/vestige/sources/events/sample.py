"""The beginning of a file of evidence: its first records as objects, whatever it is, and what they show."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from vestige.evidence.stream import SAMPLE_BYTES, SAMPLE_LINES
from vestige.sources.events import documents, fields, sessions, zeek
from vestige.sources.events import layout as layouts
from vestige.sources.events.documents import DocumentReader
from vestige.sources.events.json_lines import BadRecordError, decode
from vestige.sources.events.kinds import KINDS, cutter_of, shown_by
from vestige.sources.events.layout import Layout, split_row
from vestige.sources.events.mapping import Mapping
from vestige.sources.events.parse import cut
from vestige.sources.events.records import Cutter, RecordReader
from vestige.sources.events.where import condition, named

LOOKED_AT = 20
"""Records that are asked for the signs of a mapping."""
WRAPPERS = frozenset(
    f"{key}["
    for key in ("Records", "records", "Events", "events", "hits", "value", "results", "items", "entries",
                "rows", "logs", "logEvents", "alerts", "findings")
)  # fmt: skip
"""Lists, by their keys, whose objects are the records where they lie in an object of their own."""
MOST_PLACES = 5
"""Lists of a document that are tried: the first of them."""


def first_lines(sample: bytes) -> bytes:
    """At most `SAMPLE_LINES` whole lines; what there is, where there is no line end."""
    ends = [end for end, _ in zip(re.finditer(rb"\n", sample), range(SAMPLE_LINES), strict=False)]
    whole = len(sample) < SAMPLE_BYTES and len(ends) < SAMPLE_LINES
    if whole or not ends:
        return sample
    return sample[: ends[-1].end()]


def is_json(sample: bytes) -> bool:
    """Whether the first record begins as JSON does."""
    return beginning(sample)[:1] in {b"{", b"["}


def beginning(sample: bytes) -> bytes:
    """A sample without what may stand before its first record."""
    return sample.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n\x1e")


def first_records(sample: bytes) -> list[dict[str, Any]]:
    """The first few records as objects, whatever the file is; what cannot be read is left out."""
    start = beginning(sample)
    shown = shown_by(sample)
    if shown == "zeek":
        return _zeek_records(sample)
    if shown:
        reader = cutter_of(Layout(shown), len(sample))
        reader.feed(sample)
        return _objects(_records_of(reader), KINDS[shown].record_of)
    if start[:1] in {b"{", b"["}:
        return _json_records(sample, start)
    return _rows(start)


def _json_records(sample: bytes, start: bytes) -> list[dict[str, Any]]:
    lines = [line for line in start.split(b"\n")[: 2 * LOOKED_AT] if line.strip()]
    if found := _objects(lines):
        # A whole file of CloudTrail, or the response of a search, may be one line.
        place = documents.places(lines[0])[0]
        if place and place[-1] in WRAPPERS:
            return _wrapped(sample, place) or found
        return found
    for place in documents.places(sample)[:MOST_PLACES]:
        if found := _wrapped(sample, place):
            return found
    return []


def _wrapped(sample: bytes, place: documents.Place) -> list[dict[str, Any]]:
    reader = DocumentReader(place)
    reader.feed(sample)
    return _objects(_records_of(reader))


def _records_of(reader: Cutter) -> list[bytes]:
    """The first records that are whole; what is open may be over where the sample is."""
    blocks = [*reader.take(now=True), *reader.give_up()]
    found = [record for block in blocks[:2] for record in cut(block)[0][:LOOKED_AT]]
    return found[:LOOKED_AT]


def _objects(
    texts: Sequence[bytes], record_of: Callable[[str], dict[str, Any]] = decode
) -> list[dict[str, Any]]:
    found = []
    for text in texts[:LOOKED_AT]:
        try:
            found.append(record_of(text.decode("utf-8", errors="replace")))
        except BadRecordError:
            continue
    return [record for record in found if not _is_action(record)] or found


def _is_action(record: dict[str, Any]) -> bool:
    """Whether it is what the `_bulk` requests of Elasticsearch have before each document."""
    return len(record) == 1 and any(
        isinstance(record.get(name), dict) and "_index" in record[name] for name in ("index", "create")
    )


def _zeek_records(sample: bytes) -> list[dict[str, Any]]:
    anything = Mapping(timestamp=("ts",), machine=("ts",), event=("ts",))
    rows = zeek.ZeekRows(Layout("zeek"), anything)
    found = []
    for line in sample.decode("utf-8", errors="replace").split("\n")[: 2 * LOOKED_AT]:
        try:
            cells = rows.cells(line)
        except BadRecordError:
            continue
        if cells:
            found.append(dict(zip(rows.names, cells, strict=False)))
    return found[:LOOKED_AT]


def _rows(start: bytes) -> list[dict[str, Any]]:
    """Rows of a table, whatever stands between its cells: as its first line that is no comment has it."""
    while start.startswith(b"#"):
        start = start.partition(b"\n")[2].lstrip()
    first = start[: start.find(b"\n") + 1].decode("utf-8", errors="replace")
    delimiter = max(layouts.DELIMITERS, key=lambda mark: len(split_row(first, mark)))
    reader = RecordReader(delimiter)
    reader.feed(start)
    texts = [
        record.decode("utf-8", errors="replace").rstrip("\r\n")
        for block in list(reader.take(now=True))[:1]
        for record in cut(block)[0][: LOOKED_AT + 1]
    ]
    header, *rows = [split_row(text, delimiter) for text in texts if text.strip()] or [[]]
    names = [cell.strip() for cell in header]
    return [
        {name: cell for name, cell in zip(names, row, strict=True) if cell}
        for row in rows
        if len(row) == len(names)
    ]


def field_names(records: Sequence[dict[str, Any]]) -> list[str]:
    """What the fields of records are called, nested ones by their paths, in the order in which they come."""
    names: dict[str, None] = {}
    for record in records:
        for name in _paths(record, 3):
            if len(names) < 1000:
                names.setdefault(name)
    return list(names)


def _paths(record: dict[str, Any], depth: int) -> Iterator[str]:
    for name, value in record.items():
        inner = value
        mark = ""
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner, mark = value[0], "[]"
        if isinstance(inner, dict) and inner and depth > 1:
            for path in _paths(inner, depth - 1):
                yield f"{name}{mark}.{path}"
        else:
            yield name


def known(records: Sequence[dict[str, Any]], mappings: Sequence[Mapping]) -> list[Mapping]:
    """The mappings whose signs most of the records have; those that all of them have first."""
    shares = {mapping.name: share(records, mapping) for mapping in mappings if mapping.signs}
    known = [mapping for mapping in mappings if shares.get(mapping.name, 0) > 0.5]
    return sorted(known, key=lambda mapping: shares[mapping.name] < 1)


def share(records: Sequence[dict[str, Any]], mapping: Mapping) -> float:
    """The share of records that have the signs of a mapping."""
    has_signs = condition(mapping.signs)
    return sum(has_signs(record) for record in records) / max(1, len(records))


def shown_signs(records: Sequence[dict[str, Any]], mapping: Mapping) -> str:
    """The fields of a mapping's signs that the first records have."""
    found = [
        name for name in named(mapping.signs) if any(fields.look_up(r, name) is not None for r in records)
    ]
    return ", ".join(found[:5])


def are_sequences(sample: bytes) -> bool:
    """Whether most lines look like sessions: a name, one comma, several events; objects that list events of a
    session; or sequences alone."""
    if sample.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        first = sample.partition(b"\n")[0]
        return b'"session"' in first and b'"events"' in first
    if sessions.are_unnamed(sample):
        return b" " in sample.strip().partition(b"\n")[0]
    lines = sample.split(b"\n")[:SAMPLE_LINES]
    return sum(line.count(b",") == 1 and b" " in line.partition(b",")[2].strip() for line in lines) > (
        len(lines) / 2
    )
