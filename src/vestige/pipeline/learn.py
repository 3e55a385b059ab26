"""Learning what is normal from evidence without labels: read, part by time, learn, calibrate, check itself.

What is learnt from, what ranks are taken among, and what the result is checked on are three parts that
follow one another; labels that the evidence may have are not looked at.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige import checkpoint, extras, log, storage
from vestige.engine import LOCAL, Engine
from vestige.errors import EvidenceError, SplitError, UsageError
from vestige.evaluation.again import Again
from vestige.evaluation.bootstrap import exact_bounds
from vestige.evaluation.budget import UNTIMED, Budget
from vestige.evaluation.learnt import FILE, Contaminated, Learnt, WholeRecordings
from vestige.evaluation.learnt_page import PAGE_FILE, write_page
from vestige.evaluation.parts import AlertRate, PartOf, Stretch
from vestige.evaluation.plants import N as PLANTS
from vestige.evaluation.plants import detected
from vestige.evaluation.rates import stretches
from vestige.evidence.defects import LeftOut
from vestige.models import registry
from vestige.models.base import RecordingVerdict, choose_inputs, parse_hyper
from vestige.models.next_token import NextToken
from vestige.models.normal.detector import BATCH, Normal
from vestige.models.normal.recordings import LEAST_RECORDINGS, LOOKS
from vestige.models.normal.whole import WindowTally
from vestige.pipeline.contaminating import contaminate, how_many
from vestige.pipeline.self_check import lowest_of, planted, sensitivity
from vestige.reading.encoding import EncodedWindows, Encoder
from vestige.reading.looks import NormalEncoder
from vestige.reading.steps import NO_TIME, ShowProgress, silent
from vestige.reading.times import rfc3339, span, tells_apart
from vestige.reading.windows import WindowSet
from vestige.schema import UNK
from vestige.scoring.budgeting import AlertBudget
from vestige.sources.base import Source
from vestige.splits import stages
from vestige.training.config import TrainingConfig

DATASET = "dataset"
NGRAM = "ngram"
"""What says which event follows, unless a network is asked for."""
OF_ATTACK = 12
"""Foreign texts of an attack that is learnt from: the strongest plants show ten different ones."""
STOPPING = 10
"""One in so many windows that are learnt from says when a network's training stops."""
MOST_LEFT_OUT = 100
"""What was left out that is told one by one; all of it is counted."""
SHOWN = 10
"""Stretches of the check part that are shown: the strangest."""
MOST_NEW = 0.9
"""Where more of what follows was never seen before, nothing is normal yet."""
MANY_NEW = 0.2
"""Where more of what ranks are taken among was never seen before, that is told."""
MOST_SHOWN = 1_000.0
"""What is so many times likelier than an alert is not strange enough to be shown."""
UNLIKE = 5
"""A part is unlike another where so many times fewer of its windows are above, or below, its middle."""

logger = log.get(__name__)
FloatArray = NDArray[np.float64]


class Earlier(Protocol):
    """A detector whose place the one that is learnt may take, with what people said of its incidents."""

    def without_attacks(self, windows: WindowSet) -> WindowSet:
        """The windows without those that show what is known to be an attack."""

    def beside(
        self,
        source: Source[Any],
        detector: Normal,
        learn_from: EncodedWindows,
        parts: stages.Stages,
        p_value: FloatArray,
        *,
        promised: AlertRate,
        seed: int,
        plants: int,
    ) -> Again:
        """What would change with `detector`, which gives the windows of the check `p_value (N,)`."""


