"""The log encoder learns from training windows alone and says the same as a plain loop over windows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from vestige.reading.dataset import DatasetWriter
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Schema, Stream
from vestige.sources.logs import words
from vestige.sources.logs.embedding.hashing import Hashing
from vestige.sources.logs.encoder import LogEncoder
from vestige.sources.logs.schema import INPUTS
from vestige.sources.logs.templates import Matcher
from vestige.sources.logs.words import words_of

LENGTH = 5
SCHEMA = Schema(
    source="logs",
    version=1,
    classes=("normal", "anomaly"),
    length=LENGTH,
    stride=1,
    streams=(Stream("message", "uint32"), Stream("t_ns", "int64", unit="ns")),
    inputs=INPUTS,
)
TEXTS = [
    "session opened for user alice",
    "session opened for user bob",
    "session closed for user alice",
    "read <num> bytes from <path> in <num> ms",
    "ERROR read timeout after <num> s",
    "job 42 done",
    "job done\n  at Main.run(Main.java:17)\n  at Main.main",
    "été Straße 数据 <ip> <*> x",
    "",
]

Write = Callable[..., WindowSet]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write recordings, each a list of messages, as a dataset with a table of unique messages."""

    def make(recordings: list[list[str]], *, length: int = LENGTH, seed: int = 0) -> WindowSet:
        random = np.random.default_rng(seed)
        row: dict[str, int] = {}
        path = tmp_path / f"dataset-{len(list(tmp_path.iterdir()))}"
        with DatasetWriter(path, replace(SCHEMA, length=length)) as writer:
            for number, messages in enumerate(recordings):
                rows = np.array([row.setdefault(one, len(row) + 1) for one in messages], np.uint32)
                t_ns = np.cumsum(random.integers(0, 5_000_000_000, len(rows)))
                label = random.integers(0, 2, len(rows)).astype(np.uint8)
                writer.begin(id=f"h/{number}.log", host="h")
                writer.extend({"message": rows, "t_ns": t_ns}, t_ns=t_ns, label=label)
            writer.table("messages", pl.DataFrame({"text": ["", *row], "type": ""}))
        return WindowSet.open(path)

    return make


def random_recordings(seed: int, texts: list[str] = TEXTS) -> list[list[str]]:
    random = np.random.default_rng(seed)
    return [[str(random.choice(texts)) for _ in range(size)] for size in (1, 2, 30, 40)]


def of_recording(windows: WindowSet, *numbers: int) -> WindowSet:
    return windows.select(np.isin(windows.recording, numbers))


def reference(windows: WindowSet, encoder: LogEncoder) -> tuple[list[list[int]], list[dict[str, float]]]:
    """docs/contracts.md, a window at a time."""
    texts = windows.table("messages")["text"].to_list()
    known = {*encoder.words.features, *encoder.words.others}
    tokens: list[list[int]] = []
    rows: list[dict[str, float]] = []
    for window in range(len(windows)):
        steps = [
            step for step in windows.steps(np.array([window]))[0] if windows.streams["message"][step] != 0
        ]
        shown = [texts[windows.streams["message"][step]] for step in steps]
        t = [int(windows.streams["t_ns"][step]) for step in steps]
        ids = [int(one) for one in Matcher(encoder.templates).match(shown)]
        ids = [UNK if one < 0 else one + len(SPECIAL_TOKENS) for one in ids]
        tokens.append([PAD] * (windows.schema.length - len(ids)) + ids)
        text, said = shown[-1], words_of(shown[-1])
        row = {f"word:{word}": float(said.count(word)) for word in encoder.words.features}
        row |= {
            "unknown_words": sum(word not in known for word in said),
            "length": len(text),
            "words": len(said),
            "digits": sum(one.isdecimal() for one in text) / max(len(text), 1),
            "masked": sum(word.startswith("<") for word in said),
            "gap_s": (t[-1] - t[-2]) / 1e9 if len(t) > 1 else np.nan,
            "span_s": (t[-1] - t[0]) / 1e9,
            "repeats": ids[:-1].count(ids[-1]) / max(len(ids) - 1, 1),
            "distinct": len(set(ids)),
            "unseen": ids.count(UNK) / len(ids),
        }
        rows.append(row)
    return tokens, rows


def assert_as_reference(windows: WindowSet, encoder: LogEncoder) -> None:
    batch = EncodedWindows.of(windows, encoder).batch()
    tokens, rows = reference(windows, encoder)
    names = [feature.name for feature in encoder.inputs[1].features]
    expected = np.array([[row[name] for name in names] for row in rows], dtype=np.float32)
    assert names == list(rows[0])
    np.testing.assert_array_equal(batch["tokens"], tokens)
    np.testing.assert_array_equal(batch["summary"], expected)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("length", [1, 2, 5, 40])
