"""The alerts among judged windows with what explains each, as a table that can travel.

Letters: B windows.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.models.base import Detector
from vestige.triage.evidence import COLUMNS, Piece
from vestige.triage.explained import explained

TOLD = {**COLUMNS, "surprise": pl.Float64(), "rank": pl.Int64()}
"""What is kept of an alert: where it is, how strange it is (nats), and how many events were likelier."""
ALERTS = {
    **TOLD,
    "text": pl.String(),
    "last": pl.Int64(),
    "ids": pl.List(pl.Int64()),
    "weights": pl.List(pl.Float64()),
    "alike": pl.Int64(),
}
"""With what the event is called, and its explanation, see `explained`."""


def alerts_of(piece: Piece, detector: Detector, limit: float) -> pl.DataFrame:
    """The windows of a piece at or above `limit`, with `ALERTS`. Equal windows are judged once."""
    unique, again = np.unique(piece.tokens, axis=0, return_inverse=True)
    judgement = detector.judge({detector.inputs[0].name: unique})
    of_window: NDArray[np.int64] = again.reshape(-1)
    rows = np.flatnonzero(judgement.score[of_window] >= limit)
    if not len(rows):
        return pl.DataFrame(schema=ALERTS)
    chosen = of_window[rows]
    if judgement.rank is None:
        rank = pl.Series([None] * len(rows), dtype=pl.Int64())
    else:
        rank = pl.Series(judgement.rank[chosen], dtype=pl.Int64())
    surprise = pl.Series(judgement.strangeness[chosen])
    told = piece.about[rows].with_columns(surprise=surprise, rank=rank, text=piece.texts.gather(rows))
    return told.hstack(explained(detector, piece.tokens[rows])).select(ALERTS.keys())
