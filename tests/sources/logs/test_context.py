"""Windows that look ahead say the same of what led to a message as those that do not, and more by vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from vestige.evaluation.overlap import never_seen
from vestige.reading.encoding import EncodedWindows
from vestige.sources.logs.embedding.hashing import Hashing
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.source import LogSource

WORDS = ("read", "panic")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpus")
    random = np.random.default_rng(0)
    for name in ("a", "b"):
        lines = [
            f"2015-10-18 18:00:{n:02},000 {'ERROR' if random.random() < 0.2 else 'INFO'} [m] a.B: "
            f"{random.choice(WORDS)} {random.choice(WORDS)}\n"
            for n in range(40)
        ]
        (root / f"{name}.log").write_text("".join(lines))
    return root


def encoded(corpus: Path, out: Path, kind: Literal["background", "context"]) -> EncodedWindows:
    options = LogOptions(format="hadoop", window_size=4, sequence_type=kind)
    windows = LogSource().prepare(corpus, out / kind, options)
    return EncodedWindows.of(windows, LogSource().fit_encoder(windows))


def test_context_adds_vectors_of_later_messages_and_changes_nothing_else(
    corpus: Path, tmp_path: Path
) -> None:
    background, context = (encoded(corpus, tmp_path, kind) for kind in ("background", "context"))
    before, around = background.batch(), context.batch()
    assert (background.windows.label == context.windows.label).all()
    assert (background.windows.t_ns == context.windows.t_ns).all()
    for name in ("tokens", "summary", "words"):
        np.testing.assert_array_equal(around[name], before[name])
    assert around["vectors"].shape == (80, 9, 256)
    np.testing.assert_array_equal(around["vectors"][:, :5], before["vectors"])
    np.testing.assert_array_equal(around["vectors"][:36, 5], before["vectors"][1:37, 4])
    assert not around["vectors"][39, 5:].any()
    rows = np.arange(80)
    places = [LogSource().place(one.windows, rows) for one in (background, context)]
    assert places[0].equals(places[1])
    assert [one.length for one in context.schema.inputs] == [5, 0, 2, 9]


def test_a_window_of_one_message_looks_nowhere(corpus: Path, tmp_path: Path) -> None:
    options = LogOptions(format="hadoop", window_size=0, sequence_type="context")
    windows = LogSource().prepare(corpus, tmp_path / "d", options)
    assert (windows.schema.length, windows.schema.ahead) == (1, 0)
    assert len(windows) == 80


def test_repeated_windows_are_found_without_embedding_a_message(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = encoded(corpus, tmp_path, "background")
    message = every.windows.gather()["message"]
    known, rest = (every.over(every.windows.select(rows)) for rows in (np.arange(30), np.arange(30, 80)))
    expected = [not (message[:30] == one).all(axis=1).any() for one in message[30:]]
    monkeypatch.setattr(Hashing, "embed", None)
    fresh = EncodedWindows.of(every.windows, every.encoder)
    known, rest = fresh.over(known.windows), fresh.over(rest.windows)
    assert 0 < sum(expected) < 50
    assert never_seen(known, rest, ("vectors",)).tolist() == expected
    assert never_seen(known, rest, ("words", "vectors")).tolist() == expected
    assert (never_seen(known, rest) >= expected).all()
