"""The whole job, and its halves as verbs of their own: train without judging, judge what was trained.

A run appears in its directory when its evidence has been read, split and audited, all at once; from then on
it can be cut off and resumed. Whatever is wrong with a request is said before anything is read.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from vestige import checkpoint, log, storage
from vestige.engine import LOCAL, Engine
from vestige.errors import SplitError, UsageError
from vestige.evaluation.audit import audit, enforce
from vestige.evaluation.results import RunResults
from vestige.evaluation.threshold import Policy
from vestige.pipeline import model_transfer
from vestige.pipeline.experiment import Experiment, require_labels, split_dataset
from vestige.pipeline.fitting import TrainingPlan
from vestige.pipeline.judging import judge as judge_detectors
from vestige.pipeline.parallel import fit_all
from vestige.pipeline.reduced_precision import quantize, round_products
from vestige.reading.steps import ShowProgress, silent
from vestige.reading.windows import read_manifest
from vestige.runs import views
from vestige.runs.config import RunConfig, relative, resolve, versions
from vestige.runs.directory import CONFIG, DATASET, SPLIT, RunDirectory
from vestige.runs.options import JudgeOptions, ModelTransferOptions, SplitOptions
from vestige.sources.base import Source
from vestige.splits import Split, save_sets

logger = log.get(__name__)


def run(
    source: Source[Any],
    corpus: Path,
    out: Path,
    *,
    options: BaseModel,
    split: SplitOptions,
    plan: TrainingPlan,
    judge: JudgeOptions,
    transfer: ModelTransferOptions | None = None,
    engine: Engine = LOCAL,
    train_jobs: int | None = 1,
    resume: bool = False,
    overwrite: bool = False,
    skip_test: bool = False,
    progress: ShowProgress = silent,
) -> RunResults | None:
    """Read `corpus`, split it, train every model of `plan`, judge them, and write it all into `out`.

    `transfer`: what comes from elsewhere or goes there. The workers of `engine` read, `train_jobs` train at a
    time (None: one a core, as far as memory allows). `skip_test`: train only; None is returned, `evaluate`
    judges later. Raises OutputError when `out` holds something and neither `resume` nor `overwrite` is given,
    UsageError when `resume` asks for another run than the one in `out`, LeakageError when the audit fails.
    """
    transfer = transfer or ModelTransferOptions()
    model_transfer.refuse_taken(transfer, overwrite=overwrite or resume)
    plan = model_transfer.plan_of(transfer, plan)
    _check(plan, judge)
    split.check(source.recipes)
    config = _config(source.name, plan, judge).model_copy(
        update={
            "corpus": str(corpus.absolute()),
            "options": options.model_dump(mode="json"),
            "split_options": split,
            "dataset": DATASET,
            "trained_elsewhere": transfer.use_model is not None,
        }
    )
    if not (resume and _resumes(out, plan, config)):
        made = storage.atomic_directory(out, marker=CONFIG, overwrite=overwrite)
        with made as working, log.to_file(RunDirectory(working).log_file):
            sets = transfer.output_sets
            _read(source, corpus, working, options, plan, config, sets=sets, engine=engine, progress=progress)
    plan, config = _over(out, plan, config)
    with storage.locked(out), log.to_file(RunDirectory(out).log_file):
        with progress("fitting what models read by", ""):
            experiment = Experiment.open(RunDirectory(out).dataset, RunDirectory(out).split)
        fit_all(experiment, out, plan, config, jobs=train_jobs, resume=resume, transfer=transfer)
        for name in plan.names:
            model_transfer.export_model(transfer, views.parts(name, plan.view)[1], out / name)
        if skip_test:
            return None
        loaded = RunDirectory(out).load(experiment.windows.schema)
        return judge_detectors(experiment, out, config, loaded, progress=progress)


def _read(
    source: Source[Any],
    corpus: Path,
    working: Path,
    options: BaseModel,
    plan: TrainingPlan,
    config: RunConfig,
    *,
    sets: Path | None,
    engine: Engine,
    progress: ShowProgress,
) -> None:
    """Evidence into `working`: dataset, split, config; audited as far as that goes before training."""
    logger.info("%s", config.command)
    with progress(f"reading {corpus}", "bytes") as update:
        windows = source.prepare(corpus, working / DATASET, options, engine=engine, progress=update)
    logger.info("read: %d windows, recordings: %d", len(windows), windows.recordings.height)
    require_labels(windows, corpus, what="judging", evidence=corpus)
    with progress("splitting and auditing", ""):
        try:
            made, _ = split_dataset(windows, config.split_options)
        except SplitError as error:
            raise SplitError(error.what, where=corpus, remedy=error.remedy) from error
        enforce(audit(made.parts(windows), made), allow_leakage=config.judge.allow_leakage)
    made.save(RunDirectory(working).split_file)
    if sets is not None:
        save_sets(made, sets)
    _over(working, plan, config)[1].save(working)
    storage.write_text(RunDirectory(working).repeat_file, config.to_toml(plan.models))


def _over(run: Path, plan: TrainingPlan, config: RunConfig) -> tuple[TrainingPlan, RunConfig]:
    """The plan and the config with the models that `all` means on the run's dataset."""
    dataset = resolve(run, config.dataset)
    plan = plan.over(read_manifest(dataset).schema)
    return plan, config.model_copy(update={"models": plan.names})


