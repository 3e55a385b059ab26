"""Messages as sums of words and parts of words, each a direction drawn by its hash: nothing is learnt.

A word is its own direction and, as much again, those of its character n-grams: words that share a stem, a
prefix or an ending lie near each other, whether training saw them or not. A direction has E signs, so that
the product of two vectors is that of their weights of words and n-grams, with a deviation of about 1/sqrt(E)
(Achlioptas: Database-friendly Random Projections. JCSS 66, 2003; words of n-grams: Bojanowski, Grave, Joulin,
Mikolov: Enriching Word Vectors with Subword Information. TACL 5, 2017).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from math import log
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from vestige.sources.logs.embedding.base import HASHING, Identity, unit_length
from vestige.sources.logs.words import words_of

SIZE = 256
GRAMS = (3, 4, 5)
"""Characters of an n-gram; a word's two ends count as characters."""
IDENTITY: Identity = {"name": HASHING, "version": 1, "size": SIZE}
NO_WORDS = "<nothing>"
"""Stands for a message without a word: zeros are padding's."""
CHUNK, WORDS = 4096, 1024
"""Messages, and different words, that are held at a time."""


class Hashing:
    """The embedding `hashing`."""

    identity = IDENTITY

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Embedding.embed`. A word that comes n times counts 1 + ln n times."""
        out_NE = np.empty((len(texts), SIZE), dtype=np.float32)
        for start in range(0, len(texts), CHUNK):
            piece = texts[start : start + CHUNK]
            out_NE[start : start + len(piece)] = _messages(piece)
        return out_NE


def _messages(texts: Sequence[str]) -> NDArray[np.float32]:
    known: dict[str, int] = {}
    rows, columns, weights = array("q"), array("q"), array("d")
    for row, text in enumerate(texts):
        for word, count in Counter(words_of(text) or [NO_WORDS]).items():
            rows.append(row)
            columns.append(known.setdefault(word, len(known)))
            weights.append(_exact(1 + log(count)))
    counts = _sums(rows, columns, weights, (len(texts), len(known)))
    return unit_length(counts @ word_vectors(list(known)))


def _sums(rows: array[int], columns: array[int], weights: array[float], shape: tuple[int, int]) -> Any:
    """A sparse matrix of weights; those of the same place add up."""
    from scipy import sparse

    return sparse.csr_array((np.frombuffer(weights), (rows, columns)), shape)


def word_vectors(words: Sequence[str]) -> NDArray[np.float64]:
    """Vectors of words, `(len(words), E)` float64, not scaled; placeholders (`<ip>`) have no n-grams."""
    pieces = [_words(words[start : start + WORDS]) for start in range(0, len(words), WORDS)]
    return np.concatenate([np.empty((0, SIZE)), *pieces])


def _words(words: Sequence[str]) -> Any:
    known: dict[str, int] = {}
    rows, columns, weights = array("q"), array("q"), array("d")
    for row, word in enumerate(words):
        grams = []
        if word[0] != "<":
            # What a mask left has no spelling of its own.
            grams = grams_of(word)
        columns.extend([known.setdefault(part, len(known)) for part in (word, *grams)])
        rows.extend([row] * (1 + len(grams)))
        weights.extend([1.0, *[_exact(max(len(grams), 1) ** -0.5)] * len(grams)])
    return _sums(rows, columns, weights, (len(words), len(known))) @ directions(list(known))


def directions(texts: Sequence[str]) -> NDArray[np.float64]:
    """For each text E signs that depend on its UTF-8 alone: `(len(texts), E)` float64."""
    hashes = np.array([crc32(text.encode("utf-8", "replace")) for text in texts], dtype=np.uint64)
    seeds = hashes[:, None] * np.uint64(SIZE // 64) + np.arange(SIZE // 64, dtype=np.uint64)
    draws = _mix(seeds.astype(np.uint64))
    bits = np.unpackbits(draws.astype("<u8").view(np.uint8).reshape(len(texts), -1), axis=1)
    return 1 - 2 * bits.astype(np.float64)


def _exact(weight: float) -> float:
    """A weight in so few bits that sums of them are exact in float64, in whatever order they are made: a text
    has the same vector in any company, to the bit."""
    return round(weight * 4096) / 4096


def grams_of(word: str) -> list[str]:
    """The character n-grams of ` word `, all lengths of `GRAMS`."""
    ends = f" {word} "
    return [ends[at : at + n] for n in GRAMS for at in range(len(ends) - n + 1)]


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): CRC-32 alone is linear."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
