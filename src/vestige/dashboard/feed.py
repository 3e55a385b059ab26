"""Everything that a dashboard is told, in order: the run, its figures, then evidence as it is replayed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vestige import checkpoint
from vestige.checkpoint import Loaded
from vestige.dashboard.events import Event
from vestige.dashboard.incidents import WatchState
from vestige.dashboard.pace import Pace
from vestige.dashboard.producers.learnt import learnt
from vestige.dashboard.producers.metrics import metrics, run
from vestige.dashboard.producers.perf import Meter
from vestige.dashboard.producers.profiles import profiles
from vestige.dashboard.producers.replay import replay
from vestige.errors import VestigeError
from vestige.reading.steps import Evidence
from vestige.runs.directory import RunDirectory
from vestige.scoring import check_device
from vestige.service.state import detector_digest


@dataclass(frozen=True)
class Feed:
    """A run, evidence that one of its detectors is to replay, and what a watch with one of them has found."""

    directory: RunDirectory
    loaded: Loaded | None
    evidence: tuple[Path, ...]
    total: int | None
    watched: WatchState | None = None

    @classmethod
    def open(
        cls,
        run: Path,
        evidence: Sequence[Path] = (),
        *,
        device: str = "cpu",
        state: Path | None = None,
        player: Path | None = None,
    ) -> Feed:
        """Check everything that can be checked before the first event. `player`: the export of the run's
        best detector, which replays in its place, and may have watched.

        Raises UsageError for what is no run, or a run of several detectors of which none is known to be the
        best, or for a directory `state` that is no state of a watch with one of its detectors; DatasetError,
        CheckpointError and EvidenceError as `results`, `checkpoint.load` and `score` do.
        """
        check_device(device)
        directory = RunDirectory.open(run)
        if directory.results is None and not directory.detectors:
            directory.detector()  # raises: nothing of this run can be shown yet
        watched = None
        if state is not None:
            known = [*directory.kept.values(), *filter(None, [player])]
            watched = WatchState(state, [detector_digest(detector) for detector in known])
        if not evidence:
            return cls(directory, None, (), None, watched)
        loaded = checkpoint.load(player or directory.best(), device=device)
        reader = loaded.reader()
        total = reader.units(Evidence(tuple(evidence), "live")).total
        return cls(directory, loaded, tuple(evidence), total, watched)

    def standing(self) -> Iterator[Event]:
        """What is known before any replay: a `run`, then `metrics` and `profiles` of each detector, or what
        one found that was `learnt` without labels; then what a `watch` has found so far."""
        yield run(self.directory, self.loaded)
        if self.directory.results is not None:
            yield from metrics(self.directory.results)
            yield from profiles(self.directory.results)
        yield from learnt(self.directory)
        if self.watched is not None:
            yield self.watched.known.event

    def replayed(self, pace: Pace) -> Iterator[Event]:
        """The replay, which a last `perf` ends; nothing without evidence. Raises as `replay` does, after a
        `perf` that says so."""
        if self.loaded is None:
            return
        meter = Meter(total=self.total)
        try:
            yield from replay(self.loaded, self.evidence, pace, meter)
        except (VestigeError, OSError) as error:
            yield meter.perf("failed", str(error))
            raise
        yield meter.perf("done")
