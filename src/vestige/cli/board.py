"""`vestige board`: every labelled set at hand by every detector by the honest splits."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from vestige.cli.options import Address, EngineName
from vestige.errors import UsageError


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("board")(board)


def board(
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="folder of the board; in one that was begun, the board goes on"),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="folder that holds the sets; without it, simulated ones alone"),
    ] = None,
    sets: Annotated[
        str, typer.Option("--sets", help="names of sets, with commas [default: all of the list]")
    ] = "",
    models: Annotated[
        str,
        typer.Option(
            "--models",
            help="detectors, with commas; the classical ones and the trivial baselines are always there",
        ),
    ] = "",
    listing: Annotated[
        Path | None, typer.Option("--list", help="TOML file of sets, instead of the list shipped")
    ] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", min=0, help="begin no split after so many hours")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option("-j", "--jobs", min=1, help="processes for reading; default: every core")
    ] = None,
    engine: EngineName = "local",
    address: Address = None,
) -> None:
    """Compute every labelled set at hand by every detector by the honest splits, and write one page.

    Each cell is an ordinary run. What was cut off, however, goes on where it stood when the same command is
    given again; what is finished stays. Sets that are not there are told.
    Example: vestige board --data DATA --hours 3 -o board
    """
    from vestige.board import fill, page
    from vestige.board.cells import asked
    from vestige.board.sets import SHIPPED, chosen, load
    from vestige.cli import progress, tables
    from vestige.engine import choose

    if data is not None and not data.is_dir():
        raise UsageError("is no folder", where=data, remedy="name the folder that holds the sets")
    wanted = chosen(load(listing or SHIPPED), _names(sets))
    detectors = asked(_names(models))
    fill.check(wanted)
    left = fill.fill(
        output, wanted, detectors, data=data, hours=hours, progress=progress.bar,
        engine=choose(engine, jobs=jobs, address=address),
    )  # fmt: skip
    command = shlex.join(["vestige", *sys.argv[1:]])
    found = page.read(output, wanted, detectors, data=data, command=command)
    for name, why in found.absent:
        tables.show(tables.plain(f"{name} is not here: {why}", tables.SENTENCE))
    text = f"{found.done} of {found.wanted} cells are computed"
    if left:
        text += f"; {left} are left or failed (the page says why): the same command goes on"
    tables.show(tables.plain(text, tables.SENTENCE))
    for file in page.write(found, output):
        tables.show(tables.plain(f"wrote {file}", tables.SENTENCE))


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
