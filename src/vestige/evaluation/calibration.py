"""Whether a score of 0.8 means that 8 of 10 such windows are anomalous."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
BINS = 10


@dataclass(frozen=True)
class Calibration:
    """Reliability in equal-width bins of the score: empty bins are left out.

    `score (B,)` mean score, `share (B,)` share of positives, `count (B,)` windows of each bin;
    `brier` = mean (score - positive)^2; `ece` = mean over windows of |score - share| of their bin.
    """

    score: FloatArray
    share: FloatArray
    count: NDArray[np.int64]
    brier: float
    ece: float


def calibrate(score: NDArray[Any], positive: NDArray[np.bool_], bins: int = BINS) -> Calibration:
    """Reliability of `score (N,)` in 0..1 as the probability of `positive (N,)`."""
    which = np.minimum((score * bins).astype(np.int64), bins - 1)
    count = np.bincount(which, minlength=bins)
    kept = count > 0
    mean = np.bincount(which, weights=score, minlength=bins)[kept] / count[kept]
    share = np.bincount(which, weights=positive, minlength=bins)[kept] / count[kept]
    n = max(len(score), 1)
    return Calibration(
        score=mean,
        share=share,
        count=count[kept].astype(np.int64),
        brier=float(np.mean((score - positive) ** 2)) if len(score) else float("nan"),
        ece=float((count[kept] / n * np.abs(mean - share)).sum()) if len(score) else float("nan"),
    )
