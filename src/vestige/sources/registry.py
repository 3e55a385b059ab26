"""Finding a source by name. Nothing heavy is imported until one is asked for."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, cast

from vestige.errors import UsageError

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
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=ENTRY_POINTS))})


def get(name: str) -> Source[Any]:
    """The source called `name`. Raises UsageError for an unknown name."""
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return cast("Source[Any]", getattr(import_module(module), attribute)())
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        return cast("Source[Any]", entry.load()())
    raise UsageError(f"unknown source {name!r}", remedy=f"one of: {', '.join(names())}")