def test_every_window_is_encoded_as_the_contract_says(write: Write, seed: int, length: int) -> None:
    windows = write(random_recordings(seed), length=length, seed=seed)
    encoder = LogEncoder.fit(of_recording(windows, 0, 1, 2))

    assert_as_reference(windows, encoder)


def test_a_sub_stream_looks_back_over_its_own_steps_only(write: Write) -> None:
    windows = write(random_recordings(9))
    visible = windows.streams["message"][:] % 2 == 0
    side = windows.within(visible)

    encoder = LogEncoder.fit(side)

    assert_as_reference(side, encoder)
    texts = windows.table("messages")["text"].to_list()
    hidden = {word for row, text in enumerate(texts) if row % 2 for word in words_of(text)}
    shown = {word for row, text in enumerate(texts) if row % 2 == 0 for word in words_of(text)}
    assert {*encoder.words.features, *encoder.words.others} == shown
    assert hidden - shown


def test_padding_and_the_unseen_have_ids_of_their_own(write: Write) -> None:
    windows = write([["seen before"], ["never seen at all"]])
    encoder = LogEncoder.fit(of_recording(windows, 0))

    tokens = EncodedWindows.of(windows, encoder).batch(names=("tokens",))["tokens"]

    assert tokens.tolist() == [[PAD, PAD, PAD, PAD, 2], [PAD, PAD, PAD, PAD, UNK]]
    assert tokens.dtype == np.int64
    assert encoder.inputs[0].vocabulary == (*SPECIAL_TOKENS, "seen before")


def test_only_the_wanted_inputs_are_built(write: Write) -> None:
    windows = write([TEXTS])
    encoded = EncodedWindows.of(windows, LogEncoder.fit(windows))
    message_only = windows.gather(names=("message",))

    assert set(encoded.batch(names=("summary",))) == {"summary"}
    assert set(encoded.bound.encode(message_only, ("tokens",))) == {"tokens"}
    assert encoded.batch(slice(0))["summary"].shape == (0, len(encoded.encoder.inputs[1].features))
    with pytest.raises(KeyError):
        encoded.batch(names=("nothing",))


def test_words_are_those_of_the_message_judged(write: Write) -> None:
    windows = write([["alpha beta", "beta", "<num>"], ["beta delta", "***", "beta alpha beta"]])
    encoder = LogEncoder.fit(of_recording(windows, 0))
    encoded = EncodedWindows.of(windows, encoder)
    spec = encoder.inputs[2]

    assert (spec.name, spec.kind, spec.length) == ("words", "tokens", 2)
    assert spec.vocabulary == (*SPECIAL_TOKENS, "beta", "<num>", "alpha")
    found = encoded.batch(names=("words",))["words"]
    assert found.dtype == np.int64
    assert found.tolist() == [[4, 2], [2, PAD], [3, PAD], [2, UNK], [UNK, PAD], [2, 4]]


def test_vectors_are_those_of_every_message_of_the_window(write: Write) -> None:
    windows = write([["alpha beta", "beta"], ["gamma"]], length=2)
    encoded = EncodedWindows.of(windows, LogEncoder.fit(of_recording(windows, 0)))

    found = encoded.batch(names=("vectors",))["vectors"]

    alpha_beta, beta, gamma = Hashing().embed(["alpha beta", "beta", "gamma"])
    none = np.zeros_like(beta)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[none, alpha_beta], [alpha_beta, beta], [none, gamma]])


