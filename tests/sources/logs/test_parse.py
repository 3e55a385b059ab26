"""One block of lines to messages."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from vestige.sources.logs.blocks import Block
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import EMPTY, TEXT_CHARACTERS, Messages, Parser, Rules

HEAD = "2015-10-18 18:01:47,978 INFO [main] a.B: "


def hadoop(data: bytes, label: str = "level:ERROR", encoding: str = "utf-8") -> Messages:
    rules = Rules(load("hadoop"), LabelRule.parse(label, ["Level"]), encoding)
    return Parser(rules).parse(Block(data, 0, 1, final=True))


def texts(messages: Messages) -> list[str]:
    return [messages.texts[row] for row in messages.text]


def test_lines_without_header_belong_to_the_message_above() -> None:
    data = f"{HEAD}failed\njava.io.IOException: no\n\tat a.B.c(B.java:7)\n\n{HEAD}next 5\n".encode()
    messages = hadoop(data)
    assert texts(messages) == ["failed\njava.io.IOException: no\n\tat a.B.c(B.java:<num>)", "next <num>"]
    assert messages.line.tolist() == [1, 5]
    assert messages.counts["multi_line_messages"] == 1
    assert messages.counts["lines"] == 5


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_line_ends_make_no_difference(end: bytes) -> None:
    line = HEAD.encode() + b"x 1"
    ours, plain = hadoop(line + end + line + end), hadoop(line + b"\n" + line)
    assert texts(ours) == texts(plain) == ["x <num>"] * 2
    assert ours.raw.tolist() == plain.raw.tolist()


def test_a_byte_order_mark_nuls_and_undecodable_bytes_do_no_harm() -> None:
    data = codecs.BOM_UTF8 + HEAD.encode() + b"a\n" + bytes(40) + HEAD.encode() + b"b\xff\n"
    messages = hadoop(data)
    assert texts(messages) == ["a", "b\ufffd"]
    assert messages.counts["undecodable_lines"] == 1
    assert messages.offset.tolist() == [0, 3 + len(HEAD) + 2]


def test_latin_1_text_is_decoded_as_such() -> None:
    assert texts(hadoop(HEAD.encode() + b"caf\xe9", encoding="latin-1")) == ["café"]


def test_the_label_shows_nowhere_in_the_text() -> None:
    messages = hadoop(f"{HEAD}same\n{HEAD.replace('INFO', 'ERROR')}same\n".encode())
    assert messages.label.tolist() == [0, 1]
    assert messages.texts == ["same"]


def test_words_are_looked_for_in_the_whole_message_before_masks(tmp_path: Path) -> None:
    words = tmp_path / "w"
    words.write_text("error 404\n")
    messages = hadoop(f"{HEAD}x\n Error 404\n{HEAD}error 40\n".encode(), label=f"words:{words}")
    assert messages.label.tolist() == [1, 0]


def test_a_message_without_content_is_not_padding() -> None:
    assert hadoop(HEAD.encode()).texts == [EMPTY]


def test_an_impossible_time_is_marked() -> None:
    messages = hadoop(HEAD.replace("10-18", "13-41").encode())
    assert messages.t_ns.tolist() == [BAD]


def test_a_text_is_capped() -> None:
    assert len(hadoop(HEAD.encode() + b"y" * 20_000).texts[0]) == TEXT_CHARACTERS


def test_lines_before_the_first_header_are_no_message() -> None:
    messages = hadoop(b"\tat a.B\n\tat b.C\n" + HEAD.encode() + b"x\n")
    assert texts(messages) == ["x"]
    assert messages.line.tolist() == [3]
    assert messages.counts["lines_without_header"] == 2


def test_empty_lines_before_the_first_header_are_nothing() -> None:
    messages = hadoop(b"\n \t \n" + HEAD.encode() + b"x\n")
    assert (messages.line.tolist(), messages.counts["lines_without_header"]) == ([3], 0)
    assert hadoop(b"\n\n").counts["lines_without_header"] == 0


def test_a_block_may_hold_no_message_at_all() -> None:
    messages = hadoop(b"\tat a.B\n\tat b.C\n")
    assert len(messages) == len(messages.raw) == len(messages.offset) == 0
    assert messages.counts["lines_without_header"] == 2
