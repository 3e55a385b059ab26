"""A 64-bit hash for each row of a batch, vectorised: equal rows have equal hashes, others almost never.

Used to find repeated windows by the million; two different rows collide with probability about 2^-64.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


def row_hashes(batch: Mapping[str, NDArray[Any]]) -> Hashes:
    """Hash of row b over all arrays of `batch`, each `(B, ...)`, in the order of their names: `(B,)`.

    NaNs are alike, and so are 0.0 and -0.0.
    """
    total: Hashes | None = None
    for number, name in enumerate(sorted(batch)):
        words = _words(batch[name])
        columns = np.arange(words.shape[1], dtype=np.uint64) + np.uint64(number << 40)
        mixed = mix(words ^ mix(columns)).sum(axis=1, dtype=np.uint64)
        total = mixed if total is None else mix(total) + mixed
    if total is None:
        raise ValueError("a batch without arrays has no rows to hash")
    return total


def _words(values: NDArray[Any]) -> Hashes:
    flat = values.reshape(len(values), math.prod(values.shape[1:]))
    if flat.dtype.kind == "f":
        wide = flat.astype(np.float64) + 0.0
        wide[np.isnan(wide)] = np.nan
        return wide.view(np.uint64)
    return flat.astype(np.uint64)


def mix(x: Hashes) -> Hashes:
    """The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection that spreads every bit."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
