"""Probabilities of gathered windows, equal ones being encoded and scored once: logs repeat themselves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vestige.hashing import row_hashes
from vestige.models.base import Detector, Judgement
from vestige.reading.encoding import Batch, BoundEncoder
from vestige.reading.steps import Steps

SYMBOLIC = {"tokens", "vectors"}
"""Kinds of inputs that are made of symbols alone, whatever the times."""
PIECE = 4096
"""Windows whose vectors are held at a time."""

Score = Callable[[Batch], NDArray[np.float64]]


def symbolic(detector: Detector) -> bool:
    """Whether a detector reads tokens and vectors of messages alone: then windows repeat themselves."""
    return all(spec.kind in SYMBOLIC for spec in detector.inputs)


def predict_proba(
    detector: Detector, bound: BoundEncoder, steps: Steps, *, size: int = PIECE
) -> NDArray[np.float64]:
    """`detector.predict_proba` `(B, K)` of stream values `(B, length, ...)`.

    For a symbolic detector, windows that look at the same symbols are encoded once, and those of the same
    tokens scored once; the vectors of `size` windows are held at a time.
    """
    names = detector.input_names
    if not symbolic(detector):
        return detector.predict_proba(bound.encode(steps, names))

    def score(steps: Steps) -> NDArray[np.float64]:
        if all(spec.kind == "tokens" for spec in detector.inputs):
            return _once(bound.encode(steps, names), detector.predict_proba)
        n = max(map(len, steps.values()))
        pieces = [np.empty((0, detector.n_classes))]
        for start in range(0, n, size):
            piece = {name: values[start : start + size] for name, values in steps.items()}
            pieces.append(detector.predict_proba(bound.encode(piece, names)))
        return np.concatenate(pieces)

    return _once({name: steps[name] for name in bound.streams(names)}, score)


def judge(detector: Detector, bound: BoundEncoder, steps: Steps) -> Judgement:
    """`detector.judge` of stream values `(B, length, ...)`, equal windows of a classifier being judged once.

    The last digits of a surprise may depend on which windows share its batch, so that those are left as they
    come.
    """
    if detector.task != "classify":
        return detector.judge(bound.encode(steps, detector.input_names))
    return Judgement.of(predict_proba(detector, bound, steps))


def _once(batch: Batch, score: Score) -> NDArray[np.float64]:
    """`score` of every row of a batch, equal rows being scored once."""
    _, first, again = np.unique(row_hashes(batch), return_index=True, return_inverse=True)
    return score({name: values[first] for name, values in batch.items()})[again]
