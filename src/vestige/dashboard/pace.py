"""Holding a replay back to the speed at which its evidence was recorded."""

from __future__ import annotations

import time
from dataclasses import dataclass

LONGEST_S = 1e9
"""Seconds of one wait: thirty years. Evidence may say anything of its times, clocks take less."""


@dataclass(frozen=True)
class Start:
    """When a recording began: its own time (Unix ns), and ours (monotonic seconds)."""

    t_ns: int
    seconds: float


@dataclass(frozen=True)
class Pace:
    """`speed` times as fast as recorded: 1 is real time, 0 as fast as possible."""

    speed: float = 1.0

    def begin(self, t_ns: int) -> Start:
        """A recording begins with a window of `t_ns`; nobody knows when it was where that is no time
        after 1970 (`NO_TIME`, or 0 of what counts from its own beginning)."""
        return Start(t_ns, time.monotonic())

    def hold(self, start: Start, t_ns: int) -> None:
        """Wait until the moment `t_ns` of that recording has come."""
        if self.speed > 0 and start.t_ns > 0 and t_ns > 0:
            due = start.seconds + (t_ns - start.t_ns) / 1e9 / self.speed
            time.sleep(min(max(0.0, due - time.monotonic()), LONGEST_S))
