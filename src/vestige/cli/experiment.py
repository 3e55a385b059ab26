"""`vestige run SOURCE`, `vestige train`, `vestige evaluate`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from pydantic import BaseModel

from vestige import extras, log
from vestige.cli.about import AsJson
from vestige.cli.options import (
    Address,
    EngineName,
    Precision,
    Quantize,
    is_rounded,
    parse_settings,
    with_options,
)
from vestige.cli.preview import pointing_to_preview
from vestige.cli.renamed import OutWasRenamed
from vestige.cli.sources import add_verb
from vestige.errors import UsageError
from vestige.runs.options import JudgeOptions, ModelTransferOptions, RejudgeOptions, SplitOptions
from vestige.sources import registry as sources
from vestige.training.config import TrainingConfig

if TYPE_CHECKING:
    from vestige.evaluation.results import RunResults
    from vestige.models.base import Task as TaskName
    from vestige.pipeline.fitting import TrainingPlan
    from vestige.sources.base import Source

DEFAULTS = {"classify": ("gbt", "gru"), "next": ("gru",)}
"""Detectors by task, where none are named."""

Models = Annotated[
    list[str],
    typer.Option(
        "-m",
        "--model",
        help="detector to train (repeatable; default: gbt and gru, for next gru); all: the task's standard "
        "ones that fit; see vestige models",
    ),
]
Task = Annotated[
    Literal["classify", "next"],
    typer.Option(help="classify: window -> class; next: window -> its last token, anomaly = surprise"),
]
View = Annotated[
    Literal["realistic", "oracle", "both"],
    typer.Option(help="realistic: what a deployed agent sees; oracle: everything; both: each detector twice"),
]
TrainJobs = Annotated[
    int | None,
    typer.Option(
        "--train-jobs",
        min=1,
        help="detectors trained at a time (default: 1; with --view both one a core, as memory allows)",
    ),
]
Settings = Annotated[
    list[str], typer.Option("--set", help="hyper-parameter NAME=VALUE or MODEL.NAME=VALUE (repeatable)")
]
Resume = Annotated[bool, typer.Option("--resume", help="go on with a run that was cut off")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace an earlier run")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    add_verb(
        app,
        "run",
        "The whole job on a source: prepare, split, train, evaluate, report.",
        run_command,
        sources,
        cls=OutWasRenamed,
    )
    app.command("train", cls=OutWasRenamed)(with_options(train, training=TrainingConfig, judge=JudgeOptions))
    app.command("evaluate")(with_options(evaluate, judge=RejudgeOptions))


def run_command(source: Source[Any]) -> Callable[..., None]:
    """`vestige run` for one source."""

    def run(
        corpus: Annotated[
            Path, typer.Argument(help="file or directory of raw evidence; - is standard input")
        ],
        options: BaseModel,
        split: SplitOptions,
        training: TrainingConfig,
        judge: JudgeOptions,
        transfer: ModelTransferOptions,
        output: Annotated[Path, typer.Option("-o", "--output", help="directory for the run")],
        model: Models = [],
        task: Task = "classify",
        view: View = "realistic",
        settings: Settings = [],
        jobs: Annotated[
            int | None, typer.Option("-j", "--jobs", min=1, help="processes for reading; default: every core")
        ] = None,
        engine: EngineName = "local",
        address: Address = None,
        train_jobs: TrainJobs = None,
        skip_test: Annotated[
            bool,
            typer.Option("--skip-test", "--skip-eval", help="train only; vestige evaluate judges later"),
        ] = False,
        resume: Resume = False,
        overwrite: Overwrite = False,
    ) -> None:
        from vestige.cli import progress
        from vestige.engine import choose
        from vestige.pipeline import run as whole

        with pointing_to_preview(source, corpus, options):
            results = whole.run(
                source,
                corpus,
                output,
                options=options,
                split=split,
                plan=_plan(model, task, view, settings, training),
                judge=judge,
                transfer=transfer,
                engine=choose(engine, jobs=jobs, address=address),
                train_jobs=_train_jobs(train_jobs, view),
                resume=resume,
                overwrite=overwrite,
                skip_test=skip_test,
                progress=progress.bar,
            )
        if results is None:
            typer.echo(f"trained, not judged: vestige evaluate {output}")
        else:
            _say(results, output)

    run.__doc__ = f"""The whole job on {source.name}: prepare, split, train, evaluate, write the report.

    Example: vestige run {source.name} CORPUS --split time --model gbt --model gru -o runs/first
    """
    return with_options(
        run,
        options=source.options,
        split=SplitOptions.naming(source.recipes),
        training=TrainingConfig,
        judge=JudgeOptions,
        transfer=ModelTransferOptions,
    )


def train(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset")],
    training: TrainingConfig,
    judge: JudgeOptions,
    split: Annotated[Path, typer.Option("--split", help="a saved split")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="directory for the run; one folder a model in it")
    ],
    model: Models = [],
    task: Task = "classify",
    view: View = "realistic",
    settings: Settings = [],
    train_jobs: TrainJobs = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Train detectors on a prepared dataset. The test part stays sealed: vestige evaluate judges them.

    Example: vestige train dataset --split split.json --model gru -o runs/gru
    """
    from vestige.cli import tables
    from vestige.pipeline import run as whole

    made = whole.train(
        dataset,
        split,
        output,
        plan=_plan(model, task, view, settings, training),
        judge=judge,
        jobs=_train_jobs(train_jobs, view),
        resume=resume,
        overwrite=overwrite,
    )
    tables.show(tables.trained(made, output))
    typer.echo(f"judge them: vestige evaluate {output}")


