"""One engine: everything that maps over recordings, files or blocks goes through `map`.

Local processes (joblib's loky) by default; a cluster comes behind the same call.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from logging import LogRecord
from typing import Any, Generic, TypeVar

from vestige import log
from vestige.errors import UsageError, VestigeError

ROUND = 4
"""Chunks a worker gets before results are waited for: bounds what is held in memory."""

Item = TypeVar("Item")
Value = TypeVar("Value")


class WorkerDiedError(VestigeError):
    """An item killed the process that worked on it: a crash, or what the system does to the greedy."""


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
    isolate: bool = False,
    engine: str = "local",
) -> Iterator[Outcome[Value]]:
    """Yield `fn(item)` for each item as an `Outcome`, as results come, or in the items' order if `ordered`.

    `items` is consumed a round ahead of the workers, so an endless stream of items needs no endless
    memory. An item that raises a VestigeError or OSError becomes an Outcome with that error and
    never sinks the sweep; anything else is a bug and propagates. So does an item that kills its worker
    (WorkerDiedError): what was lost with it is done again. `jobs` None means every core; 1 runs in this
    process, unless `isolate`. Raises UsageError for an unknown `engine` or fewer than one process.
    """
    if engine != "local":
        raise UsageError(f"unknown engine {engine!r}", remedy="use --engine local")
    most = workers(jobs)
    work = _chunks(enumerate(items), chunk)
    local = most == 1 and not isolate
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
    from joblib import Parallel

    # one process alone would be this one: then a second one waits, and one piece is at work at a time
    settings: dict[str, Any] = {"n_jobs": workers} if workers > 1 else {"n_jobs": 2, "pre_dispatch": 1}
    with Parallel(backend="loky", return_as="generator_unordered", batch_size=1, **settings) as pool:
        for round_ in _chunks(work, ROUND * workers):
            done: set[int] = set()
            try:
                for outcomes in _elsewhere(pool, fn, round_):
                    done.update(one.index for one in outcomes)
                    yield outcomes
            except _died():
                yield from _one_by_one(pool, fn, [piece for piece in round_ if piece[0][0] not in done])


def _elsewhere(
    pool: Any, fn: Callable[[Item], Value], pieces: list[list[tuple[int, Item]]]
) -> Iterator[list[Outcome[Value]]]:
    from joblib import delayed

    task = delayed(_apply_elsewhere)
    level = log.level()
    found = pool(task(fn, piece, level) for piece in pieces)
    try:
        for outcomes, records in found:
            log.replay(records)
            yield outcomes
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that nobody took the rest away: Ctrl-C, or head
            found.close()


def _one_by_one(
    pool: Any, fn: Callable[[Item], Value], pieces: list[list[tuple[int, Item]]]
) -> Iterator[list[Outcome[Value]]]:
    """With one item at work at a time, it is known which of them kills: the one that does so twice. A busy
    machine may tell of the last death when the next item is at work already."""
    for index, item in chain.from_iterable(pieces):
        for last in (False, True):
            try:
                yield from list(_elsewhere(pool, fn, [[(index, item)]]))
                break
            except _died():
                if last:
                    yield [Outcome(index, error=WorkerDiedError("the process that worked on it died"))]


def _died() -> type[Exception]:
    """What joblib raises when a worker is gone."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    found: type[Exception] = BrokenProcessPool
    return found


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
