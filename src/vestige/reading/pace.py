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
        cls, tokens: NDArray[Any], gap: FloatArray, span: FloatArray, hour: NDArray[Any], size: int
    ) -> Self:
        """Of windows `(N,)`: the token judged, `size` at most, ln of its gap and of the window's span (NaN:
        unknown), and the hour of the day, UTC."""
        own = _rows_of(tokens, size)
        tables, offsets = [], []
        for values in (gap, span):
            # What comes at an hour decides how long it usually takes: the hour itself adds to that.
            beside = values - _table(own, values)[tokens, 0]
            offsets.append(_by_hour(beside, hour))
            np.subtract(values, offsets[-1][hour], out=beside)
            tables.append(_table(own, beside))
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


def _by_hour(values: FloatArray, hour: NDArray[Any]) -> FloatArray:
    """The median of each hour, `(24,)`; 0 of an hour with few values."""
    offsets = np.zeros(24)
    for each in range(24):
        own = _known(values[hour == each])
        if len(own) >= ENOUGH:
            offsets[each] = np.median(own, overwrite_input=True)
    return offsets


def _rows_of(tokens: NDArray[Any], size: int) -> list[NDArray[Any]]:
    """The windows of each token, `size` included."""
    n = np.bincount(tokens, minlength=size + 1)
    # numpy sorts short numbers in linear time.
    short = tokens.astype(np.uint16) if size < 1 << 16 else tokens
    order = np.argsort(short, kind="stable").astype(np.uint32 if len(tokens) < 1 << 32 else np.int64)
    return np.split(order, np.cumsum(n)[:-1])


def _table(own: list[NDArray[Any]], values: FloatArray) -> FloatArray:
    """The quantiles `(V + 1, 3)` of the values of each token, in its `own` windows; of few, those of all."""
    table = np.empty((len(own), 3))
    table[:] = _quantiles(_known(values))
    # The last row is that of all: what is beyond the vocabulary is not one token.
    for token, rows in enumerate(own[:-1]):
        if len(rows) >= ENOUGH and len(of_token := _known(values[rows])) >= ENOUGH:
            table[token] = _quantiles(of_token)
    return table


def _known(values: FloatArray) -> FloatArray:
    """A copy without what is unknown."""
    return values[np.isfinite(values)]


def _quantiles(values: FloatArray) -> FloatArray:
    """The median, and how far it is from the low and the high quantile. The values are reordered."""
    if not len(values):
        return np.array([0.0, 1.0, 1.0])
    low, middle, high = np.quantile(values, QUANTILES, overwrite_input=True)
    return np.array([middle, max(middle - low, LEAST_SPREAD), max(high - middle, LEAST_SPREAD)])
