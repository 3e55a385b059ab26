"""Finding an engine by its name."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import cast

from vestige.engine.base import Engine
from vestige.engine.local import LocalEngine
from vestige.errors import UsageError

BUILT_IN: dict[str, Callable[..., Engine]] = {"local": LocalEngine}
ENTRY_POINTS = "vestige.engines"


def names() -> list[str]:
    """Names of the engines there are, third parties' included."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def choose(name: str = "local", *, jobs: int | None = None) -> Engine:
    """The engine called `name`, with `jobs` workers; None leaves their number to the engine.

    Raises UsageError for an unknown name, and for fewer than one worker.
    """
    if name in BUILT_IN:
        return BUILT_IN[name](jobs=jobs)
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return cast("Engine", entry.load()(jobs=jobs))
    raise UsageError(f"unknown engine {name!r}", remedy=f"one of: {', '.join(names())}")
