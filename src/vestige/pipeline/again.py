"""Learning again: a shadow of a detector, learnt as that one was from newer evidence, and judged beside it.

What people said of incidents takes part: what was confirmed is an attack, and nothing is learnt from it, nor
from what came of it again; what was dismissed is fine, and is learnt like everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from vestige import checkpoint, log
from vestige.checkpoint import Loaded
from vestige.engine import LOCAL, Engine
from vestige.errors import EvidenceError, UsageError
from vestige.evaluation.again import Again, Difference, FoundOf, SaidOf, of_kinds
from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Learnt
from vestige.evaluation.parts import AlertRate, Stretch
from vestige.evaluation.plants import N as PLANTS
from vestige.evaluation.plants import Plants
from vestige.evaluation.rates import stretches
from vestige.models.normal.detector import Normal
from vestige.pipeline import learn as learning
from vestige.pipeline.check_part import alerts_of, p_values, part_of, seconds_of, shown_stretches
from vestige.pipeline.recipe import NGRAM
from vestige.pipeline.self_check import lowest_of, planted
from vestige.reading.encoding import EncodedWindows, Encoder
from vestige.reading.looks import TEXT, NormalEncoder
from vestige.reading.steps import NO_TIME, ShowProgress, silent
from vestige.reading.windows import WindowSet
from vestige.runs.directory import RunDirectory
from vestige.scoring.repeats import MOST_TEXT
from vestige.sources import registry
from vestige.sources.base import Source
from vestige.splits import stages

MOST_KEPT_OUT = 0.5
"""Where more of the windows are said to be an attack, nothing of what is left can be called normal."""
SHOWN = 10
"""Stretches that are shown, of those that vanish and of those that appear."""

logger = log.get(__name__)
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class Said:
    """An incident of which somebody said that it is one (`confirmed`), or that it is fine: whose it is (the
    `entity`: a host or a recording), and from when to when its alerts came (t_ns; None: unknown). `events`
    are those that it was about and the detector did not know, masked: a watch counts what comes of them
    again, and tells it no more."""

    entity: str
    first_ns: int | None
    last_ns: int | None
    confirmed: bool
    events: frozenset[str] = frozenset()

    @classmethod
    def of(cls, row: Mapping[str, Any], said: str) -> Self:
        """An incident as a watch keeps it, of which somebody `said` dismissed or confirmed."""
        ends = [ns_of(row["last"]), ns_of(row.get("last_repeat"))]
        last = max((end for end in ends if end is not None), default=None)
        new = {raised["event"] for raised in row["raised"] if raised["template"] is None}
        return cls(row["host"], ns_of(row["first"]), last, said == "confirmed", frozenset(new - {""}))

    def within(self, windows: WindowSet) -> IntArray:
        """The rows of the windows that judge a step of it, `(M,)`."""
        if self.first_ns is None or self.last_ns is None:
            return np.empty(0, dtype=np.int64)
        inside = (windows.t_ns >= self.first_ns) & (windows.t_ns <= self.last_ns)
        return self._mine(windows, inside)

    def again(self, windows: WindowSet, event: IntArray, names: Sequence[str]) -> IntArray:
        """The rows of the windows that judge what came of its events since it began, `(M,)`, also when it was
        closed: `event (N,)` indexes `names`, negative for any other event."""
        mine = np.array([name in self.events for name in names], dtype=np.bool_)
        if self.first_ns is None or not mine.any():
            return np.empty(0, dtype=np.int64)
        return self._mine(windows, (windows.t_ns >= self.first_ns) & (event >= 0) & mine[event])

    def _mine(self, windows: WindowSet, chosen: BoolArray) -> IntArray:
        """Those of the chosen windows `(N,)` that are its host's, or its recording's."""
        pairs = windows.recordings.select("host", "id").iter_rows()
        mine = np.array([_is_of(self.entity, host, name) for host, name in pairs], dtype=np.bool_)
        return np.flatnonzero(chosen & mine[windows.recording] & (windows.t_ns != NO_TIME))


def learn_again(
    run: Path,
    evidence: Path,
    out: Path,
    *,
    said: Sequence[Said] = (),
    budget: Budget | None = None,
    command: str = "",
    engine: Engine = LOCAL,
    overwrite: bool = False,
    plants: int = PLANTS,
    progress: ShowProgress = silent,
) -> Learnt:
    """Learn from `evidence` into `out` as the detector in the directory `run` was learnt: the same source and
    options, model, hyper-parameters, seed, and, without another one, the same `budget`. What comes of it is
    judged beside that detector (`Learnt.again`), which stays as it is.

    `said`: incidents that people dismissed or confirmed. Raises UsageError where `run` was not learnt without
    labels, and as `learn` does.
    """
    earlier = _earlier(RunDirectory.open(run).detector(), said)
    loaded, detector, learnt = earlier.loaded, earlier.detector, earlier.learnt
    source = registry.get(loaded.schema.source)
    try:
        options = source.options(**learnt.options)
    except ValidationError as error:
        raise UsageError(
            f"was learnt with options that there are no longer ({error.errors()[0]['loc']})",
            where=earlier.directory,
            remedy=f"learn anew: vestige learn {source.name}",
        ) from error
    model = NGRAM
    if detector.network is not None:
        model = detector.network.name
    return learning.learn(
        source,
        evidence,
        out,
        options=options,
        budget=budget or Budget.parse(learnt.budget),
        model=model,
        hyper=detector.hyper.model_dump(),
        seed=learnt.seed,
        command=command,
        engine=engine,
        overwrite=overwrite,
        plants=plants,
        earlier=earlier,
        progress=progress,
    )


@dataclass
class Beside:
    """The detector that was there before, in `directory`; see `learn.Earlier`. `attacks` are the windows that
    were kept out, once there are any."""

    directory: Path
    loaded: Loaded
    detector: Normal
    learnt: Learnt
    said: tuple[Said, ...]
    attacks: WindowSet | None = field(default=None, repr=False)
    doubts: list[str] = field(default_factory=list)

    def without_attacks(self, windows: WindowSet) -> WindowSet:
        """Without the windows in which a step of a confirmed incident can be seen. Raises EvidenceError where
        these are most of them."""
        self._compare_reading(windows)
        confirmed = [each for each in self.said if each.confirmed]
        rows = [each.within(windows) for each in confirmed]
        names = sorted(frozenset().union(*(each.events for each in confirmed)))
        event = _events(windows, self.loaded.encoder, names)
        rows += [each.again(windows, event, names) for each in confirmed if len(event)]
        seen = _seen_by(windows, np.unique(np.concatenate([np.empty(0, dtype=np.int64), *rows])))
        if seen.mean() > MOST_KEPT_OUT:
            raise EvidenceError(
                f"{seen.mean():.0%} of its windows show confirmed incidents: what is left is not what is "
                "normal",
                where=self.directory,
                remedy="give evidence of a longer time, or look at what was confirmed (confirmed.jsonl)",
            )
        if seen.any():
            logger.info("%d windows that show confirmed incidents are kept out", int(seen.sum()))
        self.attacks = windows.select(np.flatnonzero(seen))
        untimed = sum(each.first_ns is None or each.last_ns is None for each in self.said)
        if untimed:
            self.doubts.append(
                f"{untimed:,} incidents have no times: where they lie in this evidence cannot be told, and "
                "what was confirmed of them is learnt from."
            )
        return windows.select(np.flatnonzero(~seen)) if seen.any() else windows

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
        """See `learn.Earlier`."""
        earlier, check = self.detector, parts.check
        of_earlier = EncodedWindows.of(check, self.loaded.encoder)
        p_before = p_values(earlier, of_earlier)
        before = alerts_of(earlier, check, p_before)
        after = alerts_of(detector, check, p_value)
        self._note_overlap(parts)
        stay, vanish, appear = _stretches(check, before, after)
        seconds = seconds_of(check)

        def rate(alerts: int) -> AlertRate:
            return AlertRate.of(alerts, len(check), seconds)

        lost, gained = rate(len(vanish)), rate(len(appear))
        found: list[FoundOf] = []
        if plants:
            made = planted(source, check, learn_from.encoder.symbols, seed=seed, n=plants)
            kinds = np.array([plant.kind for plant in made.plants], dtype=np.int64)
            hits = _finds(earlier, self.loaded.encoder, made), _finds(detector, learn_from.encoder, made)
            found = of_kinds(made.kinds, kinds, *hits)
        return Again(
            earlier=str(self.directory),
            check=part_of(check),
            promised=promised,
            before=rate(int(before.sum())),
            after=rate(int(after.sum())),
            stay=rate(len(stay)),
            vanish=lost,
            appear=gained,
            difference=Difference.of(_bounded(gained), _bounded(lost)),
            vanished=_shown(source, check, vanish, p_before),
            appeared=_shown(source, check, appear, p_value),
            found=found,
            dismissed=self._dismissed(parts, before, after),
            confirmed=self._confirmed(detector, learn_from),
            doubts=self.doubts,
        )

    def _compare_reading(self, windows: WindowSet) -> None:
        """Raise EvidenceError where the earlier detector cannot judge these windows; note where it was read
        otherwise."""
        earlier, now = self.loaded.header.dataset_schema, windows.schema.to_dict()
        different = sorted(key for key in now if now[key] != earlier.get(key))
        if not different:
            return
        if different != ["settings"]:
            raise EvidenceError(
                f"it is read as something else than {self.directory} learnt from (other "
                f"{', '.join(different)})",
                remedy=f"learn anew, beside nothing: vestige learn {windows.schema.source}",
            )
        self.doubts.append(
            "The evidence is read in another way than the earlier detector learnt to read it (see vestige "
            "inspect of both): its figures here are of what it would say of the evidence as it is read now."
        )

    def _note_overlap(self, parts: stages.Stages) -> None:
        """Say where the earlier detector knows some of what both are judged on."""
        until = max(self.learnt.learn.end or "", self.learnt.calibrate.end or "")
        begin = part_of(parts.check).begin
        if begin is not None and begin <= until:
            self.doubts.append(
                f"The earlier detector learnt from what came until {until[:19]}Z, and the check begins at "
                f"{begin[:19]}Z: of what it knows already it looks better than it is."
            )

    def _dismissed(self, parts: stages.Stages, before: BoolArray, after: BoolArray) -> SaidOf | None:
        said = [each for each in self.said if not each.confirmed]
        if not said:
            return None
        counts = {"learnt": 0, "calibrated": 0, "checked": 0, "absent": 0, "before": 0, "after": 0}
        for each in said:
            checked = each.within(parts.check)
            learnt, calibrated = len(each.within(parts.learn)), len(each.within(parts.calibrate))
            counts["learnt"] += learnt > 0
            counts["calibrated"] += calibrated > 0
            counts["checked"] += len(checked) > 0
            counts["absent"] += not (learnt or calibrated or len(checked))
            counts["before"] += bool(before[checked].any())
            counts["after"] += bool(after[checked].any())
        return SaidOf(total=len(said), **counts)

    def _confirmed(self, detector: Normal, learn_from: EncodedWindows) -> SaidOf | None:
        """What both say of the confirmed incidents, none of which the new one learnt from: wherever they lie
        they are part of the check."""
        said, attacks = [each for each in self.said if each.confirmed], self.attacks
        if not said or attacks is None:
            return None
        earlier = self.detector
        there = EncodedWindows.of(attacks, self.loaded.encoder)
        before = p_values(earlier, there) <= earlier.alpha
        after = p_values(detector, learn_from.over(attacks)) <= detector.alpha
        rows = [each.within(attacks) for each in said]
        present = [found for found in rows if len(found)]
        return SaidOf(
            total=len(said),
            checked=len(present),
            absent=len(said) - len(present),
            windows=len(attacks),
            before=sum(bool(before[found].any()) for found in present),
            after=sum(bool(after[found].any()) for found in present),
        )


def _earlier(directory: Path, said: Sequence[Said]) -> Beside:
    """Raises UsageError for a detector that was not learnt without labels."""
    loaded = checkpoint.load(directory)
    if not isinstance(loaded.detector, Normal) or not (directory / FILE).is_file():
        raise UsageError(
            f"is a detector ({loaded.detector.name}) that vestige learn did not make",
            where=directory,
            remedy="name one that it made; others are trained again with vestige run",
        )
    return Beside(directory, loaded, loaded.detector, Learnt.load(directory / FILE), tuple(said))


def _is_of(entity: str, host: str | None, recording: str) -> bool:
    """Whether a recording is an incident's: by its host, or by its name, which may be a longer path."""
    if entity in (host, recording):
        return True
    return entity.endswith(f"/{recording}") or recording.endswith(f"/{entity}")


