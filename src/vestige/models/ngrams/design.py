"""Rows of a linear model: hashed n-grams of tokens in order, words, vectors.

Letters: B windows, T steps, D columns, V values of all rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vestige.schema import PAD, UNK

Hashes = NDArray[np.uint64]
SEED = 0x9E3779B97F4A7C15
PIECE = 1 << 20
"""Steps whose n-grams are hashed at a time."""


def token_ngrams(
    tokens_BT: NDArray[np.int64], orders: int, bits: int, *, steps: int = PIECE
) -> sparse.csr_array:
    """ln(1 + how often) of each n-gram of 1 to `orders` tokens, hashed into `2**bits` columns `(B, D)`.

    The padding before the first token is a token as well: it says where the window's evidence begins. An
    n-gram that holds UNK, or nothing but padding, is left out: training has none to learn it from. Different
    n-grams may share a column (Weinberger et al.: Feature Hashing for Large Scale Multitask Learning. ICML
    2009). `steps` of them are hashed at a time.
    """
    size = max(1, steps // max(1, tokens_BT.shape[1]))
    pieces = [
        _ngrams(tokens_BT[start : start + size], orders, bits)
        for start in range(0, max(1, len(tokens_BT)), size)
    ]
    return sparse.vstack(pieces, format="csr")


def _ngrams(tokens_BT: NDArray[np.int64], orders: int, bits: int) -> sparse.csr_array:
    B, T = tokens_BT.shape
    rows, columns = [], []
    ids = tokens_BT.astype(np.uint64)
    hashes = np.full((B, T), SEED, dtype=np.uint64)
    known = np.ones((B, T), dtype=np.bool_)
    for order in range(1, min(orders, T) + 1):
        end = T - order + 1  # n-grams begin at 0..end-1
        last = tokens_BT[:, order - 1 :]
        hashes = _mix(hashes[:, :end] ^ _mix(ids[:, order - 1 :] + np.uint64(SEED)))
        known = known[:, :end] & (last != UNK)
        kept = known & (last != PAD)
        if order > 2:  # one padding says that it begins there; more say nothing else
            kept &= tokens_BT[:, 1 : end + 1] != PAD
        row, at = np.nonzero(kept)
        rows.append(row)
        columns.append((hashes[row, at] >> np.uint64(64 - bits)).astype(np.int64))
    place = (np.concatenate(rows), np.concatenate(columns))
    counts = sparse.csr_array((np.ones(len(place[0])), place), shape=(B, 1 << bits))
    counts.sum_duplicates()
    counts.data = np.log1p(counts.data)
    return counts


def side_by_side(blocks: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """The blocks' columns one after the other, without explicit zeros."""
    joined = sparse.csr_array(sparse.hstack(blocks, format="csr"))
    joined.eliminate_zeros()
    return joined


def unit_rows(rows: sparse.csr_array) -> sparse.csr_array:
    """Each row scaled to length 1; an empty one stays so."""
    norm = np.sqrt(rows.multiply(rows).sum(axis=1))
    scale = np.repeat(np.where(norm > 0, norm, 1.0), np.diff(rows.indptr))
    return sparse.csr_array((rows.data / scale, rows.indices, rows.indptr), rows.shape)


def _mix(x: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: Hashes = x ^ (x >> np.uint64(31))
    return mixed
