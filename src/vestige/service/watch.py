"""Watching: evidence followed as it grows, judged, alerts sent, and all of it remembered.

After a kill at any moment the next life goes on where the last saved state stands. What a file got behind
that is taken back first, so that nothing is there twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from vestige import storage
from vestige.checkpoint import Loaded, load
from vestige.errors import CheckpointError
from vestige.log import get
from vestige.reading import live
from vestige.reading.steps import StepBlock
from vestige.reading.windower import WindowBatch, Windower
from vestige.scoring.budgeting import AlertBudget
from vestige.scoring.normal import NormalScorer
from vestige.scoring.windows import judge_batches, rows_of
from vestige.service import state as states
from vestige.service.follow import Follower
from vestige.service.incidents import Incidents
from vestige.service.sinks import Sink
from vestige.sources import registry
from vestige.training.interrupt import StopRequests

SCAN_S, POLL_S, SAVE_S = 1.0, 0.2, 5.0
"""How often new files are looked for, open ones are read, and the state is saved."""

log = get(__name__)


@dataclass(frozen=True)
class WatchOptions:
    """`once`: to the end of what is there, and stop. `every`: every step is written, not alerts alone.
    `idle_s`: after so long a quiet time, what is held back because more of it may follow is judged."""

    once: bool = False
    every: bool = False
    idle_s: float = live.IDLE_S


@dataclass
class Watch:
    """A detector at work on growing evidence; see `start`."""

    loaded: Loaded
    digest: str
    directory: Path | None
    follower: Follower
    windower: Windower
    scorer: NormalScorer | None
    incidents: Incidents
    sinks: Sequence[Sink]
    options: WatchOptions
    alerts: int = 0
    steps: int = 0
    _saved: float = field(default_factory=time.monotonic)

    @classmethod
    def start(
        cls,
        detector: Path,
        evidence: Iterable[Path],
        sinks: Sequence[Sink],
        *,
        state: Path | None = None,
        options: WatchOptions | None = None,
    ) -> Self:
        """Begin to watch, or go on where the state in the directory `state` stands.

        Raises CheckpointError for a detector or a state that cannot be trusted, UsageError for the state of
        another detector.
        """
        chosen = options or WatchOptions()
        with ExitStack() as stack:
            for sink in sinks:
                stack.callback(sink.close)
            loaded, digest = load(detector), states.detector_digest(detector)
            before = None if state is None else states.load(state, digest)
            reader = registry.get(loaded.schema.source).reader(loaded.schema)
            windower = Windower(reader, live.scored(reader))
            scorer, incidents = NormalScorer.of(loaded), Incidents()
            try:
                followed = None if before is None else before["follower"]
                follower = Follower(reader, evidence, once=chosen.once, state=followed)
                watch = cls(
                    loaded, digest, state, follower, windower, scorer, incidents, tuple(sinks), chosen
                )
                if before is not None:
                    watch._restore(before)
            except (KeyError, TypeError, ValueError, IndexError) as error:
                raise CheckpointError(
                    f"the state cannot be taken up ({error!r})", where=state, remedy=states.REMEDY
                ) from error
            # From here on they are closed when watching ends.
            stack.pop_all()
            return watch

    def run(self) -> None:
        """Watch until everything was read (`once`), or somebody asks to stop (Ctrl-C, SIGTERM)."""
        with ExitStack() as stack:
            if self.directory is not None:
                self.directory.mkdir(parents=True, exist_ok=True)
                stack.enter_context(storage.locked(self.directory))
            stop = stack.enter_context(StopRequests(self._tell_of_stop))
            stack.callback(self._close)
            self._watch(stop)
            self.save()
        self._tell()

    def save(self) -> None:
        """Have all that was written on disk, and then where everything stands."""
        for sink in self.sinks:
            sink.flush()
        self._saved = time.monotonic()
        if self.directory is None:
            return
        budget = None if self.scorer is None else self.scorer.budget.to_dict()
        states.save(
            self.directory,
            self.digest,
            {
                "follower": self.follower.state(),
                "windower": self.windower.state(),
                "budget": budget,
                "incidents": self.incidents.to_dict(),
                "sinks": {sink.spec: sink.position() for sink in self.sinks},
                "steps": self.steps,
                "alerts": self.alerts,
            },
        )

    def _restore(self, before: dict[str, Any]) -> None:
        self.windower.restore(before["windower"])
        self.incidents = Incidents.of(before["incidents"])
        self.steps, self.alerts = int(before["steps"]), int(before["alerts"])
        if self.scorer is not None and before["budget"] is not None:
            self.scorer.budget = AlertBudget.of(before["budget"])
        for sink in self.sinks:
            if sink.spec in before["sinks"]:
                sink.restore(before["sinks"][sink.spec])

    def _watch(self, stop: StopRequests) -> None:
        scanned, heard, released = 0.0, time.monotonic(), False
        while not _asked(stop):
            now = time.monotonic()
            if now - scanned >= SCAN_S or self.options.once:
                self.follower.scan()
                scanned = now
            for block in self.follower.read():
                heard, released = time.monotonic(), False
                self._take(block)
                self._save_in_time()
                if _asked(stop):
                    return
            if self.follower.ended:
                self._end()
                return
            if not released and time.monotonic() - heard >= self.options.idle_s:
                for block in self.follower.release():
                    self._take(block)
                released = True
            self._save_in_time()
            for sink in self.sinks:
                sink.flush()
            time.sleep(POLL_S)

    def _end(self) -> None:
        for block in self.follower.release():
            self._take(block)
        if self.directory is None:
            # Nobody will go on here: what looks ahead, and what is open, ends.
            self._judge(self.windower.flush())
            self._write(self.incidents.close_all())

    def _take(self, block: StepBlock) -> None:
        self.steps += len(block)
        self._judge(self.windower.push(block))

    def _judge(self, batches: Iterable[WindowBatch]) -> None:
        for judged in judge_batches(self.loaded, batches):
            if self.scorer is not None:
                rows = list(self.scorer.rows(judged, alerts_only=not self.options.every))
            else:
                rows = [
                    row
                    for row in rows_of(judged, self.loaded)
                    if self.options.every or row["alert"] or row.get("corrects")
                ]
            lines: list[dict[str, Any]] = []
            for row in rows:
                if row["alert"]:
                    self.alerts += 1
                    lines += self.incidents.take(row)
                lines.append(row)
            self._write(lines)

    def _write(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            for sink in self.sinks:
                sink.write(rows)

    def _save_in_time(self) -> None:
        if time.monotonic() - self._saved >= SAVE_S:
            self.save()

    def _close(self) -> None:
        self.follower.close()
        for sink in self.sinks:
            sink.close()

    def _tell_of_stop(self, name: str) -> None:
        log.info("%s: the state is saved, and watching ends", name)

    def _tell(self) -> None:
        log.info(
            "%d steps, %d alerts, %d incidents (%d open)",
            self.steps, self.alerts, self.incidents.count, len(self.incidents.open),
        )  # fmt: skip
        if self.scorer is not None:
            self.scorer.tell()
        for sink in self.sinks:
            for sentence in sink.told():
                log.warning("%s: %s", sink.spec, sentence)


def _asked(stop: StopRequests) -> bool:
    """Whether somebody asked to stop by now."""
    return stop.name is not None
