"""Equal labelled rows collapsed into one weighted row: a fit on millions of windows stays exact and cheap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

CAP = 100_000
"""Distinct rows kept at most. Above it, those with the smallest seeded hash are: a uniform sample of them."""

Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class WeightedRows:
    """Distinct rows `(N, D)` with their label `(N,)` and how often each came, `(N,)`."""

    rows: sparse.csr_array
    label: NDArray[np.uint8]
    weight: NDArray[np.float64]


class DistinctRows:
    """Takes labelled batches of sparse rows and keeps each distinct one once.

    Rows are told apart by a 64-bit hash: two of ten million collide with a chance of one in 400,000.
    """

    def __init__(self, n_columns: int, *, seed: int, cap: int = CAP) -> None:
        self.cap = cap
        self.seed = seed
        self._keys: Keys = np.empty(0, dtype=np.uint64)
        self._rows = sparse.csr_array((0, n_columns))
        self._new: list[Any] = []
        self._label = np.empty(0, dtype=np.uint8)
        self._weight = np.empty(0)
        self._limit = np.uint64(2**64 - 1)

    def add(
        self, rows: sparse.csr_array, label: NDArray[np.uint8], weight: NDArray[np.float64] | None = None
    ) -> None:
        """Count these rows `(B, D)`, labelled `(B,)`, as often as `weight (B,)` says: once if None."""
        hashes = hash_rows(rows, label, self.seed)
        keys, first, again = np.unique(hashes, return_index=True, return_inverse=True)
        counts = np.bincount(again, weights=weight, minlength=len(keys)).astype(np.float64)
        place = np.searchsorted(self._keys, keys)
        known = np.zeros(len(keys), dtype=bool)
        inside = place < len(self._keys)
        known[inside] = self._keys[place[inside]] == keys[inside]
        self._weight[place[known]] += counts[known]
        fresh = ~known & (keys <= self._limit)
        self._insert(keys[fresh], rows[first[fresh]], label[first[fresh]], counts[fresh])

    def result(self) -> WeightedRows:
        """What was kept, in an order that does not depend on the order in which rows came."""
        return WeightedRows(self._rows, self._label, self._weight)

    def _insert(
        self, keys: Keys, rows: sparse.csr_array, label: NDArray[np.uint8], counts: NDArray[np.float64]
    ) -> None:
        if not len(keys):
            return
        merged = np.concatenate([self._keys, keys])
        order = np.argsort(merged)[: self.cap]
        if len(merged) > self.cap:
            self._limit = merged[order[-1]]
        self._keys = merged[order]
        self._rows = sparse.vstack([self._rows, rows], format="csr")[order]
        self._label = np.concatenate([self._label, label])[order]
        self._weight = np.concatenate([self._weight, counts])[order]


def hash_rows(rows: sparse.csr_array, label: NDArray[np.uint8], seed: int) -> Keys:
    """A 64-bit hash of each row with its label; the order of entries within a row does not matter."""
    columns = _mix(rows.indices.astype(np.uint64) + np.uint64(seed % 2**32 + 1))
    entries = _mix(columns ^ rows.data.astype(np.float64).view(np.uint64))
    # A sum does not depend on the order; it may wrap around, and so may its differences: modulo 2**64 they
    # are right. `reduceat` would do the same but for empty rows, where it takes the next row's entry.
    running = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(entries, dtype=np.uint64)])
    sums = running[rows.indptr[1:]] - running[rows.indptr[:-1]]
    return _mix(sums ^ _mix(label.astype(np.uint64) + np.uint64(1)))


def _mix(x: Keys) -> Keys:
    """The finaliser of splitmix64 (Steele et al., 2014): every bit of the input moves every bit out."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Keys = x ^ (x >> np.uint64(31))
    return mixed
