"""`vestige tune`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vestige.cli.experiment import Overwrite, Settings, Task
from vestige.cli.options import Address, parse_settings, with_options
from vestige.runs.options import JudgeOptions
from vestige.training.config import TrainingConfig

if TYPE_CHECKING:
    from rich.table import Table

    from vestige.tuning.findings import Findings

SHOWN = 10
"""Trials that the terminal shows; the page and trials.csv have them all."""

Space = Annotated[
    list[str],
    typer.Option(
        "--space",
        help="what to try of a parameter, in place of the detector's own: NAME=LOW..HIGH, "
        "NAME=LOW..HIGH:log or NAME=VALUE,VALUE (repeatable)",
    ),
]
TrainJobs = Annotated[
    int | None,
    typer.Option(
        "--train-jobs",
        min=1,
        help="trials at a time (default: 1; on a cluster one for every processor)",
        show_default=False,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine", help="who trains: local (processes of this machine) or ray (Ray Tune, on a cluster)"
    ),
]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("tune")(with_options(tune, training=TrainingConfig, judge=JudgeOptions))


def tune(
    dataset: Annotated[Path, typer.Argument(help="a prepared dataset")],
    training: TrainingConfig,
    judge: JudgeOptions,
    output: Annotated[Path, typer.Option("-o", "--output", help="directory for the run of the best")],
    model: Annotated[str, typer.Option("-m", "--model", help="detector whose settings are searched")] = "gru",
    split: Annotated[
        Path | None,
        typer.Option("--split", help="a saved split (default: one is made by the default recipe)"),
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", min=1, help="total number of trainings in the search")
    ] = 50,
    space: Space = [],
    task: Task = "classify",
    view: Annotated[
        Literal["realistic", "oracle"],
        typer.Option(help="realistic: what a deployed agent sees; oracle: everything"),
    ] = "realistic",
    settings: Settings = [],
    train_jobs: TrainJobs = None,
    engine: Engine = "local",
    address: Address = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with a search that was cut off, or with more trials")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Search the settings of a detector by its validation figures, and train the best as a run.

    The test part stays sealed: vestige evaluate judges the run.
    Example: vestige tune dataset --split split.json --model collaborative --trials 50 -o runs/tuned
    """
    from vestige.cli import progress, tables
    from vestige.engine import choose
    from vestige.models import registry
    from vestige.pipeline.fitting import TrainingPlan
    from vestige.runs.directory import RunDirectory
    from vestige.tuning.search import Search
    from vestige.tuning.search import tune as search

    command = shlex.join(["vestige", *sys.argv[1:]])
    name = registry.of_task(model, task)
    plan = TrainingPlan((name,), task, view, parse_settings(settings), training, command)
    found = search(
        dataset,
        split,
        output,
        search=Search(plan, tuple(space), trials),
        judge=judge,
        engine=choose(engine, jobs=train_jobs or (1 if engine == "local" else None), address=address),
        resume=resume,
        overwrite=overwrite,
        progress=progress.bar,
    )
    tables.show(_table(found))
    typer.echo(found.summary)
    typer.echo(f"the test part was opened {RunDirectory(output).openings} times")
    typer.echo(f"all trials: {output / 'tuning' / 'report.html'}")
    typer.echo(f"judge it: vestige evaluate {shlex.quote(str(output))}")


def _table(found: Findings) -> Table:
    """The best trials, and what importance their parameters have."""
    from rich.table import Table

    from vestige.cli.tables import plain

    title = f"best of {len(found.rows)} trials: {found.figure}"
    table = Table(title=plain(title), title_justify="left")
    table.add_column("trial", justify="right")
    table.add_column("ended")
    table.add_column("figure", justify="right")
    for name in found.space:
        share = found.importance.get(name)
        heading = name if share is None else f"{name} ({share:.0%})"
        table.add_column(heading, justify="right")
    for row in found.ranked[:SHOWN]:
        value = "-" if row.value is None else f"{row.value:.4f}"
        cells = [_shown(row.settings.get(name)) for name in found.space]
        ended = {"COMPLETE": "complete", "PRUNED": "early", "FAIL": "failed"}[row.state]
        number = f"{row.number} (defaults)" if row.defaults else str(row.number)
        table.add_row(*map(plain, (number, ended, value, *cells)))
    return table


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(value)
