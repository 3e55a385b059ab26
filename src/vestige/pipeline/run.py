"""The whole job, and its halves as verbs of their own: train without judging, judge what was trained."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel

from vestige import checkpoint, log, storage
from vestige.errors import CheckpointError, UsageError
from vestige.evaluation.results import RunResults
from vestige.models import registry
from vestige.pipeline import config as configs
from vestige.pipeline.config import RunConfig
from vestige.pipeline.fitting import Order, fit
from vestige.pipeline.job import Job, split_dataset
from vestige.pipeline.judging import judge as judge_detectors
from vestige.pipeline.options import JudgeOptions, SplitOptions
from vestige.sources.base import Progress, Source
from vestige.splits import Split
from vestige.training import forget
from vestige.windows import WindowSet

DATASET, SPLIT, LOG = "dataset", "split.json", "log.jsonl"
RESULTS = ("metrics.json", "report.html", configs.FILE)
logger = log.get(__name__)


def prepared(
    source: Source,
    corpus: Path,
    out: Path,
    options: BaseModel,
    *,
    jobs: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> WindowSet:
    """The dataset of a run in `out`: read from the corpus, or, when resuming, the one that is there.

    Raises OutputError when `out` holds a run already and neither `resume` nor `overwrite` is given.
    """
    if resume and (out / DATASET).is_dir():
        return WindowSet.open(out / DATASET)
    storage.refuse_existing(out, marker=configs.FILE, overwrite=overwrite or resume)
    windows = source.prepare(
        corpus, out / DATASET, options, jobs=jobs, overwrite=overwrite or resume, progress=progress
    )
    logger.info("read %d windows of %d recordings", len(windows), windows.recordings.height)
    return windows


def run(
    windows: WindowSet,
    out: Path,
    split: SplitOptions,
    order: Order,
    judge: JudgeOptions,
    *,
    corpus: Path,
    resume: bool = False,
) -> RunResults:
    """Split, train every model of `order`, judge them, and write the reports into `out`."""
    with log.to_file(out / LOG):
        if not (resume and (out / SPLIT).is_file()):
            made, _ = split_dataset(windows, split)
            made.save(out / SPLIT)
        job = Job.open(windows.path, out / SPLIT)
        config = _config(job, out, order, judge, corpus=str(corpus.absolute()), dataset=windows.path)
        _fit_all(job, out, order, config, resume=resume)
        return judge_detectors(job, out, config, _load(out, config, job))


def train(
    dataset: Path,
    split: Path,
    out: Path,
    order: Order,
    judge: JudgeOptions,
    *,
    resume: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Train every model of `order` on a prepared dataset; returns their directories."""
    storage.refuse_existing(out, marker=configs.FILE, overwrite=overwrite or resume)
    job = Job.open(dataset, split)
    with log.to_file(out / LOG):
        Split.load(split).save(out / SPLIT)
        config = _config(job, out, order, judge, corpus="", dataset=dataset)
        _fit_all(job, out, order, config, resume=resume)
    return [out / name for name in order.models]


def evaluate(run: Path, judge: JudgeOptions, command: str) -> RunResults:
    """Judge the detectors of a run, or the one whose folder is given, anew."""
    config = RunConfig.load(run)
    config = config.model_copy(update={"judge": judge, "command": command})
    with log.to_file(run / LOG):
        job = Job.open(_resolve(run, config.dataset), _resolve(run, config.split))
        return judge_detectors(job, run, config, _load(run, config, job))


def _fit_all(job: Job, out: Path, order: Order, config: RunConfig, *, resume: bool) -> None:
    """One folder a model; each is complete by itself."""
    if not resume:
        _clear(out)
    config.save(out)
    for name in order.models:
        directory = out / name
        directory.mkdir(parents=True, exist_ok=True)
        with log.to_file(directory / LOG):
            job.split.save(directory / SPLIT)
            own = config.model_copy(
                update={
                    "models": (name,),
                    "dataset": _relative(_resolve(out, config.dataset), directory),
                    "hyper": order.hyper(name),
                }
            )
            own.save(directory)
            fit(job, name, directory, order, config.judge.threshold, resume=resume)
            forget(directory)


def _clear(out: Path) -> None:
    """Remove what an earlier run in `out` trained and judged; its dataset and split are new already."""
    for one in out.iterdir():
        if one.is_dir() and (one / configs.FILE).is_file():
            shutil.rmtree(one)
    for name in RESULTS:
        (out / name).unlink(missing_ok=True)


def _load(run: Path, config: RunConfig, job: Job) -> dict[str, checkpoint.Loaded]:
    """The trained detectors of a run by name, from their checkpoints: what is judged is what was saved."""
    single = (run / checkpoint.HEADER).is_file()
    directories = {name: run if single else run / name for name in config.models}
    missing = [str(one) for one in directories.values() if not (one / checkpoint.HEADER).is_file()]
    if missing:
        raise CheckpointError(
            "this detector was never finished", where=missing[0], remedy="go on with --resume"
        )
    return {name: checkpoint.load(one, schema=job.windows.schema) for name, one in directories.items()}


def _config(
    job: Job, out: Path, order: Order, judge: JudgeOptions, *, corpus: str, dataset: Path
) -> RunConfig:
    unknown = [one for one in order.models if one not in registry.names()]
    if unknown:
        raise UsageError(f"unknown model {unknown[0]!r}", remedy=f"one of: {', '.join(registry.names())}")
    for name in order.models:
        order.hyper(name)
    return RunConfig(
        source=job.source.name,
        corpus=corpus,
        dataset=_relative(dataset, out),
        split=SPLIT,
        models=order.models,
        task=order.task,
        view=order.view,
        hyper=order.settings,
        training=order.training,
        judge=judge,
        command=order.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=configs.versions(),
    )


def _relative(path: Path, base: Path) -> str:
    """How to find `path` from `base`: a run and its dataset can be moved together."""
    return os.path.relpath(path.absolute(), base.absolute())


def _resolve(base: Path, name: str) -> Path:
    return (base / name).resolve()
