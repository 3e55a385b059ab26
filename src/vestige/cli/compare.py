"""`vestige compare`: detectors of runs side by side, paired on one test part."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from vestige.evaluation.versus import Compared

SHOWN = 40
"""Pairs that the terminal shows; the page and the JSON have them all."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("compare")(compare)


def compare(
    runs: Annotated[
        list[Path], typer.Argument(help="runs, one of their views, or folders of single detectors")
    ],
    model: Annotated[
        list[str], typer.Option("-m", "--model", help="compare these detectors alone (repeatable)")
    ] = [],
    metric: Annotated[
        Literal["macro_f1", "average_precision"], typer.Option("--metric", help="what is compared")
    ] = "macro_f1",
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", min=1, help="trainings of each detector with different seeds, its own among them"
        ),
    ] = 1,
    splits: Annotated[
        int,
        typer.Option(
            "--splits", min=1, help="number of different splits to train on, the run's own among them"
        ),
    ] = 1,
    trained: Annotated[
        Path | None,
        typer.Option("--trained", help="folder for what is trained again (default: RUN-trained-again)"),
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", min=100, help="bootstrap resamples")] = 1000,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="page to write, such as compare.html")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="print the comparison as JSON")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="replace an earlier page")] = False,
) -> None:
    """Compare detectors on the same test recordings: of one run, of several, over views, seeds and splits.

    Runs that were judged on other recordings are refused, with how they differ.
    Example: vestige compare runs/gru runs/gbt --seeds 5 -o compare.html
    """
    from vestige.cli import progress, tables
    from vestige.evaluation.versus import set_side_by_side
    from vestige.evaluation.versus_page import sentence, write_page
    from vestige.pipeline.comparing import contenders
    from vestige.storage import refuse_files

    refuse_files(output, overwrite=overwrite)
    found = contenders(runs, models=model, seeds=seeds, splits=splits, trained=trained, progress=progress.bar)
    compared = set_side_by_side(
        found, metric=metric, resamples=resamples, command=shlex.join(["vestige", *sys.argv[1:]])
    )
    if output is not None:
        write_page(output, compared)
    if json:
        typer.echo(compared.model_dump_json(indent=2))
        return
    tables.show(_detectors(compared))
    if compared.pairs:
        tables.show(_pairs(compared))
    tables.show(tables.plain(sentence(compared), tables.SENTENCE))
    if output is not None:
        tables.show(tables.plain(f"wrote {output}"))


def _detectors(compared: Compared) -> Table:
    from rich.table import Table

    from vestige.cli import tables

    table = Table(caption=tables.plain(f"95% intervals: bootstrap over {compared.clusters.description}"))
    for name in ("detector", compared.title, "95% interval", "deviation of\nseeds", "deviation of\nsplits"):
        table.add_column(name, justify="left" if name == "detector" else "right", overflow="fold")
    for row in sorted(compared.contenders, key=lambda contender: -(contender.figure.estimate or 0.0)):
        cells = (
            row.name, _number(row.figure.estimate), _between(row.figure.low, row.figure.high, ".3f"),
            _number(row.seed_sd, ".4f"), _number(row.split_sd, ".4f"),
        )  # fmt: skip
        table.add_row(*map(tables.plain, cells))
    return table


def _pairs(compared: Compared) -> Table:
    from rich.table import Table

    from vestige.cli import tables

    caption = "Paired on the same resamples; p two-sided, by Holm's method over all pairs."
    if not compared.clusters.trusted:
        caption = f"Paired on the same resamples; no p: {compared.clusters.reason}."
    hidden = len(compared.pairs) - SHOWN
    if hidden > 0:
        caption += f" {hidden} pairs with narrower gaps are on the page (-o) and in --json."
    table = Table(caption=tables.plain(caption), caption_justify="left")
    for name in ("pair", f"gap in {compared.title}", "95% interval", "p"):
        table.add_column(name, justify="left" if name == "pair" else "right", overflow="fold")
    for pair in sorted(compared.pairs, key=lambda each: -abs(each.gap.estimate or 0.0))[:SHOWN]:
        cells = (
            f"{pair.first} - {pair.second}", _number(pair.gap.estimate, "+.3f"),
            _between(pair.gap.low, pair.gap.high, "+.3f"), _number(pair.p_adjusted, ".4f"),
        )  # fmt: skip
        table.add_row(*map(tables.plain, cells))
    return table


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)


def _between(low: float | None, high: float | None, form: str) -> str:
    return "-" if low is None or high is None else f"{low:{form}} to {high:{form}}"
