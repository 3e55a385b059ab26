"""Are the reasons of a detector any good? Taking away what they name must lower the score more than chance.

The deletion test (Samek et al., 2017): of windows that alert, the pieces that the reasons name are taken
away, the strongest first, one more at a time, and beside them as many pieces drawn at random. The area
between the two curves is the mean difference, in nats of log-odds.

Letters: W windows, S pieces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import interval_result
from vestige.evaluation.figures import DeletionResult, ReasonRow, WindowReasons
from vestige.models.base import Detector
from vestige.models.reasons import Reason, effects
from vestige.reading.encoding import Batch

MOST_REASONS, DRAWS, FEWEST = 5, 5, 8
"""Pieces that are taken away at most, random draws of as many, and windows that a test needs."""


def deletion(
    detector: Detector,
    X: Batch,
    clusters: NDArray[np.int64],
    *,
    reasons: Sequence[Sequence[Reason]],
    seed: int = 0,
    resamples: int = bootstrap.RESAMPLES,
) -> DeletionResult | None:
    """The test on windows `X` with their `reasons`, whose clusters `(W,)` the interval draws. None where
    fewer than `FEWEST` windows have any reason."""
    rng = np.random.default_rng(seed)
    rows = [row for row, found in enumerate(reasons) if found]
    if len(rows) < FEWEST:
        return None
    chosen = {name: values[rows] for name, values in X.items()}
    ours = [
        [[reason.piece for reason in reasons[row][: n + 1]] for n in range(len(reasons[row]))] for row in rows
    ]
    chance = []
    pools = detector.pieces(chosen)
    for row, pool in zip(rows, pools, strict=True):
        orders = [rng.permutation(len(pool)) for _ in range(DRAWS)]
        sizes = range(1, len(reasons[row]) + 1)
        chance.append([[pool[piece] for piece in order[:size]] for order in orders for size in sizes])
    fell = effects(detector, chosen, ours)
    fell_by_chance = effects(detector, chosen, chance)
    named = [np.asarray(falls) for falls in fell]
    drawn = [falls.reshape(DRAWS, -1).mean(axis=0) for falls in fell_by_chance]
    gains = (by_reason - by_chance for by_reason, by_chance in zip(named, drawn, strict=True))
    areas = np.array([float(gain.mean()) for gain in gains])
    _, ids = np.unique(clusters[rows], return_inverse=True)
    count = int(ids.max()) + 1
    weights = bootstrap.draw(count, resamples, seed)
    total, many = (np.bincount(ids, weights=w, minlength=count) for w in (areas, np.ones(len(ids))))
    samples = (weights @ total) / (weights @ many)
    return DeletionResult(
        windows=len(rows),
        clusters=count,
        area=interval_result(float(areas.mean()), samples, weights),
        named=_curve(named),
        random=_curve(drawn),
    )


def told(reasons: Sequence[Reason], position: int, ahead: int) -> WindowReasons:
    """The reasons of the window that ends at `position`, for the record."""
    return WindowReasons(position=position, reasons=[ReasonRow(**reason.told(ahead)) for reason in reasons])


def _curve(falls: Sequence[NDArray[np.float64]]) -> list[float]:
    """The mean fall after so many pieces; windows with fewer stay where they are."""
    full = [np.concatenate([fall, np.full(MOST_REASONS - len(fall), fall[-1])]) for fall in falls]
    return [round(float(value), 6) for value in np.mean(full, axis=0)]
