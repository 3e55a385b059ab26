"""Recordings that others are compared with: which n-grams they have, weighted by how rare these are.

That is TF-IDF of n-grams that are there or not, however often: a session that repeats itself is like one that
does so less.

Letters: N recordings, C columns (n-grams that are told apart), R references.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige.models.normal.habits import RecordingTally

if TYPE_CHECKING:
    from scipy import sparse

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NEIGHBOURS = 10
"""Nearest neighbours whose mean distance counts: what is rare has few, also where it was learnt from."""
MOST_REFERENCES = 5_000
"""Recordings that others are compared with at most, drawn by chance."""
MOST_ENTRIES = 1_500_000
"""n-grams of all references together at most."""
MOST_COLUMNS = 1 << 17
"""Different n-grams of references that are told apart: those of the most recordings."""
ROWS = 512
"""Recordings that are compared at a time."""


@dataclass(frozen=True)
class Grams:
    """The different n-grams of N recordings: of recording i, `codes` from `bounds[i]` to `bounds[i + 1]`."""

    codes: IntArray
    bounds: IntArray

    @classmethod
    def of(cls, tallies: Sequence[RecordingTally]) -> Self:
        """Those that tallies hold."""
        none = np.empty(0, dtype=np.int64)
        bounds = np.cumsum([0, *(len(tally.codes) for tally in tallies)])
        return cls(np.concatenate([none, *(tally.codes for tally in tallies)]), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def rows(self) -> IntArray:
        """The recording of each n-gram."""
        return np.repeat(np.arange(len(self)), np.diff(self.bounds))

    def select(self, rows: IntArray) -> Self:
        """Only these recordings, in this order."""
        many = np.diff(self.bounds)[rows]
        bounds = np.concatenate([[0], np.cumsum(many)])
        at = np.arange(bounds[-1]) + np.repeat(self.bounds[rows] - bounds[:-1], many)
        return type(self)(self.codes[at], bounds)

    def table(self, codes: IntArray) -> tuple[sparse.csr_array, FloatArray]:
        """Which of `codes (C,)` each has, ones in `(N, C)`, and how many others, `(N,)`."""
        from scipy import sparse  # no watch of lines needs it

        place = np.minimum(np.searchsorted(codes, self.codes), len(codes) - 1)
        is_known = codes[place] == self.codes
        rows = self.rows
        new: FloatArray = np.bincount(rows[~is_known], minlength=len(self)).astype(np.float64)
        ones = np.ones(int(is_known.sum()))
        shape = (len(self), len(codes))
        return sparse.csr_array((ones, (rows[is_known], place[is_known])), shape=shape), new


@dataclass(frozen=True)
class References:
    """Recordings that others are compared with.

    `codes (C,)` int64 ascend: the n-grams that are told apart. `holding (C,)` int64: of `n` recordings, how
    many have each. `present (R, C)`: ones where a reference has them.
    """

    codes: IntArray
    holding: IntArray
    n: int
    present: sparse.csr_array
    weighted: sparse.csr_array
    """The same times how rare the n-gram is, every row of length 1, `(C, R)`."""

    @classmethod
    def of(cls, codes: IntArray, holding: IntArray, n: int, present: sparse.csr_array) -> Self:
        """With weights."""
        rarity = _inverse_frequency(holding, n)
        return cls(codes, holding, n, present, _unit_rows(present, rarity, 0.0).T.tocsr())

    @classmethod
    def fit(
        cls, grams: Grams, weight: IntArray, rng: np.random.Generator, *, most: int = MOST_REFERENCES
    ) -> Self:
        """Of different recordings, each of which the learnt evidence had `weight (N,)` times; `most` are
        kept."""
        present, where = np.unique(grams.codes, return_inverse=True)
        holding = np.zeros(len(present), dtype=np.int64)
        np.add.at(holding, where, weight[grams.rows])
        known = np.sort(np.argsort(-holding, kind="stable")[:MOST_COLUMNS])
        codes, holding = present[known], holding[known]
        drawn = rng.permutation(len(weight))[:most]
        entries = np.cumsum(np.diff(grams.bounds)[drawn])
        drawn = np.sort(drawn[: max(1, int((entries <= MOST_ENTRIES).sum()))])
        present, _ = grams.select(drawn).table(codes)
        return cls.of(codes, holding, int(weight.sum()), present)

    def distance(self, grams: Grams) -> FloatArray:
        """The mean cosine distance `(N,)` of recordings to their nearest neighbours."""
        found = np.empty(len(grams))
        k = min(NEIGHBOURS, self.weighted.shape[1])
        rarity, unknown = _inverse_frequency(self.holding, self.n), _inverse_frequency(np.zeros(1), self.n)[0]
        for start in range(0, len(grams), ROWS):
            rows = np.arange(start, min(start + ROWS, len(grams)))
            table, new = grams.select(rows).table(self.codes)
            likeness = (_unit_rows(table, rarity, new * unknown**2) @ self.weighted).toarray()
            nearest = -np.partition(-likeness, k - 1, axis=1)[:, :k]
            found[rows] = 1.0 - nearest.mean(axis=1)
        return np.clip(found, 0.0, 1.0)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `read` takes, for a file of arrays."""
        return {
            "codes": self.codes,
            "holding": self.holding,
            "n": np.array([self.n]),
            "present.indices": self.present.indices.astype(np.int32),
            "present.indptr": self.present.indptr.astype(np.int64),
        }

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Those whose `arrays` these are. Raises ValueError where they are damaged."""
        from scipy import sparse

        codes, holding = whole_numbers(arrays, "codes", None), whole_numbers(arrays, "holding", None)
        indices = whole_numbers(arrays, "present.indices", None)
        indptr, n = whole_numbers(arrays, "present.indptr", None), whole_numbers(arrays, "n", 1)
        if (np.diff(codes) <= 0).any() or len(holding) != len(codes) or holding.max() > n[0]:
            raise ValueError("n-grams of references are out of order")
        sound = indptr[0] == 0 and indptr[-1] == len(indices) and (np.diff(indptr) >= 0).all()
        if not sound or len(indptr) < 2 or indices.max() >= len(codes):
            raise ValueError("n-grams of references do not fit together")
        ones = np.ones(len(indices))
        present = sparse.csr_array((ones, indices, indptr), shape=(len(indptr) - 1, len(codes)))
        return cls.of(codes, holding, int(n[0]), present)


def _inverse_frequency(holding: NDArray[Any], n: int) -> FloatArray:
    """How much an n-gram counts that `holding` of n recordings have."""
    found: FloatArray = np.log((1 + n) / (1 + holding)) + 1
    return found


def _unit_rows(present: sparse.csr_array, rarity: FloatArray, beside: FloatArray | float) -> sparse.csr_array:
    """Ones `(N, C)` times rarity `(C,)`, every row of length 1; `beside (N,)` is the square of what a row has
    in none of the columns."""
    from scipy import sparse

    data = rarity[present.indices]
    rows = np.repeat(np.arange(present.shape[0]), np.diff(present.indptr))
    square = np.bincount(rows, weights=data**2, minlength=present.shape[0]) + beside
    norm = np.sqrt(np.where(square > 0, square, 1.0))
    return sparse.csr_array((data / norm[rows], present.indices, present.indptr), shape=present.shape)


def whole_numbers(arrays: Mapping[str, NDArray[Any]], name: str, size: int | None) -> IntArray:
    """The array of whole numbers, none below 0, that is called so."""
    found = arrays.get(name)
    if found is None or found.dtype not in (np.int64, np.int32) or found.ndim != 1 or not len(found):
        raise ValueError(f"{name} is missing or holds no whole numbers")
    if (size is not None and len(found) != size) or found.min() < 0:
        raise ValueError(f"{name} is of another length or range")
    return found.astype(np.int64)
