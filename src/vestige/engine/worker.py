"""What runs in a worker process.

Two threads keep the pipe flowing while the first one works: one takes in pieces, so that the caller never
waits to hand one over, the other sends results, so that the next piece does not wait for the caller.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable
from logging import LogRecord
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from queue import SimpleQueue
from typing import Any, NamedTuple

from vestige import log
from vestige.errors import VestigeError

PROTOCOL = 5
"""Of pickling: arrays are written from where they lie, without a copy in between."""
THREADS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS",
)  # fmt: skip
"""Settings of libraries that would otherwise start a thread a core in each worker."""
GRACE = 30.0
"""Seconds that a worker may go on after the caller has hung up: killed, perhaps, in the middle of things."""
Result = tuple[Any, VestigeError | OSError | None]


class Done(NamedTuple):
    """The piece at `first` is done: for each item its value and its error, and what was logged."""

    first: int
    results: list[Result]
    records: list[LogRecord]


class Returned(NamedTuple):
    """The piece at `first` was asked back, and had not been begun."""

    first: int


class Bug(NamedTuple):
    """Work ended with an error that is nobody's data."""

    error: BaseException
    traceback: str


Reply = Done | Returned | Bug


class Inbox:
    """Pieces that wait, as they were sent, by their numbers."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._ended = False
        self._changed = threading.Condition()

    def put(self, number: int, payload: bytes) -> None:
        """Add a piece."""
        with self._changed:
            self._waiting.append((number, payload))
            self._changed.notify()

    def end(self) -> None:
        """Nobody will want what is done from now on."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def remove(self, number: int) -> bool:
        """Whether a piece was still waiting; it no longer is."""
        with self._changed:
            kept = [piece for piece in self._waiting if piece[0] != number]
            found = len(kept) < len(self._waiting)
            self._waiting = deque(kept)
            return found

    def take(self) -> tuple[int, bytes] | None:
        """The next piece, waiting for it; None after the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended)
            return None if self._ended else self._waiting.popleft()


def serve(connection: Connection, function: bytes, level: int, threads: int) -> None:
    """Work on what comes through `connection` with a pickled `function`, until its other end is closed.

    Records of `level` and above go home with the results. `threads`: for libraries that have some of their
    own, where the environment does not say how many. Ctrl-C and a terminal that closes are the caller's to
    handle; whose process is gone, nobody waits for.
    """
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    for name in THREADS:
        os.environ.setdefault(name, str(threads))
    inbox, outbox = Inbox(), SimpleQueue[Any]()
    threading.Thread(target=_receive, args=(connection, inbox, outbox), daemon=True).start()
    threading.Thread(target=_send, args=(connection, outbox), daemon=True).start()
    fn: Callable[[Any], Any] | None = None
    while (piece := inbox.take()) is not None:
        number, payload = piece
        try:
            # here and not with the arguments of the process, so that what goes wrong is told
            fn = fn or ForkingPickler.loads(function)
            reply = ForkingPickler.dumps(work(fn, number, ForkingPickler.loads(payload), level), PROTOCOL)
        except BaseException as error:  # noqa: BLE001 - a fault of the program is the caller's, who raises it
            reply = ForkingPickler.dumps(as_bug(error))
        outbox.put(reply)


def work(fn: Callable[[Any], Any], number: int, items: list[Any], level: int) -> Done:
    """Work on a piece, collecting what is logged meanwhile."""
    with log.capture(level) as records:
        return Done(number, [_attempt(fn, item) for item in items], records)


def _attempt(fn: Callable[[Any], Any], item: Any) -> Result:
    try:
        return fn(item), None
    except (VestigeError, OSError) as error:
        return None, error


def as_bug(error: BaseException) -> Bug:
    """An error as it can travel: not every class survives that."""
    told = "".join(traceback.format_exception(error))
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:  # noqa: BLE001 - whatever its own methods raise
        return Bug(RuntimeError(f"{type(error).__name__}: {error}"), told)
    return Bug(error, told)


def _receive(connection: Connection, inbox: Inbox, outbox: SimpleQueue[Any]) -> None:
    try:
        while True:
            number, payload = int(connection.recv_bytes()), connection.recv_bytes()
            if payload:
                inbox.put(number, payload)
            elif inbox.remove(number):
                outbox.put(ForkingPickler.dumps(Returned(number)))
    except (EOFError, OSError):
        inbox.end()
        # What is being worked on may yet save what it has (a training does); then it is given up.
        threading.Event().wait(GRACE)
        os._exit(1)


def _send(connection: Connection, outbox: SimpleQueue[Any]) -> None:
    try:
        while True:
            connection.send_bytes(outbox.get())
    except OSError:  # the caller is gone; `_receive` notices, too
        return
