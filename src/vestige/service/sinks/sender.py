"""A sink over the network: rows are spooled, and a thread sends them, in their order, at least once."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vestige.errors import OutputError
from vestige.escaping import visible
from vestige.log import get
from vestige.service.sinks.base import Row, Sink
from vestige.service.sinks.files import without_alert
from vestige.service.sinks.spool import LARGEST, DamagedError, Frame, Spool

log = get(__name__)

SAVE_S = 1.0
"""How often the mark of what was sent is saved."""
LEAST_S = 0.05
"""How long is waited, at least, until it is asked again whether what was sent is settled."""
FULL = "the spool was full"
JOIN_S = 1.0
"""How long a thread that is told to stop is waited for."""

Packed = tuple[list[tuple[bytes, int]], int]
"""Payloads, each with its number of rows, and the number of rows that have none."""


class RefusedError(Exception):
    """The other side will never take this payload, and says why."""


class LaterError(OSError):
    """The other side asks to be left alone for `after_s` seconds."""

    def __init__(self, why: str, after_s: float) -> None:
        super().__init__(why)
        self.after_s = after_s


class Outlet(ABC):
    """One way to another machine. Only the thread of a sink uses it, but for `abort`.

    `name` is where it leads, without secrets. What was sent counts as taken once `settled` is true and no
    failure has shown for `settle_s` seconds: TCP and UDP have no answers.
    """

    name: str
    settle_s: float = 0.0

    @abstractmethod
    def send(self, payload: bytes, key: str) -> None:
        """Send a payload, whose `key` is the same whenever it is sent again. Raises OSError where it may
        succeed later, RefusedError where it never will."""

    def check(self) -> None:  # noqa: B027 - nothing to check where there are answers
        """Raise OSError where the connection has failed since."""

    def settled(self) -> bool:
        """Whether nothing lies in the buffers of this machine any more."""
        return True

    @abstractmethod
    def disconnect(self) -> None:
        """Let go of the connection; the next `send` makes another."""

    def abort(self) -> None:  # noqa: B027 - a datagram is not waited for
        """End what `send` is waiting for, from another thread."""


@dataclass(frozen=True)
class Patience:
    """Seconds: how long is waited after a first failure and at most (twice as long each time, less a random
    part), and how long `close` waits for the other side where a spool is kept, and where it is lost."""

    first_s: float = 0.5
    longest_s: float = 60.0
    linger_s: float = 2.5
    linger_lost_s: float = 10.0


class NetworkSink(Sink):
    """Sends rows through an `outlet`. The spool lies in `folder`; without that, in a temporary one, and what
    was not sent at the end is lost. A full spool takes no more, which is counted and told; order is kept.

    After a kill, rows are sent again where it is not known whether they were taken: at least once.
    """

    def __init__(
        self,
        spec: str,
        outlet: Outlet,
        pack: Callable[[Sequence[Row]], Packed],
        folder: Path | None,
        *,
        largest: int = LARGEST,
        patience: Patience | None = None,
    ) -> None:
        self.spec = spec
        self._outlet, self._pack = outlet, pack
        self._patience = patience or Patience()
        self._lasting = folder is not None
        self._spool = Spool(folder or Path(tempfile.mkdtemp(prefix="vestige-spool-")), largest=largest)
        self._lock = threading.Condition()
        self._thread: threading.Thread | None = None
        self._stop = self._closed = False
        # Failures in a row: until something is taken, not until a connection is made.
        self._failures, self._failure, self._failed_at = 0, "", ""
        self._lost: Counter[str] = Counter()
        self._without = self._damaged = 0
        self._nearly_full = False

    @property
    def name(self) -> str:
        """Where it leads, without secrets."""
        return self._outlet.name

    def write(self, rows: Sequence[Row]) -> None:
        """Spool rows; the thread sends them at once where it can."""
        payloads, without = self._pack(rows)
        with self._lock:
            self._without += without
            left_out = self._spool.append(payloads)
            self._warn_of_room(left_out)
            self._lock.notify_all()
        self._start()

    def flush(self) -> None:
        """The spool onto the disk."""
        with self._lock:
            self._spool.sync()
        self._start()

    def position(self) -> Any:
        """Where the spool ends."""
        with self._lock:
            return {"spool": self._spool.id, "end": self._spool.end}

    def restore(self, position: Any) -> None:
        """Take back from the spool what was put in later."""
        with self._lock:
            if isinstance(position, dict) and position.get("spool") == self._spool.id:
                end = int(position["end"])
                if end < self._spool.end:
                    self._spool.cut(end)
        self._start()

    def close(self) -> None:
        """Wait a little until all is sent; what is not stays in the spool, where that is kept."""
        linger_s = self._patience.linger_s if self._lasting else self._patience.linger_lost_s
        if self._spool.sent < self._spool.end:
            self._start()
        with self._lock:
            self._lock.wait_for(lambda: self._spool.sent >= self._spool.end, linger_s)
            self._stop = True
            self._lock.notify_all()
        self._outlet.abort()
        if self._thread is not None:
            self._thread.join(JOIN_S)
        with self._lock:
            if not self._lasting and self._spool.waiting:
                self._lost["nobody took them, and without --state no spool is kept"] += self._spool.waiting
            self._spool.close()
            self._closed = True
            if not self._lasting:
                self._spool.waiting = 0
                shutil.rmtree(self._spool.folder, ignore_errors=True)

    def told(self) -> list[str]:
        """What waits and why, what was given up and why."""
        with self._lock:
            told = []
            if self._without:
                told.append(without_alert(self._without))
            if self._spool.waiting and self._failure:
                told.append(
                    f"{self._spool.waiting:,} rows wait in {self._spool.folder}: nothing is taken since "
                    f"{self._failed_at} ({self._failure})"
                )
            elif self._spool.waiting:
                told.append(f"{self._spool.waiting:,} rows wait in {self._spool.folder} to be sent")
            told += [f"{count:,} rows were not sent: {why}" for why, count in self._lost.items()]
            if self._damaged:
                told.append(f"{self._damaged:,} damaged parts of the spool were left out")
            return told

    def _start(self) -> None:
        """Begin the thread, if that was not done: not before a position could be restored."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"sink {self._outlet.name}", daemon=True)
            self._thread.start()

    def _warn_of_room(self, left_out: int) -> None:
        """Tell of a spool that fills, once each time."""
        used = self._spool.end - self._spool.sent
        if left_out:
            if not self._lost[FULL]:
                log.warning(
                    "the spool for %s is full; what comes now is counted, not sent", self._outlet.name
                )
            self._lost[FULL] += left_out
        elif used > self._spool.largest / 2:
            if not self._nearly_full:
                log.warning("the spool for %s is half full: it takes less than comes", self._outlet.name)
            self._nearly_full = True
        elif used < self._spool.largest / 4:
            self._nearly_full = False

    def _run(self) -> None:
        """What the thread does until it is told to stop."""
        journey = _Journey(self._spool.sent)
        while True:
            try:
                if not self._step(journey):
                    break
            except OSError as error:
                self._outlet.disconnect()
                with self._lock:
                    # All that may be lost with the connection is sent again.
                    journey = _Journey(self._spool.sent)
                    if self._stop:
                        break
                self._tell_failure(error)
                self._wait(error)
        self._outlet.disconnect()

    def _step(self, journey: _Journey) -> bool:
        """Send a frame, or wait for one; whether to go on."""
        with self._lock:
            frame = None
            if not self._stop:
                frame = self._next(journey)
            if frame is None and not self._stop:
                self._lock.wait(journey.due_s(self._outlet.settle_s))
                frame = self._next(journey)
            going_on = not self._stop
        if journey.sent:
            self._outlet.check()
            self._settle(journey)
        if frame is not None and going_on:
            self._send(frame, journey)
        return going_on

    def _next(self, journey: _Journey) -> Frame | None:
        try:
            return self._spool.read(journey.at)
        except DamagedError as damage:
            self._damaged += 1
            journey.took(Frame(b"", 0, damage.resume))
            return None

    def _send(self, frame: Frame, journey: _Journey) -> None:
        key = hashlib.sha256(f"{self._spool.id} {frame.end} ".encode() + frame.payload).hexdigest()[:32]
        try:
            self._outlet.send(frame.payload, key)
        except RefusedError as refusal:
            with self._lock:
                if not self._lost[str(refusal)]:
                    log.warning("%s: %d rows were given up: %s", self._outlet.name, frame.rows, refusal)
                self._lost[str(refusal)] += frame.rows
        journey.took(frame)
        self._settle(journey)

    def _settle(self, journey: _Journey) -> None:
        """Mark what was taken for certain."""
        sent, rows = journey.settle(self._outlet)
        if sent is None:
            return
        self._failures = 0
        if self._failure:
            log.info("%s takes alerts again", self._outlet.name)
            self._failure = ""
        with self._lock:
            if self._closed:
                return
            now = time.monotonic()
            save = now - journey.saved_at >= SAVE_S or sent == self._spool.end
            if save:
                journey.saved_at = now
            # Without a mark on disk, a later start sends again what was sent: no reason to end.
            with contextlib.suppress(OutputError):
                self._spool.mark(sent, rows, save=save)
            self._lock.notify_all()

    def _tell_failure(self, error: OSError) -> None:
        why = visible(str(error.strerror or error) or type(error).__name__, 200)
        if not self._failure:
            self._failed_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            log.warning("%s takes nothing (%s); alerts are spooled and sent later", self._outlet.name, why)
        self._failure = why

    def _wait(self, error: OSError) -> None:
        longest = min(self._patience.first_s * 2 ** min(self._failures, 30), self._patience.longest_s)
        self._failures += 1
        seconds = longest * random.uniform(0.5, 1.0)
        if isinstance(error, LaterError):
            seconds = max(seconds, error.after_s)
        with self._lock:
            self._lock.wait_for(lambda: self._stop, seconds)


