"""Holding a replay back to the speed at which its evidence was recorded."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field


class StoppedError(Exception):
    """Whoever looked at the replay has left."""


@dataclass(frozen=True)
class Start:
    """When a recording began: its own time (Unix ns), and ours (monotonic seconds)."""

    t_ns: int
    seconds: float


@dataclass
class Pace:
    """`speed` times as fast as recorded: 1 is real time, 0 as fast as possible. `stop` ends every wait."""

    speed: float = 1.0
    stop: threading.Event = field(default_factory=threading.Event)

    def begin(self, t_ns: int) -> Start:
        """A recording begins with a window of `t_ns`; 0: nobody knows when that was."""
        return Start(t_ns, time.monotonic())

    def hold(self, start: Start, t_ns: int) -> None:
        """Wait until the moment `t_ns` of that recording has come. Raises StoppedError."""
        wait = 0.0
        if self.speed > 0 and start.t_ns and t_ns:
            wait = start.seconds + (t_ns - start.t_ns) / 1e9 / self.speed - time.monotonic()
        if self.stop.wait(min(wait, threading.TIMEOUT_MAX)) if wait > 0 else self.stop.is_set():
            raise StoppedError
