"""From training data to a trained detector: build, train, choose the threshold on validation, save."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checkpoint, extras, log
from vestige.errors import UsageError
from vestige.evaluation.figures import ThresholdResult
from vestige.evidence.defects import counted
from vestige.models import registry
from vestige.models.base import VIEWS, Detector, Task, choose_inputs, parse_hyper
from vestige.models.fitting import FittedDetector
from vestige.pipeline import predicting
from vestige.pipeline.experiment import TrainingData
from vestige.runs import views
from vestige.schema import Schema
from vestige.training import TrainingConfig, train
from vestige.training.resampling import refuse

logger = log.get(__name__)

ALL = "all"
Settings = dict[str, int | float | bool | str]


@dataclass(frozen=True)
class TrainingPlan:
    """Which detectors to train, and how; with the view `both`, each of `models` in each view. `all` among
    them stands for the standard ones until a dataset is known: see `over`."""

    models: tuple[str, ...]
    task: Task = "classify"
    view: str = "realistic"
    settings: Settings = field(default_factory=dict)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    command: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """What the detectors are called: see `views`."""
        return views.names(self.models, self.view)

    def over(self, schema: Schema) -> Self:
        """The plan with what `all` means on a dataset: the standard detectors that fit its inputs.

        Raises UsageError where none does.
        """
        if ALL not in self.models:
            return self
        absent = [name for name in self._spelt_out() if not registry.available(name)]
        if absent:
            logger.warning(
                "--model all: left out, because they are not installed: %s (%s)",
                ", ".join(absent), extras.command(registry.NEURAL),
            )  # fmt: skip
        fitting = set(registry.fitting(schema, self.task))
        models = tuple(dict.fromkeys(name for name in self._spelt_out() if name in fitting))
        if not models:
            raise UsageError(
                f"--model all: none of {', '.join(self._spelt_out())} fits this {schema.source} dataset",
                remedy=f"name one of: {', '.join(sorted(fitting))}",
            )
        return replace(self, models=models)

    def _spelt_out(self) -> tuple[str, ...]:
        spelt: list[str] = []
        for name in self.models:
            if name == ALL:
                spelt += registry.STANDARD[self.task]
            else:
                spelt.append(name)
        return tuple(spelt)

    def hyper(self, model: str) -> dict[str, Any]:
        """The settings that `model` has: those that name it (`gru.hidden`), and bare ones that it knows.

        Raises UsageError for a setting that no model of this plan has.
        """
        chosen: dict[str, Any] = {}
        models = self._spelt_out()
        for name, value in self.settings.items():
            prefix, dot, rest = name.rpartition(".")
            if not any(self._has(each, prefix, rest) for each in models):
                known = {each: ", ".join(registry.get(each).hyper_parameters.model_fields) for each in models}
                raise UsageError(
                    f"--set {name}: none of {', '.join(models)} has it",
                    remedy="; ".join(f"{each} has: {fields or 'none'}" for each, fields in known.items()),
                )
            if self._has(model, prefix, rest):
                chosen[rest if dot else name] = value
        return chosen

    def check(self) -> None:
        """Raise UsageError for whatever can be known to be wrong before any evidence is read."""
        known = (*VIEWS, views.BOTH)
        if self.view not in known:
            raise UsageError(f"unknown view {self.view!r}", remedy=f"one of: {', '.join(known)}")
        for name in self._spelt_out():
            if ALL in self.models and not registry.available(name):
                continue  # `over` says that it is left out
            parse_hyper(registry.get(name), self.hyper(name))
            refuse(registry.get(name), self.training.resample)
        self._check_precision()
        if self.training.device == "cuda":
            extras.require(registry.NEURAL, "--device cuda", instead="use --device cpu")
            import torch

            if not torch.cuda.is_available():
                raise UsageError("--device cuda: there is no CUDA device here", remedy="use --device cpu")

    def _check_precision(self) -> None:
        if self.training.precision not in {"16", "bf16"}:
            return
        models = [name for name in self._spelt_out() if ALL not in self.models or registry.available(name)]
        if all(issubclass(registry.get(name), FittedDetector) for name in models):
            raise UsageError(
                f"--precision {self.training.precision} is of networks, and there is none to train among: "
                f"{', '.join(models)}",
                remedy="leave --precision out, or name a network: -m gru",
            )

    def _has(self, model: str, prefix: str, name: str) -> bool:
        return prefix in {"", model} and name in registry.get(model).hyper_parameters.model_fields


def build(data: TrainingData, name: str, plan: TrainingPlan) -> Detector:
    """An untrained detector for the inputs of `data`. Raises UsageError when it fits none of them."""
    kind = registry.get(name)
    hyper = plan.hyper(name)
    if plan.training.threads and "threads" in kind.hyper_parameters.model_fields:
        hyper.setdefault("threads", plan.training.threads)
    inputs, classes = choose_inputs(kind, data.schema), len(data.schema.classes)
    return kind.build(inputs, classes, view=plan.view, seed=plan.training.seed, **hyper)


def fit(
    data: TrainingData,
    name: str,
    directory: Path,
    plan: TrainingPlan,
    policy: str,
    *,
    resume: bool = False,
    called: str = "",
) -> None:
    """Train one detector into `directory`; when resuming, one that is finished is left alone.

    `called`: what the log calls it.
    """
    called = called or name
    if resume and (directory / checkpoint.HEADER).is_file():
        logger.info("%s: finished earlier", called)
        return
    detector = build(data, name, plan)
    logger.info("%s: training on %d windows", called, len(data.train))
    history = train(detector, data.train, data.validation, plan.training, directory, resume=resume)
    pooling = predicting.pooling_of(detector, data.validation)
    threshold = predicting.calibrate(detector, data.validation, pooling, policy)
    judged = predicting.of_part(detector, data.validation, pooling, validation=True)
    notes = predicting.notes_of(judged, pooling)
    save(directory, data, detector, threshold, view=plan.view, notes=notes)
    reached = notes.validation_macro_f1
    # What is fitted at once has no rounds.
    rounds = f" in {counted(len(history), 'round')}" if history else ""
    logger.info("%s: trained%s, validation macro F1 %.3f", called, rounds, reached)


def save(
    directory: Path,
    data: TrainingData,
    detector: Detector,
    threshold: ThresholdResult,
    *,
    view: str,
    notes: checkpoint.Notes,
) -> None:
    """Write a trained detector into its folder, with all that is needed to put it to work."""
    checkpoint.save(
        directory,
        detector=detector,
        encoder=data.train.encoder,
        schema=data.train.windows.schema,
        source=data.source,
        threshold=threshold.value,
        policy=threshold.policy,
        view=view,
        notes=notes.model_copy(update={"forms": data.train.windows.notes.get("forms", [])}),
    )


def fit_baseline(
    data: TrainingData, name: str, *, seed: int, view: str, labels: NDArray[np.uint8] | None = None
) -> Detector:
    """One of the trivial baselines, fitted on the training part, with other `labels (N,)` where given."""
    kind = registry.get(name)
    inputs, classes = choose_inputs(kind, data.schema), len(data.schema.classes)
    detector = kind.build(inputs, classes, view=view, seed=seed)
    if not isinstance(detector, FittedDetector):
        raise TypeError(f"the baseline {name} has no fit")
    train = data.train
    if labels is not None:
        train = train.over(replace(train.windows, label=labels))
    detector.fit(train, data.validation, seed=seed)
    return detector
