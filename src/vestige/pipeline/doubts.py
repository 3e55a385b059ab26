"""Whether evidence is fit to be learnt from at all, and what is doubtful about its parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestige import log
from vestige.errors import EvidenceError
from vestige.models.normal.detector import BATCH, Normal
from vestige.reading.encoding import EncodedWindows
from vestige.schema import UNK

logger = log.get(__name__)
FloatArray = NDArray[np.float64]

MOST_NEW = 0.9
"""Where more of what follows was never seen before, nothing is normal yet."""
MANY_NEW = 0.2
"""Where more of what ranks are taken among was never seen before, that is told."""
UNLIKE = 5
"""A part is unlike another where so many times fewer of its windows are above, or below, its middle."""


def refuse_sameness(windows: EncodedWindows, evidence: Path) -> None:
    """Raise EvidenceError where there is one event only: whatever else comes is new without learning."""
    for spec in windows.encoder.inputs:
        if spec.kind == "tokens" and len(spec.vocabulary or ()) <= UNK + 2:
            text = (spec.vocabulary or ("",))[-1]
            raise EvidenceError(
                f"every event that is learnt from is the same ({text[:80]!r}): nothing of order or rarity "
                "can be learnt",
                where=evidence,
                remedy="see how it is read (vestige preview), or give evidence with more kinds of events",
            )


def refuse_novelty(windows: EncodedWindows, evidence: Path) -> list[str]:
    """Raise EvidenceError where hardly anything of what follows was seen before; what is doubtful about the
    part that ranks are taken among, in sentences."""
    tokens = next((spec for spec in windows.encoder.inputs if spec.kind == "tokens"), None)
    if tokens is None:
        return []
    new, kinds = 0, set[int]()
    stream = windows.bound.streams((tokens.name,))[0]
    for rows, X in windows.batches(BATCH, (tokens.name,)):
        token = X[tokens.name][:, -1]
        # What is unknown, and came before in the same window, has an id beyond the vocabulary.
        found = rows[(token == UNK) | (token >= len(tokens.vocabulary or ()))]
        new += len(found)
        steps = windows.windows.select(found).target_step
        kinds.update(windows.windows.streams.at(stream, steps).tolist())
    if new > MOST_NEW * len(windows):
        share = f"{new / len(windows):.0%} of the later events are unlike all earlier ones"
        if len(kinds) < new / 2:
            raise EvidenceError(
                f"{share}, and repeat themselves: the part to calibrate with is something else than "
                "the part to learn from",
                where=evidence,
                remedy="look at both (vestige preview): is either an attack, or of another program? Learn "
                "from evidence of one kind, over a longer time",
            )
        raise EvidenceError(
            f"{share}: nothing repeats, so that nothing is normal",
            where=evidence,
            remedy="see how it is read (vestige preview): perhaps another --format or --mapping finds what "
            "repeats, or --template makes kinds of texts",
        )
    if new > MANY_NEW * len(windows):
        return [
            f"{new / len(windows):.0%} of the events to calibrate with are unlike all that were learnt from: "
            "what is like them does not alert. The evidence changes, or that part is an attack: look at it, "
            "or learn from a longer time"
        ]
    return []


def unlike(detector: Normal, p_value: FloatArray) -> list[str]:
    """Whether the check part is unlike the one that ranks were taken among, in sentences: as many of its
    windows should lie above the middle."""
    expected, found = detector.tails[-1].above_middle, float((p_value <= 0.5).mean())
    ranked = (
        f"{found:.0%} of the windows to check are stranger than the middle one of those to calibrate with, "
        f"and {expected:.0%} should be: "
    )
    if found * UNLIKE < expected:
        return [
            ranked
            + "the part that ranks are taken among is unlike what came after it. Perhaps it is an attack, "
            "which would hide others: look at it, or learn without it"
        ]
    if (1 - found) * UNLIKE < 1 - expected:
        return [
            ranked + "what came last is unlike what came before it. The evidence changes, or an attack goes "
            "through all of that part: look at the strangest stretches"
        ]
    return []
