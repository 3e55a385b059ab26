"""`vestige score`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vestige.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("score")(score)


def score(
    run: Annotated[Path, typer.Argument(help="a trained detector: a directory such as runs/bgl/gru")],
    evidence: Annotated[
        list[Path], typer.Argument(help="raw evidence: files or directories; - is standard input")
    ],
    format: Annotated[  # noqa: A002 - the name of the option
        str,
        typer.Option(
            help="the format that you take the evidence to be in; refused if the detector reads another"
        ),
    ] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="write here instead of standard output")
    ] = None,
    alerts_only: Annotated[
        bool, typer.Option("--alerts-only", help="only what is at or above the threshold")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
) -> None:
    """Score raw evidence with a trained detector: JSON lines with file, line, offset, score, class, alert.

    Example: vestige score runs/bgl/gru new.log --format bgl --alerts-only
    """
    from vestige import scoring, storage
    from vestige.checkpoint import HEADER
    from vestige.checkpoint.header import read_header

    settings = read_header(run / HEADER).dataset_schema.get("settings", {})
    trained_on = settings.get("format", {}).get("name", "")
    if format and trained_on and Path(format).stem != trained_on:
        raise UsageError(
            f"the detector was trained to read {trained_on!r}, not {format!r}",
            where=run,
            remedy=f"give evidence in that format and --format {trained_on}, or train a detector on {format}",
        )
    rows = (row for row in scoring.score(run, evidence, device=device) if row["alert"] or not alerts_only)
    if output is None:
        for row in rows:
            typer.echo(scoring.json_line(row))
        return
    with storage.atomic_file(output) as working, working.open("w", encoding="ascii") as file:
        file.writelines(scoring.json_line(row) + "\n" for row in rows)