def learn(
    source: Source[Any],
    evidence: Path,
    out: Path,
    *,
    options: BaseModel,
    budget: Budget,
    model: str = NGRAM,
    hyper: dict[str, Any] | None = None,
    training: TrainingConfig | None = None,
    seed: int = 0,
    command: str = "",
    engine: Engine = LOCAL,
    overwrite: bool = False,
    plants: int = PLANTS,
    contamination: Sequence[float] = (),
    earlier: Earlier | None = None,
    progress: ShowProgress = silent,
) -> Learnt:
    """Learn from `evidence` into the detector directory `out`, and say what it is worth.

    `model`: what says which event follows, n-grams or a detector of the task next, trained by `training`.
    `plants`: anomalies of each kind and strength that are planted to see what is found of them; none with 0.
    `contamination`: shares of what is learnt from that are planted, to see how that moves the figures.
    `earlier`: a detector beside which the new one is judged; what it knows to be an attack is left out.
    Raises EvidenceError where there is nothing to read or nothing that repeats, SplitError where there is too
    little, OutputError where `out` holds something else.
    """
    # What is asked for wrongly is refused before anything is read.
    parse_hyper(Normal, hyper or {})
    if model != NGRAM:
        registry.of_task(model, "next")
        extras.require(registry.NEURAL, f"the model {model}", instead="leave out --model: ngram does without")
    logger.info("%s", stages.needed(budget.share if budget.seconds is None else None))
    with storage.atomic_directory(out, marker=checkpoint.HEADER, overwrite=overwrite) as working:
        with progress(f"reading {evidence}", "bytes") as update:
            windows = source.prepare(
                evidence, working / DATASET, to_learn_from(source, options), engine=engine, progress=update
            )
        windows = with_known_times(source, windows)
        logger.info("read: %d windows, recordings: %d", len(windows), windows.recordings.height)
        if earlier is not None:
            windows = earlier.without_attacks(windows)
        parts = stages.part(windows, seed=seed, where=evidence)
        with progress("learning what is normal", ""):
            encoder = encoder_of(source, parts.learn)
            learn_from = EncodedWindows.of(parts.learn, encoder)
            _refuse_sameness(learn_from, evidence)
            calibrate = learn_from.over(parts.calibrate)
            doubts = _refuse_novelty(calibrate, evidence)
            recipe = DetectorRecipe(model, hyper or {}, training or TrainingConfig(seed=seed), working)
            detector = recipe.fitted(learn_from, calibrate)
        detector.spend(alpha_of(budget, parts))
        with progress("learning what is normal of whole recordings", ""):
            whole = learn_recordings(detector, learn_from.over(windows), parts, seed=seed)
        with progress("checking", "windows") as update:
            p_value = p_values(detector, learn_from.over(parts.check), update)
        checkpoint.save(
            working,
            detector=detector,
            encoder=encoder,
            schema=windows.schema,
            source=source,
            view="realistic",
            threshold=0.5,
            policy=f"budget={budget}",
        )
        learnt = _judged(source, evidence, detector, parts, p_value, budget, command, windows)
        doubts += _unlike(detector, p_value)
        found = None
        if plants:
            with progress("planting anomalies to be found", ""):
                found = sensitivity(source, detector, learn_from, parts, seed=seed, n=plants)
        moved: list[Contaminated] = []
        if contamination:
            with progress("learning again from what is in part an attack", ""):
                moved = contaminated(
                    source, recipe, detector, learn_from, parts, p_value, contamination, n=plants or PLANTS
                )
        again = None
        if earlier is not None:
            with progress("judging the earlier detector beside it", ""):
                again = earlier.beside(
                    source,
                    detector,
                    learn_from,
                    parts,
                    p_value,
                    promised=learnt.promised,
                    seed=seed,
                    plants=plants,
                )
        learnt = learnt.model_copy(
            update={
                "again": again,
                "contamination": moved,
                "seed": seed,
                "options": options.model_dump(mode="json", exclude_defaults=True),
                "sensitivity": found,
                "whole": whole,
                "warnings": [*doubts, *learnt.warnings],
            }
        )
        shutil.rmtree(working / DATASET)
        storage.write_text(working / FILE, learnt.to_json())
        write_page(working / PAGE_FILE, learnt)
    return learnt


@dataclass(frozen=True)
class DetectorRecipe:
    """How a detector is learnt: what says which event follows (`model`), hyper-parameters, how a network is
    trained, with which seed, and a directory to work in."""

    model: str
    hyper: dict[str, Any]
    training: TrainingConfig
    working: Path

    def fitted(self, learn_from: EncodedWindows, calibrate: EncodedWindows) -> Normal:
        """A detector that learnt from these windows, and takes ranks among those."""
        seed, n_classes = self.training.seed, len(learn_from.schema.classes)
        inputs = choose_inputs(Normal, learn_from.schema)
        detector = Normal.build(inputs, n_classes, seed=seed, **self.hyper)
        if self.model != NGRAM:
            detector.network = trained(self.model, learn_from, self.training, self.working)
        detector.fit(learn_from, calibrate, seed=seed)
        return detector


def contaminated(
    source: Source[Any],
    recipe: DetectorRecipe,
    detector: Normal,
    learn_from: EncodedWindows,
    parts: stages.Stages,
    p_value: FloatArray,
    shares: Sequence[float],
    *,
    n: int,
) -> list[Contaminated]:
    """The check of `detector`, and of detectors that learnt the same way where each of the `shares` of what
    they learnt from was planted: anomalies of the same kinds as those in the check, elsewhere, with the same
    few foreign texts, as of one attack that went on. `p_value`: what `detector` says of the check; `n`:
    plants of a kind and strength in it."""
    seed, symbols = recipe.training.seed, learn_from.encoder.symbols
    in_check = planted(source, parts.check, symbols, seed=seed, n=n, texts=OF_ATTACK)
    seconds = seconds_of(parts.check)

    def figures(share: float, judged: Normal, encoder: Encoder, found: FloatArray) -> Contaminated:
        table = detected(in_check, lowest_of(judged, encoder, in_check), judged.alpha)
        alerts = int(alerts_of(judged, parts.check, found).sum())
        came = AlertRate.of(alerts, len(parts.check), seconds)
        return Contaminated.of(share, came, table, in_check.kinds)

    rows = [figures(0.0, detector, learn_from.encoder, p_value)]
    for share in shares:
        amount = how_many(len(parts.learn), share, max(len(in_check.sentences), 1))
        into = planted(source, parts.learn, symbols, seed=seed, n=amount, texts=OF_ATTACK)
        grown, reached = contaminate(into, share, symbols, seed=seed)
        encoded = EncodedWindows.of(grown, encoder_of(source, grown, with_examples=False))
        other = recipe.fitted(encoded, encoded.over(parts.calibrate))
        other.spend(detector.alpha)
        found = p_values(other, encoded.over(parts.check))
        rows.append(figures(reached, other, encoded.encoder, found))
    return rows


