"""Worker processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vestige.engine.base import Item, Outcome, Value
from vestige.errors import UsageError, VestigeError


@dataclass(frozen=True)
class LocalEngine:
    """Up to `jobs` processes of this machine, None: one for every core. See `Engine`.

    One job runs in the calling process, unless `isolate`. It holds no workers between two maps, so there is
    nothing to close. Raises UsageError for fewer than one.
    """

    jobs: int | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            what = f"{self.jobs} processes cannot work"
            raise UsageError(what, remedy="--jobs 1 or more; without it, every core")

    @property
    def workers(self) -> int:
        """See `Engine.workers`."""
        return self.jobs or os.cpu_count() or 1

    def map(
        self,
        fn: Callable[[Item], Value],
        items: Iterable[Item],
        *,
        ordered: bool = True,
        chunk: int = 1,
        isolate: bool = False,
        small: bool = False,
        reads: Callable[[Item], Sequence[Path]] | None = None,  # noqa: ARG002 - this machine sees everything
        writes: Path | None = None,  # noqa: ARG002
    ) -> Iterator[Outcome[Item, Value]]:
        """See `Engine.map`."""
        if not isolate and (small or self.workers == 1):
            return (attempt(fn, item, index) for index, item in enumerate(items))
        # what starts processes is imported where some are wanted: `vestige --help` wants none
        from vestige.engine.dispatch import Dispatch

        return Dispatch(fn, items, most=self.workers, chunk=chunk, ordered=ordered).outcomes()


def attempt(fn: Callable[[Item], Value], item: Item, index: int) -> Outcome[Item, Value]:
    """Work on an item in this process."""
    try:
        return Outcome(item, index, fn(item))
    except (VestigeError, OSError) as error:
        return Outcome(item, index, error=error)
