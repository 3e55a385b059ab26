"""What a detector says about a part of the split: window by window, and by recording where labels are.

How windows are pooled into recordings, and the threshold, are chosen on validation, once, when the detector
has been trained.
"""

from __future__ import annotations

import numpy as np

from vestige.checkpoint import Notes, Pooling
from vestige.evaluation.distinct import predict_proba, symbolic
from vestige.evaluation.figures import NextTokenResult, ThresholdResult
from vestige.evaluation.metrics import confusion, macro_f1
from vestige.evaluation.pooling import best_pooling, by_recording
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.probabilities import fit_calibration, fit_conformal
from vestige.evaluation.threshold import choose
from vestige.models.base import Detector, RecordingSoFar
from vestige.models.next_token import TOP
from vestige.reading.encoding import EncodedWindows

SCORING_BATCH, SYMBOLS_BATCH = 4096, 65_536


def predict(detector: Detector, part: EncodedWindows, *, validation: bool = False) -> Predictions:
    """Predictions for every window of a part, gathered batch by batch, equal ones in a batch scored once.

    Of a detector that judges whole recordings, a window has what is said of its recording; `validation`: as
    `Detector.recordings_proba` means it.
    """
    if judges_whole(detector, part):
        return _predict_whole(detector, part, validation=validation)
    pieces = [np.empty((0, detector.n_classes))]
    size = SCORING_BATCH
    if symbolic(detector):
        size = SYMBOLS_BATCH
    streams = part.bound.streams(detector.input_names)
    for start in range(0, len(part), size):
        steps = part.windows.gather(slice(start, start + size), streams)
        pieces.append(predict_proba(detector, part.bound, steps))
    return Predictions.of(part.windows, np.concatenate(pieces))


def judges_whole(detector: Detector, part: EncodedWindows) -> bool:
    """Whether the detector tells classes of whole recordings apart, where the label is theirs."""
    by_recording = part.windows.schema.target == "recording"
    return by_recording and detector.task == "classify" and detector.begin_recording() is not None


def _predict_whole(detector: Detector, part: EncodedWindows, *, validation: bool) -> Predictions:
    names = tuple(spec.name for spec in detector.inputs if spec.kind == "tokens")
    taken: dict[int, RecordingSoFar] = {}
    for rows, X in part.batches(SCORING_BATCH, names):
        for recording, here in part.windows.select(rows).runs():
            so_far = taken.get(recording) or detector.begin_recording()
            if so_far is not None:
                taken[recording] = so_far
                so_far.add({name: values[here] for name, values in X.items()})
    proba = detector.recordings_proba(list(taken.values()), validation=validation)
    if proba is None:
        raise TypeError(f"{detector.name} takes recordings in, and says nothing of them")
    number = {recording: at for at, recording in enumerate(taken)}
    row = np.array([number[of] for of in part.windows.recording.tolist()], dtype=np.int64)
    return Predictions.of(part.windows, proba[row])


def of_part(
    detector: Detector, part: EncodedWindows, pooling: Pooling | None, *, validation: bool = False
) -> Predictions:
    """Predictions for a part: for its recordings, or (None) for its windows. `validation`: see `predict`."""
    windows = predict(detector, part, validation=validation)
    if pooling is None:
        return windows
    return by_recording(windows, pooling)


def notes_of(validation: Predictions, pooling: Pooling | None) -> Notes:
    """What validation says of a detector, for its checkpoint."""
    return Notes(
        pooling=pooling,
        validation_macro_f1=macro_f1_of(validation),
        calibration=fit_calibration(validation),
        conformal=fit_conformal(validation) if pooling is not None else None,
    )


def macro_f1_of(part: Predictions) -> float:
    """Macro F1 of the most probable classes."""
    return float(macro_f1(confusion(part.label, part.predicted, len(part.classes))))


def pooling_of(detector: Detector, validation: EncodedWindows) -> Pooling | None:
    """How windows are pooled into recordings, where the label is the recording's; None where it is not.

    What does best on validation (`best_pooling`). The alert threshold is a next-token detector's boundary,
    and its validation part may hold normal recordings alone; then the mean surprise counts: the highest of
    many windows grows with their number.
    """
    if validation.windows.schema.target != "recording":
        return None
    judged = predict(detector, validation, validation=True)
    if judges_whole(detector, validation):
        return best_pooling(judged, (Pooling(kind="whole"),))
    if detector.task != "next":
        return best_pooling(judged)
    if len(np.unique(judged.positive)) < 2:
        return Pooling(kind="mean_log_odds")
    return best_pooling(judged).model_copy(update={"boundary": 0.5})


def calibrate(
    detector: Detector, validation: EncodedWindows, pooling: Pooling | None, policy: str
) -> ThresholdResult:
    """The alert threshold by `policy`; where a detector's scale can be moved, it is put at one half first."""
    threshold = choose(of_part(detector, validation, pooling, validation=True), policy)
    if not detector.move_boundary(threshold.value):
        return threshold
    return choose(of_part(detector, validation, pooling, validation=True), policy)


def next_token(detector: Detector, test: EncodedWindows) -> NextTokenResult | None:
    """How well the next token is predicted on normal test windows; None for a classifier."""
    if detector.task != "next":
        return None
    normal = test.over(test.windows.select(test.windows.label == 0))
    batches = (batch for _, batch in normal.batches(SCORING_BATCH, detector.input_names))
    surprises, ranks = [], []
    for judgement in map(detector.judge, batches):
        if judgement.surprise is not None and judgement.rank is not None:
            surprises.append(judgement.surprise)
            ranks.append(judgement.rank)
    if not ranks:
        return None
    surprise, rank = np.concatenate(surprises), np.concatenate(ranks)
    shares = {f"top{k}": float((rank < k).mean()) for k in TOP}
    return NextTokenResult(windows=len(rank), mean_surprise=float(surprise.mean()), **shares)
