"""What an engine is, and what it gives back for each item."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from vestige.errors import VestigeError

Item = TypeVar("Item")
Value = TypeVar("Value")


class WorkerDiedError(VestigeError):
    """An item killed the process that worked on it: a crash, or what the system does to the greedy."""


class ClusterError(VestigeError):
    """The cluster cannot be reached, or was lost while it worked."""


@dataclass(frozen=True)
class Outcome(Generic[Item, Value]):
    """What became of `item`, the one at `index`: its `value`, or the `error` that it alone ended with."""

    item: Item
    index: int
    value: Value | None = None
    error: VestigeError | OSError | None = None

    def unwrap(self) -> Value:
        """The value; raises the item's error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


class Engine(Protocol):
    """Maps a function over items: in this process, in others, or on other machines."""

    @property
    def workers(self) -> int:
        """How many items are worked on at a time, at most."""

    def map(
        self,
        fn: Callable[[Item], Value],
        items: Iterable[Item],
        *,
        ordered: bool = True,
        chunk: int = 1,
        isolate: bool = False,
        small: bool = False,
        reads: Callable[[Item], Sequence[Path]] | None = None,
        writes: Path | None = None,
    ) -> Iterator[Outcome[Item, Value]]:
        """Yield an `Outcome` of `fn(item)` for each item: in the items' order if `ordered`, else as done.

        Args:
            fn: A function of a module, or a `functools.partial` of one: it travels to workers by its name.
            items: Drawn as outcomes are taken, a bounded number ahead of them. They travel to workers, so the
                path of a file is a better item than its content.
            ordered: Whether an outcome waits for those of all items before it.
            chunk: Items that a worker is given at a time: many, where each takes little time.
            isolate: Never work in the calling process, because an item may kill the one that works on it.
            small: A hint that the work is done before workers would have been started.
            reads: Tells which files and folders of evidence an item needs. Workers of other machines that do
                not see them get copies.
            writes: A folder in which `fn` may leave files for the caller. Its value names them, as a Path to
                each or to their folder, because workers of other machines are given another one.

        An item that raises a VestigeError or an OSError becomes an Outcome with that error and sinks no
        other. So does one that kills its worker (WorkerDiedError); what was lost with it is done again.
        Anything else is a fault of the program and is raised. What `fn` logs is handed to the loggers of
        the calling process. No worker outlives the iterator: whether it ends, is closed, or is left by an
        exception such as KeyboardInterrupt, and whatever the workers do then.
        """
