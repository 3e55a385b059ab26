"""Raw evidence in, one JSON object a recording out: a file, a machine, a session."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import log
from vestige.checkpoint import Loaded, Pooling
from vestige.evaluation.pooling import log_of, most_suspicious, moving_average_max, pooled
from vestige.evaluation.probabilities import calibrated, log_odds_of, p_values
from vestige.models.base import Detector, RecordingSoFar
from vestige.models.next_token import TOP
from vestige.reading.encoding import Batch
from vestige.reading.steps import Progress
from vestige.scoring.judged import JudgedBatch
from vestige.scoring.unknown import Unknown
from vestige.scoring.windows import judge

logger = log.get(__name__)


def score_recordings(
    run: Path,
    evidence: Sequence[Path],
    *,
    device: str = "cpu",
    quantize: bool = False,
    rounded: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Score evidence, a dict for each recording, the most suspicious first.

    Keys: `recording`, the same by its kind (`file`, `machine`), `windows`, `score`, `most_probable_class`,
    `alert` (the score reaches the threshold: act on this), `alerts` (windows that do) and `worst` (where its
    most suspicious window ends); of a next-token detector also `mean_surprise` (nats), and `top1 top5 top10`:
    shares of windows whose last token was among the k most probable. Where windows share the label of their
    recording, they are pooled as in evaluation (`Pooling`); else the recording's score is that of its worst
    window. Of a detector of the task normal there is no class; `p_value`, and in powers of ten the `score`,
    are those of that window. One that learnt of whole recordings judges them as such, with `reasons` (`look
    p_value says`), the strangest first: `p_value` is then the share of normal recordings that are as strange,
    and of many that are as rare as an alert only as many alert, the strangest, as chance explains.
    A classifier of recordings adds, where its validation part could carry them, `probability` (of an anomaly,
    calibrated) and `conformal` (for each class, the share of its validation recordings it liked as little).
    Raises as `score` does. Memory holds a few numbers for each recording, of one that is judged as a whole
    some thousands.
    """
    # Nothing is told before the end: each message is waited for until it is whole.
    loaded, judged = judge(
        run, evidence, device=device, quantize=quantize, rounded=rounded, idle_s=math.inf, progress=progress
    )
    pooling = loaded.header.notes.pooling or Pooling(kind="max")
    unit, found = tallied(judged, loaded, pooling)
    return ranked(found, unit, loaded)


def tallied(judged: Iterable[JudgedBatch], loaded: Loaded, pooling: Pooling) -> tuple[str, dict[str, Tally]]:
    """What a recording is called (`file`, `machine`), and what is kept of each, by its name."""
    found: dict[str, Tally] = {}
    unit = "file"
    unknown = Unknown()
    for batch in judged:
        unit = batch.batch.unit
        unknown.add(batch)
        _add(found, batch, loaded, pooling)
    unknown.tell()
    return unit, found


def ranked(found: dict[str, Tally], unit: str, loaded: Loaded) -> list[dict[str, Any]]:
    """A dict for each recording, the most suspicious first."""
    rows = [{"recording": name, unit: name, **tally.row(loaded)} for name, tally in found.items()]
    tallies = list(found.values())
    _judge_whole(rows, tallies, loaded.detector)
    notes = loaded.header.notes
    if notes.pooling is not None and rows:
        proba_NK = np.stack([tally.proba for tally in tallies])
        if notes.pooling.kind == "whole":
            proba_NK = _classify_whole(rows, tallies, loaded, notes.pooling)
        _tell_probabilities(rows, proba_NK, loaded)
    return sorted(rows, key=lambda row: -float(row["score"]))


def with_verdicts(rows: Iterable[dict[str, Any]], level: float) -> Iterator[dict[str, Any]]:
    """The same rows with a `verdict`: the only class that validation's own recordings do not deny at `level`
    (their `conformal` p-value lies above it), or `unknown`, where there is none, or more than one."""
    for row in rows:
        left = [name for name, p_value in row["conformal"].items() if p_value > level]
        verdict = "unknown"
        if len(left) == 1:
            verdict = left[0]
        yield {**row, "verdict": verdict}