def test_a_model_without_vectors_pays_for_none(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    windows = write([TEXTS])
    encoded = EncodedWindows.of(windows, LogEncoder.fit(windows))
    monkeypatch.setattr(Hashing, "embed", None)

    encoded.batch(names=("tokens", "summary", "words"))
    with pytest.raises(TypeError):
        encoded.batch(names=("vectors",))


def test_no_message_is_read_beyond_sixty_words(write: Write) -> None:
    windows = write([["word " * 100, "one two"]])

    assert LogEncoder.fit(windows).length == words.MAX_LENGTH
    assert LogEncoder.fit(windows.select(slice(1, 2))).length == 2


def test_text_outside_the_training_windows_changes_nothing(write: Write) -> None:
    train = random_recordings(1)[2:]
    one = of_recording(write([*train, ["calm words"] * 20]), 0, 1)
    other = of_recording(write([["secret <num> of the test part"] * 7, *train, TEXTS]), 1, 2)

    assert LogEncoder.fit(one) == LogEncoder.fit(other)


def test_a_window_purged_from_training_teaches_nothing(write: Write) -> None:
    windows = write([["alpha one"] * 9 + ["omega two"] * 9])
    before = windows.select(windows.t_ns < windows.t_ns[9])

    encoder = LogEncoder.fit(before)

    assert encoder.templates == ("alpha one",)
    assert {*encoder.words.features, *encoder.words.others} == {"alpha", "one"}


def test_going_through_windows_in_chunks_changes_nothing(write: Write) -> None:
    windows = write(random_recordings(3))

    assert LogEncoder.fit(windows, steps=7) == LogEncoder.fit(windows)


def test_words_are_ranked_by_how_many_windows_end_on_them(write: Write) -> None:
    said = ["beta", "beta", "alpha", "alpha", "gamma", "beta"]

    assert LogEncoder.fit(write([said])).words.features == ("beta", "alpha", "gamma")


def test_a_message_that_no_window_ends_on_is_known_but_has_no_feature(write: Write) -> None:
    windows = write([["context only", "the end"]])

    encoder = LogEncoder.fit(windows.select(slice(1, 2)))

    assert encoder.words.features == ("end", "the")
    assert encoder.words.others == ("context", "only")
    assert set(encoder.templates) == {"context only", "the end"} or encoder.templates == ("<*> <*>",)


def test_rare_words_are_not_unknown(write: Write) -> None:
    windows = write([["often often rare", "often often", "novel"]])
    encoder = LogEncoder.fit(windows.select(slice(2)), features=2)

    summary = EncodedWindows.of(windows, encoder).batch()["summary"]
    names = [feature.name for feature in encoder.inputs[1].features]

    assert encoder.words.features == ("often", "rare")
    assert summary[:, names.index("unknown_words")].tolist() == [0, 0, 1]
    encoder = LogEncoder.fit(windows.select(slice(2)), features=1)
    assert encoder.words.others == ("rare",)
    summary = EncodedWindows.of(windows, encoder).batch()["summary"]
    assert summary[:, 0].tolist() == [2, 2, 0]
    assert summary[:, 1].tolist() == [0, 0, 1]


def test_the_state_goes_through_json_to_equal_bits(write: Write) -> None:
    windows = write(random_recordings(5))
    encoder = LogEncoder.fit(of_recording(windows, 2))
    state: dict[str, Any] = json.loads(json.dumps(encoder.to_dict()))

    again = LogEncoder.from_dict(state, windows.schema.fitted(encoder.inputs))

    assert again == encoder
    assert again.inputs == encoder.inputs
    one, two = (EncodedWindows.of(windows, each).batch() for each in (encoder, again))
    assert one["summary"].tobytes() == two["summary"].tobytes()
    assert all(one[name].tobytes() == two[name].tobytes() for name in ("tokens", "words", "vectors"))


def test_an_encoder_binds_to_any_table_of_messages(write: Write) -> None:
    encoder = LogEncoder.fit(write([TEXTS]))
    few = pl.DataFrame({"text": ["", "job 43 done", "read <num> bytes from <path> in <num> ms"], "type": ""})
    steps = {"message": np.array([[0, 2, 1]], np.uint32), "t_ns": np.array([[0, 5, 9]])}

    batch = encoder.bind(few).encode(steps, ("tokens",))

    assert batch["tokens"][0, 0] == PAD
    assert batch["tokens"][0, 1] >= 2


def test_what_was_never_seen_is_reported(write: Write) -> None:
    windows = write([["alpha beta", "alpha beta"], ["alpha beta", "alpha gamma delta", "alpha gamma delta"]])
    encoder = LogEncoder.fit(of_recording(windows, 0))

    assert encoder.unseen(of_recording(windows, 0)) == {"templates": 0.0, "words": 0.0}
    assert encoder.unseen(of_recording(windows, 1)) == {"templates": 2 / 3, "words": 4 / 8}
    assert encoder.unseen(windows.select(slice(0))) == {"templates": 0.0, "words": 0.0}


def test_the_vocabulary_counts_each_word_as_often_as_it_stands_there() -> None:
    text = "Read <num> bytes, read <num> more; READ a 7x <ip>"

    assert words_of(text) == ["read", "<num>", "bytes", "read", "<num>", "more", "read", "<ip>"]
    assert Counter(words_of("\n".join([text] * 2))) == {k: 2 * v for k, v in Counter(words_of(text)).items()}


def test_an_endless_message_costs_a_bounded_number_of_words() -> None:
    assert len(words_of("word " * 1_000_000)) <= words.MAX_CHARACTERS
    assert max(map(len, words_of("x" * 100_000))) <= 32