def train(
    dataset: Path,
    split: Path,
    out: Path,
    *,
    plan: TrainingPlan,
    judge: JudgeOptions,
    jobs: int | None = 1,
    resume: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Train every model of `plan` on a prepared dataset, `jobs` at a time (None: one a core, as far as
    memory allows); returns their directories."""
    _check(plan, judge)
    experiment = Experiment.open(dataset, split)
    if plan.task == "classify":
        require_labels(experiment.windows, dataset, what="learning classes")
    plan = plan.over(experiment.windows.schema)
    config = _config(experiment.source.name, plan, judge).model_copy(
        update={"dataset": relative(dataset, out)}
    )
    if not (resume and _resumes(out, plan, config)):
        with storage.atomic_directory(out, marker=CONFIG, overwrite=overwrite) as working:
            Split.load(split).save(RunDirectory(working).split_file)
            config.save(working)
    with storage.locked(out), log.to_file(RunDirectory(out).log_file):
        logger.info("%s", plan.command)
        fit_all(experiment, out, plan, config, jobs=jobs, resume=resume)
    return [out / name for name in plan.names]


def evaluate(
    run: Path,
    judge: dict[str, Any],
    command: str,
    *,
    quantized: bool = False,
    rounded: bool = False,
    progress: ShowProgress = silent,
) -> RunResults:
    """Judge the detectors of a run, or the one whose folder is given, anew.

    `judge` holds the options that differ from the run's own. Another threshold policy is also written into
    the checkpoints and the run's config, so that scoring and the report agree. `quantized`: judge them as
    they are in 8-bit integers; `rounded`: with products rounded to bfloat16. The checkpoints stay as they
    are.
    """
    directory = RunDirectory(run)
    config = directory.config
    changed = config.judge.model_copy(update=judge)
    Policy.parse(changed.threshold)
    with storage.locked(run), log.to_file(directory.log_file):
        logger.info("%s", command)
        experiment = Experiment.open(directory.dataset, directory.split)
        require_labels(experiment.windows, directory.dataset, what="judging")
        loaded = directory.load(experiment.windows.schema)
        warnings = []
        if quantized:
            warnings.append(quantize(experiment, loaded))
        if rounded:
            warnings.append(round_products(experiment, loaded))
        asked = config.model_copy(update={"judge": changed, "command": command})
        # Metrics of one policy beside a detector of another would be a lie: all appear, or none does.
        with storage.together():
            results = judge_detectors(experiment, run, asked, loaded, warnings=warnings, progress=progress)
            if changed.threshold != config.judge.threshold:
                for result in results.models:
                    own, chosen = directory.folder(result.name), result.threshold
                    checkpoint.retune(own.path, threshold=chosen.value, policy=chosen.policy)
                    own.config.model_copy(update={"judge": changed}).save(own.path)
                config.model_copy(update={"judge": changed}).save(run)
    return results


def verify(run: Path) -> RunConfig:
    """Check that a run's dataset (every byte), split and detectors, baselines included, are intact and belong
    together; returns its config."""
    directory = RunDirectory(run)
    experiment = Experiment.open(directory.dataset, directory.split)
    experiment.windows.verify()
    directory.load(experiment.windows.schema)
    for name, folder in directory.kept.items():
        if name not in directory.config.models:
            checkpoint.load(folder, schema=experiment.windows.schema)
    return directory.config


def _check(plan: TrainingPlan, judge: JudgeOptions) -> None:
    plan.check()
    Policy.parse(judge.threshold)


def _resumes(out: Path, plan: TrainingPlan, config: RunConfig) -> bool:
    """Whether `out` holds the run that is asked for. Raises UsageError when it holds another."""
    if not RunDirectory(out).config_file.is_file():
        logger.info("nothing to resume in %s: starting afresh", out)
        return False
    then, now = RunConfig.load(out).fixed(), _over(out, plan, config)[1].fixed()
    different = [f"{name}: {then[name]} -> {now[name]}" for name in now if then[name] != now[name]]
    if different:
        raise UsageError(
            "--resume asks for another run than the one that was cut off:\n    " + "\n    ".join(different),
            where=out,
            remedy="repeat the command as it was, or choose another output",
        )
    return True


def _config(source: str, plan: TrainingPlan, judge: JudgeOptions) -> RunConfig:
    return RunConfig(
        source=source,
        dataset=DATASET,
        split=SPLIT,
        models=plan.names,
        task=plan.task,
        view=plan.view,
        hyper=plan.settings,
        training=plan.training,
        judge=judge,
        command=plan.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )
