"""Learning what is normal from evidence without labels: read, part by time, learn, calibrate, check itself.

What is learnt from, what ranks are taken among, and what the result is checked on are three parts that
follow one another; labels that the evidence may have are not looked at.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige import checkpoint, extras, log, storage
from vestige.engine import LOCAL, Engine
from vestige.evaluation.again import Again
from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Contaminated, Learnt
from vestige.evaluation.learnt_page import PAGE_FILE, write_page
from vestige.evaluation.parts import AlertRate
from vestige.evaluation.plants import N as PLANTS
from vestige.evaluation.sensitivity import Sensitivity
from vestige.evidence.defects import LeftOut
from vestige.models import registry
from vestige.models.base import parse_hyper
from vestige.models.normal.detector import Normal
from vestige.pipeline.check_part import (
    alerted_stretches,
    alerts_of,
    learn_recordings,
    p_values,
    part_of,
    seconds_of,
    strangest,
)
from vestige.pipeline.contaminating import contaminated
from vestige.pipeline.doubts import refuse_novelty, refuse_sameness, unlike
from vestige.pipeline.falling_silent import silences_in
from vestige.pipeline.recipe import (
    NGRAM,
    DetectorRecipe,
    alpha_of,
    encoder_of,
    to_learn_from,
    with_known_times,
)
from vestige.pipeline.self_check import sensitivity
from vestige.reading.encoding import EncodedWindows
from vestige.reading.steps import ShowProgress, silent
from vestige.reading.windows import WindowSet
from vestige.sources.base import Source
from vestige.splits import stages
from vestige.training.config import TrainingConfig

logger = log.get(__name__)
FloatArray = NDArray[np.float64]

DATASET = "dataset"
MOST_LEFT_OUT = 100
"""What was left out that is told one by one; all of it is counted."""


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
    _refuse_model(model, hyper or {})
    logger.info("%s", stages.needed(budget.share if budget.seconds is None else None))
    with storage.atomic_directory(out, marker=checkpoint.HEADER, overwrite=overwrite) as working:
        windows = _read(source, evidence, options, working, engine, earlier, progress)
        parts = stages.part(windows, seed=seed, where=evidence)
        with progress("learning what is normal", ""):
            encoder = encoder_of(source, parts.learn)
            learn_from = EncodedWindows.of(parts.learn, encoder)
            refuse_sameness(learn_from, evidence)
            calibrate = learn_from.over(parts.calibrate)
            doubts = refuse_novelty(calibrate, evidence)
            recipe = DetectorRecipe(model, hyper or {}, training or TrainingConfig(seed=seed), working)
            detector = recipe.fitted(learn_from, calibrate)
        detector.spend(alpha_of(budget, parts))
        with progress("learning what is normal of whole recordings", ""):
            whole = learn_recordings(detector, learn_from.over(windows), parts, seed=seed)
        with progress("checking", "windows") as update:
            p_value = p_values(detector, learn_from.over(parts.check), update)
        checkpoint.save(
            working, detector=detector, encoder=encoder, schema=windows.schema, source=source,
            view="realistic", threshold=0.5, policy=f"budget={budget}",
            notes=checkpoint.Notes(forms=windows.notes.get("forms", [])),
        )  # fmt: skip
        tried = _Tried(source, recipe, detector, learn_from, parts, p_value, seed, progress)
        learnt = _judged(source, evidence, detector, parts, p_value, budget, command, windows)
        learnt = learnt.model_copy(
            update={
                **tried.all(earlier, learnt.promised, plants, contamination),
                "seed": seed,
                "options": options.model_dump(mode="json", exclude_defaults=True),
                "whole": whole,
                "silences": silences_in(encoder, parts.check, detector.alpha, seed=seed),
                "warnings": [*doubts, *unlike(detector, p_value), *learnt.warnings],
            }
        )
        shutil.rmtree(working / DATASET)
        storage.write_text(working / FILE, learnt.to_json())
        write_page(working / PAGE_FILE, learnt)
    return learnt


def _read(
    source: Source[Any],
    evidence: Path,
    options: BaseModel,
    working: Path,
    engine: Engine,
    earlier: Earlier | None,
    progress: ShowProgress,
) -> WindowSet:
    """The windows of the evidence, with known times; without those that are known to be an attack."""
    with progress(f"reading {evidence}", "bytes") as update:
        windows = source.prepare(
            evidence, working / DATASET, to_learn_from(source, options), engine=engine, progress=update
        )
    windows = with_known_times(source, windows)
    logger.info("read: %d windows, recordings: %d", len(windows), windows.recordings.height)
    return windows if earlier is None else earlier.without_attacks(windows)


def _refuse_model(model: str, hyper: dict[str, Any]) -> None:
    """Refuse what is asked for wrongly before anything is read."""
    parse_hyper(Normal, hyper)
    if model != NGRAM:
        registry.of_task(model, "next")
        extras.require(registry.NEURAL, f"the model {model}", instead="leave out --model: ngram does without")


@dataclass(frozen=True)
class _Tried:
    """What is tried of a detector on the check part, beside counting its alerts: a stage of its own each."""

    source: Source[Any]
    recipe: DetectorRecipe
    detector: Normal
    learn_from: EncodedWindows
    parts: stages.Stages
    p_value: FloatArray
    seed: int
    progress: ShowProgress

    def all(
        self, earlier: Earlier | None, promised: AlertRate, plants: int, contamination: Sequence[float]
    ) -> dict[str, Any]:
        """Every stage, by the field of `Learnt` that it fills."""
        return {
            "sensitivity": self.sensitivity(plants),
            "contamination": self.contaminated(contamination, plants or PLANTS),
            "again": self.beside(earlier, promised, plants),
        }

    def sensitivity(self, plants: int) -> Sensitivity | None:
        """What it finds of planted anomalies."""
        if not plants:
            return None
        with self.progress("planting anomalies to be found", ""):
            return sensitivity(
                self.source, self.detector, self.learn_from, self.parts, seed=self.seed, n=plants
            )

    def contaminated(self, shares: Sequence[float], plants: int) -> list[Contaminated]:
        """What becomes of the figures where learning was in part an attack."""
        if not shares:
            return []
        with self.progress("learning again from what is in part an attack", ""):
            return contaminated(
                self.source,
                self.recipe,
                self.detector,
                self.learn_from,
                self.parts,
                self.p_value,
                shares,
                n=plants,
            )

    def beside(self, earlier: Earlier | None, promised: AlertRate, plants: int) -> Again | None:
        """What would change against the earlier detector."""
        if earlier is None:
            return None
        with self.progress("judging the earlier detector beside it", ""):
            return earlier.beside(
                self.source, self.detector, self.learn_from, self.parts, self.p_value,
                promised=promised, seed=self.seed, plants=plants,
            )  # fmt: skip


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
        stretches=AlertRate.of(alerted_stretches(parts.check, alert), len(parts.check), seconds),
        strangest=strangest(source, detector, parts.check, p_value),
        warnings=[str(text) for text in windows.notes.get("warnings", [])],
        left_out=dict(windows.notes.get("left_out_counts", {})),
        left_out_first=LeftOut.of_notes(windows.notes, windows.path).first[:MOST_LEFT_OUT],
    )
