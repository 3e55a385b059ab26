"""Raw evidence in, one JSON object a window out, in flat memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import extras
from vestige.checkpoint import Loaded, load
from vestige.errors import UsageError
from vestige.evaluation import distinct
from vestige.evaluation.probabilities import calibrated, log_odds_of
from vestige.log import get
from vestige.reading import live
from vestige.reading.steps import Evidence, Progress
from vestige.reading.times import rfc3339
from vestige.reading.windower import WindowBatch
from vestige.runs.directory import RunDirectory
from vestige.scoring.judged import JudgedBatch
from vestige.scoring.normal import NormalScorer

log = get(__name__)


def score(
    run: Path,
    evidence: Sequence[Path],
    *,
    device: str = "cpu",
    quantize: bool = False,
    rounded: bool = False,
    alerts_only: bool = False,
    explain: bool = False,
    idle_s: float = live.IDLE_S,
    progress: Progress | None = None,
) -> Iterator[dict[str, Any]]:
    """Score evidence with the detector in the directory `run`, a dict for each window.

    A window ends on every step; for traces on every `schema.stride`-th, as in the detector's dataset.
    Keys: where the window ends (for logs `file`, `line`, `offset`: 1-based line, byte offset), `time` of the
    step judged (RFC 3339, UTC, nanoseconds; null where nobody knows), `score` (1 - P(first class)),
    `most_probable_class`, and `alert` (score at or above the run's threshold; null for a detector that has
    none). Act on the alert: the threshold keeps to a policy that was chosen on
    validation, and may lie on either side of the score from which on another class is the most probable.
    A detector of windows whose validation part could carry it adds `probability` (of an anomaly, calibrated).
    Of a next-token detector also `surprise` (-ln P, nats) and `rank` (how many tokens were more probable).
    Of a detector of the task normal the keys are `time host recording file line offset text score p_value
    alert`: the text is the message itself where the source can tell it, `p_value` the share of normal windows
    that are as strange, and the score says the same in powers of ten: 3 is one in 1,000. What alerts is
    decided by an `AlertBudget`, and told with what the step is called (`event`), `reasons` (`look p_value
    says`), what was `expected` instead (`event p`, the likeliest ones), and the `nearest` known example,
    with its place in what was learnt from.
    What came of the promise is told in the log at the end.
    `explain`: rows that alert (all, of a detector without a threshold) also tell the `host`, the message as
    `text`, and `reasons`: `step` (from the one judged, 0), `what`, and `contribution` (nats of log-odds), the
    strongest first; one of the task normal has its own anyway. `alerts_only`: only rows that alert, or
    correct what was told before.
    A path `-` is standard input; of several paths, `file` is the path as given. `quantize`: in 8-bit
    integers; `rounded`: with products rounded to bfloat16. A message of a pipe, of which more lines may
    follow, is scored after `idle_s` quiet seconds; if more of them do follow, it is scored again, and that
    row has `corrects`: true.
    Raises, before the first dict where it can: UsageError for a device that is not there, or a
    detector without an 8-bit form or without products to round, CheckpointError when the run cannot be
    trusted, EvidenceError when the evidence is not there or not what the detector was trained to read.
    """
    loaded, judged = judge(
        run, evidence, device=device, quantize=quantize, rounded=rounded, idle_s=idle_s, progress=progress
    )
    scorer = NormalScorer.of(loaded)
    if scorer is not None:
        return _normal_rows(scorer, judged, alerts_only)
    rows = (row for batch in judged for row in rows_of(batch, loaded, explain=explain))
    return (row for row in rows if not alerts_only or row["alert"] or row.get("corrects"))


def _normal_rows(
    scorer: NormalScorer, judged: Iterator[JudgedBatch], alerts_only: bool
) -> Iterator[dict[str, Any]]:
    for batch in judged:
        yield from scorer.rows(batch, alerts_only=alerts_only)
    scorer.tell()


def check_device(name: str) -> None:
    """Raise UsageError for a device that there is not."""
    if name == "cpu":
        return
    if not re.fullmatch(r"cuda(:\d{1,3})?", name):
        raise UsageError(f"unknown device {name!r}", remedy="cpu, cuda, or one of several GPUs: cuda:1")
    extras.require("neural", f"--device {name}", instead="use --device cpu")
    import torch

    number = int(name.partition(":")[2] or 0)
    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        raise UsageError(
            f"there is no device {name}: torch sees {torch.cuda.device_count()} GPUs",
            remedy="--device cpu; vestige doctor says what there is",
        )


def judge(
    run: Path,
    evidence: Sequence[Path],
    *,
    device: str = "cpu",
    quantize: bool = False,
    rounded: bool = False,
    every_step: bool = False,
    idle_s: float = live.IDLE_S,
    progress: Progress | None = None,
) -> tuple[Loaded, Iterator[JudgedBatch]]:
    """The detector of a run, and what it says of evidence, batch by batch; `every_step`: of a window for
    every step, whatever the dataset's stride. Raises as `score` does."""
    check_device(device)
    if quantize:
        # Integers are computed with on the CPU only.
        device = "cpu"
    loaded = load(RunDirectory.open(run).detector(), device=device)
    if quantize:
        loaded.detector.quantize()
    if rounded:
        round_products(loaded)
    if ahead := loaded.schema.ahead:
        log.info("the detector looks %d steps ahead: each score comes so much later", ahead)
    batches = read_windows(evidence, loaded, every_step=every_step, idle_s=idle_s, progress=progress)
    return loaded, judge_batches(loaded, batches)


