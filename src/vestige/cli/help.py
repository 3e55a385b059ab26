"""How help is laid out: options under headings that say what they are for, the common ones first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

COMMON = (
    "output", "model", "task", "format", "mapping", "label", "split", "threshold", "budget", "jobs", "resume",
    "overwrite",
)  # fmt: skip
"""Parameters that most people need, beside those that are required; no command has more than ten of them."""
FEW = 12
"""A command with no more options has them all under one heading."""
FIRST, OTHERS, ARGUMENTS = "Common options", "More options", "Arguments"
HEADINGS = {
    "options": "How the evidence is read",
    "split": "Who is held out",
    "training": "How networks and trees learn",
    "judge": "How detectors are judged",
    "transfer": "Detectors from elsewhere, and for elsewhere",
}
"""The heading of the options that a model holds, by what the command calls it."""


class Command(TyperCommand):
    """A command whose help has its options under headings."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options: common ones, others of the command itself, those of its models."""
        found: dict[str, list[tuple[str, str]]] = {ARGUMENTS: [], FIRST: [], OTHERS: []}
        found |= {heading: [] for heading in HEADINGS.values()}
        options = [param for param in self.get_params(ctx) if param.param_type_name != "argument"]
        few = len(options) <= FEW
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None:
                continue
            heading = ARGUMENTS
            if param in options:
                heading = "Options" if few else _heading(param)
            found.setdefault(heading, []).append(record)
        for heading, records in found.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)


def _heading(param: Any) -> str:
    if param.name in COMMON or param.required:
        return FIRST
    return getattr(param, "rich_help_panel", None) or OTHERS


class Group(TyperGroup):
    """Commands whose list says in whole what each of them does."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write each command with the first paragraph of its help: Click would cut it where the line ends."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        told = [(name, (each.help or "").split("\n\n")[0]) for name, each in found.items() if each]
        with formatter.section("Commands"):
            formatter.write_dl(told)


class App(typer.Typer):
    """An application all of whose commands lay out their help so."""

    def command(  # type: ignore[override]
        self, name: str | None = None, *, cls: type[TyperCommand] | None = Command, **settings: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """As Typer's own."""
        return super().command(name, cls=cls, **settings)
