"""The whole job of `vestige tune`: search, say what was found, train the best, save it as a run.

The run appears in its directory before the first trial, so it can be cut off and resumed from then on. Trials
are handed training and validation windows alone; the test part is opened by `vestige evaluate`.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vestige import checkpoint, log, storage
from vestige.engine import HERE, Engine, LocalEngine
from vestige.engine.cluster import RayEngine
from vestige.errors import SearchError, UsageError
from vestige.evaluation.threshold import Policy
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.models.fitting import FittedDetector
from vestige.models.space import Space
from vestige.pipeline.experiment import Experiment, TrainingData, require_labels, split_dataset
from vestige.pipeline.fitting import TrainingPlan
from vestige.pipeline.parallel import fit_all
from vestige.reading.steps import ShowProgress, silent
from vestige.reading.windows import WindowSet
from vestige.runs import views
from vestige.runs.config import RunConfig, relative, versions
from vestige.runs.directory import CONFIG, SPLIT, RunDirectory
from vestige.runs.options import JudgeOptions, SplitOptions
from vestige.sources import registry as sources
from vestige.splits import Parts, Split, with_validation
from vestige.training import StoppedError, discard_resume_state
from vestige.training.interrupt import StopRequests, request_stop
from vestige.tuning import cluster
from vestige.tuning import study as studies
from vestige.tuning.findings import FOLDER, Findings, findings_of
from vestige.tuning.page import write_page
from vestige.tuning.spaces import space_of, to_plain
from vestige.tuning.trial import FIGURES, Ended, Task, run_trial, with_settings

if TYPE_CHECKING:
    import optuna

logger = log.get(__name__)


@dataclass(frozen=True)
class Search:
    """What to search: the detector that `plan` names, `trials` of it, in its space but for `overrides`."""

    plan: TrainingPlan
    overrides: tuple[str, ...] = ()
    trials: int = 50

    @property
    def name(self) -> str:
        """The detector."""
        return self.plan.models[0]

    def check(self) -> Space:
        """The space. Raises UsageError for whatever is known to be wrong before anything is read."""
        studies.require()
        self.plan.check()
        if len(self.plan.models) != 1 or self.plan.view == views.BOTH:
            raise UsageError(
                "a search is for one detector in one view", remedy="search each of them into a run of its own"
            )
        if self.plan.training.devices * self.plan.training.nodes > 1:
            raise UsageError(
                "a trial of a search trains on one device", remedy="leave out --devices, or use --train-jobs"
            )
        kind = registry.get(self.name)
        fixed = self.plan.hyper(self.name)
        space = space_of(kind, list(self.overrides), fixed)
        if issubclass(kind, FittedDetector):
            logger.info("%s learns in one go: no trial of it is ended early", self.name)
        return space

    def defaults(self) -> dict[str, Any]:
        """What a detector has that is told nothing more: hyper-parameters, and settings of the training."""
        kind = registry.get(self.name)
        own = kind.hyper_parameters.model_construct(**self.plan.hyper(self.name)).model_dump()
        return {**self.plan.training.model_dump(), **own}


def tune(
    dataset: Path,
    split: Path | None,
    out: Path,
    *,
    search: Search,
    judge: JudgeOptions,
    engine: Engine = HERE,
    resume: bool = False,
    overwrite: bool = False,
    progress: ShowProgress = silent,
) -> Findings:
    """Search, and train the best into the run `out`. Without `split` one is made.

    `engine`: works on so many trials at a time, on this machine or on a cluster; the best is trained here.
    Raises SearchError where no trial ended well, StoppedError where a signal asked to stop (what has ended is
    kept), UsageError where `resume` asks for another search than the one in `out`.
    """
    Policy.parse(judge.threshold)
    space = search.check()
    if isinstance(engine, RayEngine):
        cluster.require()
    elif not isinstance(engine, LocalEngine):
        raise UsageError("this engine cannot search", remedy="--engine local or ray")
    windows = WindowSet.open(dataset)
    if search.plan.task == "classify":
        require_labels(windows, dataset, what="learning classes")
    choose_inputs(registry.get(search.name), windows.schema)
    if resume and RunDirectory(out).config_file.is_file():
        _refuse_other(out, _config(windows, dataset, out, search, space, judge, engine))
    else:
        if resume:
            logger.info("nothing to resume in %s: starting afresh", out)
        made, _ = _split(windows, split)
        with storage.atomic_directory(out, marker=CONFIG, overwrite=overwrite) as working:
            made.save(working / SPLIT)
            studies.create(working / FOLDER)
            _config(windows, dataset, out, search, space, judge, engine).save(working)
    with storage.locked(out), log.to_file(RunDirectory(out).log_file):
        logger.info("%s", search.plan.command)
        found = _search(out, windows, search, space, engine, progress)
        _train_best(out, search, found, resume=resume)
    return found


def _search(
    out: Path, windows: WindowSet, search: Search, space: Space, engine: Engine, progress: ShowProgress
) -> Findings:
    folder = out / FOLDER
    studies.repair(folder)
    with studies.quiet(), tempfile.TemporaryDirectory(prefix="vestige-") as stop:
        study = studies.open_study(folder)
        if study.get_trials(deepcopy=False):
            again = studies.take_up(study)
            ended = len(studies.counted(study))
            logger.info("going on: %d trials have ended, %d were under way and are run again", ended, again)
        else:
            studies.begin(study, space, search.defaults())
        if len(studies.counted(study)) < search.trials:
            task = _task(out, windows, search, space, Path(stop), engine)
            _work(task, study, engine, progress)
        found = findings_of(study, search.name, space, FIGURES[search.plan.task])
    found.save(folder)
    write_page(folder / "report.html", found)
    logger.info("%s", found.summary)
    return found


def _task(out: Path, windows: WindowSet, search: Search, space: Space, stop: Path, engine: Engine) -> Task:
    source = sources.get(windows.schema.source)
    split_file = out / SPLIT
    data = TrainingData.of(source, Split.load(split_file).parts(windows).sealed())
    plan = search.plan
    on_cluster = isinstance(engine, RayEngine)
    if plan.training.threads is None and (on_cluster or engine.workers > 1):
        threads = 1 if on_cluster else max(1, (os.cpu_count() or 1) // engine.workers)
        plan = replace(plan, training=plan.training.model_copy(update={"threads": threads}))
    encoder = data.train.encoder.to_dict()
    fixed = {name: value for name, value in search.defaults().items() if name not in space}
    return Task(
        folder=(out / FOLDER).absolute(),
        dataset=windows.path.absolute(),
        split=split_file.absolute(),
        encoder=encoder,
        plan=plan,
        space=space,
        fixed=fixed,
        trials=search.trials,
        stop=stop,
    )


def _work(task: Task, study: optuna.Study, engine: Engine, progress: ShowProgress) -> None:
    """Trials until there are as many as are wanted. Raises StoppedError where a signal asked to stop."""
    with (
        StopRequests(tell=partial(request_stop, task.stop)) as requests,
        progress("searching", "trials") as update,
    ):
        update(len(studies.counted(study)), task.trials)

        def tell(ended: Ended) -> None:
            _tell(ended, study, task.trials)
            update(len(studies.counted(study)), task.trials)

        if isinstance(engine, RayEngine):
            from vestige.tuning import ray_tune

            ray_tune.search(task, study, engine, stopping=lambda: requests.name is not None, tell=tell)
        else:
            _work_here(task, study, engine.workers, requests, tell)
    if requests.name is not None:
        raise StoppedError(
            f"the search was stopped by {requests.name}; the {len(studies.counted(study))} trials that have "
            "ended are kept",
            where=task.folder.parent,
            remedy="repeat the command with --resume to go on",
        )


def _work_here(
    task: Task, study: optuna.Study, jobs: int, requests: StopRequests, tell: Callable[[Ended], None]
) -> None:
    """In processes of this machine, each of which draws its own trials from the journal."""
    ended = len(studies.counted(study))
    while ended < task.trials and requests.name is None:
        engine = LocalEngine(min(jobs, task.trials - ended))
        # Trials may take more memory than there is: the one that does ends its own process alone.
        for outcome in engine.map(
            partial(run_trial, task), range(task.trials - ended), ordered=False, isolate=True
        ):
            if isinstance(outcome.error, StoppedError):
                break
            if outcome.value is not None:
                tell(outcome.value)
        if requests.name is None:
            for number in studies.bury(study):
                logger.warning("trial %d failed: %s", number, studies.PROCESS_DIED)
        ended = len(studies.counted(study))


def _tell(ended: Ended, study: optuna.Study, trials: int) -> None:
    """A line for the log."""
    settings = ", ".join(f"{name}={_short(value)}" for name, value in ended.settings.items())
    where = f"trial {ended.number}"
    if ended.state == "FAIL":
        logger.warning("%s failed: %s (%s)", where, ended.reason, settings)
        return
    reached = [trial.value for trial in studies.counted(study) if trial.state.name == "COMPLETE"]
    best = max((value for value in reached if value is not None), default=None)
    how = "ended early, " if ended.state == "PRUNED" else ""
    logger.info(
        "%s of %d: %s%.4f in %.1f s, best %s (%s)", where, trials, how, ended.value, ended.seconds,
        "none yet" if best is None else f"{best:.4f}", settings,
    )  # fmt: skip


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _train_best(out: Path, search: Search, found: Findings, *, resume: bool) -> None:
    """Train the detector with the best settings into the run, whose config then says them."""
    best = found.best
    if best is None:
        why = next((row.reason for row in found.rows if row.reason), "")
        raise SearchError(
            f"none of {len(found.rows)} trials ended well ({found.counts}); {why}",
            where=out / FOLDER,
            remedy="search a narrower space (--space), or fix with --set what cannot be",
        )
    run = RunDirectory(out)
    plan = with_settings(search.plan, best.settings)
    _forget_another(run, search.name, best.number)
    tuning = {**run.config.tuning, "best": best.number, "value": best.value, "settings": best.settings}
    update = {"hyper": plan.settings, "training": plan.training, "tuning": tuning}
    config = run.config.model_copy(update=update)
    config.save(out)
    logger.info("training %s with the settings of trial %d", search.name, best.number)
    fit_all(Experiment.open(run.dataset, run.split_file), out, plan, config, resume=resume)
    reached = run.folder(search.name).header.notes.validation_macro_f1
    if search.plan.task == "classify" and reached is not None and abs(reached - (best.value or 0)) > 1e-6:
        logger.warning(
            "trained anew, the best settings reach %.4f on validation, in their trial %.4f: another number "
            "of threads, or another machine, adds in another order", reached, best.value,
        )  # fmt: skip


def _forget_another(run: RunDirectory, name: str, best: int) -> None:
    """Where more trials found a better one: remove what was trained, and judged, with the earlier best."""
    if run.config.tuning.get("best") in {None, best}:
        return
    own = run.folder(name)
    (own.path / checkpoint.HEADER).unlink(missing_ok=True)
    discard_resume_state(own.path)
    results = (run.metrics_file, run.report_file, own.metrics_file, own.report_file)
    judged = [file for file in results if file.is_file()]
    for file in judged:
        file.unlink()
    if judged:
        logger.warning("the detector is another one now: judge it anew, the earlier results are removed")


def _split(windows: WindowSet, split: Path | None) -> tuple[Split, Parts]:
    """The split that is given or the default one, with a validation part in any case."""
    if split is None:
        made, _ = split_dataset(windows, SplitOptions())
        return made, made.parts(windows)
    made = Split.load(split)
    parts = made.parts(windows)
    if not len(parts.validation):
        made = with_validation(made, windows)
        logger.warning("%s", made.notes[-1])
        parts = made.parts(windows)
    return made, parts


def _config(
    windows: WindowSet,
    dataset: Path,
    out: Path,
    search: Search,
    space: Space,
    judge: JudgeOptions,
    engine: Engine,
) -> RunConfig:
    plan = search.plan
    return RunConfig(
        source=windows.schema.source,
        dataset=relative(dataset, out),
        split=SPLIT,
        models=plan.names,
        task=plan.task,
        view=plan.view,
        hyper=plan.settings,
        training=plan.training,
        judge=judge,
        tuning={
            "space": to_plain(space),
            "seed": plan.training.seed,
            "sampler": "TPE",
            "pruner": "ASHA" if isinstance(engine, RayEngine) else "median",
            "figure": FIGURES[plan.task],
            "fixed": dict(plan.settings),
            "training": plan.training.fixed(),
        },
        command=plan.command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        versions=versions(),
    )


def _refuse_other(out: Path, now: RunConfig) -> None:
    """Raise UsageError where the run in `out` is no search, or another one than this, but for `trials`."""
    then = RunConfig.load(out)
    asked = ("source", "dataset", "models", "task", "view")
    pairs = {name: (getattr(then, name), getattr(now, name)) for name in asked}
    pairs |= {name: (then.tuning.get(name), value) for name, value in now.tuning.items()}
    different = [f"{name}: {was} -> {asks}" for name, (was, asks) in pairs.items() if was != asks]
    if different:
        raise UsageError(
            "--resume asks for another search than that of before:\n    " + "\n    ".join(different),
            where=out,
            remedy="repeat the command as it was, or choose another output",
        )
