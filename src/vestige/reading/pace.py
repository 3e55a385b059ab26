"""How long what came took, beside what is usual: gaps, bursts, and what comes too often.

Letters: B windows, T steps, V tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
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
HOUR_NS = 3_600 * 10**9
QUANTILES = (0.05, 0.5, 0.95)


@dataclass(frozen=True)
class Pace:
    """For each token, and in the last row for all: the median and how far the 5% and 95% quantiles lie from
    it, in ln of seconds, of the gap before it (`gap (V + 1, 3)`) and of the time that the steps of a window
    took (`span (V + 1, 3)`)."""

    gap: FloatArray
    span: FloatArray
    hours: FloatArray
    """By how much the medians of gap and span lie above the usual ones in each hour of the day, `(24, 2)`."""

    @classmethod
    def fit(
        cls, tokens: NDArray[np.int64], gap: FloatArray, span: FloatArray, hour: NDArray[np.int64], size: int
    ) -> Self:
        """Of windows `(N,)`: the token judged, ln of its gap and of the window's span (NaN: unknown), and the
        hour of the day, UTC."""
        tables, offsets = [], []
        for values in (gap, span):
            # What comes at an hour decides how long it usually takes: the hour itself adds to that.
            beside = values - _table(tokens, values, size)[tokens, 0]
            offsets.append(_by_hour(beside, hour))
            tables.append(_table(tokens, values - offsets[-1][hour], size))
        of_gap, of_span = tables
        return cls(of_gap, of_span, np.stack(offsets, axis=1))

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """The pace of three tables as lists. Raises KeyError where one is missing, ValueError for others."""
        names = ("gap", "span", "hours")
        gap, span, hours = (np.asarray(state[name], dtype=np.float64) for name in names)
        sound = gap.ndim == 2 and gap.shape == span.shape and gap.shape[1] == 3 and hours.shape == (24, 2)
        if not sound or any((table[:, 1:] <= 0).any() for table in (gap, span)):
            raise ValueError("a pace that cannot be")
        return cls(gap, span, hours)

    def strangeness(
        self, tokens: NDArray[np.int64], gap: FloatArray, span: FloatArray, hour: NDArray[np.int64]
    ) -> FloatArray:
        """Of windows `(B,)`, `(B, 2)`: how much longer than usual at this hour the gap is, and how much
        shorter the span, in units of their usual spread; 0 where they are not, or nobody knows."""
        at = np.clip(tokens, 0, len(self.gap) - 1)
        gap, span = gap - self.hours[hour, 0], span - self.hours[hour, 1]
        middle, _, high = self.gap[at].T
        longer = (gap - middle) / high
        middle, low, _ = self.span[at].T
        shorter = (middle - span) / low
        found = np.nan_to_num(np.stack([longer, shorter], axis=1), nan=0.0)
        beyond: FloatArray = np.maximum(found, 0)
        return beyond

    def usual(self, tokens: NDArray[np.int64], hour: NDArray[np.int64]) -> FloatArray:
        """ln of the seconds `(B, 2)` that gap and span usually take before these tokens at these hours."""
        at = np.clip(tokens, 0, len(self.gap) - 1)
        middle: FloatArray = np.stack([self.gap[at, 0], self.span[at, 0]], axis=1) + self.hours[hour]
        return middle


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


def hour_of(t_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The hour of the day, UTC, 0 where nobody knows the time."""
    return np.where(t_ns == NO_TIME, 0, t_ns // HOUR_NS % 24)


def _by_hour(values: FloatArray, hour: NDArray[np.int64]) -> FloatArray:
    """The median of each hour, `(24,)`; 0 of an hour with few values."""
    known = np.isfinite(values)
    offsets = np.zeros(24)
    for each in range(24):
        own = values[known & (hour == each)]
        if len(own) >= ENOUGH:
            offsets[each] = np.median(own)
    return offsets


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
