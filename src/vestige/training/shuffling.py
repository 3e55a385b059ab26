"""An order of very many windows that is never held: the row at each place is computed when asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROUNDS = 6
"""Of the Feistel network. Three of them make a permutation that looks random to whoever sees few values of it
(Luby and Rackoff, 1988); six do for all of them."""

Words = NDArray[np.uint64]


class Shuffled:
    """A permutation of `0 .. n - 1` that two seeds give, in memory that does not grow with n.

    A Feistel network permutes the numbers below a power of four; one that it sends beyond n goes through it
    again until it is not (cycle walking: Black and Rogaway, 2002), at most four times on average.
    """

    def __init__(self, n: int, seed: int, epoch: int) -> None:
        self.n = n
        self._half = max(1, -(-max(n - 1, 1).bit_length() // 2))
        self._keys = np.random.default_rng([seed, epoch]).integers(2**64, size=ROUNDS, dtype=np.uint64)

    def rows(self, begin: int, end: int) -> NDArray[np.int64]:
        """What stands at the places `begin` to `end` of the order, `(end - begin,)`."""
        found = self._permuted(np.arange(begin, min(end, self.n), dtype=np.uint64))
        while len(beyond := np.flatnonzero(found >= self.n)):
            found[beyond] = self._permuted(found[beyond])
        return found.astype(np.int64)

    def _permuted(self, values: Words) -> Words:
        half, mask = np.uint64(self._half), np.uint64((1 << self._half) - 1)
        left, right = values >> half, values & mask
        for key in self._keys:
            left, right = right, left ^ (_mixed(right ^ key) & mask)
        return left << half | right


def _mixed(values: Words) -> Words:
    """Every bit of each depends on all of its bits (the finaliser of SplitMix64: Steele et al., 2014)."""
    values = (values ^ values >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ values >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return values ^ values >> np.uint64(31)
