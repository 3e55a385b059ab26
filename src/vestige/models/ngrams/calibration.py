"""Logits to probabilities that validation agrees with, and a class boundary where macro F1 is best.

Letters: N verdicts, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vestige.models.logits import softmax

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FLOOR = 1e-9
"""Probability below which a loss does not grow any more."""
WIDEST = 8.0
"""Bounds of ln(scale) and of biases."""


@dataclass(frozen=True)
class Calibration:
    """`softmax(scale * logits + bias)`; `loss`: log loss of the verdicts before the boundary moved, nats."""

    scale: float
    bias: FloatArray
    loss: float


def by_recording(
    logits_NK: FloatArray, label_N: IntArray, recording_N: NDArray[np.integer]
) -> tuple[FloatArray, IntArray]:
    """Logits and label of each recording, where labels are theirs: the mean of its windows' logits, or those
    of its most anomalous window, whichever ranks recordings better (average precision)."""
    from sklearn.metrics import average_precision_score

    _, first, row = np.unique(recording_N, return_index=True, return_inverse=True)
    sums = np.stack([np.bincount(row, weights=column) for column in logits_NK.T], axis=1)
    # By recording, and within it the most anomalous window last: where the recording changes, that is it.
    order = np.lexsort((-softmax(logits_NK)[:, 0], row))
    worst = order[np.r_[row[order][1:] != row[order][:-1], True]]
    ways = (logits_NK[worst], sums / np.bincount(row)[:, None])
    label = label_N[first]
    if label.min() > 0 or label.max() == 0:
        return ways[1], label
    ranked = [average_precision_score(label > 0, -softmax(logits)[:, 0]) for logits in ways]
    return ways[int(np.argmax(ranked))], label


def calibrate(logits_NK: FloatArray, label_N: IntArray) -> Calibration:
    """One scale and a bias for each class of the least log loss, with a unit normal prior on ln(scale) and
    each bias; then the boundary between the first class and the others moved to where it should be.

    Guo, Pleiss, Sun, Weinberger: On Calibration of Modern Neural Networks. ICML 2017, section 4.2; of two
    classes that is Platt's sigmoid (1999).
    """
    from scipy.optimize import minimize

    K = logits_NK.shape[1]
    rows = np.arange(len(label_N))

    def loss(x: FloatArray) -> float:
        right = softmax(np.exp(x[0]) * logits_NK + x[1:])[rows, label_N]
        return float((x @ x / 2 - np.log(np.maximum(right, FLOOR)).sum()) / len(rows))

    found = minimize(loss, np.zeros(1 + K), method="L-BFGS-B", bounds=[(-WIDEST, WIDEST)] * (1 + K))
    scale, bias = float(np.exp(found.x[0])), found.x[1:]
    score = 1 - softmax(scale * logits_NK + bias)[:, 0]
    boundary = np.clip(best_boundary(score), FLOOR, 1 - FLOOR)
    bias[0] += np.log(boundary / (1 - boundary))
    return Calibration(scale, bias, float(found.fun))


def best_boundary(score_N: FloatArray) -> float:
    """Where to part calibrated anomaly scores so that the expected macro F1 of the two sides is highest.

    Plug-in: expected counts in place of counts, which are smooth where labelled anomalies are few (Ye, Chai,
    Lee, Chieu: Optimizing F-measure: A Tale of Two Approaches. ICML 2012). Midway between two scores.
    """
    ranked = np.sort(score_N)[::-1]
    alerts = np.arange(1, len(ranked))
    hits = np.cumsum(ranked)[:-1]
    anomalies, n = ranked.sum(), len(ranked)
    rest = n - alerts
    quiet = rest - (anomalies - hits)
    f1 = 2 * hits / (alerts + anomalies) + 2 * quiet / (rest + n - anomalies)
    f1[ranked[:-1] == ranked[1:]] = -1  # equal scores stay together
    if not len(f1) or f1.max() < 0:
        return 0.5
    at = int(f1.argmax())
    return float((ranked[at] + ranked[at + 1]) / 2)
