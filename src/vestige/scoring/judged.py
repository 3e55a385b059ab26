"""Windows of raw evidence with what a detector says of them."""

from __future__ import annotations

from dataclasses import dataclass

from vestige.models.base import Judgement
from vestige.reading.encoding import BoundEncoder
from vestige.reading.windower import WindowBatch


@dataclass(frozen=True)
class JudgedBatch:
    """Windows, and what a detector says of them, row by row; `bound` is the encoder with the look-ups of
    their symbols."""

    batch: WindowBatch
    judgement: Judgement
    bound: BoundEncoder | None = None
