"""From windows to recordings: where the label is the recording's, the score is the recording's, too.

From which score on a recording is an anomaly is a choice of its own: the highest of many windows lies above
one half for nearly every recording.

Letters: N recordings, B windows, K classes.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vestige.checkpoint.notes import Pooling
from vestige.evaluation.metrics import Sweep, at_threshold
from vestige.evaluation.predictions import FloatArray, Predictions
from vestige.evaluation.threshold import choose

DIGITS = 9
"""Decimals of a mean that count: beyond them it tells of a recording's length."""
LEAST = 1e-12
"""Probability below which there is no more evidence to be had: one window cannot decide a recording alone."""


POOLINGS = (
    *(Pooling(kind=kind) for kind in ("max", "mean", "mean_log_odds", "moving_average_max")),
    Pooling(kind="moving_average_max", size=8),
    Pooling(kind="top_k", size=8),
    Pooling(kind="top_k", size=32),
)
"""Those that are tried; of equals the first is taken. What strikes may come in short bursts, or all over."""


def by_recording(windows: Predictions, pooling: Pooling) -> Predictions:
    """One row a recording: its last window's place and time, its label, and the score of its windows.

    With two classes `max` and `mean` are those of the score; with more, each class's are taken and scaled to
    sum to 1. A recording counts as novel when all its windows are.
    """
    present, row = np.unique(windows.recording, return_inverse=True)
    n = len(present)
    if pooling.kind == "whole":
        # Each window has the probabilities of its recording.
        first = np.unique(row, return_index=True)[1]
        taken_NK = windows.proba[first]
    elif pooling.kind in _OF_EACH:
        taken_NK = _of_each(windows, row, n, pooling)
    else:
        taken = [_taken(windows.proba[:, k], row, n, pooling) for k in range(len(windows.classes))]
        taken_NK = np.stack(taken, axis=1)
    proba = pooled(taken_NK, pooling)
    order = np.argsort(windows.position, kind="stable")
    last = np.empty(n, dtype=np.int64)
    last[row[order]] = order  # of several values for one recording numpy keeps the last written
    novel = None
    if windows.novel is not None:
        novel = ~_any(~windows.novel, row, n)
    return replace(windows.select(last), proba=proba, novel=novel)


def log_of(proba: FloatArray) -> FloatArray:
    """ln P as the poolings of log-odds take it."""
    logs: FloatArray = np.log(np.maximum(proba, LEAST))
    return logs


def pooled(taken_NK: FloatArray, pooling: Pooling) -> FloatArray:
    """A recording's probabilities from what was taken of its windows: the highest, the means, or the means of
    `log_of` (of all of them, or of the windows in a row whose mean is the highest); or its own."""
    if pooling.kind not in {
        "max",
        "whole",
    }:  # means of equal values differ in their last digits, by how many there are
        taken_NK = np.round(taken_NK, DIGITS)
    if pooling.kind in {"mean_log_odds", *_OF_EACH}:
        proba: FloatArray = np.exp(taken_NK)
    elif taken_NK.shape[1] == 2 and pooling.kind != "whole":
        proba = np.stack([1 - taken_NK[:, 1], taken_NK[:, 1]], axis=1)
    else:
        proba = taken_NK.copy()
    if pooling.boundary != 0.5:
        # The odds against the first class are multiplied so that those of the boundary become even.
        proba[:, 0] *= pooling.boundary / (1 - pooling.boundary)
    shares: FloatArray = proba / proba.sum(axis=1, keepdims=True)
    return shares


def moving_average_max(logs_BK: FloatArray, size: int) -> FloatArray:
    """Means `(K,)` of `log_of` over the `size` consecutive windows that are least like class 0; over all of
    them where there are fewer."""
    size = min(size, len(logs_BK))
    sums = np.cumsum(np.vstack([np.zeros(logs_BK.shape[1]), logs_BK]), axis=0)
    means = (sums[size:] - sums[:-size]) / size
    highest: FloatArray = means[int(np.argmax(means[:, 1:].max(axis=1) - means[:, 0]))]
    return highest


def most_suspicious(logs_BK: FloatArray, size: int) -> FloatArray:
    """`log_of` of the `size` windows that are least like class 0, those first; all where there are fewer."""
    order = np.argsort(logs_BK[:, 0] - logs_BK[:, 1:].max(axis=1), kind="stable")
    found: FloatArray = logs_BK[order[:size]]
    return found


def top_k(logs_BK: FloatArray, size: int) -> FloatArray:
    """Means `(K,)` of `log_of` over the `size` windows that are least like class 0."""
    means: FloatArray = most_suspicious(logs_BK, size).mean(axis=0)
    return means


_OF_EACH = {"moving_average_max": moving_average_max, "top_k": top_k}
"""Poolings that take something of a recording's windows, `(B, K)` of them in their order."""


def best_pooling(validation: Predictions, poolings: tuple[Pooling, ...] = POOLINGS) -> Pooling:
    """Which of `poolings` ranks validation recordings best (average precision; the first of equals), with the
    boundary of the highest macro F1 of anomalous against normal there, above all of them where silence is
    best."""
    best = max(poolings, key=lambda pooling: _precision(by_recording(validation, pooling)))
    judged = by_recording(validation, best)
    if len(np.unique(judged.positive)) < 2:
        return best
    above = (1 + float(judged.score.max())) / 2
    lowest = choose(judged, "f1").value * (1 - LEAST)  # the score at the boundary is an anomaly's
    silence = at_threshold(judged.score, judged.positive, above).macro_f1
    alerting = at_threshold(judged.score, judged.positive, lowest).macro_f1
    boundary = lowest
    if silence >= alerting:
        boundary = above
    return best.model_copy(update={"boundary": float(np.clip(boundary, LEAST, 1 - LEAST))})


def _precision(recordings: Predictions) -> float:
    found = Sweep.of(recordings.score, recordings.positive).average_precision
    if not np.isfinite(found):
        return 0.0
    return found


def _of_each(windows: Predictions, row: NDArray[np.int64], n: int, pooling: Pooling) -> FloatArray:
    """What is taken of the windows of each recording, in their order."""
    order = np.lexsort((windows.position, row))
    logs_BK = log_of(windows.proba[order])
    bounds = np.searchsorted(row[order], np.arange(n + 1))
    take = _OF_EACH[pooling.kind]
    return np.stack([take(logs_BK[bounds[at] : bounds[at + 1]], pooling.size) for at in range(n)])


def _taken(values: FloatArray, row: NDArray[np.int64], n: int, pooling: Pooling) -> FloatArray:
    if pooling.kind == "max":
        highest = np.zeros(n)
        np.maximum.at(highest, row, values)
        return highest
    if pooling.kind == "mean_log_odds":
        values = log_of(values)
    mean: FloatArray = np.bincount(row, weights=values, minlength=n) / np.bincount(row, minlength=n)
    return mean


def _any(flags: NDArray[np.bool_], row: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.bincount(row, weights=flags, minlength=n) > 0
    return found
