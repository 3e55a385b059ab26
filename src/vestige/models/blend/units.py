"""What the members of `blend` see of N units: recordings as wholes, or windows.

Letters: N units, B windows, T tokens, C n-grams, W words, E vector size, P pooled numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from vestige.hashing import mix
from vestige.models.blend.gathering import MOST_OF_ONE
from vestige.models.blend.grams import GramTally, codes_of, columns_of, table
from vestige.models.blend.reservoir import Reservoir, pooled
from vestige.models.normal.whole import NewSteps
from vestige.reading.encoding import Batch
from vestige.schema import PAD

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Units:
    """N units. `grams (N, C)`: 1 + ln of how often each n-gram comes; `words (N, W)`: counts; `vectors (N,
    E)`, none longer than 1; `states`: for each reservoir what the trees on it see, `(N, P)` float32."""

    grams: sparse.csr_array
    words: sparse.csr_array
    vectors: sparse.csr_array
    states: tuple[NDArray[np.float32], ...]

    def __len__(self) -> int:
        return int(self.grams.shape[0])

    def select(self, rows: NDArray[Any]) -> Self:
        """Only these units."""
        return type(self)(
            self.grams[rows], self.words[rows], self.vectors[rows], tuple(part[rows] for part in self.states)
        )

    @classmethod
    def stacked(cls, parts: Sequence[Units]) -> Units:
        """All of them, one part after the other; there is one at the least."""
        return Units(
            sparse.csr_array(sparse.vstack([part.grams for part in parts], format="csr")),
            sparse.csr_array(sparse.vstack([part.words for part in parts], format="csr")),
            sparse.csr_array(sparse.vstack([part.vectors for part in parts], format="csr")),
            tuple(np.concatenate(states) for states in zip(*(part.states for part in parts), strict=True)),
        )


@dataclass(frozen=True)
class Sequences:
    """Tokens of N units, without padding: those of unit i lie from `bounds[i]` to `bounds[i + 1]`."""

    tokens: IntArray
    bounds: IntArray

    @classmethod
    def of(cls, units: Sequence[IntArray]) -> Self:
        """From the tokens `(T,)` of each."""
        none = np.empty(0, dtype=np.int64)
        return cls(np.concatenate([none, *units]), np.cumsum([0, *map(len, units)]))

    @classmethod
    def of_windows(cls, tokens_BT: IntArray) -> Self:
        """Windows, their padding left out."""
        present = tokens_BT != PAD
        return cls(tokens_BT[present], np.concatenate([[0], np.cumsum(present.sum(axis=1))]))

    def columns(self, size: int) -> IntArray:
        """The n-grams that are worth a column."""
        return columns_of(*codes_of(self.tokens, self.bounds, size))

    def table(self, columns: IntArray, size: int) -> sparse.csr_array:
        """See `grams.table`."""
        codes, unit = codes_of(self.tokens, self.bounds, size)
        return table(columns, codes, unit, len(self.bounds) - 1)

    def states(self, reservoirs: Sequence[Reservoir]) -> tuple[NDArray[np.float32], ...]:
        """What each reservoir's states were like, and ln(1 + length), `(N, 4H + 1)`."""
        lengths = np.diff(self.bounds)
        found = []
        for reservoir in reservoirs:
            states = reservoir.fresh(len(lengths))
            reservoir.advance(self.tokens, self.bounds, states)
            found.append(beside_length(states, lengths))
        return tuple(found)


def beside_length(states: FloatArray, lengths: IntArray) -> NDArray[np.float32]:
    """Pooled states with ln(1 + length), `(N, 4H + 1)`."""
    return np.concatenate([pooled(states, lengths), np.log1p(lengths)[:, None]], axis=1).astype(np.float32)


@dataclass
class Key:
    """A number of 64 bits that tells recordings apart by their tokens, the first `MOST_OF_ONE` of them."""

    value: int = 0
    n: int = 0

    def add(self, tokens: IntArray) -> None:
        """Take in the next tokens `(T,)`."""
        kept = tokens[: MOST_OF_ONE - self.n].astype(np.uint64)
        place = np.arange(self.n + 1, self.n + 1 + len(kept), dtype=np.uint64)
        # A sum, so that it makes no difference how a recording is cut.
        self.value = (self.value + int(mix(kept ^ mix(place)).sum(dtype=np.uint64))) % 2**64
        self.n += len(kept)


def key_of(tokens: IntArray) -> int:
    """The key of a recording of which all tokens `(T,)` are there."""
    key = Key()
    key.add(tokens)
    return key.value


@dataclass
class WholeTally:
    """What is kept of a recording while its windows go by: counts of known n-grams, and states of networks.

    The same however the recording is cut into batches.
    """

    steps: NewSteps
    grams: GramTally
    reservoirs: tuple[Reservoir, ...]
    key: Key = field(default_factory=Key)
    length: int = 0
    states: list[FloatArray] = field(default_factory=list)

    def add(self, X: Batch) -> None:
        """Take in its next windows."""
        tokens = self.steps.take(X).reshape(-1)
        tokens = tokens[tokens != PAD]
        if not self.states:
            self.states = [reservoir.fresh(1) for reservoir in self.reservoirs]
        self.key.add(tokens)
        self.grams.add(tokens)
        bounds = np.array([0, len(tokens)])
        for reservoir, states in zip(self.reservoirs, self.states, strict=True):
            reservoir.advance(tokens, bounds, states)
        self.length += len(tokens)
