"""Whether evidence is of a kind that a detector knows at all."""

from __future__ import annotations

from dataclasses import dataclass

from vestige.log import get
from vestige.reading.looks import BoundNormalEncoder
from vestige.scoring.judged import JudgedBatch

MOST_UNKNOWN = 0.5
"""Where more of the events were never learnt, the evidence is of something else."""
FEWEST = 20
"""Of fewer events nothing can be said."""

log = get(__name__)


@dataclass
class Unknown:
    """Counts the events judged, and those of them that a detector of what is normal never learnt."""

    events: int = 0
    unknown: int = 0

    def add(self, judged: JudgedBatch) -> None:
        """Count those of the next windows."""
        if isinstance(judged.bound, BoundNormalEncoder):
            self.events += len(judged.batch)
            self.unknown += int(judged.bound.unknown(judged.batch.steps).sum())

    def tell(self) -> None:
        """Say in the log that the evidence is of something else than was learnt from, where it is."""
        if self.events >= FEWEST and self.unknown > MOST_UNKNOWN * self.events:
            log.warning(
                "%.0f%% of the %s events were never learnt: the evidence is of something else than what was "
                "learnt from, so that an alert says little; learn from evidence of this kind (vestige learn)",
                100 * self.unknown / self.events, f"{self.events:,}",
            )  # fmt: skip
