"""Who does the work: one object, chosen once, that maps a function over items.

`engine.map(fn, items)` yields an `Outcome` for each item, which names the item that it belongs to. Stopping,
limits of an item and the records that it logs belong to the engine. Local processes by default; a cluster
comes behind the same protocol, see `choose`.
"""

from vestige.engine.base import ClusterError, Engine, Outcome, WorkerDiedError
from vestige.engine.local import LocalEngine
from vestige.engine.registry import choose, names

__all__ = [
    "HERE",
    "LOCAL",
    "ClusterError",
    "Engine",
    "LocalEngine",
    "Outcome",
    "WorkerDiedError",
    "choose",
    "names",
]

LOCAL = LocalEngine()
"""A worker process for every core of this machine."""
HERE = LocalEngine(jobs=1)
"""This process alone."""
