"""Hashed vectors: the same everywhere, near for related words, far for others."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vestige.sources.logs.embedding.hashing import SIZE, Hashing, grams_of, word_vectors

TEXTS = ["session opened for user <user>", "été Straße 数据 <ip> <*>", "x" * 40, "", "***", "a\nb c"]


def embed(*texts: str) -> NDArray[np.float32]:
    return Hashing().embed(texts)


def digest(vectors: NDArray[np.floating]) -> str:
    return hashlib.sha256(np.round(vectors, 5).astype("<f4").tobytes()).hexdigest()


def test_the_numbers_are_frozen() -> None:
    """Another digest means another version: `IDENTITY["version"]` must then go up."""
    assert digest(word_vectors(["kernel", "<ip>"])) == (
        "a06b55b6c3eae4c8dbefb73c5c6a6b39ff2adbe4200f3d1c56c62a378b0a35a6"
    )


def test_every_process_gives_the_same_bits() -> None:
    code = (
        "import sys; from vestige.sources.logs.embedding.hashing import Hashing\n"
        f"sys.stdout.write(Hashing().embed({TEXTS!r}).tobytes().hex())"
    )
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True
        )
        assert done.stdout == embed(*TEXTS).tobytes().hex()


@given(st.lists(st.text(max_size=60), max_size=12))
def test_every_text_has_a_vector_of_length_one_whatever_its_company(texts: list[str]) -> None:
    found = embed(*texts)
    assert found.shape == (len(texts), SIZE)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    for row, text in enumerate(texts):
        assert found[row].tobytes() == embed(text).tobytes()


def test_words_that_share_parts_are_near_and_others_are_not() -> None:
    vectors = word_vectors(["failures", "failure", "opened", "timeout", "kernel", "<num>", "session", "mmcs"])
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    near = unit @ unit.T
    assert near[0, 1] > 0.3
    rest = near[1:, 1:][~np.eye(7, dtype=bool)]
    assert np.abs(rest).max() < 0.25
    assert np.abs(rest).mean() < 1.5 / np.sqrt(SIZE)


def test_an_unseen_message_is_nearest_to_what_it_resembles() -> None:
    new, like, other = embed(
        "error reading message prefix on control stream",
        "failure reading message prefix after login",
        "total of <num> ddr errors detected and corrected",
    )
    assert new @ like > 2 * (new @ other)


def test_a_repeated_word_counts_less_each_time() -> None:
    once, often = embed("alpha beta", "alpha " * 100 + "beta")
    assert 0.6 < once @ often < 0.999


def test_n_grams_know_where_a_word_ends() -> None:
    assert grams_of("ab") == [" ab", "ab ", " ab "]
    assert grams_of("x") == [" x "]
