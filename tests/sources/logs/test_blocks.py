"""Blocks: whole messages, exact places, whatever the bytes and however they arrive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.sources.logs.blocks import FIRST_BYTES, MESSAGE_BYTES, Block, BlockReader
from vestige.sources.logs.foreign import is_marker
from vestige.sources.logs.format import Format
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Messages, Parser, Rules

TINY = Format.model_validate(
    {"header": "<Day>:<Content>", "time": {"Day": "%s"}, "masks": ["num"], "example": ["1:a"]}
)

LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"1:a",
                b"2:bb 7",
                b"3:",
                b"\tat x",
                b"#separator \\x09",
                b"",
                b"\r",
                b"1:\xff\xfe",
                b"9:" + b"z" * 300,
            ]
        ),
        st.binary(max_size=12),
    ),
    max_size=30,
)


def rules(max_line: int = 1 << 16) -> Rules:
    return Rules(TINY, LabelRule("none"), max_line=max_line)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def blocks(reader: BlockReader, data: Iterator[bytes]) -> Iterator[Block]:
    for piece in data:
        reader.feed(piece)
        while (block := reader.take()) is not None:
            yield block
    last = reader.finish()
    if last is not None:
        yield last


def read(
    data: bytes, *, size: int, piece: int, max_line: int = 1 << 16
) -> tuple[list[Messages], BlockReader]:
    chosen = rules(max_line)
    reader = BlockReader(chosen.is_start, size=size, max_line=max_line)
    parser = Parser(chosen)
    return [parser.parse(block) for block in blocks(reader, pieces(data, piece))], reader


def joined(messages: list[Messages], name: str) -> list[Any]:
    if name == "text":
        return [one.texts[row] for one in messages for row in one.text]
    return [value for one in messages for value in getattr(one, name).tolist()]


def begins_message(line: bytes) -> bool:
    """Not so a line that a program put between messages: it ends the one above, and is none."""
    return rules().is_start(line) and not is_marker(line.decode("latin-1"))


@given(LINES, st.integers(1, 200), st.integers(1, 90), st.booleans())
def test_messages_cover_the_file_exactly_whatever_the_block_size(
    lines: list[bytes], size: int, piece: int, ended: bool
) -> None:
    data = b"\n".join(lines) + b"\n" * ended
    messages, reader = read(data, size=size, piece=piece)
    offsets = joined(messages, "offset")
    assert offsets == sorted(set(offsets))
    assert reader.digest == blake3(blake3(data).digest() if data else b"").hexdigest()
    assert reader.n_bytes == len(data)
    chosen = rules()
    before = data[: offsets[0]] if offsets else data
    assert not any(begins_message(one) for one in before.split(b"\n"))
    ends = [*offsets, len(data)][1:] if offsets else []
    for begin, end, line in zip(offsets, ends, joined(messages, "line"), strict=True):
        assert data[:begin].count(b"\n") + 1 == line
        assert begin == 0 or data[begin - 1 : begin] == b"\n"
        first, *more = data[begin:end].removesuffix(b"\n").split(b"\n")
        assert chosen.is_start(first)
        assert not any(begins_message(one) for one in more)
    assert [one.final for one in messages] == [False] * (len(messages) - 1) + [True] * bool(messages)


@given(LINES, st.integers(1, 200), st.integers(1, 90), st.sampled_from([1 << 16, 16, 3]))
def test_nothing_depends_on_where_blocks_are_cut(
    lines: list[bytes], size: int, piece: int, max_line: int
) -> None:
    data = b"\n".join(lines)
    whole, _ = read(data, size=1 << 20, piece=1 << 20, max_line=max_line)
    cut, _ = read(data, size=size, piece=piece, max_line=max_line)
    for name in ("t_ns", "line", "offset", "raw", "label", "text"):
        assert joined(whole, name) == joined(cut, name)


@given(st.lists(st.integers(0, 40), min_size=1, max_size=20), st.integers(1, 60), st.integers(1, 50))
def test_the_rest_of_an_over_long_line_is_skipped_and_places_stay_true(
    lengths: list[int], size: int, piece: int
) -> None:
    data = b"".join(b"1:" + b"x" * length + b"\n" for length in lengths)
    messages, reader = read(data, size=size, piece=piece, max_line=12)
    starts = np.cumsum([0, *(length + 3 for length in lengths)])[:-1]
    assert joined(messages, "offset") == starts.tolist()
    assert joined(messages, "line") == list(range(1, len(lengths) + 1))
    assert reader.over_long == sum(length > 10 for length in lengths)
    assert max(len(str(text)) for text in joined(messages, "text")) <= 10


def test_a_huge_line_is_read_in_little_memory() -> None:
    data = b"1:" + b"y" * 10_000_000 + b"\n2:z\n"
    chosen = rules()
    reader = BlockReader(chosen.is_start, max_line=1 << 16)
    found = list(blocks(reader, pieces(data, 1 << 18)))
    assert sum(len(block.data) for block in found) < 70_000
    messages = [Parser(chosen).parse(block) for block in found]
    assert joined(messages, "offset") == [0, 10_000_003]
    assert reader.over_long == 1


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 1 << 19), st.integers(1000, 1 << 19))
def test_a_message_without_end_is_cut_and_what_follows_keeps_its_place(size: int, piece: int) -> None:
    trace = b"\tat some.java.method(File.java:12)\n"
    n = 3 * MESSAGE_BYTES // len(trace)
    data = b"0:first\n1:start\n" + trace * n + b"2:next\n" + b"3:last\n"
    messages, reader = read(data, size=size, piece=piece)
    assert joined(messages, "offset") == [0, 8, 16 + n * len(trace), 23 + n * len(trace)]
    assert joined(messages, "line") == [1, 2, n + 3, n + 4]
    assert sum(one.counts["lines"] for one in messages) == n + 4
    assert reader.over_long == 1


def test_the_first_block_is_small_and_short_lines_make_no_block_of_many() -> None:
    chosen = rules()
    long, short = b"1:" + b"x" * 97 + b"\n", b"1:\n"
    data = long * 40_000 + short * 100_000
    reader = BlockReader(chosen.is_start, size=1 << 20, most_lines=20_000)
    found = list(blocks(reader, pieces(data, 1 << 14)))
    assert b"".join(block.data for block in found) == data
    first, *others, last = found
    assert len(first.data) < FIRST_BYTES + (1 << 14)
    long_ones = [block for block in others if block.data.endswith(long)]
    assert len(long_ones) == 3
    assert min(len(block.data) for block in long_ones) > (1 << 20) - 100
    short_ones = [block for block in [*others, last] if block.data.startswith(short)]
    assert len(short_ones) > 3
    assert max(block.data.count(b"\n") for block in short_ones) < 20_000 + (1 << 14) // len(short) + 1


def test_a_reader_that_begins_within_a_file_takes_no_digest() -> None:
    reader = BlockReader.at(rules().is_start, max_line=100, offset=4, line=2)
    reader.feed(b"1:a\n2:b\n")
    assert reader.digest == blake3(b"").hexdigest()