def round_products(loaded: Loaded) -> None:
    """Score with products rounded to bfloat16 from now on, and say so. Raises as `Detector.round_products`
    does."""
    loaded.detector.round_products()
    tell_rounded()


def tell_rounded() -> None:
    """Say in the log that scores are of rounded products."""
    log.info(
        "scores are of products rounded to bfloat16; the threshold and the probabilities were chosen by "
        "scores in float32"
    )


def read_windows(
    evidence: Sequence[Path],
    loaded: Loaded,
    *,
    every_step: bool = False,
    idle_s: float = live.IDLE_S,
    progress: Progress | None = None,
) -> Iterator[WindowBatch]:
    """The windows of raw evidence as a detector learnt to read it, batch by batch, in flat memory.

    Whoever puts a detector to work on raw evidence reads it through here. Raises EvidenceError where the
    evidence is not there, or not what the detector's source reads.
    """
    reader = loaded.reader()
    chosen = None
    if every_step:
        chosen = live.every_step(reader)
    return live.read_windows(
        reader, Evidence(tuple(evidence), "live"), chosen, idle_s=idle_s, progress=progress
    )


def judge_batches(loaded: Loaded, batches: Iterable[WindowBatch]) -> Iterator[JudgedBatch]:
    """What a detector says of windows as they come from their source."""
    symbols = None
    for batch in batches:
        if batch.symbols is not symbols:
            symbols = batch.symbols
            bound = loaded.encoder.bind(symbols)
        yield JudgedBatch(batch, distinct.judge(loaded.detector, bound, batch.steps), bound)


def judge_example(loaded: Loaded) -> None:
    """Judge the source's own example. What a detector compiles or imports when it is first asked is ready
    then: who follows what grows does so before, so that no alert waits for it."""
    for _ in judge_batches(loaded, [live.probe_windows(loaded.reader())]):
        pass


def rows_of(judged: JudgedBatch, loaded: Loaded, *, explain: bool = False) -> Iterator[dict[str, Any]]:
    """A dict for each window: see `score`."""
    judgement = judged.judgement
    best = judgement.proba.argmax(axis=1).tolist()
    suspicion = judgement.score.tolist()
    times = rfc3339(judged.batch.t_ns)
    told = explained(judged, loaded, alerting(judged, loaded)) if explain else {}
    notes, probability = loaded.header.notes, None
    if notes.calibration is not None and notes.pooling is None:
        # Where recordings are judged, it is of them, and says nothing of a single window.
        probability = calibrated(log_odds_of(judgement.proba), notes.calibration).tolist()
    for at, place in enumerate(judged.batch.place.iter_rows(named=True)):
        value = suspicion[at]
        alert = None
        if loaded.threshold is not None:
            alert = value >= loaded.threshold
        row = {
            **place,
            "time": times[at],
            "score": round(value, 6),
            "most_probable_class": loaded.schema.classes[best[at]],
            "alert": alert,
        }
        if probability is not None:
            row["probability"] = float(f"{probability[at]:.6g}")
        if judgement.surprise is not None and judgement.rank is not None:
            row |= {"surprise": round(float(judgement.surprise[at]), 6), "rank": int(judgement.rank[at])}
        row |= told.get(at, {})
        if judged.batch.corrects and at == 0:
            row["corrects"] = True
        yield row


def alerting(judged: JudgedBatch, loaded: Loaded) -> NDArray[np.int64]:
    """Which windows of a batch alert, `(A,)`; without a threshold all of them."""
    if loaded.threshold is None:
        return np.arange(len(judged.judgement))
    return np.flatnonzero(judged.judgement.score >= loaded.threshold)


def explained(judged: JudgedBatch, loaded: Loaded, rows: NDArray[np.int64]) -> dict[int, dict[str, Any]]:
    """Of some `rows (A,)` of a batch, by their place in it: whose they are, the message, and the `reasons`
    of a detector that was taught by labels."""
    if not len(rows) or judged.bound is None:
        return {}
    batch, detector = judged.batch, loaded.detector
    steps = {name: values[rows] for name, values in batch.steps.items()}
    found = detector.reasons(judged.bound.encode(steps, detector.input_names))
    told, ahead = {}, loaded.schema.ahead
    for row, text, why in zip(rows.tolist(), batch.messages(rows), found, strict=True):
        name = batch.recordings[int(batch.recording[row])]
        told[row] = {
            "host": name.host or None,
            "text": text,
            "reasons": [{**reason.told(ahead), "says": reason.says(ahead)} for reason in why],
        }
    return told


def json_line(row: dict[str, Any]) -> str:
    """One line of JSON: ASCII only, so whatever a file name holds cannot disturb a terminal."""
    return json.dumps(row, separators=(",", ":"))
