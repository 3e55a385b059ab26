"""What a detector says about a part of the split: window by window, and by recording where labels are.

The way from windows to recordings and the threshold are chosen on validation, once, when the detector has
been trained.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vestige.encoding import Batch, EncodedWindows
from vestige.evaluation.hashing import row_hashes
from vestige.evaluation.metrics import confusion, macro_f1
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.recordings import How, best_way, by_recording
from vestige.evaluation.results import NextTokenResult, ThresholdResult
from vestige.evaluation.threshold import choose
from vestige.models.base import Detector
from vestige.models.next_token import TOP, NextToken

SCORING_BATCH, SYMBOLS_BATCH = 4096, 65_536
SYMBOLIC = {"tokens", "vectors"}
"""Kinds of inputs that are made of symbols alone, whatever the times."""
MOST = 1 - 1e-12
"""Score that still has a logit: beyond it a sigmoid has no digits left."""


def predict(detector: Detector, part: EncodedWindows) -> Predictions:
    """Predictions for every window of a part, gathered batch by batch.

    Windows of symbols alone (tokens, vectors of messages) repeat themselves a great deal: equal ones in a
    batch are scored once.
    """
    pieces = [np.empty((0, detector.n_classes))]
    symbolic = all(one.kind in SYMBOLIC for one in detector.inputs)
    size = SYMBOLS_BATCH if symbolic else SCORING_BATCH
    for start in range(0, len(part), size):
        rows = slice(start, start + size)
        if symbolic:
            pieces.append(_of_symbols(detector, part, rows))
        else:
            pieces.append(detector.predict_proba(part.batch(rows, detector.input_names)))
    return Predictions.of(part.windows, np.concatenate(pieces))


def _of_symbols(detector: Detector, part: EncodedWindows, rows: slice) -> NDArray[np.float64]:
    """Windows that look at the same symbols are encoded once, and those of the same tokens scored once."""
    names = detector.input_names
    vectors = any(one.kind == "vectors" for one in detector.inputs)

    def score(steps: Batch) -> NDArray[np.float64]:
        if not vectors:
            return _once(part.bound.encode(steps, names), detector.predict_proba)
        n = max(map(len, steps.values()))
        batches = (slice(start, start + SCORING_BATCH) for start in range(0, n, SCORING_BATCH))
        few = ({name: values[some] for name, values in steps.items()} for some in batches)
        return np.concatenate([detector.predict_proba(part.bound.encode(one, names)) for one in few])

    return _once(part.windows.gather(rows, part.bound.streams(names)), score)


def _once(batch: Batch, score: Callable[[Batch], NDArray[np.float64]]) -> NDArray[np.float64]:
    """`score` of every row of a batch, equal rows being scored once."""
    _, first, again = np.unique(row_hashes(batch), return_index=True, return_inverse=True)
    return score({name: values[first] for name, values in batch.items()})[again]


def of_part(detector: Detector, part: EncodedWindows, how: How | None) -> Predictions:
    """Verdicts on a part: on its recordings by `how`, or (None) on its windows."""
    windows = predict(detector, part)
    return windows if how is None else by_recording(windows, how)


def macro_f1_of(part: Predictions) -> float:
    """Macro F1 of the most probable classes."""
    return float(macro_f1(confusion(part.label, part.predicted, len(part.classes))))


def way(detector: Detector, validation: EncodedWindows) -> How | None:
    """How windows become a recording's verdict, where the label is the recording's; None where it is not.

    The way that ranks validation recordings best. A next-token detector's validation part may hold normal
    recordings alone; then it is the mean surprise: the highest of many windows grows with their number.
    """
    if validation.windows.schema.target != "recording":
        return None
    judged = predict(detector, validation)
    if isinstance(detector, NextToken) and len(np.unique(judged.positive)) < 2:
        return "log_odds"
    return best_way(judged)


def calibrate(
    detector: Detector, validation: EncodedWindows, how: How | None, policy: str
) -> ThresholdResult:
    """The alert threshold by `policy`; a next-token detector's surprise is centred on it first."""
    threshold = choose(of_part(detector, validation, how), policy)
    if not isinstance(detector, NextToken):
        return threshold
    score = min(max(threshold.value, 1 - MOST), MOST)
    detector.center(detector.shift + math.log(score / (1 - score)))
    return choose(of_part(detector, validation, how), policy)


def next_token(detector: Detector, test: EncodedWindows) -> NextTokenResult | None:
    """How well the next token is predicted on normal test windows; None for a classifier."""
    if not isinstance(detector, NextToken):
        return None
    normal = test.over(test.windows.select(test.windows.label == 0))
    found = [
        detector.surprise_and_rank(batch) for _, batch in normal.batches(SCORING_BATCH, detector.input_names)
    ]
    if not found:
        return None
    surprise, rank = (np.concatenate(one) for one in zip(*found, strict=True))
    shares = {f"top{k}": float((rank < k).mean()) for k in TOP}
    return NextTokenResult(windows=len(rank), mean_surprise=float(surprise.mean()), **shares)
