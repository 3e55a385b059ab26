"""n-grams of one to three tokens, exactly: each has a number of its own, so that none share a column.

Letters: N units (recordings or windows), T tokens, G n-grams, C columns (known n-grams).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vestige.schema import PAD

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

ORDERS = 3
"""Tokens of the longest n-gram."""
MOST_TOKENS = 1 << 20
"""Token ids at most: the numbers of three of them fit in 64 bits."""
MOST_COLUMNS = 1 << 17
"""n-grams that are told apart at most: those that the most units have."""
LEAST_UNITS = 2
"""An n-gram that only one unit of training has says nothing of others."""


def codes_of(tokens: IntArray, bounds: IntArray, size: int) -> tuple[IntArray, IntArray]:
    """The n-grams `(G,)` of N units, and the unit of each.

    The tokens of unit i, none of them PAD, lie from `bounds[i]` to `bounds[i + 1]`. The number of `a b c` is
    `(a * size + b) * size + c`, where PAD, which is 0, stands for what there is not.
    """
    unit = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
    middle, first = _shifted(tokens, unit, 1), _shifted(tokens, unit, 2)
    pairs = middle * size + tokens
    has_two, has_three = middle != PAD, first != PAD
    codes = np.concatenate([tokens, pairs[has_two], (first * size * size + pairs)[has_three]])
    return codes, np.concatenate([unit, unit[has_two], unit[has_three]])


def _shifted(tokens: IntArray, unit: IntArray, by: int) -> IntArray:
    """The token `by` before each, of the same unit; else PAD."""
    found = np.full(len(tokens), PAD, dtype=np.int64)
    same = unit[by:] == unit[:-by]
    found[by:][same] = tokens[:-by][same]
    return found


def columns_of(codes: IntArray, unit: IntArray) -> IntArray:
    """The different n-grams of units, ascending: at most `MOST_COLUMNS` that two units have at the least."""
    if not len(codes):
        return codes
    order = np.lexsort((unit, codes))
    codes, unit = codes[order], unit[order]
    once = np.r_[True, (codes[1:] != codes[:-1]) | (unit[1:] != unit[:-1])]
    present, holding = np.unique(codes[once], return_counts=True)
    kept = np.flatnonzero(holding >= LEAST_UNITS)
    if len(kept) > MOST_COLUMNS:
        kept = np.sort(kept[np.argsort(-holding[kept], kind="stable")[:MOST_COLUMNS]])
    return present[kept]


def read_columns(codes: NDArray[np.generic], size: int) -> IntArray:
    """The n-grams that a file holds. Raises ValueError where they are of another vocabulary, or damaged."""
    if codes.dtype != np.int64 or codes.ndim != 1 or len(codes) > MOST_COLUMNS:
        raise ValueError("n-grams are no list of whole numbers")
    wide = codes.astype(np.int64)
    if len(wide) and (wide[0] < 1 or wide[-1] >= size**ORDERS or (np.diff(wide) <= 0).any()):
        raise ValueError("n-grams are out of order or range: another vocabulary?")
    return wide


def find(columns: IntArray, codes: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
    """The column of each of `codes`, and whether there is one."""
    if not len(columns):
        return np.zeros(len(codes), dtype=np.int64), np.zeros(len(codes), dtype=np.bool_)
    place = np.minimum(np.searchsorted(columns, codes), len(columns) - 1)
    return place, columns[place] == codes


def table(columns: IntArray, codes: IntArray, unit: IntArray, n: int) -> sparse.csr_array:
    """1 + ln of how often each of `n` units has each known n-gram, `(N, C)`."""
    place, known = find(columns, codes)
    where = (unit[known], place[known])
    counts = sparse.csr_array((np.ones(len(where[0])), where), shape=(n, len(columns)))
    return sublinear(counts)


def sublinear(counts: sparse.csr_array) -> sparse.csr_array:
    """1 + ln of counts, which may come in parts: what a loop repeats counts hardly more than once."""
    counts.sum_duplicates()
    counts.data = 1.0 + np.log(counts.data)
    return counts


@dataclass
class GramTally:
    """How often a recording has each of the n-grams `columns (C,)`, while its tokens go by: `counts (C,)`."""

    columns: IntArray
    size: int
    place: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    counts: IntArray = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _before: IntArray = field(default_factory=lambda: np.full(ORDERS - 1, PAD, dtype=np.int64))

    def add(self, tokens: IntArray) -> None:
        """Take in the next tokens `(T,)`, none of them PAD."""
        whole = np.concatenate([self._before, tokens])
        last, middle, first = whole[2:], whole[1:-1], whole[:-2]
        pairs = middle * self.size + last
        triples = first * self.size * self.size + pairs
        codes = np.concatenate([last, pairs[middle != PAD], triples[first != PAD]])
        place, known = find(self.columns, codes)
        self._merge(*np.unique(place[known], return_counts=True))
        self._before = whole[-(ORDERS - 1) :]

    def _merge(self, place: IntArray, counts: IntArray) -> None:
        self.place, where = np.unique(np.concatenate([self.place, place]), return_inverse=True)
        together = np.zeros(len(self.place), dtype=np.int64)
        np.add.at(together, where, np.concatenate([self.counts, counts]))
        self.counts = together
