"""Finding a source by name. Nothing heavy is imported until one is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from vestige.errors import UsageError
from vestige.extras import plugins

if TYPE_CHECKING:
    from vestige.sources.base import Source

BUILT_IN = {
    "events": "vestige.sources.events.source:EventSource",
    "logs": "vestige.sources.logs.source:LogSource",
    "telemetry": "vestige.sources.telemetry.source:TelemetrySource",
    "traces": "vestige.sources.traces.source:TraceSource",
}
ENTRY_POINTS = "vestige.sources"


def names() -> list[str]:
    """Names of the sources there are, third parties' included."""
    return sorted({*BUILT_IN, *(entry.name for entry in plugins(ENTRY_POINTS))})


def has(name: str) -> bool:
    """Whether there is one called `name`; others' are looked for only where it is none of ours."""
    return name in BUILT_IN or name in names()


def get(name: str) -> Source[Any]:
    """The source called `name`. Raises UsageError for an unknown name."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return cast("Source[Any]", getattr(import_module(module), attribute)())
    for entry in plugins(ENTRY_POINTS, name):
        return cast("Source[Any]", entry.load()())
    raise UsageError(f"unknown source {name!r}", remedy=f"one of: {', '.join(names())}")
