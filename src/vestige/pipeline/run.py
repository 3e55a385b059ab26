"""The whole job, and its halves as verbs of their own: train without judging, judge what was trained.

A run appears in its directory when its evidence has been read, split and audited, all at once; from then on
it can be cut off and resumed. Whatever is wrong with a request is said before anything is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vestige import checkpoint, log, storage
from vestige.errors import CheckpointError, SplitError, UsageError
from vestige.evaluation.audit import audit, enforce
from vestige.evaluation.results import RunResults
from vestige.evaluation.threshold import Policy
from vestige.pipeline import carried, views
from vestige.pipeline import config as configs
from vestige.pipeline.abreast import LOG, SPLIT, fit_all
from vestige.pipeline.bars import Bars, silent
from vestige.pipeline.config import RunConfig
from vestige.pipeline.fitting import Order
from vestige.pipeline.job import Job, split_dataset
from vestige.pipeline.judging import judge as judge_detectors
from vestige.pipeline.options import CarryOptions, JudgeOptions, SplitOptions
from vestige.pipeline.quantized import quantize
from vestige.reading.windows import read_manifest
from vestige.schema import Schema
from vestige.sources.base import Source
from vestige.splits import Split, recipes, save_sets

DATASET = "dataset"
logger = log.get(__name__)


def run(
    source: Source,
    corpus: Path,
    out: Path,
    *,
    options: BaseModel,
    split: SplitOptions,
    order: Order,
    judge: JudgeOptions,
    carry: CarryOptions | None = None,
    jobs: int | None = None,
    train_jobs: int | None = 1,
    resume: bool = False,
    overwrite: bool = False,
    skip_test: bool = False,
    bars: Bars = silent,
) -> RunResults | None:
    """Read `corpus`, split it, train every model of `order`, judge them, and write it all into `out`.

    `carry`: what comes from elsewhere or goes there. `jobs` read, `train_jobs` train at a time (None: one a
    core, as far as memory allows). `skip_test`: train only; None is returned, `evaluate`
    judges later. Raises OutputError when `out` holds something and neither `resume` nor `overwrite` is given,
    UsageError when `resume` asks for another run than the one in `out`, LeakageError when the audit fails.
    """
    carry = carry or CarryOptions()
    carried.refuse_taken(carry, overwrite=overwrite or resume)
    order = carried.order_of(carry, order)
    _check(order, judge)
    known = recipes(source.groups)
    if split.split is not None and split.split not in known:
        raise UsageError(f"unknown split {split.split!r}", remedy=f"one of: {', '.join(known)}")
    config = _config(source.name, order, judge).model_copy(
        update={
            "corpus": str(corpus.absolute()),
            "options": options.model_dump(mode="json"),
            "split_options": split,
            "dataset": DATASET,
            "trained_elsewhere": carry.use_model is not None,
        }
    )
    if not (resume and _resumes(out, order, config)):
        made = storage.atomic_directory(out, marker=configs.FILE, overwrite=overwrite)
        with made as working, log.to_file(working / LOG):
            sets = carry.output_sets
            _read(source, corpus, working, options, order, config, sets=sets, jobs=jobs, bars=bars)
    order, config = _over(out, order, config)
    with storage.locked(out), log.to_file(out / LOG):
        with bars("fitting what models read by", ""):
            job = Job.open(out / DATASET, out / SPLIT)
        fit_all(job, out, order, config, jobs=train_jobs, resume=resume, carry=carry)
        for name in order.names:
            carried.leave(carry, views.parts(name, order.view)[1], out / name)
        return None if skip_test else judge_detectors(job, out, config, _load(out, config, job), bars=bars)


def _read(
    source: Source,
    corpus: Path,
    working: Path,
    options: BaseModel,
    order: Order,
    config: RunConfig,
    *,
    sets: Path | None,
    jobs: int | None,
    bars: Bars,
) -> None:
    """Evidence into `working`: dataset, split, config; audited as far as that goes before training."""
    logger.info("%s", config.command)
    with bars(f"reading {corpus}", "bytes") as update:
        windows = source.prepare(corpus, working / DATASET, options, jobs=jobs, progress=update)
    logger.info("read %d windows of %d recordings", len(windows), windows.recordings.height)
    with bars("splitting and auditing", ""):
        try:
            made, parts = split_dataset(windows, config.split_options)
        except SplitError as error:
            raise SplitError(error.what, where=corpus, remedy=error.remedy) from error
        groups = source.groups[made.recipe](windows) if made.unit == "group" else None
        enforce(audit(parts, made, groups=groups), allow_leakage=config.judge.allow_leakage)
    made.save(working / SPLIT)
    if sets is not None:
        save_sets(made, sets)
    _over(working, order, config)[1].save(working)


def _over(run: Path, order: Order, config: RunConfig) -> tuple[Order, RunConfig]:
    """Order and config with the models that `all` means on the run's dataset."""
    dataset = configs.resolve(run, config.dataset)
    order = order.over(Schema.from_dict(read_manifest(dataset)["schema"]))
    return order, config.model_copy(update={"models": order.names})