def _tell_probabilities(rows: list[dict[str, Any]], proba_NK: NDArray[np.float64], loaded: Loaded) -> None:
    """What validation made of the scores, where the checkpoint keeps it."""
    notes = loaded.header.notes
    if notes.calibration is not None:
        probability = calibrated(log_odds_of(proba_NK), notes.calibration).tolist()
        for row, value in zip(rows, probability, strict=True):
            row["probability"] = float(f"{value:.6g}")
    if notes.conformal is not None:
        for row, of_classes in zip(rows, p_values(proba_NK, notes.conformal).tolist(), strict=True):
            told = [float(f"{p_value:.6g}") for p_value in of_classes]
            row["conformal"] = dict(zip(loaded.schema.classes, told, strict=True))


def _judge_whole(rows: list[dict[str, Any]], tallies: list[Tally], detector: Detector) -> None:
    """Put what `detector` says of recordings as wholes, where it does, into their rows."""
    taken = [tally.whole for tally in tallies if tally.whole is not None]
    verdicts = detector.judge_recordings(taken)
    for row, verdict in zip(rows, verdicts, strict=False):
        p_value = float(f"{verdict.p_value:.6g}")
        row |= {
            "score": verdict.score,
            "p_value": p_value,
            "alert": verdict.alert,
            "reasons": verdict.reasons,
        }
    held_back = sum(verdict.held_back for verdict in verdicts)
    if held_back:
        logger.warning(
            "the promise does not hold for this evidence: %d of %d recordings are as rare as an alert, more "
            "than chance explains. The strangest alert, %d were held back; the rows have the p_value of all. "
            "What was learnt from is of another kind, or this is an attack: look at the strangest, and learn "
            "again from evidence like this",
            held_back + sum(verdict.alert for verdict in verdicts), len(verdicts), held_back,
        )  # fmt: skip


def _classify_whole(
    rows: list[dict[str, Any]], tallies: list[Tally], loaded: Loaded, pooling: Pooling
) -> NDArray[np.float64]:
    """The same for one that tells classes of recordings apart; returns their probabilities `(N, K)`. Scores
    are not rounded, so that few tie."""
    taken = [tally.whole for tally in tallies if tally.whole is not None]
    found = loaded.detector.recordings_proba(taken)
    if found is None:
        raise TypeError(f"{loaded.detector.name} takes recordings in, and says nothing of them")
    proba_NK = pooled(found, pooling)
    for row, proba in zip(rows, proba_NK, strict=True):
        row["score"] = score = float(1 - proba[0])
        row["most_probable_class"] = loaded.schema.classes[int(proba.argmax())]
        if loaded.threshold is not None:
            row["alert"] = score >= loaded.threshold
    return proba_NK


