"""Verbs that take a source (`vestige run logs ...`): one sub-command a source, made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

Item = TypeVar("Item")
Item_co = TypeVar("Item_co", covariant=True)


class Registry(Protocol[Item_co]):
    """What has an item for each source's name: `sources.registry`, `simulators.registry`."""

    def names(self) -> list[str]: ...

    def get(self, name: str) -> Item_co: ...


def add_verb(
    app: typer.Typer,
    verb: str,
    about: str,
    make: Callable[[Item], Callable[..., None]],
    registry: Registry[Item],
    *,
    cls: type[TyperCommand] = TyperCommand,
) -> None:
    """Add `verb` to `app`; `make(item)` builds the command for one source's item, options included, of the
    class `cls`."""

    class OneCommandPerSource(TyperGroup):
        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002
            return registry.names()

        def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
            if cmd_name not in registry.names():
                return None
            inner = typer.Typer(add_completion=False, rich_markup_mode=None)
            inner.command(cmd_name, cls=cls)(make(registry.get(cmd_name)))
            return typer.main.get_command(inner)

    group = typer.Typer(cls=OneCommandPerSource, no_args_is_help=True, help=about, rich_markup_mode=None)

    @group.callback()
    def _group() -> None:
        """Replaced by `about`: a callback makes an empty group a group."""

    _group.__doc__ = about
    app.add_typer(group, name=verb, help=about)
