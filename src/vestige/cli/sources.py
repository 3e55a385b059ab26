"""Verbs that take a source (`vestige run logs ...`): one sub-command a source, made when it is asked for."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import typer

from vestige.cli.help import App, Command, Group
from vestige.errors import UsageError

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class Registry(Protocol[Item_co]):
    """What has an item for each source's name: `sources.registry`, `simulators.registry`."""

    def names(self) -> list[str]: ...

    def has(self, name: str) -> bool: ...

    def get(self, name: str) -> Item_co: ...


def add_verb(
    app: typer.Typer,
    verb: str,
    about: str,
    make: Callable[[Item], Callable[..., None]],
    registry: Registry[Item],
    *,
    cls: type[Command] = Command,
    besides: Mapping[str, Callable[..., None]] = MappingProxyType({}),
) -> None:
    """Add `verb` to `app`; `make(item)` builds the command for one source's item, options included, of the
    class `cls`. `besides`: commands of the verb that are of no source, by what is typed in the place of one:
    a name such as `--again` says of what kind it is."""

    class OneCommandPerSource(Group):
        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
            return [*registry.names(), *besides]

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
            inner = App(add_completion=False, rich_markup_mode=None)
            if cmd_name in besides:
                inner.command(cmd_name)(besides[cmd_name])
            elif registry.has(cmd_name):
                inner.command(cmd_name, cls=cls)(make(registry.get(cmd_name)))
            else:
                return None
            return typer.main.get_command(inner)

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
                raise _unknown(ctx.command_path, args[0], registry.names())
            return super().resolve_command(ctx, args)

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            if args and args[0] in besides:
                # Else it would be taken for an option of the verb.
                args = ["--", *args]
            return super().parse_args(ctx, args)

    group = typer.Typer(cls=OneCommandPerSource, no_args_is_help=True, help=about, rich_markup_mode=None)

    @group.callback()
    def _group() -> None:
        """Replaced by `about`: a callback makes an empty group a group."""

    _group.__doc__ = about
    app.add_typer(group, name=verb, help=about)


def _unknown(verb: str, typed: str, names: Sequence[str]) -> UsageError:
    """What is said where no source has the name that was typed: it may be one that is written otherwise, or
    the evidence itself."""
    of = ", ".join(names)
    if os.sep in typed or Path(typed).exists():
        return UsageError(
            f"{typed} stands where the kind of evidence is named: {of}",
            remedy=f"for a log: {verb} logs {shlex.quote(typed)}",
        )
    near = difflib.get_close_matches(typed, names, 1)
    remedy = f"{verb} {near[0]}" if near else f"name one of: {of}"
    return UsageError(f"there is no kind of evidence called {typed!r}", remedy=remedy)
