"""What stood where masked messages have placeholders, by the plain reader and through datasets.

That the kernel gives the same is asserted in `kernel/test_reader.py`.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vestige.engine import LocalEngine
from vestige.reading.prepare import prepare
from vestige.reading.values import NONE, KnownValues, Values, VaryingWords, number_value, text_value
from vestige.reading.windows import WindowSet
from vestige.schema import SPECIAL_TOKENS
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.encoder import LogEncoder
from vestige.sources.logs.format import Format, load
from vestige.sources.logs.kernel.reader import KernelParser
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.masks import SHARED, Masker
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.slots import N_SLOTS, SlotReader, wildcard_words
from vestige.sources.logs.source import LogSource
from vestige.testing import check_source

MASKS = ["url", "uuid", "ip", "path", "hex", "id", "size", "time", "num", "digits"]
MASKER = Masker([(name, SHARED[name]) for name in MASKS])
HEAD = "2015-10-18 18:01:{:02},978 INFO [main] a.B: "


def values_of(text: str, masks: list[str] = MASKS) -> list[float | str | int]:
    """The values of a message, numbers as such, others as they were, if they are among its pieces."""
    found = SlotReader(masks).values(text, MASKER.mask(text))
    texts = {
        text_value(text[a:b].encode()): text[a:b]
        for a in range(len(text))
        for b in range(a + 1, len(text) + 1)
    }
    numbers = (struct.unpack("<d", struct.pack("<Q", value))[0] for value in found)
    shown: list[float | str | int] = []
    for value, number in zip(found, numbers, strict=True):
        if value != NONE:
            shown.append(number if np.isfinite(number) else texts.get(value, value))
    return shown


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("no values at all", []),
        ("took 12.5 ms, then -3", [12.5, -3.0]),
        ("took 12.5.", [12.5]),
        ("zero 0", [0.0]),
        ("version 1.2.3 of /opt/a.b/c", ["1.2.3", "/opt/a.b/c"]),
        ("read 5 MB 3 times", [5.0 * 2**20, 3.0]),
        ("read 2 bytes, 7kB/s, 1.5 GiB", [2.0, 7.0 * 2**10, 1.5 * 2**30]),
        ("10.0.0.1:80 -> 10.0.0.2:8080", ["10.0.0.1:80", "10.0.0.2:8080"]),
        ("core.12 of job_2012_7 at 0x1F", [12.0, "_2012_7", "0x1F"]),
        (f"a 1{20 * '0'} b", [1e20]),
        (" ".join(map(str, range(1, 11))), [float(number) for number in range(1, 9)]),
        ("not masked <num> but 7", ["<num>", 7.0]),
    ],
)
def test_the_values_of_a_message(text: str, values: list[float | str]) -> None:
    assert values_of(text) == values


def test_values_that_touch_are_one() -> None:
    assert SlotReader(["ip", "num"]).values("from 10.0.0.1 7!", "from <ip><num>!") == [
        text_value(b"10.0.0.1 7"), *[NONE] * 7,
    ]  # fmt: skip


@pytest.mark.parametrize("masked", ["from <num> to", "<num> by x", "from <num> by <num>"])
def test_a_message_without_the_constants_of_its_text_has_no_values(masked: str) -> None:
    assert SlotReader(["num"]).values("from 7 to x", masked) == [NONE] * N_SLOTS


@given(st.text(), st.floats(allow_nan=False))
def test_a_value_is_a_number_or_none_and_never_nothing(text: str, number: float) -> None:
    for value, finite in ((text_value(text.encode("utf-8", "replace")), False), (number_value(number), True)):
        assert 0 < value < 1 << 64
        assert np.isfinite(np.uint64(value).view(np.float64)) == finite


@given(st.lists(st.text(alphabet="ab1 <num>.:/-", max_size=12), max_size=6).map(" ".join))
def test_values_come_first_and_only_where_something_was_masked(text: str) -> None:
    masked = MASKER.mask(text)
    values = SlotReader(MASKS).values(text, masked)
    assert len(values) == N_SLOTS
    held = [value != NONE for value in values]
    assert held == sorted(held, reverse=True)
    if masked == text and "<" not in text:
        assert not any(held)


def test_messages_of_many_lines_and_records_have_values_too() -> None:
    rules = Rules(load("hadoop"), LabelRule("none"), values=True)
    data = f"{HEAD.format(1)}failed 7\n\tat a.B.c(B.java:12)\n{HEAD.format(2)}no value\n".encode()
    found = Parser(rules).parse(Block(data, 0, 1, final=True)).slots
    assert found is not None
    assert found.tolist() == [[number_value(7), number_value(12), *[NONE] * 6], [NONE] * 8]

    plain = {"header": "<Start><Content>", "field": {"Start": r"(?=\{)"}, "masks": MASKS}
    keys = {"message": "msg", "time": "t"}
    records = Format.model_validate(plain | {"keys": keys, "example": ['{"t": 1, "msg": "x"}']})
    data = b'{"t": 1714979289, "msg": "open \\"/a\\u0062\\" 7"}\n'
    found = Parser(Rules(records, LabelRule("none"), values=True)).parse(Block(data, 0, 1, final=True)).slots
    assert found is not None
    assert found[0].tolist() == [text_value(b"/ab"), number_value(7), *[NONE] * 6]


def test_long_hostile_messages_take_linear_time() -> None:
    rules = Rules(load("hadoop"), LabelRule("none"), values=True)
    # Constants that nearly match everywhere, and very many values.
    texts = ["a" * 8000 + " 1 " + "a" * 100, "1 a" * 2700, "1" * 8192, "1 " + "aaaaaaaaaaaaaaab" * 500]
    data = "".join(f"{HEAD.format(at)}{text}\n" for at, text in enumerate(texts)).encode()
    block = Block(data, 0, 1, final=True)
    plain, kernel = Parser(rules).parse(block).slots, KernelParser(rules, smallest=1).parse(block).slots
    assert plain is not None
    assert kernel is not None
    assert plain.tolist() == kernel.tolist()
    assert plain.any(axis=1).tolist() == [True, True, True, True]


def dataset(corpus: Path, out: Path, *, values: bool, part_bytes: int = 1 << 20, jobs: int = 1) -> WindowSet:
    reader = LogReader.of_corpus(corpus, LogOptions(format="hadoop", window_size=2, values=values))
    reader.small, reader.part_bytes = 0, part_bytes
    prepare(reader, corpus, out, engine=LocalEngine(jobs))
    return WindowSet.open(out)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus"
    path.mkdir()
    lines = [f"{HEAD.format(at)}opened /a/f{at % 3} as {at}\n\tat x.Y(Y.java:{at})\n" for at in range(60)]
    (path / "a.log").write_text("".join(lines))
    return path


def test_the_stream_is_there_only_where_it_was_asked_for(corpus: Path, tmp_path: Path) -> None:
    without = dataset(corpus, tmp_path / "without", values=False)
    assert "slots" not in [stream.name for stream in without.schema.streams]
    windows = dataset(corpus, tmp_path / "with", values=True)
    slots = windows.gather(names=("slots",))["slots"]
    assert slots.shape == (60, 3, N_SLOTS)
    assert not slots[0, :2].any()  # padding
    assert slots[7, 2].tolist() == [text_value(b"/a/f1"), number_value(7), number_value(7), *[NONE] * 5]


def test_parts_give_the_same_stream(corpus: Path, tmp_path: Path) -> None:
    whole = dataset(corpus, tmp_path / "whole", values=True)
    parts = dataset(corpus, tmp_path / "parts", values=True, part_bytes=900, jobs=2)
    np.testing.assert_array_equal(np.asarray(whole.streams["slots"]), np.asarray(parts.streams["slots"]))


def test_the_source_keeps_its_contract_with_values(corpus: Path, tmp_path: Path) -> None:
    (corpus / "b.csv").write_text(
        "file,raw\n" + "".join(f'x.log,"{HEAD.format(at)}in {at}"\n' for at in range(9))
    )
    options = LogOptions(format="hadoop", window_size=2, values=True)
    check_source(LogSource(), corpus, tmp_path / "work", options=options)


def test_words_at_wildcards() -> None:
    texts = ["user ann logged in", "user bob logged in", "user ann", "bye"]
    templates = ["user <*> logged in"] * 3 + ["bye"]
    words = wildcard_words(texts, templates)
    assert words[:, 0].tolist() == [text_value(b"ann"), text_value(b"bob"), NONE, NONE]
    assert not words[:, 1:].any()


def test_what_is_learnt_of_values_finds_a_new_path_user_and_number(tmp_path: Path) -> None:
    corpus, other = tmp_path / "corpus", tmp_path / "other"
    users = ("ann", "bob", "eve")
    lines = [
        f"opened {at % 5 + 80} bytes of /a/f{at % 3} for {users[at % 3]} as usual\n" for at in range(600)
    ]
    write(corpus, lines)
    windows = dataset(corpus, tmp_path / "known", values=True)
    encoder = LogSource().fit_encoder(windows)
    known = learnt_of(encoder, windows)

    strange = (
        ("/etc/shadow", "ann", 82),
        ("/a/f1", "mallory", 82),
        ("/a/f1", "ann", 9999),
        ("/a/f1", "ann", 82),
    )
    write(other, [f"opened {n} bytes of {path} for {user} as usual\n" for path, user, n in strange])
    new = dataset(other, tmp_path / "new", values=True)
    found = known.strangeness(*asked_of(encoder, new))
    assert (found > 0).tolist() == [[True, False], [True, False], [True, True], [False, False]]
    assert found[:3, 0].tolist() == pytest.approx([6.4] * 3, abs=0.5)
    assert known.explain(*asked_of(encoder, new))[:, 0].tolist() == [1, N_SLOTS, 0, -1]


def write(corpus: Path, messages: list[str]) -> None:
    corpus.mkdir()
    heads = (f"2015-10-18 18:{at // 60:02}:{at % 60:02},978 INFO [main] a.B: " for at in range(len(messages)))
    (corpus / "a.log").write_text("".join(map("".join, zip(heads, messages, strict=True))))


def learnt_of(encoder: LogEncoder, windows: WindowSet) -> KnownValues:
    bound = encoder.bind(windows.table("messages"))
    assert isinstance(bound, VaryingWords)
    kind = bound.tokens - len(SPECIAL_TOKENS)
    return KnownValues.fit(windows, kind, symbols="message", words=bound.varying_words())


def asked_of(encoder: LogEncoder, windows: WindowSet) -> tuple[NDArray[np.int64], Values, Values]:
    bound = encoder.bind(windows.table("messages"))
    symbol = windows.streams.at("message", windows.target_step)
    slots = windows.streams.at("slots", windows.target_step)
    return bound.tokens[symbol] - len(SPECIAL_TOKENS), slots, bound.varying_words()[symbol]
