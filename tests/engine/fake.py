"""An engine that does to its callers what a cluster may do: in one process, and the same every time."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from vestige.engine import Outcome, WorkerDiedError
from vestige.engine.base import Item, Value
from vestige.engine.local import attempt

AT_ONCE = 5


class FakeEngine:
    """Works on items out of order, `AT_ONCE` drawn at a time; those in `kills` die, those in `fails` fail.

    Functions and items travel as they would to another machine. `mapped` counts the outcomes that it gave.
    """

    workers = AT_ONCE

    def __init__(self, *, kills: Collection[int] = (), fails: Collection[int] = (), seed: int = 0) -> None:
        self._kills, self._fails, self._rng = kills, fails, random.Random(seed)
        self.mapped = 0

    def map(
        self,
        fn: Callable[[Item], Value],
        items: Iterable[Item],
        *,
        ordered: bool = True,
        chunk: int = 1,  # noqa: ARG002
        isolate: bool = False,  # noqa: ARG002
        small: bool = False,  # noqa: ARG002
        reads: Callable[[Item], Sequence[Path]] | None = None,
        writes: Path | None = None,  # noqa: ARG002
    ) -> Iterator[Outcome[Item, Value]]:
        """See `Engine.map`."""
        numbered = enumerate(items)
        read = reads or (lambda _: ())
        while drawn := list(islice(numbered, AT_ONCE)):
            assert all(path.exists() for _, item in drawn for path in read(item))
            self._rng.shuffle(drawn)
            outcomes = [self._attempt(fn, item, index) for index, item in drawn]
            if ordered:
                outcomes.sort(key=lambda outcome: outcome.index)
            for outcome in outcomes:
                self.mapped += 1
                yield outcome

    def _attempt(self, fn: Callable[[Item], Value], item: Item, index: int) -> Outcome[Item, Value]:
        if index in self._kills:
            return Outcome(item, index, error=WorkerDiedError("the machine that worked on it is gone"))
        if index in self._fails:
            return Outcome(item, index, error=OSError(5, "Input/output error"))
        sent, with_item = pickle.loads(pickle.dumps((fn, item)))  # noqa: S301 - what was pickled here
        done = attempt(sent, with_item, index)
        return Outcome(item, index, done.value, done.error)
