"""Verbs that take a source (`vestige run logs ...`): one sub-command a source, made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from vestige.sources import registry

if TYPE_CHECKING:
    from vestige.sources.base import Source

Maker = Callable[["Source"], Callable[..., None]]


def add_verb(app: typer.Typer, verb: str, about: str, make: Maker) -> None:
    """Add `verb` to `app`; `make(source)` builds the command for one source, options included."""

    class OneCommandPerSource(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
            return registry.names()

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
            if cmd_name not in registry.names():
                return None
            inner = typer.Typer(add_completion=False, rich_markup_mode=None)
            inner.command(cmd_name)(make(registry.get(cmd_name)))
            return typer.main.get_command(inner)

    group = typer.Typer(cls=OneCommandPerSource, no_args_is_help=True, help=about, rich_markup_mode=None)

    @group.callback()
    def _group() -> None:
        """Replaced by `about`: a callback makes an empty group a group."""

    _group.__doc__ = about
    app.add_typer(group, name=verb, help=about)