def _events(windows: WindowSet, encoder: Encoder, names: list[str]) -> IntArray:
    """Which of these events, as incidents keep them, each window judges, `(N,)`, negative for any other;
    empty where none of them is there, or where steps are no events."""
    none = np.empty(0, dtype=np.int64)
    if not names or not isinstance(encoder, NormalEncoder) or not encoder.tokens:
        return none
    table = windows.table(encoder.symbols)
    number = {name: at for at, name in enumerate(names)}
    event = np.array([number.get(text[:MOST_TEXT], -1) for text in table[TEXT].to_list()], dtype=np.int64)
    if event.max(initial=-1) < 0:
        return none
    _, stream = encoder.kinds_of_symbols(windows)
    of_windows: IntArray = event[windows.streams.at(stream, windows.target_step)]
    return of_windows


def _finds(detector: Normal, encoder: Encoder, made: Plants) -> BoolArray:
    """Which plants `(P,)` a detector finds: as `plants.detected` counts it."""
    lowest = lowest_of(detector, encoder, made)
    return (lowest.planted <= detector.alpha) & (lowest.without > detector.alpha)


def _seen_by(windows: WindowSet, rows: IntArray) -> BoolArray:
    """Which windows `(N,)` show a step that one of those at `rows` judges. Windows of a recording lie in the
    order of their steps, and recordings one after the other."""
    seen = np.zeros(len(windows), dtype=np.bool_)
    if not len(rows):
        return seen
    step, schema = windows.target_step, windows.schema
    marked = np.sort(step[rows])
    # The first marked step that is not before all that a window shows.
    at = np.minimum(np.searchsorted(marked, step - schema.before), len(marked) - 1)
    seen = (marked[at] >= step - schema.before) & (marked[at] <= step + schema.ahead)
    of_marked = np.zeros(windows.recordings.height, dtype=np.bool_)
    of_marked[windows.recording[rows]] = True
    # Without padding a window of the next recording is near, too.
    return seen & of_marked[windows.recording]


