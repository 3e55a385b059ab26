"""From a job to trained detectors: build, train, choose the threshold on validation, save the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import checkpoint, log
from vestige.checkpoint.header import VERDICT
from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.base import VIEWS, Detector, Task, choose_inputs, parse_hyper
from vestige.models.fitting import FittedDetector
from vestige.pipeline import verdicts
from vestige.pipeline.job import Lesson
from vestige.training import TrainingConfig, train

logger = log.get(__name__)

Settings = dict[str, int | float | bool | str]


@dataclass(frozen=True)
class Order:
    """Which detectors to train, and how."""

    models: tuple[str, ...]
    task: Task = "classify"
    view: str = "realistic"
    settings: Settings = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    command: str = ""

    def hyper(self, model: str) -> dict[str, Any]:
        """The settings that `model` has: those that name it (`gru.hidden`), and bare ones that it knows.

        Raises UsageError for a setting that no model of this order has.
        """
        chosen: dict[str, Any] = {}
        for name, value in self.settings.items():
            prefix, dot, rest = name.rpartition(".")
            if not any(self._has(one, prefix, rest) for one in self.models):
                known = {
                    one: ", ".join(registry.get(one).hyper_parameters.model_fields) for one in self.models
                }
                raise UsageError(
                    f"--set {name}: none of {', '.join(self.models)} has it",
                    remedy="; ".join(f"{one} has: {fields or 'none'}" for one, fields in known.items()),
                )
            if self._has(model, prefix, rest):
                chosen[rest if dot else name] = value
        return chosen

    def check(self) -> None:
        """Raise UsageError for whatever can be known to be wrong before any evidence is read."""
        if self.view not in VIEWS:
            raise UsageError(f"unknown view {self.view!r}", remedy=f"one of: {', '.join(VIEWS)}")
        for name in self.models:
            parse_hyper(registry.get(name), self.hyper(name))
        if self.training.device == "cuda":
            import torch

            if not torch.cuda.is_available():
                raise UsageError("--device cuda: there is no CUDA device here", remedy="use --device cpu")

    def _has(self, model: str, prefix: str, name: str) -> bool:
        return prefix in {"", model} and name in registry.get(model).hyper_parameters.model_fields


def build(lesson: Lesson, name: str, order: Order) -> Detector:
    """An untrained detector for the lesson's inputs. Raises UsageError when it fits none of them."""
    kind = registry.get(name)
    hyper = order.hyper(name)
    if order.training.threads and "threads" in kind.hyper_parameters.model_fields:
        hyper.setdefault("threads", order.training.threads)
    inputs, classes = choose_inputs(kind, lesson.schema), len(lesson.schema.classes)
    return kind.build(inputs, classes, view=order.view, seed=order.training.seed, **hyper)


def fit(
    lesson: Lesson, name: str, directory: Path, order: Order, policy: str, *, resume: bool = False
) -> None:
    """Train one detector into `directory`; when resuming, one that is finished is left alone."""
    if resume and (directory / checkpoint.HEADER).is_file():
        logger.info("%s: finished earlier", name)
        return
    detector = build(lesson, name, order)
    logger.info("%s: training on %d windows", name, len(lesson.train))
    history = train(detector, lesson.train, lesson.validation, order.training, directory, resume=resume)
    how = verdicts.way(detector, lesson.validation)
    threshold = verdicts.calibrate(detector, lesson.validation, how, policy)
    checkpoint.save(
        directory,
        detector=detector,
        encoder=lesson.train.encoder,
        schema=lesson.train.windows.schema,
        source=lesson.source,
        threshold=threshold.value,
        policy=threshold.policy,
        view=order.view,
        extra={VERDICT: how},
    )
    logger.info("%s: trained in %d rounds", name, len(history))


def fit_baseline(
    lesson: Lesson, name: str, *, seed: int, view: str, labels: NDArray[np.uint8] | None = None
) -> Detector:
    """One of the trivial baselines, fitted on the training part, with other `labels (N,)` where given."""
    kind = registry.get(name)
    inputs, classes = choose_inputs(kind, lesson.schema), len(lesson.schema.classes)
    detector = kind.build(inputs, classes, view=view, seed=seed)
    if not isinstance(detector, FittedDetector):
        raise TypeError(f"the baseline {name} has no fit")
    side = lesson.train
    train = side if labels is None else side.over(replace(side.windows, label=labels))
    detector.fit(train, lesson.validation, seed=seed)
    return detector
