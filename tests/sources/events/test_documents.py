"""JSON that is no line a record: arrays, wrapped lists, objects over many lines; however the bytes come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.events.exports import SECOND, START, dataset, texts, write
from vestige.errors import EvidenceError
from vestige.sources.events.documents import DocumentReader, Place, places
from vestige.sources.events.parse import cut
from vestige.testing import check_source

EVENTS = [
    {"timestamp": START + at, "machine": f"m{at % 2}", "event": f'e "{at}" }}]', "more": [{"a": [at]}]}
    for at in range(5)
]
WRITTEN = {
    "an array": json.dumps(EVENTS),
    "an array over many lines": json.dumps(EVENTS, indent=2),
    "objects over many lines": "\n".join(json.dumps(event, indent=1) for event in EVENTS),
    "a list within": json.dumps({"took": 5, "Records": EVENTS, "next": None}),
    "a list deep within": json.dumps({"shards": {"bad": []}, "hits": {"total": {"n": 5}, "hits": EVENTS}}),
    "documents one after the other": "\n".join(
        json.dumps({"Records": part}) for part in (EVENTS[:2], EVENTS[2:])
    ),
    "a text sequence": "".join(f"\x1e{json.dumps(event)}\n" for event in EVENTS),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITTEN)
def test_records_are_found_where_they_lie(tmp_path: Path, name: str) -> None:
    windows = dataset(write(tmp_path / "a.json", WRITTEN[name]), tmp_path / "d", context=1)
    assert [window[-1] for window in texts(windows)] == [EVENTS[at]["event"] for at in (0, 2, 4, 1, 3)]
    assert sorted(windows.t_ns.tolist()) == [(START + at) * SECOND for at in range(5)]
    assert windows.notes["left_out_counts"] == {}
    offsets = windows.streams["offset"][windows.target_step].tolist()
    data = WRITTEN[name].encode()
    for offset, line in zip(offsets, windows.streams["line"][windows.target_step].tolist(), strict=True):
        assert data[offset : offset + 1] == b"{"
        assert data[:offset].count(b"\n") + 1 == line


def read(
    data: bytes, place: Place, *, size: int = 1 << 20, piece: int = 1 << 20, most: int = 1 << 16
) -> tuple[list[tuple[int, int, bytes]], DocumentReader]:
    """Offset, line and bytes of every record."""
    reader = DocumentReader(place, size=size, max_record=most)
    found: list[tuple[int, int, bytes]] = []
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
        for block in reader.take():
            records, offsets, lines = cut(block)
            found += zip(offsets.tolist(), lines.tolist(), records, strict=True)
    for block in reader.finish():
        records, offsets, lines = cut(block)
        found += zip(offsets.tolist(), lines.tolist(), records, strict=True)
    return found, reader


TOKENS = [
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b'\\"',
    b"\\",
    b",",
    b"\n",
    b'"a":',
    b'"R":[',
    b"1",
    b'"x"',
    b'{"R":[',
    b"{}",
]
BYTES = st.lists(st.sampled_from(TOKENS), max_size=60).map(b"".join)
PLACES: list[Place] = [(), ("[",), ("{", "R[")]


@given(BYTES, st.sampled_from(PLACES), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1 << 16, 9]))
def test_nothing_depends_on_where_blocks_are_cut(
    data: bytes, place: Place, size: int, piece: int, most: int
) -> None:
    whole, ours = read(data, place, most=most)
    parts, theirs = read(data, place, size=size, piece=piece, most=most)
    assert ours.n_bytes == theirs.n_bytes == len(data)
    for offset, line, record in whole + parts:
        assert data[offset : offset + len(record)] == record
        assert data[:offset].count(b"\n") + 1 == line
        assert record[:1] == b"{"
        assert len(record) <= most
    if most > len(data):
        assert whole == parts
        assert (ours.bad, ours.faults) == (theirs.bad, theirs.faults)


@given(
    st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=6) | st.lists(st.integers()), max_size=3))
)
def test_what_json_writes_is_cut_as_json_reads_it(records: list[dict[str, Any]]) -> None:
    data = json.dumps({"R": records}, indent=1).encode()
    found, reader = read(data, ("{", "R["), size=7, piece=5)
    assert [json.loads(record) for _, _, record in found] == records
    assert reader.bad == 0


def test_a_record_that_is_too_long_is_passed_over_in_little_memory() -> None:
    long = b'{"a": "' + b'\\"}' * 5000 + b'"}'
    data = b'[{"b": 1}, ' + long + b', {"c": "]"}]'
    reader = DocumentReader(("[",), size=64, max_record=100)
    found = []
    for at in range(0, len(data), 37):
        reader.feed(data[at : at + 37])
        found += [record for block in reader.take() for record in cut(block)[0]]
        assert len(reader._buffer) < 300
    found += [record for block in reader.finish() for record in cut(block)[0]]
    assert found == [b'{"b": 1}', b'{"c": "]"}']
    assert reader.faults == [(1, "longer than 100 bytes")]


def test_places_of_lists_come_outermost_first() -> None:
    assert places(b'{"Records":[{"r":[{"x":1}]}]}') == [("{", "Records["), ("{", "Records[", "{", "r["), ()]
    assert places(b'{"a":1}\n{"a":2}') == [()]


def test_a_document_that_is_cut_off_keeps_what_is_whole_and_says_so(tmp_path: Path) -> None:
    text = json.dumps(EVENTS)
    windows = dataset(write(tmp_path / "a.json", text[:-20]), tmp_path / "d")
    assert len(windows) == 4
    (defect,) = windows.notes["left_out"]
    assert "the object has no end" in defect["why"]


def test_what_is_no_object_is_told(tmp_path: Path) -> None:
    text = "[" + ", ".join(json.dumps(event) for event in EVENTS) + ', 5, {"a": 1}]'
    notes = dataset(write(tmp_path / "a.json", text), tmp_path / "d").notes
    assert [defect["why"] for defect in notes["left_out"]] == ["no time", "no JSON object"]


def test_damaged_json_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match=r"no JSON object|holds no event"):
        dataset(write(tmp_path / "a.json", '{"a": "b' * 50), tmp_path / "d")


@pytest.mark.parametrize("name", ["an array over many lines", "a list within"])
def test_documents_keep_the_contract_of_a_source(tmp_path: Path, name: str) -> None:
    events = [
        {"timestamp": START + at, "machine": "m", "event": f"e{at % 7}", "label": int(at % 50 == 0)}
        for at in range(400)
    ]
    text = json.dumps(events, indent=1) if name.startswith("an array") else json.dumps({"Records": events})
    write(tmp_path / "c" / "a.json", text)
    write(tmp_path / "c" / "b.json", text.replace('"m"', '"n"'))
    check_source("events", tmp_path / "c", tmp_path / "work")
