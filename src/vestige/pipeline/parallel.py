"""Training every detector of a run into its folder: one after the other, or in parallel."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vestige import extras, log
from vestige.engine import LocalEngine
from vestige.errors import UsageError, VestigeError
from vestige.models import registry
from vestige.models.fitting import FittedDetector
from vestige.pipeline import model_transfer
from vestige.pipeline.experiment import Experiment, TrainingData
from vestige.pipeline.fitting import TrainingPlan, build, fit
from vestige.runs import views
from vestige.runs.config import RunConfig
from vestige.runs.directory import RunDirectory
from vestige.runs.options import ModelTransferOptions
from vestige.training import StoppedError, discard_resume_state, train
from vestige.training.interrupt import StopRequests, request_stop, stop_reason, watch_for_stop
from vestige.training.ranks import started

BASE_BYTES = 1 << 30
"""Memory of a process that trains, without its inputs."""
logger = log.get(__name__)


@dataclass(frozen=True)
class Task:
    """What a process needs to train one detector of a run: plain data, and paths. `encoder`: its state, so
    that what was fitted once is not fitted again. `stop`: see `interrupt.watch_for_stop`."""

    out: Path
    plan: TrainingPlan
    config: RunConfig
    encoder: dict[str, Any]
    resume: bool
    stop: Path

    @property
    def worker_modules(self) -> tuple[str, ...]:
        """What takes seconds to import is imported once, before the processes part."""
        models = (views.parts(name, self.plan.view)[1] for name in self.plan.names)
        return ("pytorch_lightning",) if any(registry.is_network(model) for model in models) else ()


def fit_all(
    experiment: Experiment,
    out: Path,
    plan: TrainingPlan,
    config: RunConfig,
    *,
    jobs: int | None = 1,
    resume: bool = False,
    transfer: ModelTransferOptions | None = None,
) -> None:
    """Train every detector of `plan` into its folder of `out`; each is complete by itself.

    `jobs`: how many at a time, None: as many as `most_parallel` finds. Several work in processes of their
    own, which share the cores out unless the plan says how many threads each has. Raises the first error
    that one of them ends with, or StoppedError where a signal asked to stop; the others have saved their
    states by then.
    """
    for name in plan.names:
        model = views.parts(name, plan.view)[1]
        RunDirectory(out).lay_out(name, config, experiment.split, plan.hyper(model))
    if transfer is not None and transfer.use_model is not None:
        for name in plan.names:
            model_transfer.import_model(experiment, transfer, views.parts(name, plan.view)[1], out / name)
        return
    if plan.training.devices * plan.training.nodes > 1:
        if jobs not in {None, 1}:
            raise UsageError(
                f"--train-jobs {jobs} and --devices {plan.training.devices}: either several detectors train "
                "at a time or one on several devices",
                remedy="leave one of them out",
            )
        jobs = 1
    if jobs is None:
        most = most_parallel(experiment.training_data, plan)
    else:
        most = min(jobs, len(plan.names))
    if most == 1:
        for name in plan.names:
            _fit_together(experiment.training_data, out, name, plan, config, resume=resume)
        return
    logger.info(
        "training %d detectors, %d at a time; how far each is stands in its history.csv",
        len(plan.names), most,
    )  # fmt: skip
    threads = plan.training.threads or max(1, (os.cpu_count() or 1) // most)
    modest = replace(plan, training=plan.training.model_copy(update={"threads": threads}))
    with tempfile.TemporaryDirectory(prefix="vestige-") as stop:
        encoder = experiment.training_data.train.encoder.to_dict()
        _fit_parallel(Task(out.absolute(), modest, config, encoder, resume, Path(stop)), most)


def _fit_parallel(task: Task, jobs: int) -> None:
    """Wait for every process, also for those that are to stop: what they have learnt is saved first."""
    failed: Exception | None = None
    with StopRequests(tell=partial(request_stop, task.stop)) as requests:
        work = partial(_fit_elsewhere, task)
        for outcome in LocalEngine(jobs).map(work, task.plan.names, ordered=False):
            if outcome.error is not None and not isinstance(outcome.error, StoppedError):
                failed = failed or outcome.error
                request_stop(task.stop, "the failure of another")
    if failed is not None:
        raise failed
    if requests.name is not None:
        raise StoppedError(
            f"training was stopped by {requests.name}; what each detector has learnt is saved",
            where=task.out,
            remedy="repeat the command with --resume to go on",
        )


def most_parallel(data: TrainingData, plan: TrainingPlan) -> int:
    """One process a core, as far as memory allows; one where they would share a GPU."""
    if _on_gpu(plan):
        return 1
    widest = max(len(wanted.features) or wanted.size or 1 for wanted in data.schema.inputs)
    windows = len(data.train) + len(data.validation)
    inputs = min(4 * windows * widest * data.schema.length, plan.training.cache_mb << 20)
    free = _available() // (BASE_BYTES + 2 * inputs)
    return max(1, min(os.cpu_count() or 1, len(plan.names), free))


def _on_gpu(plan: TrainingPlan) -> bool:
    if plan.training.device == "cpu" or extras.missing(registry.NEURAL):
        return False
    import torch

    return torch.cuda.is_available()


def _available() -> int:
    """Bytes of memory that are free for use; plenty where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return 1 << 40
    found = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(next(found, 1 << 30)) << 10


