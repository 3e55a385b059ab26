"""Raw evidence read again and judged window by window, by the code that `vestige score` uses.

Nothing prepared is needed: of each recording windows are extracted when their turn comes. Memory is flat.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.checkpoint import Loaded
from vestige.dashboard.events import Perf, Recording, Score, Span
from vestige.dashboard.pace import Pace, Start
from vestige.dashboard.producers.moved import Channels
from vestige.dashboard.producers.perf import Meter
from vestige.evidence.simulated import is_simulated
from vestige.reading.steps import RecordingInfo
from vestige.scoring.judged import JudgedBatch
from vestige.scoring.normal import NormalScorer
from vestige.scoring.windows import alerting, explained, judge_batches, read_windows
from vestige.sources import registry
from vestige.sources.base import ATTACK_CLASSES, DescribesRecordings, Source

MOST = 1024
"""Recordings that are remembered at a time: one that is met again after so many others begins anew."""
MOST_SPANS = 200
"""Spans of a recording that are told: labels are evidence, and whoever wrote them may have written many."""


def replay(
    loaded: Loaded, evidence: Sequence[Path], pace: Pace, meter: Meter
) -> Iterator[Recording | Score | Perf]:
    """A `recording` where one begins, a `score` for each window when its time has come, a `perf` a second.

    A window ends on every step; for traces as in `scoring.score`. Raises EvidenceError as `score` does.
    """
    source = registry.get(loaded.schema.source)
    recordings = Recordings(loaded, source, evidence, pace, meter)
    windows = meter.reading(read_windows(evidence, loaded))
    for judged in meter.judging(judge_batches(loaded, windows)):
        yield from recordings.over(judged)


@dataclass
class Played:
    """A recording of which so many `windows` were met since `start`.

    `label (M,)`: what is true from the moments `since_ns (M,)` on, an index into the classes.
    """

    number: int
    start: Start
    since_ns: NDArray[np.int64]
    label: NDArray[np.uint8]
    windows: int = 0

    def truth(self, t_ns: int) -> int | None:
        """The class that was in force when the step was over that ended at `t_ns`; None: nobody knows, as
        where the step has no time (`NO_TIME`)."""
        if t_ns <= 0 or not len(self.label):
            return None
        return int(self.label[max(0, int(np.searchsorted(self.since_ns, t_ns)) - 1)])


@dataclass
class Recordings:
    """The recordings of a replay, as their windows come by."""

    loaded: Loaded
    source: Source[Any]
    evidence: Sequence[Path]
    pace: Pace
    meter: Meter
    most: int = MOST
    most_spans: int = MOST_SPANS
    _known: OrderedDict[str, Played] = field(default_factory=OrderedDict)

    def over(self, judged: JudgedBatch) -> Iterator[Recording | Score | Perf]:
        """The events of the next batch."""
        batch = judged.batch
        by_budget: list[dict[str, Any]] | None = None
        if self._scorer is not None:
            # Of what is normal the budget decides, window by window in their order, as in `vestige score`.
            by_budget = list(self._scorer.rows(judged))
        moved, reasons = self._channels.moved(judged, by_budget), self._reasons(judged)
        times = batch.t_ns.tolist()
        for row, (place, t_ns) in enumerate(zip(batch.place.iter_rows(named=True), times, strict=True)):
            name = str(place.pop(batch.unit))
            if name not in self._known:
                yield self._begin(name, t_ns)
            self._known.move_to_end(name)
            played = self._known[name]
            self.pace.hold(played.start, t_ns)
            self.meter.windows += 1
            played.windows += 1
            found = self._score(judged, row, played, place, t_ns)
            if by_budget is not None:
                found |= _of_budget(by_budget[row])
            elif row in reasons:
                found["reasons"] = [reason["says"] for reason in reasons[row]["reasons"]]
            yield Score(**found, moved=moved.get(row, []))
            if self.meter.due():
                yield self.meter.perf()

    def _reasons(self, judged: JudgedBatch) -> dict[int, dict[str, Any]]:
        """Of a detector that was taught by labels: why the last alert of each recording in this batch is one.
        That is the one that the page shows; to explain each would hold up the replay."""
        if self._scorer is not None or self.loaded.threshold is None:
            return {}
        last = {int(judged.batch.recording[row]): row for row in alerting(judged, self.loaded).tolist()}
        return explained(judged, self.loaded, np.array(sorted(last.values()), dtype=np.int64))

    def _begin(self, name: str, t_ns: int) -> Recording:
        self.meter.recordings += 1
        about, classes = self._recording_info(name), self.loaded.schema.classes
        attacks = self.loaded.schema.settings.get(ATTACK_CLASSES, classes[1:])
        spans = [Span(begin=at / 1e9, label=label, attack=label in attacks) for at, label in about.changes]
        begin = end = None
        if about.t_start_ns is not None:
            begin = about.t_start_ns / 1e9
        if about.t_end_ns is not None:
            end = about.t_end_ns / 1e9
        self._known[name] = Played(
            self.meter.recordings,
            self.pace.begin(t_ns),
            np.array([at for at, _ in about.changes], dtype=np.int64),
            np.array([classes.index(label) for _, label in about.changes], dtype=np.uint8),
        )
        if len(self._known) > self.most:
            # The one that was played longest ago: whatever is played is moved to the end.
            self._known.popitem(last=False)
        return Recording(
            number=self.meter.recordings,
            id=name,
            host=about.host,
            profile=about.profile,
            synthetic=self._synthetic,
            begin=begin,
            end=end,
            spans=spans[: self.most_spans],
            attack=next((span.begin for span in spans if span.attack), None),
        )

    @cached_property
    def _scorer(self) -> NormalScorer | None:
        return NormalScorer.of(self.loaded)

    @cached_property
    def _channels(self) -> Channels:
        return Channels.of(self.loaded)

    @cached_property
    def _synthetic(self) -> bool:
        return any(map(is_simulated, self.evidence))

    def _recording_info(self, name: str) -> RecordingInfo:
        """What the recording says of itself, where it is clear which one is meant."""
        if not isinstance(self.source, DescribesRecordings):
            return RecordingInfo()
        schema = self.loaded.schema
        asked = (self.source.describe(path, name, schema) for path in self.evidence)
        found = [info for info in asked if info is not None]
        # Two places that both describe a recording by this name: neither is believed.
        if len(found) != 1:
            return RecordingInfo()
        return found[0]

    def _score(
        self, judged: JudgedBatch, row: int, played: Played, place: dict[str, Any], t_ns: int
    ) -> dict[str, Any]:
        """What a `Score` holds, by the detector's threshold."""
        judgement, limit = judged.judgement, self.loaded.threshold
        proba, suspicion = judgement.proba[row], float(judgement.score[row])
        classes, true_class = self.loaded.schema.classes, played.truth(t_ns)
        alert = truth = surprise = time = None
        if t_ns > 0:
            time = t_ns / 1e9
        if limit is not None:
            alert = suspicion >= limit
        if true_class is not None:
            truth = classes[true_class]
        if judgement.surprise is not None:
            surprise = round(float(judgement.surprise[row]), 6)
        return {
            "recording": played.number,
            "window": played.windows,
            "time": time,
            "place": place,
            "proba": [round(share, 6) for share in proba.tolist()],
            "score": round(suspicion, 6),
            "most_probable_class": classes[int(proba.argmax())],
            "alert": alert,
            "truth": truth,
            "surprise": surprise,
        }


def _of_budget(row: dict[str, Any]) -> dict[str, Any]:
    """What a `Score` holds instead, of a row that `NormalScorer` made."""
    return {
        "score": round(row["score"], 6),
        "p_value": row["p_value"],
        "alert": row["alert"],
        "reasons": [reason["says"] for reason in row.get("reasons", [])],
    }
