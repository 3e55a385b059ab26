"""What a detector of what is normal says of windows that it did not learn from: p-values, alerts, recordings
as wholes, the strangest stretches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import log
from vestige.errors import SplitError
from vestige.evaluation.bootstrap import exact_bounds
from vestige.evaluation.learnt import WholeRecordings
from vestige.evaluation.parts import PartOf, Stretch
from vestige.evaluation.rates import stretches
from vestige.models.base import RecordingVerdict
from vestige.models.normal.detector import BATCH, Normal
from vestige.models.normal.recordings import LEAST_RECORDINGS, LOOKS
from vestige.models.normal.whole import WindowTally
from vestige.reading.encoding import EncodedWindows
from vestige.reading.times import rfc3339, span
from vestige.reading.windows import WindowSet
from vestige.scoring.budgeting import AlertBudget
from vestige.sources.base import Source
from vestige.splits import stages

logger = log.get(__name__)
FloatArray = NDArray[np.float64]

SHOWN = 10
"""Stretches of the check part that are shown: the strangest."""
MOST_SHOWN = 1_000.0
"""What is so many times likelier than an alert is not strange enough to be shown."""


def p_values(detector: Normal, windows: EncodedWindows, progress: Any = None) -> FloatArray:
    """The p-value of every window `(N,)`."""
    found = np.empty(len(windows))
    for rows, X in windows.batches(BATCH, detector.input_names):
        found[rows] = np.exp(detector.log_p(X))
        if progress is not None:
            progress(int(rows[-1]) + 1, len(windows))
    return found


def alerts_of(detector: Normal, windows: WindowSet, p_value: FloatArray) -> NDArray[np.bool_]:
    """Which windows alert `(N,)`, the threshold being moved as scoring moves it, in the order of time."""
    order = np.argsort(windows.placed_ns, kind="stable")
    entity = windows.recording[order].astype(np.int64)
    names = [host or name for host, name in windows.recordings.select("host", "id").iter_rows()]
    budget = AlertBudget.start(detector.alpha)
    alert = np.empty(len(windows), dtype=np.bool_)
    alert[order] = budget.decide(np.log(p_value[order]), entity, names)
    return alert


def seconds_of(windows: WindowSet) -> float | None:
    """How long windows go on, in seconds; None where nobody knows."""
    found = span(windows.t_ns)
    return None if found is None else (found[1] - found[0]) / 1e9


def part_of(windows: WindowSet) -> PartOf:
    """How large a part is, and from when to when it goes."""
    times = span(windows.t_ns)
    begin = end = None
    if times is not None:
        begin, end = rfc3339(np.array(times, dtype=np.int64))
    return PartOf(windows=len(windows), recordings=len(windows.present), begin=begin, end=end)


def learn_recordings(
    detector: Normal, windows: EncodedWindows, parts: stages.Stages, *, seed: int
) -> WholeRecordings | None:
    """Let `detector` learn what is normal of whole recordings, where enough of them lie as a whole before the
    check, and say what came of it in the recordings that lie wholly within the check. `windows`: all of them.

    As many alerts are promised for a recording as for its windows. Where recordings were parted whole, by
    chance, the detector learns of those of the check as well once it has been checked: what is promised of
    the one holds for the other, and what nobody learnt from is strange for no other reason.
    """
    every = windows.windows.counts.sum(axis=1)
    before = parts.learn.counts.sum(axis=1) + parts.calibrate.counts.sum(axis=1)
    is_learnt, is_checked = (every > 0) & (before == every), (every > 0) & (before == 0)
    if is_learnt.sum() < LEAST_RECORDINGS:
        return None
    alpha = detector.alpha * float(every[is_learnt].mean())
    try:
        detector.learn_recordings(_of(windows, is_learnt), alpha=alpha, seed=seed)
    except SplitError as error:
        logger.info("recordings are not judged as wholes: %s", error)
        return None
    if detector.recordings is None:
        return None
    model = detector.recordings.model
    verdicts = judge_recordings(detector, _of(windows, is_checked))
    alerts = sum(verdict.alert or verdict.held_back for verdict in verdicts)
    low, high = exact_bounds(alerts / max(int(is_checked.sum()), 1), int(is_checked.sum()))
    if parts.by_recording:
        detector.learn_recordings(_of(windows, every > 0), alpha=alpha, seed=seed)
        logger.info("whole recordings: checked, and then learnt again with those of the check")
    return WholeRecordings(
        learnt=model.n, left_out=model.left_out, alpha=detector.recordings.alpha, looks=list(LOOKS),
        checked=int(is_checked.sum()), alerts=alerts, low=low, high=high,
    )  # fmt: skip


def judge_recordings(detector: Normal, windows: EncodedWindows) -> list[RecordingVerdict]:
    """What `detector` says of the recordings whose windows, all of them, these are, in their order."""
    tallies: dict[int, WindowTally] = {}
    tokens = tuple(spec.name for spec in detector.inputs if spec.kind == "tokens")
    for rows, X in windows.batches(BATCH, tokens):
        recording = windows.windows.recording[rows]
        for number in np.unique(recording).tolist():
            tally = tallies.get(number) or detector.begin_recording()
            if tally is not None:
                tally.add({name: values[recording == number] for name, values in X.items()})
                tallies[number] = tally
    return detector.judge_recordings(list(tallies.values()))


def _of(windows: EncodedWindows, chosen: NDArray[np.bool_]) -> EncodedWindows:
    """All windows of the chosen recordings `(R,)`."""
    return windows.over(windows.windows.select(np.flatnonzero(chosen[windows.windows.recording])))


def alerted_stretches(check: WindowSet, alert: NDArray[np.bool_]) -> int:
    """How many alerts there are, those of one stretch as one."""
    return int(stretches(check.recording[alert], check.position[alert], check.schema.length).sum())


def strangest(source: Source[Any], detector: Normal, check: WindowSet, p_value: FloatArray) -> list[Stretch]:
    """The stretches around the rarest windows: of those within one window's length, the rarest alone."""
    order = np.argsort(p_value, kind="stable")
    chosen: list[int] = []
    for row in order.tolist():
        near = [
            other
            for other in chosen
            if check.recording[other] == check.recording[row]
            and abs(int(check.position[other]) - int(check.position[row])) < check.schema.length
        ]
        if not near:
            chosen.append(row)
        if len(chosen) == SHOWN or p_value[row] > MOST_SHOWN * detector.alpha:
            break
    return shown_stretches(source, check, np.array(chosen, dtype=np.int64), p_value)


def shown_stretches(
    source: Source[Any], check: WindowSet, rows: NDArray[np.int64], p_value: FloatArray
) -> list[Stretch]:
    """The windows at `rows`, with where they lie and what stands there."""
    if not len(rows):
        return []
    places = source.place(check, rows)
    times = rfc3339(check.t_ns[rows])
    return [
        Stretch(p_value=float(p_value[row]), time=time, place={k: v for k, v in place.items() if k != "text"},
                text=str(place.get("text", "")))
        for row, time, place in zip(rows.tolist(), times, places.iter_rows(named=True), strict=True)
    ]  # fmt: skip
