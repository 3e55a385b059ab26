"""Finding a simulator by the name of its source. A source need not have one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel

from vestige.errors import UsageError
from vestige.extras import plugins

ENTRY_POINTS = "vestige.simulators"


@dataclass(frozen=True)
class Simulator:
    """Writes a corpus of the source called `name`, in that source's real on-disk format.

    `write(out, options, overwrite=...)` returns what was planted, as JSON values. Every field of `options`
    becomes an option of `vestige simulate NAME`.
    """

    name: str
    options: type[BaseModel]
    write: Callable[..., dict[str, Any]]


def _events() -> Simulator:
    from vestige.simulators.events.options import SimulateOptions
    from vestige.simulators.events.write import simulate

    return Simulator("events", SimulateOptions, simulate)


def _logs() -> Simulator:
    from vestige.simulators.logs.options import SimulateOptions
    from vestige.simulators.logs.write import simulate

    return Simulator("logs", SimulateOptions, simulate)


def _telemetry() -> Simulator:
    from vestige.simulators.telemetry.options import SimulateOptions
    from vestige.simulators.telemetry.write import simulate

    return Simulator("telemetry", SimulateOptions, simulate)


def _traces() -> Simulator:
    from vestige.simulators.traces.options import SimulateOptions
    from vestige.simulators.traces.write import simulate

    return Simulator("traces", SimulateOptions, simulate)


BUILT_IN: dict[str, Callable[[], Simulator]] = {
    "events": _events,
    "logs": _logs,
    "telemetry": _telemetry,
    "traces": _traces,
}


def names() -> list[str]:
    """Names of the sources whose corpora can be simulated, third parties' included."""
    return sorted({*BUILT_IN, *(entry.name for entry in plugins(ENTRY_POINTS))})


def has(name: str) -> bool:
    """Whether there is one called `name`; others' are looked for only where it is none of ours."""
    return name in BUILT_IN or name in names()


def get(name: str) -> Simulator:
    """The simulator of the source called `name`. Raises UsageError where there is none."""
    if name in BUILT_IN:
        return BUILT_IN[name]()
    for entry in plugins(ENTRY_POINTS, name):
        return cast("Simulator", entry.load()())
    raise UsageError(f"no simulator for the source {name!r}", remedy=f"one of: {', '.join(names())}")