def to_learn_from(source: Source[Any], options: BaseModel) -> BaseModel:
    """The options of a source as learning wants them: labels are not read."""
    chosen: BaseModel = source.without_labels(as_scored(options))
    return chosen


def as_scored(options: BaseModel) -> BaseModel:
    """The options with the values that masks replace kept, and a window that judges every step, as scoring
    does it: a budget counts the windows there."""
    fields = type(options).model_fields
    wanted = {name: value for name, value in {"values": True, "stride": 1}.items() if name in fields}
    return options.model_copy(update=wanted)


def with_known_times(source: Source[Any], windows: WindowSet) -> WindowSet:
    """The windows, without times where those only tell the order of steps within a recording: to part
    recordings by these would cut each of them in three."""
    if source.reader(windows.schema).timed:
        return windows
    return replace(windows, t_ns=np.full(len(windows), NO_TIME, dtype=np.int64))


def trained(model: str, learn_from: EncodedWindows, config: TrainingConfig, working: Path) -> NextToken:
    """The detector of the task next that `model` names, trained on what is learnt from, whose last tenth says
    when to stop. Raises UsageError for one that there is not, or where there are no events."""
    from vestige.models.next_networks import NETWORKS
    from vestige.training import StoppedError, train

    kind = NETWORKS.get(registry.of_task(model, "next"))
    if kind is None:
        raise UsageError(f"{model} is no network", remedy=f"ngram, or one of {', '.join(NETWORKS)}")
    detector = kind.build(
        choose_inputs(kind, learn_from.schema), len(learn_from.schema.classes), seed=config.seed
    )
    order = np.argsort(learn_from.windows.placed_ns, kind="stable")
    cut = len(order) - max(len(order) // STOPPING, 1)
    first, last = (
        learn_from.over(learn_from.windows.select(np.sort(rows))) for rows in np.split(order, [cut])
    )
    place = working / "training"
    place.mkdir()
    try:
        train(detector, first, last, config, place, progress=False)
    except StoppedError as error:
        raise StoppedError("stopped in training; nothing was kept", remedy="learn again") from error
    shutil.rmtree(place)
    return detector


def encoder_of(source: Source[Any], learn_from: WindowSet, *, with_examples: bool = True) -> NormalEncoder:
    """The encoder of the source, fitted on what is learnt from, with the looks beside it."""
    timed = source.reader(learn_from.schema).timed and tells_apart(learn_from.t_ns)
    base = source.fit_encoder(learn_from)
    place = source.place if with_examples else None
    return NormalEncoder.fit(base, learn_from, timed=timed, place=place)


def alpha_of(budget: Budget, parts: stages.Stages) -> float:
    """The share of windows that spends the budget, by how many came in all the time before the check."""
    before = [span(part.t_ns) for part in (parts.learn, parts.calibrate)]
    known = [times for times in before if times is not None]
    seconds = None
    if known:
        seconds = (max(last for _, last in known) - min(first for first, _ in known)) / 1e9
    elif budget.seconds is not None:
        logger.warning(
            "nothing has a time: the budget %s is taken for %g alerts in %d windows (--budget N/WINDOWS)",
            budget, budget.alerts, UNTIMED,
        )  # fmt: skip
    return budget.alpha(len(parts.learn) + len(parts.calibrate), seconds)


def learn_recordings(
    detector: Normal, windows: EncodedWindows, parts: stages.Stages, *, seed: int
) -> WholeRecordings | None:
    """Let `detector` learn what is normal of whole recordings, where enough of them lie as a whole before the
    check, and say what came of it in the recordings that lie wholly within the check. `windows`: all of them.

    As many alerts are promised for a recording as for its windows.
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
    alerts = sum(verdict.alert for verdict in judge_recordings(detector, _of(windows, is_checked)))
    low, high = exact_bounds(alerts / max(int(is_checked.sum()), 1), int(is_checked.sum()))
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


def p_values(detector: Normal, windows: EncodedWindows, progress: Any = None) -> FloatArray:
    """The p-value of every window `(N,)`."""
    found = np.empty(len(windows))
    for rows, X in windows.batches(BATCH, detector.input_names):
        found[rows] = np.exp(detector.log_p(X))
        if progress is not None:
            progress(int(rows[-1]) + 1, len(windows))
    return found


def seconds_of(windows: WindowSet) -> float | None:
    """How long windows go on, in seconds; None where nobody knows."""
    found = span(windows.t_ns)
    return None if found is None else (found[1] - found[0]) / 1e9


def _refuse_sameness(windows: EncodedWindows, evidence: Path) -> None:
    """Raise EvidenceError where there is one event only: whatever else comes is new without learning."""
    for spec in windows.encoder.inputs:
        if spec.kind == "tokens" and len(spec.vocabulary or ()) <= UNK + 2:
            text = (spec.vocabulary or ("",))[-1]
            raise EvidenceError(
                f"every event is the same ({text[:80]!r}): nothing of order or rarity can be learnt",
                where=evidence,
                remedy="see how it is read (vestige preview), or give evidence with more kinds of events",
            )


def _refuse_novelty(windows: EncodedWindows, evidence: Path) -> list[str]:
    """Raise EvidenceError where hardly anything of what follows was seen before; what is doubtful about the
    part that ranks are taken among, in sentences."""
    tokens = next((spec for spec in windows.encoder.inputs if spec.kind == "tokens"), None)
    if tokens is None:
        return []
    new, kinds = 0, set[int]()
    stream, step = windows.bound.streams((tokens.name,))[0], windows.windows.target_step
    for rows, X in windows.batches(BATCH, (tokens.name,)):
        token = X[tokens.name][:, -1]
        # What is unknown, and came before in the same window, has an id beyond the vocabulary.
        found = rows[(token == UNK) | (token >= len(tokens.vocabulary or ()))]
        new += len(found)
        kinds.update(windows.windows.streams.at(stream, step[found]).tolist())
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


def _unlike(detector: Normal, p_value: FloatArray) -> list[str]:
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


def _judged(
    source: Source[Any],
    evidence: Path,
    detector: Normal,
    parts: stages.Stages,
    p_value: FloatArray,
    budget: Budget,
    command: str,
    windows: WindowSet,
) -> Learnt:
    alert = alerts_of(detector, parts.check, p_value)
    seconds = seconds_of(parts.check)
    return Learnt(
        source=source.name,
        evidence=str(evidence),
        command=command,
        budget=str(budget),
        alpha=detector.alpha,
        parted=parts.how,
        learn=part_of(parts.learn),
        calibrate=part_of(parts.calibrate),
        check=part_of(parts.check),
        looks=list(detector.looks),
        promised=AlertRate.promised(budget, len(parts.check), seconds),
        expected=AlertRate.expected(detector.alpha, len(parts.check), seconds),
        beyond=AlertRate.of(int((p_value <= detector.alpha).sum()), len(parts.check), seconds),
        came=AlertRate.of(int(alert.sum()), len(parts.check), seconds),
        stretches=AlertRate.of(_stretches(parts.check, alert), len(parts.check), seconds),
        strangest=_strangest(source, detector, parts.check, p_value),
        warnings=[str(text) for text in windows.notes.get("warnings", [])],
        left_out=dict(windows.notes.get("left_out_counts", {})),
        left_out_first=LeftOut.of_notes(windows.notes, windows.path).first[:MOST_LEFT_OUT],
    )


def _stretches(check: WindowSet, alert: NDArray[np.bool_]) -> int:
    """How many alerts there are, those of one stretch as one."""
    return int(stretches(check.recording[alert], check.position[alert], check.schema.length).sum())


def alerts_of(detector: Normal, windows: WindowSet, p_value: FloatArray) -> NDArray[np.bool_]:
    """Which windows alert `(N,)`, the threshold being moved as scoring moves it, in the order of time."""
    order = np.argsort(windows.placed_ns, kind="stable")
    entity = windows.recording[order].astype(np.int64)
    names = [host or name for host, name in windows.recordings.select("host", "id").iter_rows()]
    budget = AlertBudget.start(detector.alpha)
    alert = np.empty(len(windows), dtype=np.bool_)
    alert[order] = budget.decide(np.log(p_value[order]), entity, names)
    return alert


def part_of(windows: WindowSet) -> PartOf:
    """How large a part is, and from when to when it goes."""
    times = span(windows.t_ns)
    begin = end = None
    if times is not None:
        begin, end = rfc3339(np.array(times, dtype=np.int64))
    return PartOf(windows=len(windows), recordings=len(windows.present), begin=begin, end=end)


def _strangest(source: Source[Any], detector: Normal, check: WindowSet, p_value: FloatArray) -> list[Stretch]:
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
