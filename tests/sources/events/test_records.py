"""Blocks: whole records, exact places, whatever the bytes and however they arrive."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.sources.events.layout import split_row
from vestige.sources.events.parse import cut
from vestige.sources.events.records import MOST_UNCLOSED, RecordReader

PIECES = st.lists(
    st.sampled_from(
        [b'"', b'""', b",", b";", b"\n", b"\r\n", b"a", b"bc", b" ", b'"x,\ny"', b'"x"', b"\xff", b"\xc3\xa9"]
    ),
    max_size=60,
).map(b"".join)


def read(
    data: bytes, *, delimiter: str = ",", size: int = 1 << 20, piece: int = 1 << 20, most: int = 1 << 16
) -> tuple[list[tuple[int, int, bytes]], RecordReader]:
    """Offset, line and bytes of every record."""
    reader = RecordReader(delimiter, size=size, max_record=most)
    found: list[tuple[int, int, bytes]] = []
    for block in reader.blocks(data[at : at + piece] for at in range(0, len(data), piece)):
        records, offsets, lines = cut(block)
        found += zip(offsets.tolist(), lines.tolist(), records, strict=True)
    return found, reader


@given(PIECES, st.integers(1, 40), st.integers(1, 40), st.sampled_from([1 << 16, 12, 3]))
def test_nothing_depends_on_where_blocks_are_cut(data: bytes, size: int, piece: int, most: int) -> None:
    for delimiter in (",", ""):
        whole, ours = read(data, delimiter=delimiter, most=most)
        parts, theirs = read(data, delimiter=delimiter, most=most, size=size, piece=piece)
        assert whole == parts
        assert (ours.bad, ours.faults, ours.n_bytes) == (theirs.bad, theirs.faults, theirs.n_bytes)


@given(PIECES)
def test_records_lie_where_they_say(data: bytes) -> None:
    found, reader = read(data)
    assert reader.n_bytes == len(data)
    for offset, line, record in found:
        assert data[:offset].count(b"\n") + 1 == line
        assert (data + b"\n")[offset : offset + len(record)] == record
    if not reader.bad:
        assert b"".join(record for _, _, record in found).rstrip(b"\n") == data.rstrip(b"\n")


TEXTS = st.lists(st.lists(st.text('ab",\n ;', max_size=8), min_size=1, max_size=4), min_size=1, max_size=8)


@given(TEXTS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.integers(1, 30))
def test_written_tables_are_read_as_the_csv_module_reads_them(
    rows: list[list[str]], quoting: Literal[0, 1], piece: int
) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator="\n").writerows(rows)
    found, reader = read(out.getvalue().encode(), piece=piece, size=piece)
    assert not reader.bad
    assert [split_row(record.decode().removesuffix("\n"), ",") for _, _, record in found] == rows


@pytest.mark.parametrize("piece", range(1, 8))
def test_what_was_looked_at_belongs_to_its_own_record(piece: int) -> None:
    data = b'""\n,;\n";;""\n",\n,;\n""\n'
    found, reader = read(data, piece=piece, size=piece)
    assert not reader.bad
    assert [record for _, _, record in found] == [b'""\n', b",;\n", b'";;""\n",\n', b",;\n", b'""\n']


@given(PIECES)
def test_rows_that_no_one_wrote_are_read_as_the_csv_module_reads_them(data: bytes) -> None:
    text = data.decode("utf-8", errors="replace").replace("\r", "")
    found, reader = read(text.encode())
    if reader.bad:
        return
    theirs = [row or [""] for row in csv.reader(io.StringIO(text, newline=""))]
    assert [split_row(record.decode().removesuffix("\n"), ",") for _, _, record in found] == theirs


def test_an_unclosed_quote_costs_its_own_line() -> None:
    found, reader = read(b'a,b\n"c,d\ne,f\ng,h\n')
    assert [record for _, _, record in found] == [b"a,b\n", b"e,f\n", b"g,h\n"]
    assert reader.faults == [(2, "a quote is not closed")]


def test_a_record_that_is_too_long_is_left_out_in_little_memory() -> None:
    def pieces() -> Iterator[bytes]:
        yield b"a,b\n"
        yield from (b"x" * (1 << 18) for _ in range(64))
        yield b"\nc,d\n"

    reader = RecordReader(",", max_record=1 << 16)
    found = [cut(block) for block in reader.blocks(pieces())]
    assert [record for records, _, _ in found for record in records] == [b"a,b\n", b"c,d\n"]
    assert found[-1][2].tolist() == [3]
    assert reader.faults == [(2, "longer than 65536 bytes")]
    assert len(reader._buffer) == 0


def test_quotes_that_never_close_cost_no_more_than_a_few_looks() -> None:
    data = b'x"y,"\n' * 300_000
    begin = time.process_time()
    found, reader = read(data, piece=1 << 18, size=1 << 18, most=1 << 20)
    assert reader.bad == MOST_UNCLOSED
    assert len(found) == 300_000 - MOST_UNCLOSED
    assert time.process_time() - begin < 10


@pytest.mark.parametrize("data", [b"", b"\n", b"\n\n", b"a"])
def test_files_without_much_in_them(data: bytes) -> None:
    found, reader = read(data)
    assert len(found) == max(data.count(b"\n"), bool(data))
    assert not reader.bad


@settings(max_examples=30)
@given(st.integers(1, 70), st.integers(1, 70))
def test_lines_of_json_may_hold_quotes_without_end(size: int, piece: int) -> None:
    data = b'{"a": "\\""}\n"\n{"b"\n'
    found, _ = read(data, delimiter="", size=size, piece=piece)
    assert [record for _, _, record in found] == data.splitlines(keepends=True)
