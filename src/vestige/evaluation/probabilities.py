"""Probabilities that mean something, and the verdict `unknown`: both learnt from the validation part.

Letters: N units (windows, or recordings where they are judged), K classes.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.checkpoint.notes import MOST_VALUES, Calibration, Conformal
from vestige.evaluation.predictions import Predictions

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LEAST = 1e-300
"""No probability counts as less: its logarithm is finite."""
LEAST_OF_CLASS = 5
"""Units of a class in validation below which nothing is fitted to them."""
ROUNDS = 100


def log_odds_of(proba: FloatArray) -> FloatArray:
    """Log-odds `(N,)` of an anomaly against class 0, in nats, of probabilities `(N, K)`.

    Where the score `1 - P(class 0)` is 1 to all digits, these still tell units apart.
    """
    rest = proba[:, 1:].sum(axis=1)
    found: FloatArray = np.log(np.maximum(rest, LEAST)) - np.log(np.maximum(proba[:, 0], LEAST))
    return found


def calibrated(log_odds: FloatArray, calibration: Calibration) -> FloatArray:
    """The probability of an anomaly, `(N,)`."""
    z = np.clip(calibration.scale * log_odds + calibration.bias, -700.0, 700.0)
    found: FloatArray = 1.0 / (1.0 + np.exp(-z))
    return found


def fit_calibration(validation: Predictions) -> Calibration | None:
    """Platt's sigmoid (1999) on validation: one scale and one bias of the log-odds, by Newton's method on the
    log loss with his targets, which keep a perfect ranking from being certain.

    An isotonic fit would make ties of what the scores tell apart, and needs more units than most validation
    parts have. None where a class has fewer than `LEAST_OF_CLASS` units.
    """
    positive = validation.positive
    n, n1 = len(positive), int(positive.sum())
    if min(n1, n - n1) < LEAST_OF_CLASS:
        return None
    z = log_odds_of(validation.proba)
    centre, spread = float(z.mean()), max(float(z.std()), 1e-9)
    X = np.stack([(z - centre) / spread, np.ones(n)], axis=1)
    target = np.where(positive, (n1 + 1) / (n1 + 2), 1 / (n - n1 + 2))
    weights = _newton(X, target)
    # Scores that rank the wrong way round say nothing: the share of anomalies then stands for all.
    scale = weights[0] / spread
    if scale <= 0:
        return Calibration(scale=0.0, bias=float(np.log(n1 / (n - n1))), units=n, positives=n1)
    scale = min(scale, 1e3)
    bias = float(np.clip(weights[1] - scale * centre, -1e3, 1e3))
    return Calibration(scale=float(scale), bias=bias, units=n, positives=n1)


def _newton(X: FloatArray, target: FloatArray) -> FloatArray:
    weights = np.zeros(2)
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-np.clip(X @ weights, -700, 700)))
        # A faint prior on the scale keeps the step finite where the classes do not overlap.
        gradient = X.T @ (p - target) + 1e-3 * weights * [1.0, 0.0]
        curvature = (X * (p * (1 - p))[:, None]).T @ X + np.diag([1e-3, 1e-9])
        step = np.linalg.solve(curvature, gradient)
        weights = weights - np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-10:
            break
    return weights


def fit_conformal(validation: Predictions) -> Conformal:
    """What a class-conditional conformal prediction compares with (Vovk: Conditional validity of inductive
    conformal predictors. ACML 2012): how little each class liked its own members."""
    values, counts = [], []
    for k in range(len(validation.classes)):
        own = np.sort(_dislike(validation.proba[validation.label == k, k]))
        counts.append(len(own))
        if len(own) > MOST_VALUES:
            own = own[np.linspace(0, len(own) - 1, MOST_VALUES).round().astype(np.int64)]
        values.append(own.tolist())
    return Conformal(values=values, counts=counts)


def p_values(proba: FloatArray, conformal: Conformal) -> FloatArray:
    """Of each class, the share of its own validation units that it liked as little, `(N, K)`; 1 of a class
    that validation lacks, for nothing speaks against it."""
    found = np.ones(proba.shape)
    known: FloatArray
    for k, (values, count) in enumerate(zip(conformal.values, conformal.counts, strict=True)):
        if not count:
            continue
        known = np.asarray(values, dtype=np.float64)
        reached = (len(known) - np.searchsorted(known, _dislike(proba[:, k]))) * (count / len(known))
        found[:, k] = (reached + 1) / (count + 1)
    return found


def conforms(proba: FloatArray, conformal: Conformal, level: float) -> BoolArray:
    """Which classes each unit may be of, `(N, K)`: of units of a class that are like validation's, no more
    than the share `level` is denied it."""
    found: BoolArray = p_values(proba, conformal) > level
    return found


def effective_units(conformal: Conformal) -> list[float]:
    """How many different units each class of a conformal prediction rests on: (sum of n)^2 / sum of n^2,
    where n units have one value (Kish, 1965). All copies of a sequence say the same, and come to lie on one
    side of a split: 1,500 sessions of which a third are one and the same are few."""
    found = []
    for values in conformal.values:
        _, times = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
        found.append(float(times.sum() ** 2 / max(1, int((times**2).sum()))))
    return found


def _dislike(proba: FloatArray) -> FloatArray:
    # Equal to a billionth is equal: single precision tells apart what is the same in another batch.
    rounded: FloatArray = np.abs(np.round(-np.log(np.maximum(proba, LEAST)), 9)).astype(np.float64)
    return rounded
