"""Write docs/cli.md from the program's own help texts. Tests check that it is current and complete."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "110"
os.environ["TERM"] = "dumb"
os.environ["NO_COLOR"] = "1"

import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

import vestige.errors
import vestige.training.errors
from vestige.cli.main import BUG, HUNG_UP, INTERRUPTED, TERMINATED, app
from vestige.errors import VestigeError
from vestige.simulators import registry as simulators
from vestige.sources import registry


def exit_codes() -> str:
    """The table of exit codes, from the classes of errors."""
    kinds = {
        kind
        for module in (vestige.errors, vestige.training.errors)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, VestigeError)
    }
    rows = [(kind.exit_code, (kind.__doc__ or "").partition("\n")[0]) for kind in kinds - {VestigeError}]
    rows += [
        (0, "Done; or whoever reads the output has enough, such as `head`."),
        (VestigeError.exit_code, "Anything else, such as a file that the system will not let us read."),
        (BUG, "An error of the program itself."),
        (INTERRUPTED, "Ctrl-C."),
        (
            HUNG_UP,
            "SIGHUP (a terminal that was closed), outside of a training: what was half-written is removed.",
        ),
        (TERMINATED, "SIGTERM, outside of a training: what was half-written is removed."),
    ]
    lines = [f"| {code} | {what} |" for code, what in sorted(rows)]
    return "\n".join(["## Exit codes", "", "| code | meaning |", "|---|---|", *lines, ""])


def calls(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The words of every command below `command`, itself first.

    Sources of other distributions are left out: what is installed beside the program is none of its docs.
    """
    yield path
    if isinstance(command, TyperGroup):
        context = typer.Context(command)
        foreign = {*registry.names(), *simulators.names()} - set(registry.BUILT_IN)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if name not in foreign and not found.hidden:
                yield from calls(found, (*path, name))


def render() -> str:
    """The whole page."""
    parts = ["# The command line\n\nMade from the program's own help by `make docs`; do not edit.\n"]
    for call in calls(typer.main.get_command(app)):
        result = CliRunner().invoke(app, [*call, "--help"], prog_name="vestige", terminal_width=110)
        if result.exit_code != 0:
            raise SystemExit(result.output)
        text = "\n".join(line.rstrip() for line in result.output.strip().splitlines())
        parts.append(f"## {' '.join(['vestige', *call])}\n\n```\n{text}\n```\n")
    return "\n".join([*parts, exit_codes()])


if __name__ == "__main__":
    Path(__file__).with_name("cli.md").write_text(render(), encoding="utf-8")
