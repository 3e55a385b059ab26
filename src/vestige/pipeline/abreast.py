"""Training every detector of a run into its folder: one after the other, or abreast in processes."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vestige import engine, log
from vestige.pipeline import carried, views
from vestige.pipeline.config import RunConfig, relative, resolve
from vestige.pipeline.fitting import Order, fit
from vestige.pipeline.job import Job, Lesson
from vestige.pipeline.options import CarryOptions
from vestige.splits import Split
from vestige.training import StoppedError, forget
from vestige.training.interrupt import StopRequests, ask, asked, heed

SPLIT, LOG = "split.json", "log.jsonl"
BASE_BYTES = 1 << 30
"""Memory of a process that trains, without its inputs."""
logger = log.get(__name__)


@dataclass(frozen=True)
class Task:
    """What a process needs to train one detector of a run: plain data, and paths. `encoder`: its state, so
    that what was fitted once is not fitted again. `stop`: see `interrupt.heed`."""

    out: Path
    order: Order
    config: RunConfig
    encoder: dict[str, Any]
    resume: bool
    stop: Path


def fit_all(
    job: Job,
    out: Path,
    order: Order,
    config: RunConfig,
    *,
    jobs: int | None = 1,
    resume: bool = False,
    carry: CarryOptions | None = None,
) -> None:
    """Train every detector of `order` into its folder of `out`; each is complete by itself.

    `jobs`: how many at a time, None: as many as `most_abreast` finds. Several work in processes of their own,
    with one thread each unless the order says otherwise. Raises the first error that one of them ends with,
    or StoppedError where a signal asked to stop; the others have saved their states by then.
    """
    for name in order.names:
        _lay_out(job.split, out, name, order, config)
    if carry is not None and carry.use_model is not None:
        for name in order.names:
            carried.take(job, carry, views.parts(name, order.view)[1], out / name)
        return
    most = most_abreast(job.lesson, order) if jobs is None else min(jobs, len(order.names))
    if most == 1:
        for name in order.names:
            _fit_one(job.lesson, out, name, order, config, resume=resume)
        return
    logger.info(
        "training %d detectors, %d at a time; how far each is stands in its history.csv",
        len(order.names), most,
    )  # fmt: skip
    threads = order.training.threads or 1
    modest = replace(order, training=order.training.model_copy(update={"threads": threads}))
    with tempfile.TemporaryDirectory(prefix="vestige-") as stop:
        encoder = job.lesson.train.encoder.to_dict()
        _fit_abreast(Task(out.absolute(), modest, config, encoder, resume, Path(stop)), most)


def _fit_abreast(task: Task, jobs: int) -> None:
    """Wait for every process, also for those that are to stop: what they have learnt is saved first."""
    failed: Exception | None = None
    with StopRequests(tell=partial(ask, task.stop)) as requests:
        work = partial(_fit_elsewhere, task)
        for outcome in engine.map(work, task.order.names, jobs=jobs, ordered=False):
            if outcome.error is not None and not isinstance(outcome.error, StoppedError):
                failed = failed or outcome.error
                ask(task.stop, "the failure of another")
    if failed is not None:
        raise failed
    if requests.name is not None:
        raise StoppedError(
            f"training was stopped by {requests.name}; what each detector has learnt is saved",
            where=task.out,
            remedy="repeat the command with --resume to go on",
        )


def most_abreast(lesson: Lesson, order: Order) -> int:
    """One process a core, as far as memory allows; one where they would share a GPU."""
    if _on_gpu(order):
        return 1
    widest = max(len(one.features) or one.size or 1 for one in lesson.schema.inputs)
    windows = len(lesson.train) + len(lesson.validation)
    inputs = min(4 * windows * widest * lesson.schema.length, order.training.cache_mb << 20)
    free = _available() // (BASE_BYTES + 2 * inputs)
    return max(1, min(os.cpu_count() or 1, len(order.names), free))


def _on_gpu(order: Order) -> bool:
    if order.training.device == "cpu":
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


def _lay_out(split: Split, out: Path, name: str, order: Order, config: RunConfig) -> None:
    """The folder of one detector, a run by itself."""
    view, model = views.parts(name, order.view)
    directory = out / name
    directory.mkdir(parents=True, exist_ok=True)
    split.save(directory / SPLIT)
    own = {
        "models": (model,),
        "view": view,
        "dataset": relative(resolve(out, config.dataset), directory),
        "hyper": order.hyper(model),
    }
    config.model_copy(update=own).save(directory)


def _fit_one(lesson: Lesson, out: Path, name: str, order: Order, config: RunConfig, *, resume: bool) -> None:
    view, model = views.parts(name, order.view)
    directory = out / name
    with log.to_file(directory / LOG):
        own = replace(order, view=view)
        fit(lesson, model, directory, own, config.judge.threshold, resume=resume, called=name)
        forget(directory)


def _fit_elsewhere(task: Task, name: str) -> None:
    """In a process of its own: the same lesson from the same files."""
    heed(task.stop)
    if (reason := asked()) is not None:
        what = f"the training of {name} was stopped by {reason} before it began"
        raise StoppedError(what, where=task.out, remedy="repeat the command with --resume to go on")
    dataset, split = resolve(task.out, task.config.dataset), task.out / name / SPLIT
    lesson = Lesson.again(dataset, split, task.encoder)
    _fit_one(lesson, task.out, name, task.order, task.config, resume=task.resume)