def _stretches(
    check: WindowSet, before: BoolArray, after: BoolArray
) -> tuple[list[IntArray], list[IntArray], list[IntArray]]:
    """The stretches of alerts of both, of the earlier alone and of the new one alone, each as the rows of its
    alerts: those of one recording within a window's length are one."""
    rows = np.flatnonzero(before | after)
    rows = rows[np.lexsort((check.position[rows], check.recording[rows]))]
    begins = stretches(check.recording[rows], check.position[rows], check.schema.length)
    groups = np.split(rows, np.flatnonzero(begins)[1:]) if len(rows) else []
    stay = [group for group in groups if before[group].any() and after[group].any()]
    vanish = [group for group in groups if not after[group].any()]
    appear = [group for group in groups if not before[group].any()]
    return stay, vanish, appear


def _shown(
    source: Source[Any], check: WindowSet, groups: list[IntArray], p_value: FloatArray
) -> list[Stretch]:
    """The strangest alert of each stretch, of the strangest stretches."""
    strangest = [int(group[np.argmin(p_value[group])]) for group in groups]
    rows = np.array(sorted(strangest, key=lambda row: float(p_value[row]))[:SHOWN], dtype=np.int64)
    return shown_stretches(source, check, rows, p_value)


def _bounded(rate: AlertRate) -> tuple[float, float, float]:
    return rate.rate, rate.low or 0.0, rate.high or 0.0


def ns_of(time: str | None) -> int | None:
    """A time of RFC 3339 in UTC as t_ns; None where nobody knows."""
    if time is None:
        return None
    return int(np.datetime64(time.removesuffix("Z"), "ns").astype(np.int64))
