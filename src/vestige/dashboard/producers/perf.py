"""What a replay takes on this machine: measured while it runs, told about once a second."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vestige.dashboard.events import Perf
from vestige.reading.windower import WindowBatch
from vestige.scoring.judged import JudgedBatch

EVERY_S = 1.0


@dataclass
class Meter:
    """Times batches on their way: first `reading` them, then `judging` what was read.

    `windows` and `recordings` are those that were told of, which may lie behind those that were `judged`.
    """

    total: int | None = None
    windows: int = 0
    recordings: int = 0
    judged: int = 0
    batches: int = 0
    taken: int = 0
    reading_s: float = 0.0
    judging_s: float = 0.0
    _began: float = field(default_factory=time.perf_counter)
    _told: float = field(default_factory=time.perf_counter)

    def reading(self, batches: Iterator[WindowBatch]) -> Iterator[WindowBatch]:
        """The batches; how long each was in coming."""
        while True:
            start = time.perf_counter()
            batch = next(batches, None)
            self.reading_s += time.perf_counter() - start
            if batch is None:
                return
            self.taken = batch.taken
            yield batch

    def judging(self, batches: Iterator[JudgedBatch]) -> Iterator[JudgedBatch]:
        """The judged batches; how long each was in coming, less the reading beneath."""
        while True:
            start, read = time.perf_counter(), self.reading_s
            judged = next(batches, None)
            self.judging_s += time.perf_counter() - start - (self.reading_s - read)
            if judged is None:
                return
            self.batches += 1
            self.judged += len(judged.judgement)
            yield judged

    def due(self) -> bool:
        """Whether a second has passed since the last time."""
        return time.perf_counter() - self._told >= EVERY_S

    def perf(self, state: Literal["running", "done", "failed"] = "running", note: str = "") -> Perf:
        """What was measured so far."""
        self._told = now = time.perf_counter()
        busy = self.reading_s + self.judging_s
        n = self.judged
        # Nothing judged yet: no rate and no mean, rather than a division by nothing.
        extraction_ms = inference_ms = windows_per_s = batch = None
        if n:
            extraction_ms = round(1e3 * self.reading_s / n, 6)
            inference_ms = round(1e3 * self.judging_s / n, 6)
        if n and busy:
            windows_per_s = round(n / busy, 1)
        if self.batches:
            batch = round(n / self.batches, 1)
        cores = os.cpu_count() or 1
        if hasattr(os, "sched_getaffinity"):
            # Those that this process may run on, which in a container are fewer.
            cores = len(os.sched_getaffinity(0))
        return Perf(
            state=state,
            note=note,
            windows=self.windows,
            recordings=self.recordings,
            seconds=round(now - self._began, 3),
            extraction_ms=extraction_ms,
            inference_ms=inference_ms,
            windows_per_s=windows_per_s,
            batch=batch,
            memory=_resident(),
            cores=cores,
            bytes=self.taken,
            total=self.total,
        )


def _resident() -> int | None:
    """Bytes of this process that are in memory; None where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
