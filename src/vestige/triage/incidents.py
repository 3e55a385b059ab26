"""Clusters of a detector of what is normal: what it finds rare as incidents, as a watch puts it together; the
rest, where it is asked for, by machine and event."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.hashing import row_hashes
from vestige.models.normal.detector import Normal
from vestige.scoring.judged import JudgedBatch
from vestige.scoring.normal import NormalScorer
from vestige.service.incidents import Incidents
from vestige.triage.clusters import TYPICAL, Cluster, Kind
from vestige.triage.evidence import about_of
from vestige.triage.explained import EXAMPLES

MOST_GROUPS = 100_000
"""Machines with an event that are told apart; what comes of others then is one cluster."""
MOST_EVENTS = 64
"""Different events of an incident that are counted, the first ones."""
OTHERS = "events of other machines"
RARE = "rare"
"""Stands for the looks of an alert that the budget held back: it was not explained."""


@dataclass(frozen=True)
class Ranked:
    """Windows of which a detector of what is normal says how strange they are.

    `windows`: how many it looked at. Of those that matter, B of them, in their order: `about` with `COLUMNS`,
    what the judged `events` are called, how `strange` they are `(B,)` (nats), and the `rows` that
    `vestige score` writes of them.
    """

    windows: int
    about: pl.DataFrame
    events: list[str]
    strange: NDArray[np.float64]
    rows: Iterable[dict[str, Any]]

    @classmethod
    def of(cls, judged: JudgedBatch, first: int, rows: Iterable[dict[str, Any]]) -> Self:
        """All windows of a batch, the first of which has the number `first`, with a row for each."""
        batch = judged.batch
        about = about_of(batch, first)
        return cls(len(batch), about, batch.text.to_list(), judged.judgement.strangeness, rows)


def ranked(judged: Iterable[JudgedBatch], scorer: NormalScorer) -> Iterator[Ranked]:
    """All windows of these batches, as a budget decides about them one after the other."""
    first = 0
    for batch in judged:
        yield Ranked.of(batch, first, scorer.rows(batch))
        first += len(batch.batch)


@dataclass
class Group:
    """Alerts that are one cluster. `sample`: `EXAMPLES` of their windows, drawn by a hash."""

    number: int
    kind: Kind
    size: int = 0
    events: Counter[str] = field(default_factory=Counter)
    sample: list[tuple[int, int]] = field(default_factory=list)
    raised: list[dict[str, Any]] = field(default_factory=list)

    def add(self, event: str, lot: tuple[int, int]) -> None:
        """Count one more."""
        self.size += 1
        if event in self.events or len(self.events) < MOST_EVENTS:
            self.events[event] += 1
        insort(self.sample, lot)
        del self.sample[EXAMPLES:]

    def cluster(self) -> Cluster:
        """As a row of the table, still without a name."""
        event = OTHERS if self.kind == "rest" else self.events.most_common(1)[0][0]
        named: Counter[str] = Counter()
        for alert in self.raised:
            looks = [RARE if look == "score" else look for look in alert["looks"]]
            named[f"{', '.join(looks)}: {alert['event']}"] += alert["alerts"]
        total = max(1, named.total())
        context = tuple((name, round(count / total, 3)) for name, count in named.most_common(TYPICAL))
        new = any(look.startswith("novelty") for alert in self.raised for look in alert["looks"])
        examples = tuple(sorted(window for _, window in self.sample))
        return Cluster("", event, new, self.kind, self.size, (self.number,), context, examples)


@dataclass
class Grouping:
    """Puts judged windows together, batch by batch; `rest`: also those that are not rare."""

    detector: Normal
    rest: bool
    most: int = MOST_GROUPS
    incidents: Incidents = field(default_factory=Incidents)
    groups: dict[tuple[Kind, str, str], Group] = field(default_factory=dict)
    """By kind, machine and event; an incident by its id, of no machine, and the rest by neither."""
    _usual: int = 0

    def add(self, batches: Iterable[Ranked]) -> Iterator[tuple[int, pl.DataFrame]]:
        """How many windows each batch has, and those of them that are put together, see `run.JUDGED`."""
        for batch in batches:
            windows = batch.about["window"].to_list()
            machines = batch.about["machine"].to_list()
            lots = row_hashes({"window": batch.about["window"].to_numpy()[:, None]}).tolist()
            kept, numbers = [], []
            for at, row in enumerate(batch.rows):
                group = self._group(row, machines[at], batch.events[at])
                if group is not None:
                    group.add(batch.events[at], (lots[at], windows[at]))
                    kept.append(at)
                    numbers.append(group.number)
            strange = pl.Series(batch.strange[kept], dtype=pl.Float64())
            rank, number = pl.lit(None, pl.Int64()), pl.Series(numbers, dtype=pl.Int64())
            yield batch.windows, batch.about[kept].with_columns(surprise=strange, rank=rank, number=number)
        self._close(self.incidents.close_all())

    def clusters(self) -> list[Cluster]:
        """All of them, without names."""
        return [group.cluster() for group in self.groups.values()]

    def _group(self, row: dict[str, Any], machine: str, event: str) -> Group | None:
        # What the budget held back is as rare as an alert: it belongs to the incident of those that came.
        if row["p_value"] <= self.detector.alpha:
            alert = {"event": event, "nearest": {"text": event}} | row
            self._close(self.incidents.take(alert))
            return self._known("incident", event=alert["incident"])
        if not self.rest:
            return None
        if ("usual", machine, event) in self.groups or self._usual < self.most:
            return self._known("usual", machine, event)
        return self._known("rest")

    def _known(self, kind: Kind, machine: str = "", event: str = "") -> Group:
        key = (kind, machine, event)
        if key not in self.groups:
            self.groups[key] = Group(len(self.groups), kind)
            self._usual += kind == "usual"
        return self.groups[key]

    def _close(self, lines: Iterable[dict[str, Any]]) -> None:
        """Keep what raised the alerts of incidents that are closed."""
        for line in lines:
            if line["state"] == "closed":
                self.groups["incident", "", line["id"]].raised = line["raised"]
