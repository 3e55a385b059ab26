"""A recurrent network whose weights are drawn once and never trained, and its states pooled over a recording.

Jaeger: The "echo state" approach to analysing and training recurrent neural networks (GMD report 148, 2001):
what random recurrent units make of a sequence holds its recent past, and a model that reads their states
needs no training through time. Letters: N units, T tokens, V token ids, E embedding, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige.models.blend import kernels

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EMBEDDING = 24
HIDDEN = 64
STATISTICS = ("mean", "highest", "lowest", "deviation")
"""Of each hidden unit, over the steps of a recording."""
LARGEST = 1e3
"""No weight is larger."""


@dataclass(frozen=True)
class Reservoir:
    """The weights: `embedding (V, E)`, `inputs (E, 3H)`, `bias (3H,)`, `recurrent (H, 3H)`, all float64."""

    embedding: FloatArray
    inputs: FloatArray
    bias: FloatArray
    recurrent: FloatArray

    @classmethod
    def draw(cls, size: int, seed: int) -> Self:
        """Embeddings are normal; weights are uniform within 1 / sqrt(H), as a fresh GRU of torch has them."""
        rng = np.random.default_rng(seed)
        bound = 1 / np.sqrt(HIDDEN)
        # Single precision is what the file keeps, and double what is computed in.
        drawn = (
            rng.normal(size=(size, EMBEDDING)),
            rng.uniform(-bound, bound, (EMBEDDING, 3 * HIDDEN)),
            rng.uniform(-bound, bound, 3 * HIDDEN),
            rng.uniform(-bound, bound, (HIDDEN, 3 * HIDDEN)),
        )
        return cls(*(weights.astype(np.float32).astype(np.float64) for weights in drawn))

    def fresh(self, n: int) -> FloatArray:
        """States `(n, 5, H)` before the first token; see `kernels.advance`."""
        states = np.zeros((n, 5, HIDDEN))
        states[:, 3], states[:, 4] = -np.inf, np.inf
        return states

    def advance(self, tokens: IntArray, bounds: IntArray, states: FloatArray) -> None:
        """Move on the states of N units by their next tokens, from `bounds[i]` to `bounds[i + 1]`."""
        if not len(tokens):
            return
        # Of a large vocabulary few tokens come at a time.
        present, row = np.unique(tokens, return_inverse=True)
        # Not by a matrix product, whose last digits depend on how many rows it has.
        table = np.einsum("ue,eh->uh", self.embedding[present], self.inputs) + self.bias
        kernels.advance_each(row.astype(np.int64), bounds, table, self.recurrent, states)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `read` takes."""
        weights = (self.embedding, self.inputs, self.bias, self.recurrent)
        named = zip(("embedding", "inputs", "bias", "recurrent"), weights, strict=True)
        return {name: array.astype(np.float32) for name, array in named}

    @classmethod
    def read(cls, arrays: Mapping[str, NDArray[Any]], size: int) -> Self:
        """The network whose `arrays` these are. Raises ValueError where they are others, or damaged."""
        shapes = {
            "embedding": (size, EMBEDDING),
            "inputs": (EMBEDDING, 3 * HIDDEN),
            "bias": (3 * HIDDEN,),
            "recurrent": (HIDDEN, 3 * HIDDEN),
        }
        weights = []
        for name, shape in shapes.items():
            found = arrays.get(name)
            if found is None or found.dtype != np.float32 or found.shape != shape:
                raise ValueError(f"the network's {name} is missing, or not {shape} float32")
            # Written so that NaN is refused, too.
            if not (np.abs(found) <= LARGEST).all():
                raise ValueError(f"the network's {name} holds a value that no weight has")
            weights.append(found.astype(np.float64))
        return cls(*weights)


def pooled(states: FloatArray, lengths: IntArray) -> FloatArray:
    """What the states `(N, 5, H)` were like over `lengths (N,)` steps: `STATISTICS` side by side, `(N, 4H)`;
    zeros where there was no step."""
    n = np.maximum(lengths, 1)[:, None].astype(np.float64)
    mean = states[:, 1] / n
    deviation = np.sqrt(np.maximum(states[:, 2] / n - mean * mean, 0.0))
    found = np.concatenate([mean, states[:, 3], states[:, 4], deviation], axis=1)
    found[lengths == 0] = 0.0
    return found