class _Journey:
    """How far a thread is with its connection: the next frame begins at `at`; `sent` holds when each frame
    whose fate is open was sent, where it ends, and its rows."""

    def __init__(self, at: int) -> None:
        self.at = at
        self.sent: deque[tuple[float, int, int]] = deque()
        self.saved_at = 0.0

    def took(self, frame: Frame) -> None:
        """A frame was sent."""
        self.at = frame.end
        self.sent.append((time.monotonic(), frame.end, frame.rows))

    def due_s(self, settle_s: float) -> float | None:
        """Seconds until the first is settled; None where none is open."""
        if not self.sent:
            return None
        return max(self.sent[0][0] + settle_s - time.monotonic(), LEAST_S)

    def settle(self, outlet: Outlet) -> tuple[int | None, int]:
        """Take off what is settled: where the last of it ends, and its rows."""
        before = time.monotonic() - outlet.settle_s
        end, rows = None, 0
        if not outlet.settled():
            return end, rows
        while self.sent and self.sent[0][0] <= before:
            _, end, more = self.sent.popleft()
            rows += more
        return end, rows


def one_by_one(form: Callable[[Row], bytes | None]) -> Callable[[Sequence[Row]], Packed]:
    """A payload for each row."""

    def pack(rows: Sequence[Row]) -> Packed:
        records = [form(row) for row in rows]
        payloads = [(record, 1) for record in records if record is not None]
        return payloads, len(records) - len(payloads)

    return pack


def in_batches(records: Iterable[bytes], most: int, largest: int) -> list[tuple[bytes, int]]:
    """JSON arrays of at most `most` records and, where there are several, `largest` bytes."""
    batches: list[tuple[bytes, int]] = []
    batch: list[bytes] = []
    size = 0
    for record in records:
        if batch and (len(batch) == most or size + len(record) > largest):
            batches.append((b"[" + b",".join(batch) + b"]", len(batch)))
            batch, size = [], 0
        batch.append(record)
        size += len(record) + 1
    if batch:
        batches.append((b"[" + b",".join(batch) + b"]", len(batch)))
    return batches
