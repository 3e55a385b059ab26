"""One engine: everything that maps over recordings, files or blocks goes through `map`.

Local processes (joblib's loky) by default; a cluster comes behind the same call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from logging import LogRecord
from typing import Generic, TypeVar

from vestige import log
from vestige.errors import UsageError, VestigeError

ROUND = 4
"""Chunks a worker gets before results are waited for: bounds what is held in memory."""

Item = TypeVar("Item")
Value = TypeVar("Value")


@dataclass(frozen=True)
class Outcome(Generic[Value]):
    """What became of item number `index`: its `value`, or the `error` that it alone ended with."""

    index: int
    value: Value | None = None
    error: VestigeError | OSError | None = None

    def unwrap(self) -> Value:
        """The value; raises the item's error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def map(  # noqa: A001 - the word of the trade; always called as engine.map
    fn: Callable[[Item], Value],
    items: Iterable[Item],
    *,
    jobs: int | None = None,
    chunk: int = 1,
    ordered: bool = True,
    engine: str = "local",
) -> Iterator[Outcome[Value]]:
    """Yield `fn(item)` for each item as an `Outcome`, as results come, or in the items' order if `ordered`.

    `items` is consumed a round ahead of the workers, so an endless stream of items needs no endless
    memory. An item that raises a VestigeError or OSError becomes an Outcome with that error and
    never sinks the sweep; anything else is a bug and propagates. `jobs` None means every core; 1 runs in
    this process. Raises UsageError for an unknown `engine` or fewer than one process.
    """
    if engine != "local":
        raise UsageError(f"unknown engine {engine!r}", remedy="use --engine local")
    most = workers(jobs)
    work = _chunks(enumerate(items), chunk)
    local = most == 1
    batches = (_apply(fn, piece) for piece in work) if local else _loky(fn, work, most)
    outcomes = (outcome for batch in batches for outcome in batch)
    return _in_order(outcomes) if ordered else outcomes


def workers(jobs: int | None) -> int:
    """How many processes `jobs` means: None is every core. Raises UsageError for fewer than one."""
    if jobs is not None and jobs < 1:
        raise UsageError(f"{jobs} processes cannot work", remedy="--jobs 1 or more; without it, every core")
    return jobs or os.cpu_count() or 1


def _apply(fn: Callable[[Item], Value], piece: list[tuple[int, Item]]) -> list[Outcome[Value]]:
    done: list[Outcome[Value]] = []
    for index, item in piece:
        try:
            done.append(Outcome(index, fn(item)))
        except (VestigeError, OSError) as error:
            done.append(Outcome(index, error=error))
    return done


def _loky(
    fn: Callable[[Item], Value], work: Iterable[list[tuple[int, Item]]], workers: int
) -> Iterator[list[Outcome[Value]]]:
    """In rounds, because joblib goes on dispatching whether or not anyone takes the results away."""
    from joblib import Parallel, delayed

    with Parallel(n_jobs=workers, backend="loky", return_as="generator_unordered", batch_size=1) as pool:
        task = delayed(_apply_elsewhere)
        level = log.level()
        for round_ in _chunks(work, ROUND * workers):
            for outcomes, records in pool(task(fn, piece, level) for piece in round_):
                log.replay(records)
                yield outcomes


def _apply_elsewhere(
    fn: Callable[[Item], Value], piece: list[tuple[int, Item]], level: int
) -> tuple[list[Outcome[Value]], list[LogRecord]]:
    """In a worker: what it logs comes home with the results, so that one process writes the log."""
    with log.capture(level) as records:
        outcomes = _apply(fn, piece)
    return outcomes, records


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    source = iter(items)
    while piece := list(islice(source, size)):
        yield piece


def _in_order(outcomes: Iterable[Outcome[Value]]) -> Iterator[Outcome[Value]]:
    """Hold back what comes early: never more than a round."""
    early: dict[int, Outcome[Value]] = {}
    expected = 0
    for outcome in outcomes:
        early[outcome.index] = outcome
        while expected in early:
            yield early.pop(expected)
            expected += 1