def train(
    dataset: Path,
    split: Path,
    out: Path,
    *,
    order: Order,
    judge: JudgeOptions,
    jobs: int | None = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Train every model of `order` on a prepared dataset, `jobs` at a time (None: one a core, as far as
    memory allows); returns their directories."""
    _check(order, judge)
    job = Job.open(dataset, split)
    order = order.over(job.windows.schema)
    config = _config(job.source.name, order, judge).model_copy(
        update={"dataset": configs.relative(dataset, out)}
    )
    if not (resume and _resumes(out, order, config)):
        with storage.atomic_directory(out, marker=configs.FILE, overwrite=overwrite) as working:
            Split.load(split).save(working / SPLIT)
            config.save(working)
    with storage.locked(out), log.to_file(out / LOG):
        logger.info("%s", order.command)
        fit_all(job, out, order, config, jobs=jobs, resume=resume)
    return [out / name for name in order.names]


def evaluate(
    run: Path, judge: dict[str, Any], command: str, *, quantized: bool = False, bars: Bars = silent
) -> RunResults:
    """Judge the detectors of a run, or the one whose folder is given, anew.

    `judge` holds the options that differ from the run's own. Another threshold policy is also written into
    the checkpoints and the run's config, so that scoring and the report agree. `quantized`: judge them as
    they are in 8-bit integers; the checkpoints stay as they are.
    """
    config = RunConfig.load(run)
    changed = config.judge.model_copy(update=judge)
    Policy.parse(changed.threshold)
    with storage.locked(run), log.to_file(run / LOG):
        logger.info("%s", command)
        job = Job.open(configs.resolve(run, config.dataset), configs.resolve(run, config.split))
        loaded = _load(run, config, job)
        if quantized:
            quantize(job, loaded)
        asked = config.model_copy(update={"judge": changed, "command": command})
        results = judge_detectors(job, run, asked, loaded, bars=bars)
        if changed.threshold != config.judge.threshold:
            for one in results.models:
                folder = _folder(run, one.name)
                checkpoint.retune(folder, threshold=one.threshold.value, policy=one.threshold.policy)
                own = RunConfig.load(folder)
                own.model_copy(update={"judge": changed}).save(folder)
            config.model_copy(update={"judge": changed}).save(run)
    return results


def verify(run: Path) -> RunConfig:
    """Check that a run's dataset, split and detectors are intact and belong together; returns its config."""
    config = RunConfig.load(run)
    _load(run, config, Job.open(configs.resolve(run, config.dataset), configs.resolve(run, config.split)))
    return config


def _check(order: Order, judge: JudgeOptions) -> None:
    order.check()
    Policy.parse(judge.threshold)


def _resumes(out: Path, order: Order, config: RunConfig) -> bool:
    """Whether `out` holds the run that is asked for. Raises UsageError when it holds another."""
    if not (out / configs.FILE).is_file():
        logger.info("nothing to resume in %s: starting afresh", out)
        return False
    then, now = RunConfig.load(out).fixed(), _over(out, order, config)[1].fixed()
    different = [f"{name}: {then[name]} -> {now[name]}" for name in now if then[name] != now[name]]
    if different:
        raise UsageError(
            "--resume asks for another run than the one that was cut off:\n    " + "\n    ".join(different),
            where=out,
            remedy="repeat the command as it was, or choose another output",
        )
    return True


def _load(run: Path, config: RunConfig, job: Job) -> dict[str, checkpoint.Loaded]:
    """The trained detectors of a run by name, from their checkpoints: what is judged is what was saved."""
    folders = {name: _folder(run, name) for name in config.models}
    _refuse_unfinished(folders.values())
    return {name: checkpoint.load(one, schema=job.windows.schema) for name, one in folders.items()}


def _refuse_unfinished(folders: Iterable[Path]) -> None:
    for one in folders:
        if not (one / checkpoint.HEADER).is_file():
            raise CheckpointError(
                "this detector was never finished", where=one, remedy="repeat its command with --resume"
            )


def _folder(run: Path, model: str) -> Path:
    """Where a model of a run lies: in its folder, or, where `run` is that folder, there."""
    return run if (run / checkpoint.HEADER).is_file() else run / model


def _config(source: str, order: Order, judge: JudgeOptions) -> RunConfig:
    return RunConfig(
        source=source,
        dataset=DATASET,
        split=SPLIT,
        models=order.names,
        task=order.task,
        view=order.view,
        hyper=order.settings,
        training=order.training,
        judge=judge,
        command=order.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=configs.versions(),
    )
