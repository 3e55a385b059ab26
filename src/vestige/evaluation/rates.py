"""How often alerts come: exact bounds, for windows and for stretches of them."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.bootstrap import LEVEL


def exact_rate(alerts: int, days: float, level: float = LEVEL) -> tuple[float, float, float]:
    """Alerts a day, with Garwood's exact bounds of a Poisson rate (Biometrika 28, 1936).

    They hold where alerts come independently of one another, which windows that overlap do not: count
    `stretches` for that. NaN where no time has passed.
    """
    from scipy.special import gammaincinv

    if not days > 0:
        return math.nan, math.nan, math.nan
    tail = (1 - level) / 2
    low = 0.0
    if alerts:
        low = float(gammaincinv(alerts, tail))
    return alerts / days, low / days, float(gammaincinv(alerts + 1, 1 - tail)) / days


def stretches(recording: NDArray[np.integer], step: NDArray[np.int64], length: int) -> NDArray[np.bool_]:
    """Which alerts begin a stretch `(A,)`: those of one recording that follow within `length` steps of the
    one before count as one, because their windows share steps.

    `recording (A,)` and `step (A,)` are those of the alerts, recording by recording in their order.
    """
    begins = np.ones(len(step), dtype=np.bool_)
    begins[1:] = (recording[1:] != recording[:-1]) | (np.diff(step) >= length)
    return begins
