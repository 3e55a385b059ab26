"""What a run takes: wall time, processor time with that of worker processes, and memory at its peak."""

from __future__ import annotations

import os
import time
from multiprocessing import forkserver, resource_tracker
from pathlib import Path


class Spent:
    """Begins to measure where it is made; to be used once in a process."""

    def __init__(self) -> None:
        self._wall, self._busy = time.perf_counter(), _busy()

    def seconds(self) -> tuple[float, float]:
        """Wall time so far, and processor time of this process and all that it started. The server that forks
        workers is stopped for that: the system counts only children that have ended."""
        wall = time.perf_counter() - self._wall
        for server in (forkserver._forkserver, resource_tracker._resource_tracker):  # type: ignore[attr-defined]
            server._stop()
        return wall, _busy() - self._busy


def peak_mb() -> float:
    """The most memory that this process alone ever held, in MiB. Not `ru_maxrss`: that of a child begins with
    its parent's."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def _busy() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
