"""Finding an engine by its name."""

from __future__ import annotations

from typing import cast

from vestige.engine.base import Engine
from vestige.engine.local import LocalEngine
from vestige.errors import UsageError
from vestige.extras import plugins

BUILT_IN = ("local", "ray")
ENTRY_POINTS = "vestige.engines"


def names() -> list[str]:
    """Names of the engines there are, third parties' included."""
    return sorted({*BUILT_IN, *(entry.name for entry in plugins(ENTRY_POINTS))})


def choose(name: str = "local", *, jobs: int | None = None, address: str | None = None) -> Engine:
    """The engine called `name`, with `jobs` workers; None leaves their number to the engine.

    `address`: of the cluster, for one that works on a cluster. Raises UsageError for an unknown name, for
    fewer than one worker, and for an address where there is no cluster.
    """
    if name == "ray":
        # what a cluster needs is imported where one is wanted
        from vestige.engine.cluster import RayEngine

        return RayEngine(jobs, address)
    if name == "local":
        if address is not None:
            raise UsageError("--address is that of a cluster", remedy="add --engine ray, or leave it out")
        return LocalEngine(jobs)
    given: dict[str, int | str | None] = {"jobs": jobs}
    if address is not None:
        given["address"] = address
    for entry in plugins(ENTRY_POINTS, name):
        return cast("Engine", entry.load()(**given))
    raise UsageError(f"unknown engine {name!r}", remedy=f"one of: {', '.join(names())}")
