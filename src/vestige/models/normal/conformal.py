"""From how strange to how rare: p-values by rank among what was kept for calibration, and their combination.

Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World (2005), chapter 2; Fisher: Statistical Methods
for Research Workers (1925), section 21.1. Letters: N values of the calibration, B windows, L looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

TOP = 40
"""So many of the highest values say how fast the chance falls beyond all of them: ranks say nothing of what
is rarer than the whole calibration is long."""
POINTS = 4_096
"""Values of the calibration that are kept at most: all of the highest, and quantiles of the others."""
FOLDS = 3
"""Parts of the calibration, one after the other: each is ranked among the others."""
LEAST = 1e-300
"""No p-value is below: its logarithm is finite."""


@dataclass(frozen=True)
class Tail:
    """How rare values are, by those of a calibration.

    `values (K,)` float64 ascend; `reached (K,)` float64 says how many of the `n` values of the calibration
    were at least as high as each. `beyond` of them are above `begin`; of a tail that begins there, in which
    the chance falls by a factor of e every `scale`, is what lies above all values.
    """

    values: FloatArray
    reached: FloatArray
    n: int
    begin: float
    beyond: int
    scale: float

    @classmethod
    def fit(cls, values: FloatArray, *, least_scale: float = 1e-9) -> Self:
        """Of the values `(N,)` of a calibration, all finite, N >= 1. `least_scale`: the chance never falls
        faster; it matters where hardly any value is above the usual one, and something is far above it."""
        ordered = np.sort(values)
        n = len(ordered)
        at = np.arange(n)
        if n > POINTS:
            low = np.linspace(0, n - POINTS // 2 - 1, POINTS // 2).astype(np.int64)
            at = np.r_[low, np.arange(n - POINTS // 2, n)]
        kept = np.unique(ordered[at])
        # The first of equal values is the one that all of them reach.
        reached = (n - np.searchsorted(ordered, kept)).astype(np.float64)
        begin = float(ordered[-min(TOP + 1, n)])
        above = ordered[ordered > begin]
        scale = least_scale
        if len(above):
            scale = max(float(np.mean(above - begin)), least_scale)
        return cls(kept, reached, n, begin, len(above), scale)

    @cached_property
    def _ranked(self) -> FloatArray:
        """-ln of the p-value `(K + 1,)` of what is at most as high as each value, and of what is higher."""
        ranked: FloatArray = np.log((self.n + 1) / (np.append(self.reached, 0.0) + 1))
        return ranked

    @cached_property
    def _top(self) -> int:
        """The first value above `begin`."""
        return int(np.searchsorted(self.values, self.begin, side="right"))

    @property
    def above_middle(self) -> float:
        """The share of the calibration whose p-value is a half at most: less where many are alike."""
        share = (self.reached + 1) / (self.n + 1)
        return float(np.max(share[share <= 0.5], initial=0.0))

    def rareness(self, values: FloatArray) -> FloatArray:
        """-ln of the chance `(B,)` that what is normal has a value at least as high: 0 or more, and finite.
        Only what would be beyond the largest float64 (1.8e308) ties for being too strange.

        By rank; between two of the highest values in between, so that what is stranger is rarer there, and
        above all of them it falls on as the tail does.
        """
        found = self._by_rank(values)
        known, top = self._ranked[:-1], self._top
        if top < len(known):
            between = (values >= self.values[top]) & (values <= self.values[-1])
            # Where two of them lie so close that the slope between them is no number, the rank is left alone.
            smooth = np.interp(values[between], self.values[top:], known[top:])
            found[between] = np.fmin(smooth, found[between])
        with np.errstate(over="ignore", invalid="ignore"):
            above = np.log(self.n + 1) + (values - self.values[-1]) / self.scale
        found = np.where(values > self.values[-1], above, found)
        rare: FloatArray = np.fmin(np.fmax(found, 0.0), np.finfo(np.float64).max)
        return rare

    def rareness_without_ties(self, values: FloatArray) -> FloatArray:
        """The same `(B,)`, but in between any two values of the calibration: what is stranger is rarer
        everywhere, and never rarer than by rank."""
        between = np.fmin(np.interp(values, self.values, self._ranked[:-1]), self._by_rank(values))
        return np.where(values > self.values[-1], self.rareness(values), between)

    def log_p(self, values: FloatArray) -> FloatArray:
        """The same as ln p `(B,)`, finite, at most 0, for a p-value that is above 0."""
        log_p: FloatArray = np.maximum(-self.rareness(values), np.log(LEAST))
        return log_p

    def _by_rank(self, values: FloatArray) -> FloatArray:
        """-ln of the p-value `(B,)` that ranks alone give."""
        ranked: FloatArray = self._ranked[np.searchsorted(self.values, values)]
        return ranked

    def at_least(self, values: FloatArray) -> FloatArray:
        """How many `(B,)` of the `n` values of the calibration are at least as high."""
        reached: FloatArray = np.append(self.reached, 0.0)[np.searchsorted(self.values, values)]
        return reached

    def arrays(self) -> dict[str, FloatArray]:
        """What `of` takes, for a file of arrays."""
        tail = np.array([self.n, self.begin, self.beyond, self.scale], dtype=np.float64)
        return {"values": self.values, "reached": self.reached, "tail": tail}

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[np.float64]]) -> Self:
        """The tail whose `arrays` these are. Raises ValueError where they cannot be those of one."""
        values, reached, tail = (np.asarray(arrays[name]) for name in ("values", "reached", "tail"))
        sound = (
            values.ndim == 1
            and len(values) > 0
            and reached.shape == values.shape
            and tail.shape == (4,)
            and all(part.dtype == np.float64 and np.isfinite(part).all() for part in (values, reached, tail))
        )
        if not sound or (np.diff(values) <= 0).any() or (np.diff(reached) > 0).any():
            raise ValueError("the values of a calibration are out of order, or none")
        n, begin, beyond, scale = tail.tolist()
        if n < 1 or scale <= 0 or not 0 <= beyond <= n or reached[0] > n or reached[-1] < 0:
            raise ValueError("a calibration that cannot be")
        return cls(values, reached, int(n), begin, int(beyond), scale)


def folds(n: int) -> list[slice]:
    """`FOLDS` parts of n windows one after the other, as even as may be; fewer where there are fewer."""
    edges = np.linspace(0, n, min(FOLDS, max(n, 1)) + 1).astype(np.int64).tolist()
    return [slice(start, stop) for start, stop in pairwise(edges)]


def out_of_fold(values: FloatArray, *, least_scale: float) -> FloatArray:
    """ln p `(N,)` of each value of a calibration among those of the other folds: neighbours in time are
    alike, so that none is ranked among its own."""
    found = np.zeros(len(values))
    parts = folds(len(values))
    if len(parts) < 2:
        return found
    for part in parts:
        others = np.delete(values, part)
        found[part] = Tail.fit(others, least_scale=least_scale).log_p(values[part])
    return found


def fisher(log_p_BL: FloatArray) -> FloatArray:
    """Fisher's sum `(B,)` of -2 ln p over the looks: the higher, the less they can all be chance."""
    total: FloatArray = -2.0 * log_p_BL.sum(axis=1)
    return total
