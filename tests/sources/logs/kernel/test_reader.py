"""The kernel gives what the plain reader gives: row by row, whatever the format, the bytes and the chunks."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.sources.logs.test_guess import programs
from vestige.native import NotBuiltError
from vestige.sources.logs.blocks import SHORT_BYTES, Block, BlockReader
from vestige.sources.logs.format import Format, every, load, shipped
from vestige.sources.logs.guess import guess
from vestige.sources.logs.header import fields
from vestige.sources.logs.kernel.program import UnsupportedError
from vestige.sources.logs.kernel.reader import KernelParser
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.masks import SHARED
from vestige.sources.logs.parse import Messages, Parser, Rules
from vestige.sources.logs.parsing import SMALLEST, BlockParser, Readers

COLUMNS = ("t_ns", "line", "offset", "raw", "label", "text")
UNSUPPORTED = {"cri", "kippo"}
"""Shipped formats with messages in parts of lines, and with a mask that may match nothing."""


def assert_equal(found: Messages, plain: Messages) -> None:
    for name in COLUMNS:
        values, expected = getattr(found, name), getattr(plain, name)
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected, err_msg=name)
    np.testing.assert_array_equal(found.slots, plain.slots)
    assert found.texts == plain.texts
    assert found.counts == plain.counts
    assert found.unread == plain.unread
    assert found.final == plain.final


def own_rules(chosen: Format) -> Rules:
    return Rules(chosen, LabelRule.parse(chosen.label, fields(chosen.header)), values=True)


@pytest.mark.parametrize("name", sorted(set(shipped()) - UNSUPPORTED))
def test_examples_of_every_shipped_format(name: str) -> None:
    rules = own_rules(load(name))
    data = ("\n".join(rules.format.example) + "\n").encode()
    block = Block(data * 3 + b"no header\n" + data[:-1], 100, 7, final=True)
    assert_equal(KernelParser(rules, smallest=0).parse(block), Parser(rules).parse(block))


@pytest.mark.parametrize("name", sorted(UNSUPPORTED))
def test_a_format_that_the_kernel_cannot_run_is_refused(name: str) -> None:
    with pytest.raises(UnsupportedError):
        KernelParser(own_rules(load(name)))


@pytest.mark.parametrize("name", [name for name, _ in every()])
def test_loghub_samples(shared_data: Path, name: str) -> None:
    samples = [
        path for path in (shared_data / "loghub").glob("*/*_2k.log") if path.parent.name.lower() == name
    ]
    if not samples or name in UNSUPPORTED:
        pytest.skip(f"no loghub sample for the format {name}")
    rules = own_rules(load(name))
    kernel, plain = KernelParser(rules), Parser(rules)
    data = samples[0].read_bytes()
    cut = data.rfind(b"\n", 0, len(data) // 2) + 1
    for block in (Block(data[:cut], 0, 1), Block(data[cut:], cut, 1001, final=True)):
        assert_equal(kernel.parse(block), plain.parse(block))


DIGITS, LETTERS = b"0123456789", b"abcdefx"
"""Characters that are exchanged for one another to make lines that are like others."""
OWN = {
    f"{''.join(filter(str.isalpha, name))}_{mask}": pattern
    for name, chosen in every()
    if name not in UNSUPPORTED
    for mask, pattern in chosen.mask.items()
}
"""The own masks of shipped formats."""
MASKS = st.lists(st.sampled_from([*sorted(SHARED), *OWN]), max_size=8, unique=True)
FORMATS = [
    (
        "<Label> <Date> <Time> [<Pid>] <Level> <Component>: <Content>",
        {"Date": "%Y-%m-%d", "Time": "%H:%M:%S,%f"},
        ["- 2005-06-12 10:11:12,5 [7] INFO a.b: ", "X 2005-02-29 1:2:3,123456789 [] W c d: ",
         "- 2005-1-1 24:0:0,0 [7] I: "],
    ),
    (
        "<Month> <Day> <Time> <Host> <Label>{[<Pid>]}: <Content>",
        {"Month": "%b", "Day": "%d", "Time": "%H:%M:%S"},
        ["Jun  3 10:11:12 h x[1]: ", "feb 30 1:2:3 h -: ", "Xyz 1 1:1:1 h y:", "Dec 31 23:59:60 h -[1]: "],
    ),
    (
        "<Time>{<Fraction>}{<Zone>} <Label>|<Content>",
        {"Time": "%Y%m%dT%H%M%S", "Fraction": ".%f", "Zone": "%z"},
        ["20050612T101112.25+02:00 -|", "20051T10101Z x|", "22620101T000000 -|", "20050612T101112-0130 |"],
    ),
    (
        "<Stamp> <Label> - <Content>",
        {"Stamp": "%s.%f"},
        ["1117838570.5 - - ", "99999999999.1 x - ", "0.000000001 a - b - ", "11178385701.123 - -"],
    ),
    (
        '{{"t":"<Date> <Time>","l":"<Label>","m":"<Content>',
        {"Date": "%y/%m/%d", "Time": "%H:%M:%S"},
        ['{"t":"05/06/12 10:11:12","l":"-","m":"', '{"t":"70/6/1 1:1:1","l":"x","m":"', '{"t":"'],
    ),
    (
        "<Time> [<Label>] <Content>",
        {"Time": "%d %b %Y %I:%M:%S %p %Z"},
        ["3 märz 2024 12:00:00 a.m. CEST [-] ", "1 Sept. 2024 1:2:3 PM EST [X] ",
         "31 dez. 2024 13:0:0 pm UTC [] ", "3 May 2024 7:00:00 AM GMT [  x ] "],
    ),
    (
        "<Time>|<Label> <Content>",
        {"Time": "%Y%m%d-%H:%M:%S:%L"},
        ["20171223-22:15:29:9|- ", "20171223-1:1:1:606|x ", "20171223-1:1:1:6061|x "],
    ),
    (
        "<Time> <Label>|<Content>",
        {"Time": "%E%f"},
        ["1714979289250 -|", "17149792891 x|", "1714979289 -|"],
    ),
]  # fmt: skip
"""Patterns of headers, their times, and beginnings of lines, the first of which fits."""
PIECES = st.sampled_from(
    ["ERROR", "core.12", "10.0.0.1:80", "0x1f", "/var/log/a b", "user=root", "1,5", "-3", "12 bytes", " ",
     "  ", "\t", "7 MB/s", "<num>", "+0", "12345678901234567890.5", "1.2.3", "a1b2c3d4e5f6", "x_12",
     "http://a/b?c=1", "é", "\ufffd", "\u2028", "\u212a", "\x1c", "", "12:30", "e@f.gh", "word", "\r",
     "eth0", "0x10", "1.2.3.4", "R02-M1", "2005-06-12", "2.5 MB", "sda1:7", "für", "M\u00fcller12",
     "\u65e5\u672c5", "\U0001f600", "\u0130x", "\u3000", "\u07ff.1", "\u201cx\u201d", "/var/\u00e9t\u00e9"]
)  # fmt: skip
CONTENTS = st.lists(PIECES, max_size=8).map(" ".join)
ODD = st.sampled_from(
    [b"-- Reboot --", b"Jun  3 10:11:12 h sshd[1]: of another format", b"2024-05-06 07:08:09 INFO a: guessed",
     b"\x1b[31mred\x1b[0m", b"#033[1m", b"\\x1b[0m", b"^[[0m", b"[[", b"x[3[33[", b"java.io.IOException: no",
     b"", b"\xff\xfe", b"\0", b"\t at x.y(z:12)", b"   ", b"\xef\xbb\xbf", b"\r", b"z" * 9000, b"1 " * 5000,
     "\u00e9".encode() * 4099, b"\xc3", b"\xf0\x9f\x98", b"\xe0\x80\x80", b"\xed\xa0\x80"]
)  # fmt: skip
RULES = st.sampled_from(
    [LabelRule("none"), LabelRule("column", ("-", "X")), LabelRule("words", ("error", "é", "12 b")),
     LabelRule("words")]
)  # fmt: skip


@st.composite
def evidence(draw: st.DrawFn) -> tuple[Rules, bytes]:
    """A format of random masks and a random label rule, and lines some of which fit it; some are like others
    but for their digits."""
    header, time, beginnings = draw(st.sampled_from(FORMATS))
    shown = draw(st.sampled_from([[], ["Label"]]))
    masks = draw(MASKS)
    own = {name: OWN[name] for name in masks if name in OWN}
    plain = {"header": header, "time": time, "year": 2005, "masks": masks, "shown": shown, "mask": own}
    chosen = Format.model_validate(plain | {"example": [beginnings[0] + "x"]})
    encoding = draw(st.sampled_from(["utf-8", "latin-1", "cp1252"]))
    lines = []
    for _ in range(draw(st.integers(0, 14))):
        line = (draw(st.sampled_from(beginnings)) + draw(CONTENTS)).encode(encoding, "replace")
        lines.append(draw(st.sampled_from([line, line, line, line, draw(ODD), line + draw(ODD)])))
    for line in lines[: draw(st.integers(0, 14))]:
        like = bytes(draw(st.permutations(DIGITS))) + draw(st.sampled_from([LETTERS, b"xfedcba"]))
        lines.append(line.translate(bytes.maketrans(DIGITS + LETTERS, like)))
    others = draw(st.sampled_from([(), (load("linux"),)]))
    guesses, values = draw(st.booleans()), draw(st.booleans())
    rules = Rules(chosen, draw(RULES), encoding, others=others, guesses=guesses, values=values)
    return rules, b"\n".join(lines) + draw(st.sampled_from([b"", b"\n"]))


def blocks(reader: BlockReader, data: bytes, piece: int) -> Iterator[Block]:
    for at in range(0, len(data), piece):
        reader.feed(data[at : at + piece])
        while (block := reader.take()) is not None:
            yield block
    last = reader.finish()
    if last is not None:
        yield last


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    given_=evidence(),
    size=st.integers(1, 3000),
    piece=st.integers(50, 4000),
    most=st.sampled_from([0, 2, 99]),
)
def test_both_readers_give_the_same(given_: tuple[Rules, bytes], size: int, piece: int, most: int) -> None:
    rules, data = given_
    reader = BlockReader(rules.is_start, size=size, max_line=8500)
    kernel, plain = KernelParser(rules, smallest=1, most_texts=most), Parser(rules)
    for block in blocks(reader, data, piece):
        assert_equal(kernel.parse(block), plain.parse(block))


def test_texts_are_forgotten_and_grown_as_needed() -> None:
    chosen = load("bgl")
    rules = own_rules(chosen)
    kernel, plain = KernelParser(rules, most_texts=1000), Parser(rules)
    head = chosen.example[0].rpartition("INFO ")[0]
    for start in range(0, 30_000, 10_000):
        lines = [f"{head}INFO word{chr(97 + at % 26)}{at}x{at // 3}y" for at in range(start, start + 10_000)]
        block = Block("\n".join(lines).encode() + b"\n", start, 1)
        assert_equal(kernel.parse(block), plain.parse(block))


def test_blocks_of_small_and_of_large_files_are_read_alike() -> None:
    rules = own_rules(load("bgl"))
    written = json.dumps(rules.settings())
    data = ("\n".join(rules.format.example) + "\n").encode() * 2000
    block = Block(data, 0, 1)
    plain = Parser(rules).parse(block)
    for expected, worth_s in ((None, 99.0), (None, 0.0), (100 << 20, 0.0)):
        parser = BlockParser(written, expected, worth_s=worth_s)
        for _ in range(3):
            assert_equal(parser.parse(block), plain)


NOTHING_BUILT, BLOCKS = 3, 6
"""Blocks in which a function is not there yet, and all of them."""
FUNCTIONS = (
    "lines.find_lines", "lines.read_lines", "lines.read_messages", "lines.mark", "read_records", "read_slots",
    "hash_messages", "number_texts", "keep_text", "place_texts",
)  # fmt: skip
"""All that the kernel calls of what has to be built."""


def followed_block(rules: Rules, number: int) -> Block:
    """Messages that are new, so that the kernel keeps ever more texts, and some that it does not read."""
    head = rules.format.example[0].rpartition("INFO ")[0] + "INFO "
    end = ""
    if rules.format.keys:
        head, end = '{"msg": "', '"}'
    texts = [
        f"word{'abcdefgh'[at % 8]}{at}x of {at // 3} ms" for at in range(2500 * number, 2500 * (number + 1))
    ]
    lines = [f"{head}{text}{end}" for text in [*texts, "\x1b[1mfor a terminal", *texts[:99]]]
    return Block(("\n".join(lines) + "\n").encode(), 1_000_000 * number, 10_000 * number + 1)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_plain_reader_goes_on_until_a_function_of_the_kernel_is_built(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = own_rules(load("bgl"))
    if name == "read_records":
        form = {"header": "<Start><Content>", "field": {"Start": r"(?=\{)"}, "keys": {"message": "msg"}}
        rules = own_rules(Format.model_validate(form | {"example": ['{"msg":"x"}']}))
    followed = [followed_block(rules, number) for number in range(BLOCKS)]
    plain = [Parser(rules).parse(block) for block in followed]
    kernel = KernelParser(rules)
    for block, messages in zip(followed, plain, strict=True):
        assert_equal(kernel.parse(block), messages)  # with it, all is built
    place = f"{KernelParser.__module__}.{name}"
    function = pkgutil.resolve_name(place)
    is_there, asked = False, 0

    def perhaps_there(*arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        if not is_there:
            raise NotBuiltError("it is being built")
        return function(*arguments)

    monkeypatch.setattr(place, perhaps_there)
    readers = Readers(rules, Parser(rules))
    parser = BlockParser("", worth_s=0.0, waits=False, readers=readers)
    by_plain = []
    for number, (block, messages) in enumerate(zip(followed, plain, strict=True)):
        is_there = number >= NOTHING_BUILT
        assert_equal(parser.parse(block), messages)
        by_plain.append(readers.n_bytes)
    assert asked >= NOTHING_BUILT - 1
    # From then on the plain reader got nothing.
    assert 0 < by_plain[NOTHING_BUILT - 1] == by_plain[-1]


@pytest.mark.parametrize(("worth_s", "wanted"), [(0.0, [False, True]), (99.0, [False, False])])
def test_who_follows_gets_the_kernel_with_the_first_block_that_it_would_read(
    worth_s: float, wanted: list[bool]
) -> None:
    rules = own_rules(load("bgl"))
    line = (rules.format.example[0] + "\n").encode()
    small, large = (line * (SHORT_BYTES // len(line) + more) for more in (0, 1))
    assert len(small) < SHORT_BYTES <= len(large) < SMALLEST
    readers = Readers(rules, Parser(rules))
    parser = BlockParser("", worth_s=worth_s, waits=False, readers=readers)
    found = []
    for data in (small, large):
        block = Block(data, 0, 1)
        assert_equal(parser.parse(block), Parser(rules).parse(block))
        found.append(readers.kernel is not None)
    assert found == wanted


@pytest.mark.parametrize("name", programs())
def test_guessed_formats_go_through_it_too(name: str) -> None:
    lines, _ = programs()[name]
    found = guess(lines)
    assert found is not None
    rules = Rules(found.format, LabelRule("none"), others=(load("rfc5424"),), guesses=True)
    text = "\n".join(lines) + "\n"
    odd = '-- Reboot --\n2024-05-06 07:08:09 WARN another format\n\tat a.b.C\n{"msg": "x"}\n'
    block = Block((text + odd + text * 2).encode(), 100, 7, final=True)
    assert_equal(KernelParser(rules, smallest=0).parse(block), Parser(rules).parse(block))


RECORD_KEYS = {"message": "msg", "time": "ts", "level": "level", "error": "err", "template": "@mt"}
TIMES = st.sampled_from(
    ['"2024-05-06T07:08:09Z"', '"2024-05-06 07:08:09.123456789012+02:00"', '"2024-02-30T07:08:09Z"', "null",
     '"2024-05-06T07:08:60,5 -0330"', '"2024-05-06T07:08:09+01"', "1714979289", "1714979289.25", "true",
     "1714979289250", "1714979289250123", "1714979289250123456", "99999999999", "-5", "1e9", "0", "1.", "01",
     "0.000000000000000000001", '"1714979289.5"', '"0000000000000000000017"', '"06/May/2024:07:08:09 +0000"',
     '" 2024-05-06T07:08:09 "', '""', '"2024-05-06t07:08:09z"', "9223372036854775807", "[1]",
     "638505760891230000", "638505760891230000.5", "620000000000000000", "659999999999999999",
     '"2024-05-06T07:08:09."', '"2024-05-06T02:08:09\u221205:00"', '"2024-05-06T02:08:09\\u221205:00"']
)  # fmt: skip
LEVELS = st.sampled_from(
    ['"INFO"', '"warn"', "30", "3", "1000", "1001", "-1", "3.0", '"x y"', '""', '" info "', '"30"', "null",
     "true", '"\\u0049NFO"', "{}"]
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        ['"user 12 from 10.0.0.1"', '"a\\n\\tb\\\\c\\/d \\"e\\" 0x1f"', '"\\u003ca href=1\\u003e"',
         '"\\u0041"', '"für 5 Müller"',
         '"  7 blanks  "', '""', '" "', '"{\\"msg\\": \\"in 5\\"}"', '"{not"', "5", "1.50", "null", "true",
         "[1, 2]", '{"a": 1}', '"\\ud800"', '"é"', '"tab\there"', '"open', '"\\x"', '"#033\\u005b1m"',
         '"user 99 from 10.2.3.4"']
    ),
    st.text("ab1 .:", max_size=12).map(json.dumps),
    # Spelt with their numbers, as Python's encoder does it.
    st.text(
        "a1 .:/@\u00e9\u0130\u03b1\u07ff\u2019\u3000\u3040\u65e5\ucfff\ud000\U0001f600", max_size=12
    ).map(json.dumps),
)  # fmt: skip
NAMES = st.sampled_from(["msg", "msg", "ts", "level", "pid", "err", "@mt", "a.b"])
STRANGE = st.sampled_from([[], [], [], ["severityNumber"], ["stringValue"], ["resourceLogs"], ["m\\u0073g"]])


@st.composite
def record_lines(draw: st.DrawFn) -> bytes:
    """Lines that are, for the most part, JSON objects with some of these keys."""
    lines = []
    for _ in range(draw(st.integers(0, 14))):
        members = []
        for name in [*draw(st.lists(NAMES, max_size=6)), *draw(STRANGE)]:
            value = draw({"ts": TIMES, "level": LEVELS}.get(name, VALUES))
            members.append(f'"{name}"{draw(st.sampled_from([":", ": ", " : "]))}{value}')
        joined = draw(st.sampled_from([",", ", ", ",,"])).join(members)
        line = f"{{{joined}{draw(st.sampled_from(['}', '}', '} ', '},', '}x']))}".encode()
        lines.append(draw(st.sampled_from([line, line, line, draw(ODD)])))
    return b"\n".join(lines) + draw(st.sampled_from([b"", b"\n"]))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(
    data=record_lines(),
    parts=st.sets(st.sampled_from(sorted(RECORD_KEYS))),
    label=st.sampled_from([LabelRule("none"), LabelRule("words", ("user", "info"))]),
    values=st.booleans(),
)
def test_records_are_read_alike(data: bytes, parts: set[str], label: LabelRule, values: bool) -> None:
    keys = {part: RECORD_KEYS[part] for part in sorted(parts | {"message"})}
    plain = {
        "header": "<Start><Content>",
        "field": {"Start": r"(?=\{)"},
        "keys": keys,
        "masks": ["ip", "hex", "num"],
    }
    rules = Rules(
        Format.model_validate(plain | {"example": ['{"msg":"x"}']}), label, guesses=True, values=values
    )
    # Enough that is plain, lest the whole block be left to the plain reader.
    usual = b'{"msg": "user 5", "ts": "2024-05-06T07:08:09Z", "level": "info"}\n' * 99
    block = Block(usual + data, 100, 7, final=True)
    assert_equal(KernelParser(rules, smallest=0).parse(block), Parser(rules).parse(block))
