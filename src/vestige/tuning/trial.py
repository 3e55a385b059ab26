"""One trial, in a process of its own: draw settings, train, tell how good validation says they are."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vestige import log
from vestige.checked import refused
from vestige.errors import VestigeError, out_of_memory
from vestige.models.base import Detector
from vestige.models.fitting import benign
from vestige.models.space import Parameter, Space, Value, draw
from vestige.pipeline import predicting
from vestige.pipeline.experiment import TrainingData
from vestige.pipeline.fitting import TrainingPlan, build
from vestige.training import StoppedError, train
from vestige.training.history import Report
from vestige.training.interrupt import stop_reason, watch_for_stop
from vestige.tuning import study as studies

if TYPE_CHECKING:
    import optuna

FIGURES = {"classify": "validation macro F1", "next": "minus the mean surprise of validation (nats)"}
"""What a trial is judged by, by the task of its detector: higher is better."""
BATCH = 4096
logger = log.get(__name__)


@dataclass(frozen=True)
class Task:
    """What a process needs to work on trials: plain data, and paths. `fixed`: the values of all that is not
    searched. `trials`: how many are wanted in all; `encoder` and `stop` as in `pipeline.parallel.Task`."""

    folder: Path
    dataset: Path
    split: Path
    encoder: dict[str, Any]
    plan: TrainingPlan
    space: Space
    fixed: dict[str, Any]
    trials: int
    stop: Path


@dataclass(frozen=True)
class Ended:
    """How a trial ended: `state` is COMPLETE, PRUNED or FAIL, `value` what it reached, or None."""

    number: int
    state: str
    value: float | None
    settings: dict[str, Value]
    seconds: float
    reason: str = ""


class Result(NamedTuple):
    """What became of settings that were tried: see `Ended`."""

    state: str
    value: float | None
    reason: str = ""


def run_trial(task: Task, _slot: int) -> Ended | None:
    """Work on the next trial of the search; None where none is wanted any more.

    What is wrong with the trial's own settings, and memory that is not there, fails the trial alone. Raises
    StoppedError where the search is to stop: the trial counts as under way then.
    """
    watch_for_stop(task.stop)
    _refuse_to_begin(task)
    data = data_of(task)
    with studies.quiet():
        study = studies.open_study(task.folder, seed=task.plan.training.seed)
        trials = study.get_trials(deepcopy=False)
        under_way = sum(trial.state.name == "RUNNING" for trial in trials)
        if len(studies.counted(study)) + under_way >= task.trials:
            return None
        return run_in(task, data, study)


def run_in(task: Task, data: TrainingData, study: optuna.Study) -> Ended:
    """Work on the study's next trial, on data that are read already. Raises StoppedError."""
    import optuna

    began = time.monotonic()
    trial, settings = begin(task, study)

    def watch(epoch: int, score: float) -> None:
        trial.report(score, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned(f"below the median after {epoch} epochs")

    try:
        result = attempt(task, data, settings, watch)
    except optuna.TrialPruned as pruned:
        result = Result("PRUNED", None, str(pruned))
    return finish(study, trial, settings, result, time.monotonic() - began)


def begin(task: Task, study: optuna.Study) -> tuple[optuna.Trial, dict[str, Value]]:
    """The study's next trial, and the settings that it draws: a value for each name in `task.space` and in
    `task.fixed`, also written into the journal. Raises OSError where the journal cannot be written."""
    trial = study.ask()

    def ask(name: str, parameter: Parameter) -> Value:
        return studies.ask(trial, name, parameter)

    settings = draw(task.space, ask, task.fixed)
    trial.set_user_attr(studies.SETTINGS, settings)
    logger.debug("trial %d: %s", trial.number, settings)
    return trial, settings


def attempt(task: Task, data: TrainingData, settings: dict[str, Value], watch: Report) -> Result:
    """Train with these settings, and say what validation thinks of it.

    What is wrong with the settings, and memory that is not there, is a result. Raises StoppedError, and
    whatever `watch` raises, which is told of each epoch.
    """
    try:
        return Result("COMPLETE", _value(task, data, settings, watch))
    except StoppedError:
        raise
    except VestigeError as error:
        return Result("FAIL", None, str(error).replace("\n  remedy: ", "; "))
    except (MemoryError, RuntimeError, ValueError) as error:
        # Whatever else a library cannot do with the settings is a fault of the program, and ends the search.
        if (refused := out_of_memory(error)) is None:
            raise
        return Result("FAIL", None, refused.what)


def finish(
    study: optuna.Study, trial: optuna.Trial, settings: dict[str, Value], result: Result, seconds: float
) -> Ended:
    """Write into the journal how a trial ended after so many `seconds`. Raises ValueError where the study has
    an end of that trial already."""
    import optuna

    trial.set_user_attr("seconds", round(seconds, 3))
    if result.reason:
        trial.set_user_attr(studies.REASON, result.reason)
    told = study.tell(trial, result.value, state=optuna.trial.TrialState[result.state])
    return Ended(trial.number, result.state, told.value, settings, seconds, result.reason)


def _value(task: Task, data: TrainingData, settings: dict[str, Value], watch: Report) -> float:
    plan = with_settings(task.plan, settings)
    name = plan.models[0]
    detector = build(data, name, plan)
    with tempfile.TemporaryDirectory(prefix="vestige-trial-") as folder, _briefly():
        train(
            detector, data.train, data.validation, plan.training, Path(folder), progress=False, report=watch
        )
    return figure_of(detector, data)


@contextlib.contextmanager
def _briefly() -> Iterator[None]:
    """A line a trial is enough: those of its epochs are for whoever asked for everything."""
    epochs = log.get("vestige.training")
    before = epochs.level
    if log.level() > log.LEVELS["debug"]:
        epochs.setLevel(log.LEVELS["warning"])
    try:
        yield
    finally:
        epochs.setLevel(before)


def with_settings(plan: TrainingPlan, settings: dict[str, Value]) -> TrainingPlan:
    """The plan with what a trial drew: hyper-parameters, and settings of the training.

    Raises UsageError for a value out of range.
    """
    from pydantic import ValidationError

    from vestige.errors import UsageError
    from vestige.models import registry
    from vestige.training.config import TrainingConfig

    fields = registry.get(plan.models[0]).hyper_parameters.model_fields
    hyper = {name: value for name, value in settings.items() if name in fields}
    training = {name: value for name, value in settings.items() if name not in fields}
    try:
        changed = TrainingConfig(**{**plan.training.model_dump(), **training})
    except ValidationError as error:
        name, told = refused(error)
        raise UsageError(f"{name}: {told}") from error
    return replace(plan, settings={**plan.settings, **hyper}, training=changed)


def figure_of(detector: Detector, data: TrainingData) -> float:
    """What validation says of a trained detector, the higher the better: see `FIGURES`.

    Of a classifier the macro F1 that its checkpoint will state: of recordings where labels are theirs.
    """
    if detector.task == "classify":
        pooling = predicting.pooling_of(detector, data.validation)
        return predicting.macro_f1_of(predicting.of_part(detector, data.validation, pooling))
    normal = benign(data.validation, "validation")
    surprises = []
    for _, batch in normal.batches(BATCH, detector.input_names):
        judged = detector.judge(batch)
        if judged.surprise is not None:
            surprises.append(judged.surprise)
    return -float(np.concatenate(surprises).mean())


def _refuse_to_begin(task: Task) -> None:
    if (reason := stop_reason()) is not None:
        raise StoppedError(
            f"the search was stopped by {reason}",
            where=task.folder.parent,
            remedy="repeat the command with --resume to go on",
        )


_opened: dict[tuple[Path, Path], TrainingData] = {}
"""What this process has read: the same for all trials that it works on."""


def data_of(task: Task) -> TrainingData:
    """The training data, read once for all trials of this process."""
    key = task.dataset, task.split
    if key not in _opened:
        _opened.clear()
        _opened[key] = TrainingData.again(task.dataset, task.split, task.encoder)
    return _opened[key]