@dataclass
class Tally:
    """What is kept of a recording while its windows go by, whatever the `pooling`: of its probabilities the
    `highest (K,)`, their sum `total (K,)`, the sum of their logarithms `logs (K,)`, and the highest moving
    average of these, `highest_average (K,)`."""

    pooling: Pooling
    highest: NDArray[np.float64]
    total: NDArray[np.float64]
    logs: NDArray[np.float64]
    windows: int = 0
    alerts: int = 0
    score: float = -1.0
    worst: dict[str, Any] = field(default_factory=dict)
    p_value: float = 1.0
    """The least of its windows', where they have one."""
    surprise: float = 0.0
    within: NDArray[np.int64] | None = None
    highest_average: NDArray[np.float64] | None = None
    whole: RecordingSoFar | None = None
    """What the detector keeps to judge the recording as a whole."""
    most_suspicious: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    """`log_of` of the windows that are least like class 0, `(pooling.size, K)`."""
    _last: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        self.most_suspicious = np.empty((0, len(self.highest)))

    def add(self, judged: JudgedBatch, rows: NDArray[np.int64], threshold: float | None) -> None:
        """Take in the windows at `rows`, all of them of this recording."""
        judgement = judged.judgement
        proba, score = judgement.proba[rows], judgement.score[rows]
        self.highest = np.maximum(self.highest, proba.max(axis=0))
        self.total += proba.sum(axis=0)
        self.logs += log_of(proba).sum(axis=0)
        self._take_average(log_of(proba))
        together = np.concatenate([self.most_suspicious, log_of(proba)])
        self.most_suspicious = most_suspicious(together, self.pooling.size)
        self.windows += len(rows)
        if threshold is not None:
            self.alerts += int((score >= threshold).sum())
        if judgement.p_value is not None:
            # Not by the score, which is 1 for all that is very strange.
            self.p_value = min(self.p_value, float(judgement.p_value[rows].min()))
            score = -np.log(judgement.p_value[rows])
        worst = int(score.argmax())
        if score[worst] > self.score:
            self.score = float(score[worst])
            self.worst = judged.batch.place.row(int(rows[worst]), named=True)
            del self.worst[judged.batch.unit]
            if judgement.surprise is not None:
                self.worst["surprise"] = round(float(judgement.surprise[rows[worst]]), 6)
        if judgement.surprise is not None and judgement.rank is not None:
            self.surprise += float(judgement.surprise[rows].sum())
            within = (judgement.rank[rows, None] < np.array(TOP)).sum(axis=0)
            if self.within is not None:
                within = self.within + within
            self.within = within

    def _take_average(self, logs_BK: NDArray[np.float64]) -> None:
        """Keep the highest moving average so far, and the windows that the next averages reach back to."""
        size = self.pooling.size
        together = logs_BK
        if self._last is not None:
            together = np.concatenate([self._last, logs_BK])
        found = moving_average_max(together, size)
        # Until there are `size` windows the average is over all of them, and the newest one counts.
        before = self.highest_average
        if before is None or self.windows < size or _odds(found) > _odds(before):
            self.highest_average = found
        self._last = together
        if self.windows + len(logs_BK) >= size:
            self._last = together[1 - size :]

    @property
    def proba(self) -> NDArray[np.float64]:
        """The recording's probabilities `(K,)`, pooled."""
        highest_average = self.highest_average
        if highest_average is None:
            # Shorter than the average is long: there is no average, and the highest stands for it.
            highest_average = self.highest
        taken = {
            "max": self.highest,
            "mean": self.total / self.windows,
            "mean_log_odds": self.logs / self.windows,
            "moving_average_max": highest_average,
            "top_k": self.most_suspicious.mean(axis=0),
            # Until the detector has said what it thinks of the whole.
            "whole": self.highest,
        }
        proba: NDArray[np.float64] = pooled(taken[self.pooling.kind][None], self.pooling)[0]
        return proba

    def row(self, loaded: Loaded) -> dict[str, Any]:
        """What is said of the recording; see `score_recordings`."""
        proba = self.proba
        value, limit = float(1 - proba[0]), loaded.threshold
        alert = alerts = None
        if limit is not None:
            alert, alerts = value >= limit, self.alerts
        row = {
            "windows": self.windows,
            "score": round(value, 6),
            "most_probable_class": loaded.schema.classes[int(proba.argmax())],
            "alert": alert,
            "alerts": alerts,
            "worst": self.worst,
        }
        if loaded.detector.task == "normal":
            del row["most_probable_class"]
            row |= {"score": abs(math.log10(self.p_value)), "p_value": float(f"{self.p_value:.6g}")}
        if self.within is not None:
            row["mean_surprise"] = round(self.surprise / self.windows, 6)
            for k, n in zip(TOP, self.within, strict=True):
                row[f"top{k}"] = round(float(n / self.windows), 6)
        return row


def _odds(logs_K: NDArray[np.float64]) -> float:
    """Log-odds of the likeliest class but the first against the first."""
    return float(logs_K[1:].max() - logs_K[0])


def _add(found: dict[str, Tally], judged: JudgedBatch, loaded: Loaded, pooling: Pooling) -> None:
    place, classes = judged.batch.place, judged.judgement.proba.shape[1]
    inputs: Batch = {}
    if judged.bound is not None and loaded.detector.begin_recording() is not None:
        names = [spec.name for spec in loaded.detector.inputs if spec.kind == "tokens"]
        inputs = judged.bound.encode(judged.batch.steps, tuple(names))
    numbered = place.select(judged.batch.unit).with_row_index("row")
    for (name,), part in numbered.group_by(judged.batch.unit, maintain_order=True):
        if (tally := found.get(str(name))) is None:
            whole = loaded.detector.begin_recording()
            tally = Tally(pooling, np.zeros(classes), np.zeros(classes), np.zeros(classes), whole=whole)
            found[str(name)] = tally
        rows = part["row"].to_numpy().astype(np.int64)
        tally.add(judged, rows, loaded.threshold)
        if tally.whole is not None:
            tally.whole.add({key: values[rows] for key, values in inputs.items()})
