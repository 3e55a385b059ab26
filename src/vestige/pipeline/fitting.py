"""From a job to trained detectors: build, train, choose the threshold on validation, save the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige import checkpoint, log
from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.base import Detector, Task, choose_inputs
from vestige.models.fitting import FittedDetector
from vestige.pipeline import verdicts
from vestige.pipeline.job import Job
from vestige.training import TrainingConfig, train

logger = log.get(__name__)
VERDICT = "verdict"
"""Key of the checkpoint's `extra`: how windows become a recording's verdict."""

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

    def _has(self, model: str, prefix: str, name: str) -> bool:
        return prefix in {"", model} and name in registry.get(model).hyper_parameters.model_fields


def build(job: Job, name: str, order: Order) -> Detector:
    """An untrained detector for the job's inputs. Raises UsageError when it fits none of them."""
    kind = registry.get(name)
    schema = job.train.schema
    hyper = order.hyper(name)
    if order.training.threads and "threads" in kind.hyper_parameters.model_fields:
        hyper.setdefault("threads", order.training.threads)
    inputs = choose_inputs(kind, schema)
    return kind.build(inputs, len(schema.classes), view=order.view, seed=order.training.seed, **hyper)


def fit(job: Job, name: str, directory: Path, order: Order, policy: str, *, resume: bool = False) -> Detector:
    """Train one detector into `directory` and return it; a finished one is loaded when resuming."""
    if resume and (directory / checkpoint.HEADER).is_file():
        logger.info("%s: finished earlier", name)
        return checkpoint.load(directory, schema=job.windows.schema).detector
    detector = build(job, name, order)
    logger.info("%s: training on %d windows", name, len(job.train))
    history = train(detector, job.train, job.validation, order.training, directory, resume=resume)
    how = verdicts.way(detector, job.validation)
    threshold = verdicts.calibrate(detector, job.validation, how, policy)
    checkpoint.save(
        directory,
        detector=detector,
        encoder=job.train.encoder,
        schema=job.windows.schema,
        source=job.source,
        threshold=threshold.value,
        policy=threshold.policy,
        view=order.view,
        extra={VERDICT: how},
    )
    logger.info("%s: trained in %d rounds", name, len(history))
    return detector


def fit_baseline(job: Job, name: str, seed: int, labels: NDArray[np.uint8] | None = None) -> Detector:
    """One of the trivial baselines, fitted on the training part, with other `labels (N,)` where given."""
    kind = registry.get(name)
    schema = job.train.schema
    detector = kind.build(choose_inputs(kind, schema), len(schema.classes), seed=seed)
    if not isinstance(detector, FittedDetector):
        raise TypeError(f"the baseline {name} has no fit")
    train = job.train if labels is None else job.train.over(replace(job.train.windows, label=labels))
    detector.fit(train, job.validation, seed=seed)
    return detector
