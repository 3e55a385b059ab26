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
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COLUMNS = 1 << 18
MOST_KNOWN = 20_000
"""Known texts that others are compared with, at most: the first ones, which are the most frequent."""
MOST_CHARACTERS, MOST_WORDS = 2_048, 64
"""Of a text, so much is looked at."""
PART = 4
"""Characters of the parts of a word: what is new may still be a kin of what is known."""

WORD = re.compile(r"[^\W_]+")
DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class Rows:
    """Texts as sparse rows: `row`, `column` and `value`, each `(n,)`, in the order of rows, and in these of
    columns."""

    row: IntArray
    column: IntArray
    value: FloatArray

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """How often each text has each hashed feature; repeated ones count less and less."""
        found = [np.fromiter(_features(text), dtype=np.int64) for text in texts]
        text = np.repeat(np.arange(len(texts)), [len(columns) for columns in found])
        places, counts = np.unique(
            text * COLUMNS + np.concatenate([*found, []]).astype(np.int64), return_counts=True
        )
        return cls(places // COLUMNS, places % COLUMNS, 1 + np.log(counts))

    def weighed(self, idf: FloatArray) -> Rows:
        """Every row times `idf (D,)`, and then of length 1."""
        value = self.value * idf[self.column]
        # Sums are taken one after the other, as those of the products of rows are.
        norm = np.sqrt(np.bincount(self.row, weights=value * value))
        # A text without words has no row: its norm is looked up nowhere.
        return Rows(self.row, self.column, value * (1 / norm[self.row]))


@dataclass(frozen=True)
class Novelty:
    """Known texts, by what they are made of: rows of length 1, weighed by `idf (D,)`, which are kept by
    column: of column d they are `row` and `value` from `starts[d]` to `starts[d + 1]`."""

    texts: tuple[str, ...]
    idf: FloatArray
    starts: NDArray[np.int32]
    row: NDArray[np.int32]
    value: FloatArray

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """The known texts, most frequent first; beyond `MOST_KNOWN` they are not compared with."""
        kept = tuple(texts[:MOST_KNOWN])
        counts = Rows.of(kept)
        having = np.bincount(counts.column, minlength=COLUMNS)
        idf = np.log((1 + len(kept)) / (1 + having)) + 1
        known = counts.weighed(idf)
        order = np.argsort(known.column, kind="stable")
        starts = np.concatenate([[0], np.cumsum(having)]).astype(np.int32)
        return cls(kept, idf, starts, known.row[order].astype(np.int32), known.value[order])

    def nearest(self, texts: Sequence[str]) -> tuple[FloatArray, IntArray]:
        """The distance `(U,)` of each text to the nearest known one, 1 less the cosine (0: made of the same
        words, 1: of no word that is known), and which that is, `(U,)`, -1 where nothing is near."""
        distance = np.ones(len(texts))
        which = np.full(len(texts), -1, dtype=np.int64)
        if not self.texts or not len(texts):
            return distance, which
        rows = Rows.of(texts).weighed(self.idf)
        ends = np.searchsorted(rows.row, np.arange(len(texts) + 1))
        for number, (start, stop) in enumerate(pairwise(ends.tolist())):
            near = self._likeness(rows.column[start:stop], rows.value[start:stop])
            best = int(near.argmax())
            distance[number] = min(max(1 - near[best], 0.0), 1.0)
            which[number] = best if near[best] > 0 else -1
        return distance, which

    def _likeness(self, column: IntArray, value: FloatArray) -> FloatArray:
        """The cosines `(K,)` of a row with every known one."""
        first, many = self.starts[column], self.starts[column + 1] - self.starts[column]
        total = int(many.sum())
        # Where the known rows of these columns lie, column after column.
        at = np.arange(total) + np.repeat(first - np.concatenate([[0], np.cumsum(many)[:-1]]), many)
        products = np.repeat(value, many) * self.value[at]
        near: FloatArray = np.bincount(self.row[at], products, len(self.texts)).astype(np.float64)
        return near


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
