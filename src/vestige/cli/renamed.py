"""Verbs and options that were called otherwise: the old name works for one version, hidden, and says so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import typer

from vestige.cli.help import Command, Group
from vestige.errors import UsageError

POSITIONAL = ""
"""What an option is called now whose values are arguments without a name."""


class RenamedOptions(Command):
    """A command some of whose options were called otherwise."""

    old_options: ClassVar[Mapping[str, str]] = {}
    """The new name by the old one; `POSITIONAL` where the value is now an argument."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the line after old names were replaced by the new ones."""
        return super().parse_args(ctx, current_names(args, self.old_options))


class OutWasRenamed(RenamedOptions):
    """A command whose `--output` was called `--out`."""

    old_options: ClassVar[Mapping[str, str]] = {"--out": "--output"}


class EvidenceWasRenamed(RenamedOptions):
    """A command whose evidence was the option `--evidence`."""

    old_options: ClassVar[Mapping[str, str]] = {"--evidence": POSITIONAL}


class RenamedCommands(Group):
    """A group some of whose commands were called otherwise."""

    old_commands: ClassVar[Mapping[str, str]] = {}
    """The new name by the old one."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that is meant; an old name is replaced by the new one."""
        old, *rest = args
        if old in self.old_commands:
            new = self.old_commands[old]
            _tell(f"{ctx.command_path} {old}", f"{ctx.command_path} {new}")
            args = [new, *rest]
        return super().resolve_command(ctx, args)


def current_names(arguments: list[str], old_options: Mapping[str, str]) -> list[str]:
    """`arguments` with every option of `old_options` under its new name; tells each on standard error."""
    kept: list[str] = []
    positional: list[str] = []
    after_dashes: list[str] = []
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if argument == "--":
            after_dashes += waiting
        elif name not in old_options:
            kept.append(argument)
        elif old_options[name] == POSITIONAL:
            _tell(name, "an argument without a name")
            positional.append(value if equals else _next(name, waiting))
        else:
            _tell(name, old_options[name])
            kept.append(old_options[name] + equals + value)
    if positional or after_dashes:
        # After "--", so that no value is taken for an option.
        kept += ["--", *after_dashes, *positional]
    return kept


def _next(name: str, waiting: Iterator[str]) -> str:
    """The argument that follows the option `name`. Raises UsageError where the line ends."""
    value = next(waiting, None)
    if value is None:
        raise UsageError(f"{name}: a value is missing", remedy="give the evidence as arguments")
    return value


def _tell(old: str, new: str) -> None:
    typer.echo(f"deprecated: {old} is now {new}; the next version does not know the old name", err=True)
