"""Word vectors of one's own: both forms give the same vectors; whatever is wrong is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from vestige.errors import UsageError
from vestige.sources.logs.embedding.loading import _open, _same, identify, load
from vestige.sources.logs.embedding.word_vectors import WordVectors

WORDS = ["session", "Opened", "<ip>"]
VALUES = np.array([[3, 4, 0], [0, 1, 0], [0, 0, 2]], dtype=np.float32)


@pytest.fixture(autouse=True)
def _own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def text_file(path: Path, head: str = "") -> Path:
    lines = [f"{word} {' '.join(map(str, row))}\n" for word, row in zip(WORDS, VALUES.tolist(), strict=True)]
    path.write_text(head + "".join(lines))
    return path


def test_a_message_is_the_mean_of_its_known_words(tmp_path: Path) -> None:
    found = load(identify(str(text_file(tmp_path / "own.vec"))))
    vectors = found.embed(["Session unheard opened", "<ip>", "unheard", "session session"])
    expected = np.array([[3, 5, 0], [0, 0, 1], [3, 5, 2], [3, 4, 0]], dtype=np.float64)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(vectors, expected, rtol=1e-6)
    assert found.embed([]).shape == (0, 3)


def test_every_form_gives_the_same_vectors(tmp_path: Path) -> None:
    text_file(tmp_path / "a.vec")
    text_file(tmp_path / "b.txt", "3 3\n")
    for name in ("c", "d"):
        (tmp_path / f"{name}.txt").write_text("\n".join(WORDS))
    np.save(tmp_path / "c.npy", VALUES.astype(np.float64))
    safetensors.numpy.save_file({"vectors": VALUES}, tmp_path / "d.safetensors")
    every = [
        load(identify(str(tmp_path / name))).embed(["session opened", "<ip>"])
        for name in ("a.vec", "b.txt", "c.npy", "d.safetensors")
    ]
    assert all(np.array_equal(every[0], one) for one in every[1:])


def test_a_changed_file_is_refused_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = text_file(tmp_path / "own.vec")
    identity = identify(str(path))
    path.write_text(path.read_text().replace("3.0", "2.0"))
    _open.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(WordVectors, "open", lambda _: pytest.fail("it was parsed"))
        with pytest.raises(UsageError, match="have changed") as refusal:
            load(identity)
    assert refusal.value.where == str(path)
    text_file(path)
    assert load(identity).identity == identity
    path.unlink()
    _same.cache_clear()
    with pytest.raises(UsageError, match="nobody knows on this machine where the embedding 'own' lies"):
        load(identity)


def test_a_schema_has_no_say_in_which_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an artifact says of a path is not looked at: it may come from anyone."""
    path = text_file(tmp_path / "own.vec")
    identity = identify(str(path))
    assert "path" not in identity
    monkeypatch.setattr(
        "vestige.sources.logs.embedding.loading.digest_of", lambda files: pytest.fail(f"{files} were opened")
    )
    for hostile in ("/etc/passwd", str(path)):
        with pytest.raises(UsageError, match="nobody knows"):
            load({**identity, "path": hostile, "name": hostile, "digest": "0" * 64})


def test_on_another_machine_a_variable_says_where_an_embedding_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = identify(str(text_file(tmp_path / "own.vec")))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    _same.cache_clear()
    with pytest.raises(UsageError, match="nobody knows") as refusal:
        load(identity)
    assert "VESTIGE_EMBEDDINGS=PATH" in refusal.value.remedy
    monkeypatch.setenv("VESTIGE_EMBEDDINGS", f"{tmp_path / 'none'}:{tmp_path / 'own.vec'}")
    assert load(identity).identity == identity


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vec", "", "no word vectors"),
        ("a.vec", "word 1 2\nother 1\n", "1 numbers, the first word has 2"),
        ("a.vec", "word 1 2\nother 1 x\n", "not a word and its numbers"),
        ("a.vec", "word 1 inf\n", "no finite number"),
        ("a.pkl", "\x80\x04\x95word", "not a word and its numbers"),
        ("a.npy", "word 1 2\n", "no array of numbers"),
        ("a.safetensors", "word 1 2\n", "no safetensors file"),
    ],
)
def test_whatever_is_wrong_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    if path.suffix in {".npy", ".safetensors"}:
        path.with_suffix(".txt").write_text("word\n")
    path.write_text(content)
    with pytest.raises(UsageError, match=message) as caught:
        identify(str(path))
    assert caught.value.where == path


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("word\n")
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match="no array of numbers"):
        identify(str(tmp_path / "a.npy"))


def test_words_must_fit_the_matrix(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VALUES)
    with pytest.raises(UsageError, match="are missing"):
        identify(str(tmp_path / "a.npy"))
    (tmp_path / "a.txt").write_text("one\n")
    with pytest.raises(UsageError, match=r"1 words for an array of shape \(3, 3\)"):
        identify(str(tmp_path / "a.npy"))
