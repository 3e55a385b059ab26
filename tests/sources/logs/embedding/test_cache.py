"""Vectors are kept on disk, and whatever happens to the files costs time, never a wrong number."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vestige.sources.logs.embedding import cache
from vestige.sources.logs.embedding.base import Identity

IDENTITY: Identity = {"name": "slow", "size": 2, "digest": "1"}
TEXTS = [f"message {n}" for n in range(cache.FEWEST)]


class Slow:
    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.asked += len(texts)
        digests = [hashlib.sha256(text.encode()).digest()[:2] for text in texts]
        return np.array([list(one) for one in digests], dtype=np.float32)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "vestige" / "embeddings"


def test_a_table_is_embedded_once(folder: Path) -> None:
    slow = Slow()
    first = cache.through(IDENTITY, TEXTS, slow)
    again = cache.through(IDENTITY, TEXTS, slow)
    assert slow.asked == len(TEXTS)
    assert first.tobytes() == again.tobytes()
    assert len(list(folder.iterdir())) == 1


@pytest.mark.parametrize("other", [TEXTS[::-1], [*TEXTS, ""], [TEXTS[0] + TEXTS[1], "", *TEXTS[2:]]])
def test_other_texts_or_another_embedding_are_another_file(folder: Path, other: list[str]) -> None:
    slow = Slow()
    cache.through(IDENTITY, TEXTS, slow)
    assert cache.through(IDENTITY, other, slow).tobytes() == Slow()(other).tobytes()
    cache.through({**IDENTITY, "digest": "2"}, TEXTS, slow)
    assert slow.asked == 2 * len(TEXTS) + len(other)
    assert len(list(folder.iterdir())) == 3


@pytest.mark.parametrize("damage", ["cut", "text", "shape", "nan", "pickle", "empty"])
def test_a_damaged_file_is_made_again(folder: Path, damage: str) -> None:
    expected = cache.through(IDENTITY, TEXTS, Slow())
    (file,) = folder.iterdir()
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-5])
    elif damage in {"text", "empty"}:
        file.write_text("no array" if damage == "text" else "")
    else:
        values = {"shape": expected[:-1], "nan": expected * np.nan, "pickle": np.array([{}], dtype=object)}
        np.save(file, values[damage], allow_pickle=True)
    slow = Slow()
    assert cache.through(IDENTITY, TEXTS, slow).tobytes() == expected.tobytes()
    assert slow.asked == len(TEXTS)
    assert cache.through(IDENTITY, TEXTS, slow).tobytes() == expected.tobytes()
    assert slow.asked == len(TEXTS)


def test_a_folder_that_cannot_be_written_is_no_error(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder.parent.write_text("a file in the way")
    with caplog.at_level("WARNING"):
        assert cache.through(IDENTITY, TEXTS, Slow()).shape == (len(TEXTS), 2)
    assert "cannot be kept" in caplog.text


def test_few_texts_are_not_worth_a_file(folder: Path) -> None:
    assert cache.through(IDENTITY, TEXTS[:3], Slow()).shape == (3, 2)
    assert cache.through(IDENTITY, [], Slow()).shape == (0, 2)
    assert not folder.exists()
