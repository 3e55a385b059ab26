"""What tokens alone say: which came unexpectedly, which are rare, and which come too often in a window.

Letters: B windows, T tokens of a window, V token ids.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vestige.schema import PAD

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Repeats:
    """How often a window shows its last token, against how often windows that end on this token did.

    `at_least (V + 1, T + 1)` float64: of the windows of learning that end on token v (the last row: on any),
    how many show it c times or more.
    """

    at_least: FloatArray

    @classmethod
    def fit(cls, batches: Iterator[IntArray], size: int, length: int) -> Self:
        """Of batches of tokens `(B, T)`, T being `length`, V `size`."""
        table = np.zeros((size + 1) * (length + 1))
        for tokens_BT in batches:
            last = np.minimum(tokens_BT[:, -1], size - 1)
            flat = last * (length + 1) + shown(tokens_BT)
            table += np.bincount(flat, minlength=len(table))
        counts = table.reshape(size + 1, length + 1)
        counts[-1] = counts[:-1].sum(axis=0)
        return cls(np.cumsum(counts[:, ::-1], axis=1)[:, ::-1])

    def strangeness(self, tokens_BT: IntArray) -> FloatArray:
        """-ln of the share `(B,)` of windows ending on this token that show it so often, add-half smoothed by
        the share of all windows that do."""
        last = np.minimum(tokens_BT[:, -1], len(self.at_least) - 2)
        often = np.minimum(shown(tokens_BT), self.at_least.shape[1] - 1)
        total = self.at_least[-1, 0]
        general = (self.at_least[-1, often] + 0.5) / (total + 1)
        own = (self.at_least[last, often] + general) / (self.at_least[last, 0] + 1)
        found: FloatArray = -np.log(np.minimum(own, 1.0))
        return found


def shown(tokens_BT: IntArray) -> IntArray:
    """How often each window shows its last token `(B,)`; padding is none."""
    often: IntArray = (tokens_BT == tokens_BT[:, -1:]).sum(axis=1)
    return np.where(tokens_BT[:, -1] == PAD, 0, often)
