"""`vestige simulate SOURCE`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel

from vestige.cli.options import with_options
from vestige.cli.sources import add_verb
from vestige.simulators import registry

if TYPE_CHECKING:
    from vestige.simulators.registry import Simulator


def register(app: typer.Typer) -> None:
    """Add the verb."""
    add_verb(
        app, "simulate", "Write a synthetic corpus in a source's real on-disk format.", command, registry
    )


def command(simulator: Simulator) -> Callable[..., None]:
    """`vestige simulate` for one source."""

    def simulate(
        out: Annotated[Path, typer.Argument(help="directory to write the corpus to")],
        options: BaseModel,
        overwrite: Annotated[
            bool, typer.Option("--overwrite", help="replace an earlier simulated corpus")
        ] = False,
    ) -> None:
        planted = simulator.write(out, options, overwrite=overwrite)
        typer.echo(json.dumps(planted, indent=1))

    simulate.__doc__ = f"""Write a synthetic {simulator.name} corpus and say what was planted in it.

    Example: vestige simulate {simulator.name} corpus --seed 7
    """
    return with_options(simulate, options=simulator.options)