def _fit_one(
    data: TrainingData, out: Path, name: str, plan: TrainingPlan, config: RunConfig, *, resume: bool
) -> None:
    view, model = views.parts(name, plan.view)
    directory = out / name
    with log.to_file(RunDirectory(directory).log_file):
        own = replace(plan, view=view)
        fit(data, model, directory, own, config.judge.threshold, resume=resume, called=name)
        discard_resume_state(directory)


def _fit_together(
    data: TrainingData, out: Path, name: str, plan: TrainingPlan, config: RunConfig, *, resume: bool
) -> None:
    """Train one detector, where the plan says so with other processes that are started here."""
    kind = registry.get(views.parts(name, plan.view)[1])
    if plan.training.devices * plan.training.nodes > 1 and issubclass(kind, FittedDetector):
        logger.info("%s learns in one process, however many devices there are", name)
        alone = plan.training.model_copy(update={"devices": 1, "nodes": 1})
        _fit_one(data, out, name, replace(plan, training=alone), config, resume=resume)
        return
    with tempfile.TemporaryDirectory(prefix="vestige-") as stop:
        encoder = data.train.encoder.to_dict()
        task = Task(out.absolute(), plan, config, encoder, resume, Path(stop))
        with started(plan.training, partial(_fit_beside, task, name)):
            _fit_one(data, out, name, plan, config, resume=resume)


def _fit_beside(task: Task, name: str, _local: int) -> None:
    """In a process that trains with the one that writes: the same detector from the same files.

    It says nothing of its own: what stops it stops the first one, too, and that tells why.
    """
    watch_for_stop(task.stop)
    with log.capture(log.LEVELS["critical"]):
        own = RunDirectory(task.out).folder(name)
        data = TrainingData.again(own.dataset, own.split, task.encoder)
        view, model = views.parts(name, task.plan.view)
        plan = replace(task.plan, view=view)
        with contextlib.suppress(VestigeError):
            parts = data.train, data.validation
            train(
                build(data, model, plan), *parts, plan.training, own.path, resume=task.resume, progress=False
            )


def _fit_elsewhere(task: Task, name: str) -> None:
    """In a process of its own: the same training data from the same files."""
    watch_for_stop(task.stop)
    if (reason := stop_reason()) is not None:
        what = f"the training of {name} was stopped by {reason} before it began"
        raise StoppedError(what, where=task.out, remedy="repeat the command with --resume to go on")
    own = RunDirectory(task.out).folder(name)
    data = TrainingData.again(own.dataset, own.split, task.encoder)
    _fit_one(data, task.out, name, task.plan, task.config, resume=task.resume)
