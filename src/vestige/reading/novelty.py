"""How far a text is from every known one: hashed words, pairs of words and parts of words, weighed by how
rare they are. Letters: K known texts, U other texts, D columns.

Salton and Buckley: Term-weighting approaches in automatic text retrieval (1988); Weinberger et al.: Feature
hashing for large scale multitask learning (ICML 2009).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FloatArray = NDArray[np.float64]

COLUMNS = 1 << 18
MOST_KNOWN = 20_000
"""Known texts that others are compared with, at most: the first ones, which are the most frequent."""
MOST_CHARACTERS, MOST_WORDS = 2_048, 64
"""Of a text, so much is looked at."""
PIECE = 128
"""Texts that are compared at a time: with `MOST_KNOWN` others, 20 MB."""
PART = 4
"""Characters of the parts of a word: what is new may still be a kin of what is known."""

WORD = re.compile(r"[^\W_]+")
DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Novelty:
    """Known texts, by what they are made of: `known (K, D)` rows of length 1, weighed by `idf (D,)`."""

    texts: tuple[str, ...]
    idf: FloatArray
    known: Any

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """The known texts, most frequent first; beyond `MOST_KNOWN` they are not compared with."""
        kept = tuple(texts[:MOST_KNOWN])
        counts = _counts(kept)
        having = np.bincount(counts.indices, minlength=COLUMNS)
        idf = np.log((1 + len(kept)) / (1 + having)) + 1
        return cls(kept, idf, _unit(counts, idf))

    def nearest(self, texts: Sequence[str]) -> tuple[FloatArray, NDArray[np.int64]]:
        """The distance `(U,)` of each text to the nearest known one, 1 less the cosine (0: made of the same
        words, 1: of no word that is known), and which that is, `(U,)`, -1 where nothing is near."""
        distance = np.ones(len(texts))
        which = np.full(len(texts), -1, dtype=np.int64)
        if not self.texts:
            return distance, which
        rows = _unit(_counts(texts), self.idf)
        for start in range(0, len(texts), PIECE):
            near = (rows[start : start + PIECE] @ self.known.T).toarray()
            best = near.argmax(axis=1)
            found = near[np.arange(len(near)), best]
            part = slice(start, start + len(near))
            distance[part] = np.clip(1 - found, 0, 1)
            which[part] = np.where(found > 0, best, -1)
        return distance, which


def _counts(texts: Sequence[str]) -> Any:
    """How often each text has each hashed feature, `(U, D)` sparse; repeated ones count less and less."""
    columns: list[int] = []
    ends = [0]
    for text in texts:
        columns += _features(text)
        ends.append(len(columns))
    shape = (len(texts), COLUMNS)
    counts = sparse.csr_array((np.ones(len(columns)), np.array(columns, dtype=np.int64), ends), shape=shape)
    counts.sum_duplicates()
    counts.data = 1 + np.log(counts.data)
    return counts


def _features(text: str) -> Iterator[int]:
    """The columns of a text: words, pairs of neighbours, and parts of words. Numbers are alike."""
    plain = DIGITS.sub("0", text[:MOST_CHARACTERS].lower())
    words = WORD.findall(plain)[:MOST_WORDS]
    before = ""
    for word in words:
        yield _column("w", word)
        yield _column("p", f"{before} {word}")
        before = word
        if len(word) > PART:
            for at in range(len(word) - PART + 1):
                yield _column("c", word[at : at + PART])


def _column(kind: str, feature: str) -> int:
    return zlib.crc32(f"{kind}{feature}".encode("utf-8", "surrogatepass")) % COLUMNS


def _unit(counts: Any, idf: FloatArray) -> Any:
    weighed = counts.copy()
    weighed.data = counts.data * idf[counts.indices]
    norms = np.sqrt((weighed.multiply(weighed)).sum(axis=1))
    scale = sparse.diags_array(np.divide(1.0, norms, out=np.zeros(len(norms)), where=norms > 0))
    return sparse.csr_array(scale @ weighed)
