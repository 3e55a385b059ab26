"""Which worker gets which items, in what order outcomes leave, and what is done again after a death."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Generic

from vestige import log
from vestige.engine.base import Item, Outcome, Value, WorkerDiedError
from vestige.engine.worker import Bug, Done, Returned
from vestige.engine.workers import Crew, Piece, Worker

IN_HAND = 2
"""Pieces that a worker holds: one to work on, and one so that it need not wait for the next."""
AHEAD = 4
"""Pieces a worker that are drawn and not yet yielded: bounds what is held in memory."""


class Dispatch(Generic[Item, Value]):
    """One `LocalEngine.map` in at most `most` worker processes, each given `chunk` items at a time.

    Every worker has a pipe of its own. When one dies, it is therefore known what it held, and no other worker
    is concerned. A worker with nothing to do is given what waits behind a slow item of another.
    """

    def __init__(
        self, fn: Callable[[Item], Value], items: Iterable[Item], *, most: int, chunk: int, ordered: bool
    ) -> None:
        self._items, self._chunk, self._ordered = iter(items), chunk, ordered
        self._crew: Crew[Item] = Crew(fn, most)
        self._ahead = AHEAD * most * chunk
        self._again: deque[Piece[Item]] = deque()
        self._early: dict[int, Outcome[Item, Value]] = {}
        self._ready: deque[Outcome[Item, Value]] = deque()
        self._drawn = self._yielded = self._in_order = 0
        self._ended = False

    def outcomes(self) -> Iterator[Outcome[Item, Value]]:
        """Every item's outcome, see `Engine.map`."""
        with self._crew:
            while True:
                self._hand_out()
                if self._ready:
                    self._yielded += 1
                    yield self._ready.popleft()
                    # what has come in meanwhile frees workers; what has not is not waited for
                    self._collect(timeout=0)
                elif self._crew.busy:
                    self._collect(timeout=None)
                else:
                    return

    def _hand_out(self) -> None:
        """Give pieces to the workers that hold the fewest, as long as there are both."""
        while True:
            worker = self._crew.least_busy()
            if len(worker.held) >= IN_HAND or worker.on_trial:
                return
            piece = self._again.popleft() if self._again and not worker.held else self._draw()
            if piece is None:
                break
            worker.give(piece)
        if not worker.held:
            self._crew.take_back()

    def _draw(self) -> Piece[Item] | None:
        """The next piece; None at the end of the items, and where enough are under way."""
        if self._ended or self._drawn - self._yielded >= self._ahead:
            return None
        items = list(islice(self._items, self._chunk))
        self._ended = len(items) < self._chunk
        if not items:
            return None
        piece = Piece(self._drawn, items)
        self._drawn += len(items)
        return piece

    def _collect(self, timeout: float | None) -> None:
        for worker in self._crew.wait(timeout):
            match worker.receive():
                case Done(first, results, records):
                    log.replay(records)
                    piece = worker.release(first)
                    for at, (item, (value, error)) in enumerate(zip(piece.items, results, strict=True)):
                        self._place(Outcome(item, first + at, value, error))
                case Returned(first):
                    self._again.append(worker.release(first))
                case Bug(error, traceback):
                    error.add_note(f"In a worker process:\n{traceback}")
                    raise error
                case None:
                    self._bury(worker)

    def _bury(self, worker: Worker[Item]) -> None:
        """Do again what was lost with a worker, each item in one to itself; one that was alone is lost."""
        alone = worker.on_trial
        for piece in worker.bury():
            if alone:
                died = WorkerDiedError("the process that worked on it died")
                self._place(Outcome(piece.items[0], piece.first, error=died))
            else:
                self._again.extend(
                    Piece(piece.first + at, [item], suspect=True) for at, item in enumerate(piece.items)
                )

    def _place(self, outcome: Outcome[Item, Value]) -> None:
        if not self._ordered:
            self._ready.append(outcome)
            return
        self._early[outcome.index] = outcome
        while (following := self._early.pop(self._in_order, None)) is not None:
            self._ready.append(following)
            self._in_order += 1