def evaluate(
    run: Annotated[Path, typer.Argument(help="a run, or the folder of one trained detector in it")],
    judge: RejudgeOptions,
    quantize: Annotated[
        Quantize, typer.Option(help="int8: judge transformers in 8-bit integers, and say what that changes")
    ] = "none",
    precision: Precision = "32",
    on: Annotated[
        Path | None,
        typer.Option("--on", help="labelled evidence to judge one detector on, instead of the test part"),
    ] = None,
    read: Annotated[
        list[str],
        typer.Option(
            "--read",
            help="NAME=VALUE, repeatable: how that evidence is read, as vestige prepare has it, such as "
            "label=column",
        ),
    ] = [],
    as_json: AsJson = False,
) -> None:
    """Judge trained detectors on the test part, beside the baselines: metrics.json and report.html.

    With --on, one detector is judged on other evidence that has labels: also one that learnt without any.

    Example: vestige evaluate runs/gru
    """
    from vestige.cli import progress, tables
    from vestige.pipeline.run import evaluate as judge_run

    asked = judge.model_dump(exclude_none=True)
    rounded = is_rounded(precision, quantize=quantize)
    if on is not None:
        _judge_on(run, on, read, asked, quantized=quantize != "none", rounded=rounded, as_json=as_json)
        return
    if read:
        raise UsageError("--read says how other evidence is read", remedy="name that evidence with --on")
    _refuse_learnt(run)
    if rounded and judge.threshold is not None:
        raise UsageError(
            "--threshold writes a threshold into the detectors, which is one of scores in float32",
            remedy="leave out --precision, or --threshold",
        )
    quantized = quantize == "int8"
    results = judge_run(run, asked, _command(), quantized=quantized, rounded=rounded, progress=progress.bar)
    if as_json:
        tables.show_json(results.model_dump(mode="json"))
    else:
        _say(results, run)


def _judge_on(
    run: Path,
    evidence: Path,
    read: list[str],
    asked: dict[str, Any],
    *,
    quantized: bool,
    rounded: bool,
    as_json: bool,
) -> None:
    """Judge one detector on labelled evidence. Raises UsageError for what is for the test part alone."""
    from vestige.cli import progress, tables
    from vestige.evaluation.bootstrap import RESAMPLES
    from vestige.pipeline.on_evidence import judge_on

    resamples = asked.pop("resamples", RESAMPLES)
    if asked or quantized:
        raise UsageError(
            "with --on a detector is judged as it is, with the threshold that it has",
            remedy="leave out --threshold, --allow-leakage, --self-contained and --quantize",
        )
    found = judge_on(
        run, evidence, parse_settings(read), resamples=resamples, rounded=rounded, progress=progress.bar
    )
    if as_json:
        tables.show_json(found.to_json())
        return
    tables.show(tables.judged_on(found))
    typer.echo(tables.judged_size(found))


def _refuse_learnt(run: Path) -> None:
    """Raise UsageError for a detector that learnt without labels: it has no test part."""
    from vestige.evaluation.learnt import FILE
    from vestige.evaluation.learnt_page import PAGE_FILE

    if (run / FILE).is_file():
        raise UsageError(
            "it was learnt without labels, and has no test part to be judged on",
            where=run,
            remedy=f"give evidence that has labels: vestige evaluate {shlex.quote(str(run))} --on EVIDENCE; "
            f"what it says of itself is in {run / PAGE_FILE}",
        )


def _plan(
    models: list[str], task: TaskName, view: str, settings: list[str], training: TrainingConfig
) -> TrainingPlan:
    from vestige.models import registry
    from vestige.pipeline.fitting import ALL, TrainingPlan

    chosen = models or _default_models(task)
    # What `all` stands for depends on the dataset, which is not open yet.
    names = dict.fromkeys(name if name == ALL else registry.of_task(name, task) for name in chosen)
    return TrainingPlan(tuple(names), task, view, parse_settings(settings), training, _command())


def _default_models(task: TaskName) -> list[str]:
    """The detectors of a task where none are named. Without the networks gbt is trained alone, and that is
    said; where nothing is left, asking for the network says what is missing."""
    from vestige.models import registry

    names = {name: registry.of_task(name, task) for name in DEFAULTS[task]}
    there = [name for name, model in names.items() if registry.available(model)]
    if there and len(there) < len(names):
        absent = ", ".join(sorted(set(names) - set(there)))
        log.get(__name__).warning(
            "%s is left out, because it is not installed: %s", absent, extras.command(registry.NEURAL)
        )
    return there or list(names)


def _train_jobs(asked: int | None, view: str) -> int | None:
    # Of two views there are twice the detectors: only then is the number left open, for vestige to choose.
    if asked is None and view != "both":
        return 1
    return asked


def _command() -> str:
    return shlex.join(["vestige", *sys.argv[1:]])


def _say(results: RunResults, out: Path) -> None:
    from vestige.cli import tables
    from vestige.evaluation.table import onset_table, pairs_table, results_table
    from vestige.runs.directory import RunDirectory

    tables.show(results_table(results))
    if results.pairs and len(results.models) > 2:
        tables.show(pairs_table(results))
    if any(result.onset is not None for result in results.models):
        tables.show(onset_table(results))
    if results.verdict is not None:
        typer.echo(tables.verdict(results.verdict))
    typer.echo(f"report: {RunDirectory(out).report_file}")
