"""How long what came took, beside what is usual: gaps, bursts, and what comes too often.

Letters: B windows, T steps, V tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige.reading.steps import NO_TIME

FloatArray = NDArray[np.float64]

LEAST_S = 1e-3
"""Shorter times are taken for so many seconds: clocks are no finer, and logs are written in batches."""
ENOUGH = 30
"""Windows from which on a token has a pace of its own; of fewer, that of all tokens is taken."""
LEAST_SPREAD = 0.3
"""A spread of logarithms of seconds below this is taken for so much: no clockwork is trusted further."""
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Pace:
    """For each token, and in the last row for all: the median and how far the 5% and 95% quantiles lie from
    it, in ln of seconds, of the gap before it (`gap (V + 1, 3)`) and of the time that the steps of a window
    took (`span (V + 1, 3)`)."""

    gap: FloatArray
    span: FloatArray

    @classmethod
    def fit(cls, tokens: NDArray[np.int64], gap: FloatArray, span: FloatArray, size: int) -> Self:
        """Of windows `(N,)`: the token judged, ln of its gap and of the window's span (NaN: unknown)."""
        return cls(_table(tokens, gap, size), _table(tokens, span, size))

    def strangeness(self, tokens: NDArray[np.int64], gap: FloatArray, span: FloatArray) -> FloatArray:
        """Of windows `(B,)`, `(B, 2)`: how much longer than usual the gap is, and how much shorter the span,
        in units of their usual spread; 0 where they are not, or nobody knows."""
        at = np.clip(tokens, 0, len(self.gap) - 1)
        middle, _, high = self.gap[at].T
        longer = (gap - middle) / high
        middle, low, _ = self.span[at].T
        shorter = (middle - span) / low
        found = np.nan_to_num(np.stack([longer, shorter], axis=1), nan=0.0)
        beyond: FloatArray = np.maximum(found, 0)
        return beyond


def gap_and_span(t_ns_BT: NDArray[np.int64], real_BT: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
    """ln of the seconds `(B,)` between the last step and the one before, and of those that all steps of a
    window took; NaN where the window has no such steps."""
    last = t_ns_BT[:, -1]
    length = t_ns_BT.shape[1]
    gap = np.full(len(last), np.nan)
    span = gap.copy()
    if length > 1:
        _fill(gap, last, t_ns_BT[:, -2], real_BT[:, -2])
        # A window that is not full says nothing of how fast its steps came.
        _fill(span, last, t_ns_BT[:, 0], real_BT[:, 0])
    return gap, span


def _fill(
    out: FloatArray, last: NDArray[np.int64], first: NDArray[np.int64], real: NDArray[np.bool_]
) -> None:
    """ln of the seconds from `first` to `last`, where both are times of steps."""
    rows = np.flatnonzero(real & (last != NO_TIME) & (first != NO_TIME))
    out[rows] = np.log(np.maximum((last[rows] - first[rows]) / 1e9, LEAST_S))


def _table(tokens: NDArray[np.int64], values: FloatArray, size: int) -> FloatArray:
    known = np.isfinite(values)
    tokens, values = tokens[known], values[known]
    table = np.empty((size + 1, 3))
    table[:] = _quantiles(values)
    order = np.argsort(tokens, kind="stable")
    tokens, values = tokens[order], values[order]
    first = np.searchsorted(tokens, np.arange(size + 1))
    for token in np.flatnonzero(np.diff(first) >= ENOUGH).tolist():
        table[token] = _quantiles(values[first[token] : first[token + 1]])
    return table


def _quantiles(values: NDArray[Any]) -> FloatArray:
    if not len(values):
        return np.array([0.0, 1.0, 1.0])
    low, middle, high = np.quantile(values, QUANTILES)
    return np.array([middle, max(middle - low, LEAST_SPREAD), max(high - middle, LEAST_SPREAD)])
