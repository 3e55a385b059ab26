"""From windows to recordings: where the label is the recording's, so is the verdict.

A recording is as suspicious as its most suspicious window (`max`), or as its windows on average: of their
probabilities (`mean`), or of their log-odds (`log_odds`; for surprise, the mean surprise); or as its most
suspicious stretch of a few windows, by their mean log-odds (`stretch`). From which score on it is an
anomaly is a choice of its own: the highest of many windows lies above one half for nearly every recording.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np

from vestige.evaluation.metrics import Sweep, at_threshold
from vestige.evaluation.predictions import FloatArray, Predictions
from vestige.evaluation.threshold import choose

How = Literal["max", "mean", "log_odds", "stretch"]
STRETCH = 32
"""Windows in a row: what strikes once may be new and harmless, what strikes on and on is not."""
DIGITS = 9
"""Decimals of a mean that count: beyond them it tells of a recording's length."""
LEAST = 1e-12
"""Probability below which there is no more evidence to be had: one window cannot decide a recording alone."""


@dataclass(frozen=True)
class Way:
    """From windows to a recording's verdict: what is taken of them, and the score from which on the recording
    is an anomaly. There the probabilities are moved to one half. `size`: windows of a stretch."""

    how: How
    boundary: float = 0.5
    size: int = STRETCH

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {"how": self.how, "boundary": self.boundary, "size": self.size}

    @classmethod
    def from_dict(cls, plain: dict[str, Any] | None) -> Self | None:
        """What `to_dict` made; None of None."""
        if plain is None:
            return None
        return cls(plain["how"], float(plain["boundary"]), int(plain.get("size", STRETCH)))


WAYS = (Way("max"), Way("mean"), Way("log_odds"), Way("stretch"))
"""Those that are tried."""
OF_SURPRISE = (*WAYS, Way("stretch", size=8))
"""Those that are tried where scores are surprise: what never came before may come in short bursts."""


def by_recording(windows: Predictions, way: Way) -> Predictions:
    """One row a recording: its last window's place and time, its label, and the score of its windows.

    With two classes `max` and `mean` are those of the score; with more, each class's are taken and scaled to
    sum to 1. A recording counts as novel when all its windows are.
    """
    present, row = np.unique(windows.recording, return_inverse=True)
    n = len(present)
    if way.how == "stretch":
        taken_NK = _worst_stretches(windows, row, n, way.size)
    else:
        taken = [_taken(windows.proba[:, k], row, n, way.how) for k in range(len(windows.classes))]
        taken_NK = np.stack(taken, axis=1)
    proba = pooled(taken_NK, way)
    order = np.argsort(windows.position, kind="stable")
    last = np.empty(n, dtype=np.int64)
    last[row[order]] = order
    novel = None if windows.novel is None else ~_any(~windows.novel, row, n)
    return replace(windows.select(last), proba=proba, novel=novel)


def log_of(proba: FloatArray) -> FloatArray:
    """ln P as `log_odds` takes it."""
    logs: FloatArray = np.log(np.maximum(proba, LEAST))
    return logs


def pooled(taken_NK: FloatArray, way: Way) -> FloatArray:
    """A recording's probabilities from what was taken of its windows: the highest, the means, or the means of
    `log_of` (of all, or of a stretch)."""
    if way.how != "max":  # means of equal values differ in their last digits, by how many there are
        taken_NK = np.round(taken_NK, DIGITS)
    if way.how in {"log_odds", "stretch"}:
        proba: FloatArray = np.exp(taken_NK)
    elif taken_NK.shape[1] == 2:
        proba = np.stack([1 - taken_NK[:, 1], taken_NK[:, 1]], axis=1)
    else:
        proba = taken_NK.copy()
    if way.boundary != 0.5:
        proba[:, 0] *= way.boundary / (1 - way.boundary)
    shares: FloatArray = proba / proba.sum(axis=1, keepdims=True)
    return shares


def worst_stretch(logs_BK: FloatArray, size: int) -> FloatArray:
    """Means `(K,)` of `log_of` over the stretch of `size` consecutive windows that is least like class 0;
    over all of them where there are fewer."""
    size = min(size, len(logs_BK))
    sums = np.cumsum(np.vstack([np.zeros(logs_BK.shape[1]), logs_BK]), axis=0)
    means = (sums[size:] - sums[:-size]) / size
    worst: FloatArray = means[int(np.argmax(means[:, 1:].max(axis=1) - means[:, 0]))]
    return worst


def _worst_stretches(windows: Predictions, row: np.ndarray, n: int, size: int) -> FloatArray:
    order = np.lexsort((windows.position, row))
    logs_BK = log_of(windows.proba[order])
    bounds = np.searchsorted(row[order], np.arange(n + 1))
    return np.stack([worst_stretch(logs_BK[bounds[at] : bounds[at + 1]], size) for at in range(n)])


def best_way(validation: Predictions, ways: tuple[Way, ...] = WAYS) -> Way:
    """Which of `ways` ranks validation recordings best (average precision; the first of equals), with the
    boundary of the highest macro F1 of anomalous against normal there, above all of them where silence is
    best."""
    best = max(ways, key=lambda one: _precision(by_recording(validation, one)))
    judged = by_recording(validation, best)
    if len(np.unique(judged.positive)) < 2:
        return best
    above = (1 + float(judged.score.max())) / 2
    lowest = choose(judged, "f1").value * (1 - LEAST)  # the score at the boundary is an anomaly's
    silence, found = (at_threshold(judged.score, judged.positive, one).macro_f1 for one in (above, lowest))
    boundary = float(np.clip(above if silence >= found else lowest, LEAST, 1 - LEAST))
    return replace(best, boundary=boundary)


def _precision(recordings: Predictions) -> float:
    found = Sweep.of(recordings.score, recordings.positive).average_precision
    return found if np.isfinite(found) else 0.0


def _taken(values: FloatArray, row: np.ndarray, n: int, how: How) -> FloatArray:
    if how == "max":
        highest = np.zeros(n)
        np.maximum.at(highest, row, values)
        return highest
    values = log_of(values) if how == "log_odds" else values
    mean: FloatArray = np.bincount(row, weights=values, minlength=n) / np.bincount(row, minlength=n)
    return mean


def _any(flags: np.ndarray, row: np.ndarray, n: int) -> np.ndarray:
    found: np.ndarray = np.bincount(row, weights=flags, minlength=n) > 0
    return found
