"""Worker processes as the process sees them that starts them.

They are forked by a server that has one thread and has imported what `fn` needs (`preload`): a worker starts
in milliseconds, and little is imported twice. The server starts with the first worker and ends with the
program. The process that calls the engine is never forked itself: it may have threads, whose locks would be
held for ever in a child.
"""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import selectors
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import util
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import ForkingPickler
from types import ModuleType, TracebackType
from typing import Any, Generic, Self

from vestige import log
from vestige.engine import preload
from vestige.engine import worker as child
from vestige.engine.base import Item

PATIENCE = 5.0
"""Seconds that a worker with nothing left to do may take to end."""
_processes = multiprocessing.get_context("forkserver")


Start = Callable[[], tuple[BaseProcess, Connection]]


@dataclass
class Piece(Generic[Item]):
    """Items that travel together, the first at index `first`. `suspect`: a worker that died held it."""

    first: int
    items: list[Item]
    suspect: bool = False


class Worker(Generic[Item]):
    """A process, started with the first piece that it is given, and the pieces that it `held`."""

    def __init__(self, start: Start, gate: selectors.BaseSelector) -> None:
        self.held: deque[Piece[Item]] = deque()
        self._start, self._gate = start, gate
        self._process: BaseProcess | None = None
        self._connection: Connection | None = None
        self._asked_back: int | None = None

    @property
    def on_trial(self) -> bool:
        """Whether it was given a suspect, and hence nothing else."""
        return bool(self.held) and self.held[0].suspect

    @property
    def started(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    def give(self, piece: Piece[Item]) -> None:
        """Send a piece."""
        payload = ForkingPickler.dumps(piece.items, child.PROTOCOL)
        if self._connection is None:
            self._process, self._connection = self._start()
            self._gate.register(self._connection, selectors.EVENT_READ, self)
        self.held.append(piece)
        _send(self._connection, piece.first, payload)

    def take_back(self) -> None:
        """Ask for the piece that it has not begun, if it has one; it comes as `Returned`."""
        if self._connection is not None and len(self.held) > 1 and self._asked_back is None:
            self._asked_back = self.held[-1].first
            _send(self._connection, self._asked_back, b"")

    def receive(self) -> child.Reply | None:
        """What it says; None: it died."""
        if self._connection is None:
            return None
        try:
            message = self._connection.recv_bytes()
        except (EOFError, OSError):
            return None
        reply: child.Reply = ForkingPickler.loads(message)
        return reply

    def release(self, first: int) -> Piece[Item]:
        """The piece at `first`, which it no longer holds."""
        piece = next(piece for piece in self.held if piece.first == first)
        self.held.remove(piece)
        if self._asked_back == first:
            self._asked_back = None
        return piece

    def bury(self) -> list[Piece[Item]]:
        """What a dead process held. The next piece starts another."""
        self.end(kill=True)
        lost = list(self.held)
        self.held.clear()
        return lost

    def hang_up(self) -> None:
        """Tell a process that nothing more will come: it ends."""
        if self._connection is not None:
            self._gate.unregister(self._connection)
            self._connection.close()
        self._connection, self._asked_back = None, None

    def end(self, *, kill: bool) -> None:
        """Wait for the end of the process, at most `PATIENCE` seconds, or bring it about at once."""
        self.hang_up()
        if self._process is None:
            return
        if not kill:
            self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()
        self._process.close()
        self._process = None


class Crew(Generic[Item]):
    """At most `most` workers that all run `fn`; a context manager, after which none of them is left."""

    def __init__(self, fn: Callable[[Item], Any], most: int) -> None:
        self._gate = selectors.DefaultSelector()
        start = functools.partial(_start, fn, log.level(), max(1, (os.cpu_count() or 1) // most))
        self._workers: list[Worker[Item]] = [Worker(start, self._gate) for _ in range(most)]

    def __enter__(self) -> Self:
        # of an iterator that nobody closed when the program ends, before multiprocessing waits for its own
        self._at_exit = util.Finalize(self, _end_all, (self._workers,), exitpriority=10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._at_exit.cancel()
        _end_all(self._workers, kill=kind is not None)
        self._gate.close()

    @property
    def busy(self) -> bool:
        """Whether any worker holds anything."""
        return any(worker.held for worker in self._workers)

    def least_busy(self) -> Worker[Item]:
        """The worker that holds least; among equals one whose process is there."""
        return min(self._workers, key=lambda worker: (worker.on_trial, len(worker.held), not worker.started))

    def take_back(self) -> None:
        """Ask one of the workers for what it has not begun."""
        for worker in self._workers:
            if len(worker.held) > 1:
                worker.take_back()
                return

    def wait(self, timeout: float | None) -> list[Worker[Item]]:
        """The workers that have something to say, within `timeout` seconds; None waits for one."""
        return [key.data for key, _ in self._gate.select(timeout)]


def _send(connection: Connection, number: int, payload: Any) -> None:
    """The number of a piece, and its items or nothing. Of a process that is gone, `receive` tells."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.send_bytes(b"%d" % number)
        connection.send_bytes(payload)


def _end_all(workers: list[Worker[Any]], *, kill: bool = True) -> None:
    for worker in workers:
        worker.hang_up()
    for worker in workers:
        worker.end(kill=kill)


def _start(fn: Callable[..., Any], level: int, threads: int) -> tuple[BaseProcess, Connection]:
    """A process that runs `fn`, and the connection to it."""
    function = bytes(ForkingPickler.dumps(fn, child.PROTOCOL))
    _processes.set_forkserver_preload([preload.__name__])
    ours, theirs = _processes.Pipe()
    process = _processes.Process(
        target=child.serve, args=(theirs, function, level, threads), name="vestige-worker", daemon=True
    )
    with _main_module(needed=b"__main__" in function), _told(preload.MODULES, _modules(fn)):
        process.start()  # the first one starts the server
    theirs.close()  # or its death would not be noticed
    return process, ours


def _modules(fn: Callable[..., Any]) -> str:
    """The modules that a function and what is bound to it come from, and those that this names (see
    `Reader.worker_modules`), with commas; for those of a script, what every worker imports anyway."""
    needed: list[object] = []
    names: set[str | None] = set()
    while isinstance(fn, functools.partial):
        needed += [type(argument) for argument in fn.args]
        for argument in fn.args:
            names.update(getattr(argument, "worker_modules", ()))
        fn = fn.func
    names |= {getattr(part, "__module__", None) for part in (fn, *needed)}
    known = sorted(str(name) for name in names - {None, "__main__", "builtins"})
    return ",".join(known) or child.__name__


@contextlib.contextmanager
def _told(variable: str, value: str) -> Iterator[None]:
    """Let processes that are started find a variable in their environment."""
    os.environ[variable] = value
    try:
        yield
    finally:
        del os.environ[variable]


@contextlib.contextmanager
def _main_module(*, needed: bool) -> Iterator[None]:
    """Let processes be started without a copy of this one's main module, unless `fn` comes from there.

    Multiprocessing has each of them import the script that the program was started as: for the command line
    that is all of its verbs, which no worker needs.
    """
    main = sys.modules["__main__"]
    if not needed:
        sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
