"""What `import vestige` offers: the verbs as functions, whose options are called as on the command line.

`import vestige` imports nothing heavy; each function imports what it needs when it is called. Paths are taken
as `str` or `Path`. What is wrong raises a `vestige.errors.VestigeError`, whose text says what to do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from vestige.checked import refused
from vestige.errors import UsageError

if TYPE_CHECKING:
    import polars as pl

    from vestige.checkpoint import Loaded
    from vestige.checkpoint.header import Header
    from vestige.evaluation.learnt import Learnt
    from vestige.evaluation.results import RunResults
    from vestige.evaluation.versus import Compared
    from vestige.pipeline.on_evidence import JudgedOn

Model = TypeVar("Model", bound=BaseModel)
PathLike = str | os.PathLike[str]
Setting = int | float | bool | str
Task = Literal["classify", "next"]
MODELS: dict[Task, tuple[str, ...]] = {"classify": ("gbt", "gru"), "next": ("gru",)}
"""Detectors by task, where none are named; without the extra `neural`, those of them that there are."""


@dataclass(frozen=True)
class Preview:
    """How evidence is read: its first `steps`, as `read` gives them, and a `summary` of all of it (`steps`,
    `recordings`, `hosts`, `formats`, what was `left_out`, `warnings`, ...)."""

    steps: pl.DataFrame
    summary: dict[str, Any]


@dataclass(frozen=True)
class TrainedDetector:
    """A detector on disk, ready to work. `load` makes one."""

    path: Path
    device: str = "cpu"

    @property
    def name(self) -> str:
        """What kind of detector it is, such as `gbt` or `normal`."""
        return str(self._header.model["name"])

    @property
    def source(self) -> str:
        """The kind of evidence that it reads: `logs`, `events`, `telemetry` or `traces`."""
        return str(self._header.dataset_schema["source"])

    @property
    def threshold(self) -> float | None:
        """The score from which on it alerts; of a detector of what is normal, see `vestige learn`."""
        return self._header.threshold

    @property
    def learnt(self) -> Learnt | None:
        """What it says of itself, where it was learnt without labels."""
        from vestige.evaluation.learnt import FILE, Learnt

        file = self.path / FILE
        return Learnt.load(file) if file.is_file() else None

    def score(
        self,
        evidence: PathLike | Sequence[str] | pl.DataFrame,
        *,
        text: str | None = None,
        alerts_only: bool = False,
        explain: bool = True,
    ) -> pl.DataFrame:
        """Score evidence: a path, lines, or a frame.

        A list of `str` holds the lines of a log. Of a frame for a detector of logs the column `text` holds
        them (by default the only column of strings, or `line`, `message` or `text`); for one of events its
        columns are the fields, as they would be in lines of JSON.

        Returns a row for each window, which ends on the step that it judges:
        `time` (UTC, nanoseconds; null where nobody knows), `text` (the message as it stands in the evidence),
        `score` (the higher, the stranger: see `vestige score --help`), `alert` (null without a threshold),
        `reasons` (sentences; empty where there is no alert; those of classifiers take time, and are left out
        with `explain` False), then whatever else
        scoring tells: `host`, `recording`, `file`, `line`, `p_value`, `most_probable_class`, ... Of lines and
        frames `row` is the number, from 0, of the line or row that the message begins with.

        Raises UsageError for what this detector cannot read so, EvidenceError where it is not what the
        detector was trained to read, CheckpointError where the detector cannot be trusted.
        """
        from vestige.pipeline import in_memory

        with in_memory.as_file(evidence, self.source, text) as given:
            return in_memory.scores(
                self.path, given, device=self.device, alerts_only=alerts_only, explain=explain
            )

    @property
    def _header(self) -> Header:
        from vestige.runs.directory import RunDirectory

        return RunDirectory(self.path).header


def load(run: PathLike, *, device: str = "cpu") -> TrainedDetector:
    """The detector in a directory that `run`, `learn` or their verbs wrote; of a run that was judged, the one
    that was best on validation, baselines included. It is loaded once here, so that whatever is wrong with it
    is said at once.

    Raises UsageError for what is no run, CheckpointError where the detector is damaged or cannot be trusted.
    """
    from vestige import checkpoint, scoring
    from vestige.runs.directory import RunDirectory

    scoring.check_device(device)
    path = RunDirectory.open(Path(run)).best()
    _loaded: Loaded = checkpoint.load(path, device=device)
    return TrainedDetector(path, device)


def read(
    evidence: PathLike, source: str = "logs", *, limit: int | None = None, **options: Any
) -> pl.DataFrame:
    """Evidence as a Polars frame, a row for each step, as a dataset would hold it; the first `limit` of them.

    `options` are those of `vestige prepare SOURCE`, such as `format="bgl"`. Columns: `time` (UTC,
    nanoseconds; null where nobody knows), `host`, `recording`, `text` (masked), `label` (null where there is
    none), `file`, `line`, `offset`, and of telemetry `values`, a struct by channel. What was not read is told
    in the log and by `preview`.
    """
    return _look(evidence, source, limit, options).steps


def preview(evidence: PathLike, source: str = "logs", *, limit: int = 10, **options: Any) -> Preview:
    """How evidence would be read, before anything is learnt from it: all of it is read, `limit` steps shown.

    Raises EvidenceError where there is nothing to read, UsageError for an option that there is not.
    """
    return _look(evidence, source, limit, options)


def learn(
    evidence: PathLike | Sequence[str] | pl.DataFrame,
    output: PathLike,
    source: str = "logs",
    *,
    budget: str = "5/day",
    model: str = "ngram",
    settings: Mapping[str, Setting] | None = None,
    seed: int = 0,
    jobs: int | None = 1,
    overwrite: bool = False,
    text: str | None = None,
    **options: Any,
) -> TrainedDetector:
    """Learn what is normal, without labels, into the directory `output`: see `vestige learn`.

    `evidence` as `TrainedDetector.score` takes it; `budget`: alerts that you want to read, such as `5/day`;
    `model`: `ngram`, or a network of the task next; `settings`: hyper-parameters; `options`: of
    `vestige prepare SOURCE`. What the detector says of itself is in its `learnt`.
    Raises EvidenceError where nothing can be read or nothing repeats, SplitError where there is too little,
    OutputError where `output` holds something else.
    """
    from vestige.engine import choose
    from vestige.evaluation.budget import Budget
    from vestige.pipeline import in_memory
    from vestige.pipeline.learn import learn as learn_normal
    from vestige.sources import registry

    kind = registry.get(source)
    with in_memory.as_file(evidence, source, text) as given:
        learn_normal(
            kind,
            given.path,
            Path(output),
            options=_build(kind.options, options),
            budget=Budget.parse(budget),
            model=model,
            hyper=dict(settings or {}),
            seed=seed,
            engine=choose(jobs=jobs),
            overwrite=overwrite,
        )
    return load(output)


def run(
    corpus: PathLike,
    output: PathLike,
    source: str = "logs",
    *,
    models: Sequence[str] = (),
    task: Task = "classify",
    view: Literal["realistic", "oracle", "both"] = "realistic",
    settings: Mapping[str, Setting] | None = None,
    jobs: int | None = 1,
    train_jobs: int | None = 1,
    resume: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> RunResults:
    """The whole job: read `corpus`, split it, train `models`, judge them beside the baselines: `vestige run`.

    `options`: all other options of `vestige run SOURCE`, by their names with underscores: `format="bgl"`,
    `split="host"`, `epochs=5`, `threshold="fpr=0.001"`. The results are those of `output/metrics.json`.
    Raises UsageError for an option that there is not, OutputError where `output` holds something,
    LeakageError where the audit fails.
    """
    from vestige.engine import choose
    from vestige.models import registry as detectors
    from vestige.pipeline import in_memory
    from vestige.pipeline import run as whole
    from vestige.pipeline.fitting import ALL, TrainingPlan
    from vestige.runs.options import JudgeOptions, ModelTransferOptions, SplitOptions
    from vestige.sources import registry
    from vestige.training.config import TrainingConfig

    kind = registry.get(source)
    parts = _divide(options, kind.options, SplitOptions, TrainingConfig, JudgeOptions, ModelTransferOptions)
    named = [
        name if name == ALL else detectors.of_task(name, task) for name in models or _default_models(task)
    ]
    results = whole.run(
        kind,
        in_memory.path_of(corpus),
        Path(output),
        options=_build(kind.options, parts[0]),
        split=_build(SplitOptions, parts[1]),
        plan=TrainingPlan(
            tuple(dict.fromkeys(named)), task, view, dict(settings or {}), _build(TrainingConfig, parts[2])
        ),
        judge=_build(JudgeOptions, parts[3]),
        transfer=_build(ModelTransferOptions, parts[4]),
        engine=choose(jobs=jobs),
        train_jobs=train_jobs,
        resume=resume,
        overwrite=overwrite,
    )
    if results is None:
        raise AssertionError("a run that is not told to skip the test part has results")
    return results


def evaluate(
    run: PathLike, *, on: PathLike | None = None, read: Mapping[str, Any] | None = None, **options: Any
) -> RunResults | JudgedOn:
    """Judge the detectors of a run anew on its test part, or, with `on`, one detector on other labelled
    evidence.

    `options` differ from the run's own: `threshold`, `resamples`, `allow_leakage`. `read` says how other
    evidence is read, such as `{"format": "bgl"}`. Raises UsageError for a detector that has no test part.
    """
    from vestige.pipeline.on_evidence import judge_on
    from vestige.pipeline.run import evaluate as judge_run
    from vestige.runs.options import RejudgeOptions

    asked = _build(RejudgeOptions, options).model_dump(exclude_none=True)
    if on is None:
        if read:
            raise UsageError("`read` says how other evidence is read", remedy="name that evidence: on=...")
        return judge_run(Path(run), asked, "")
    if set(asked) - {"resamples"}:
        raise UsageError(
            "on other evidence a detector is judged as it is, with the threshold that it has",
            remedy="leave out threshold, allow_leakage and self_contained",
        )
    return judge_on(Path(run), Path(on), dict(read or {}), **asked)


def compare(
    *runs: PathLike,
    models: Sequence[str] = (),
    metric: Literal["macro_f1", "average_precision"] = "macro_f1",
    resamples: int = 1000,
) -> Compared:
    """Detectors side by side on the same test recordings, each with its interval, every two of them paired,
    as `vestige compare` has it. `runs`: runs, or folders of single detectors; `models`: those that count.

    Raises UsageError for runs that were judged on other recordings, with how they differ.
    """
    from vestige.evaluation.versus import set_side_by_side
    from vestige.pipeline.comparing import contenders

    found = contenders([Path(run) for run in runs], models=models)
    return set_side_by_side(found, metric=metric, resamples=resamples)


def _default_models(task: Task) -> list[str]:
    from vestige.models import registry

    names = MODELS[task]
    return [name for name in names if registry.available(registry.of_task(name, task))] or list(names)


def _look(evidence: PathLike, source: str, limit: int | None, options: dict[str, Any]) -> Preview:
    from vestige import log
    from vestige.evidence.defects import counted_defects
    from vestige.pipeline import in_memory
    from vestige.reading import preview as previewing
    from vestige.reading.overview import Overview
    from vestige.sources import registry

    if limit is not None and limit < 0:
        raise UsageError(f"limit: must be at least 0, not {limit}", remedy="give how many steps to show")
    kind, corpus = registry.get(source), in_memory.path_of(evidence)
    reader = kind.corpus_reader(corpus, _build(kind.options, options))
    overview = Overview(reader)
    look = previewing.Preview(reader, corpus, overview)
    steps = in_memory.step_frame(look.rows(limit))
    if not overview.steps:
        raise look.nothing()
    counts = overview.left_out.counts
    if counts:
        log.get(__name__).warning("%s: not read: %s", corpus, counted_defects(counts))
    return Preview(steps, overview.summary())


def _divide(given: Mapping[str, Any], *models: type[BaseModel]) -> list[dict[str, Any]]:
    """The options by the model that has them. Raises UsageError for one that none has."""
    unknown = [name for name in given if not any(name in model.model_fields for model in models)]
    if unknown:
        raise UsageError(f"no option {unknown[0]!r}", remedy=f"one of: {', '.join(_names(models))}")
    return [{name: given[name] for name in given if name in model.model_fields} for model in models]


def _names(models: Sequence[type[BaseModel]]) -> Iterator[str]:
    for model in models:
        yield from model.model_fields


def _build(model: type[Model], given: Mapping[str, Any]) -> Model:
    try:
        return model(**given)
    except ValidationError as error:
        name, told = refused(error)
        raise UsageError(
            f"{name}: {told}",
            remedy=f"the options are: {', '.join(model.model_fields)}",
        ) from error
