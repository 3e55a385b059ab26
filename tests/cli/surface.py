"""The command line as a tree of names, read from the program itself and not from its help.

`python -m tests.cli.surface` writes surface.txt anew, after a change that is meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument, TyperGroup

from vestige.cli.main import app
from vestige.cli.renamed import RenamedCommands, RenamedOptions
from vestige.sources import registry

GOLDEN = Path(__file__).with_name("surface.txt")
BY_SOURCE = ("vestige preview", "vestige run", "vestige prepare", "vestige simulate")


def commands() -> Iterator[tuple[str, Any]]:
    """Every command by its whole name, such as `vestige run logs`; of sources those that are built in."""
    yield from _below("vestige", typer.main.get_command(app))


def _below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    if isinstance(command, TyperGroup):
        context = typer.Context(command)
        for verb in command.list_commands(context):
            if name not in BY_SOURCE or verb in registry.BUILT_IN:
                yield from _below(f"{name} {verb}", command.get_command(context, verb))


def arguments(command: Any) -> list[str]:
    """What a command takes without a name, in order."""
    return [found.name for found in command.params if isinstance(found, TyperArgument)]


def options(command: Any) -> list[list[str]]:
    """The names of each option of a command, such as `-o` and `--output`, and those that switch it off."""
    return [
        [*found.opts, *found.secondary_opts]
        for found in command.params
        if not isinstance(found, TyperArgument)
    ]


def render() -> str:
    """A line for each command, one for each of its options, and one for each name from before."""
    lines: list[str] = []
    for name, command in commands():
        lines.append(" ".join([name, *(f"{{{argument}}}" for argument in arguments(command))]))
        lines += [f"    {' '.join(names)}" for names in options(command)]
        if isinstance(command, RenamedOptions):
            lines += [f"    was: {old} -> {new or 'argument'}" for old, new in command.old_options.items()]
        if isinstance(command, RenamedCommands):
            lines += [f"    was: {old} -> {new}" for old, new in command.old_commands.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    GOLDEN.write_text(render(), encoding="utf-8")
