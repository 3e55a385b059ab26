"""What a detector of the task normal says of raw evidence: which windows alert within its budget, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.checkpoint import Loaded
from vestige.evidence.defects import counted
from vestige.log import get
from vestige.models.normal.detector import Normal
from vestige.reading.looks import BoundNormalEncoder, NormalEncoder
from vestige.reading.steps import NO_TIME
from vestige.reading.times import rfc3339
from vestige.reading.windower import WindowBatch
from vestige.scoring.budgeting import BROKEN, FLOOR, AlertBudget
from vestige.scoring.judged import JudgedBatch
from vestige.scoring.reasons import Explainer
from vestige.scoring.repeats import Asked, Candidate, Repeats, key_of
from vestige.scoring.smallest import SmallestChange
from vestige.scoring.unknown import Unknown

LN_10 = float(np.log(10.0))
Hiding = Callable[[dict[str, Any]], str | None]
"""Of an alert (`host recording event reasons nearest`): by what it was found to be fine; None: it was not."""
Repeated = Callable[[str, dict[str, Any] | None], None]
"""Is told of an incident, and of what came again of it, as `Hiding` has it; None: what it was told of it last
is taken back."""

log = get(__name__)


@dataclass
class NormalScorer:
    """Makes rows of judged windows, one batch after the other; `budget` is all that is remembered between
    them."""

    detector: Normal
    explainer: Explainer
    smallest: SmallestChange
    budget: AlertBudget
    unknown: Unknown = field(default_factory=Unknown)
    _last: str | None = field(default=None, init=False)
    """The recording of the last window: only its own correction takes that back."""

    @classmethod
    def of(cls, loaded: Loaded) -> NormalScorer | None:
        """For a loaded detector; None for one of another task."""
        detector, encoder = loaded.detector, loaded.encoder
        if not isinstance(detector, Normal) or not isinstance(encoder, NormalEncoder):
            return None
        reader = loaded.reader()
        smallest = SmallestChange(detector, encoder, loaded.schema)
        return cls(
            detector, Explainer(detector, encoder, reader), smallest, AlertBudget.start(detector.alpha)
        )

    def alerts(
        self, judged: JudgedBatch, free: NDArray[np.bool_] | None = None, asked: Asked | None = None
    ) -> NDArray[np.bool_]:
        """Which of the next windows alert, `(B,)`; those of the `free` ones spend nothing. `asked`: see
        `AlertBudget.decide`."""
        log_p, names = self.strangeness(judged)
        batch, corrects = judged.batch, self._takes_back(judged)
        if len(batch):
            self._last = batch.recordings[int(batch.recording[-1])].id
        return self.budget.decide(log_p, batch.recording, names, corrects=corrects, free=free, asked=asked)

    @staticmethod
    def strangeness(judged: JudgedBatch) -> tuple[NDArray[np.float64], list[str]]:
        """What a budget decides by: ln of the p-values `(B,)`, and what shares a threshold, for each of the
        batch's recordings."""
        names = [name.host or name.id for name in judged.batch.recordings]
        return -judged.judgement.strangeness, names

    @staticmethod
    def without_reasons(row: dict[str, Any]) -> dict[str, Any]:
        """The row of an alert as that of a window that does not alert."""
        told = list(row)
        return {name: row[name] for name in told[: told.index("alert")]} | {"alert": False}

    def rows(
        self,
        judged: JudgedBatch,
        *,
        alerts_only: bool = False,
        hiding: Hiding | None = None,
        repeats: Repeats | None = None,
        repeated: Repeated | None = None,
    ) -> Iterator[dict[str, Any]]:
        """A dict for each window, or for those only that alert, or correct what was told before.

        `hiding` says of an alert by what it was found to be fine: it is none then, has this as `dismissed`,
        with its reasons, and spends nothing of the budget. What comes again after it was told is no alert,
        either: `repeats` counts it, its row has the incident as `repeats`, and `repeated` hears of it. Rows
        that alert have the `key` by which that knows them.
        """
        self.unknown.add(judged)
        about = self._about(judged) if hiding is not None or repeats is not None else {}
        hidden: dict[int, str] = {}
        if hiding is not None:
            hidden = {row: because for row, each in about.items() if (because := hiding(each)) is not None}
        free = np.zeros(len(judged.batch), dtype=np.bool_)
        free[list(hidden)] = True
        if repeats is None:
            yield from self.told(judged, self.alerts(judged, free), alerts_only=alerts_only, hidden=hidden)
            return
        if repeats.last is not None and repeated is not None and self._takes_back(judged):
            repeated(repeats.incident_of(repeats.last), None)
        asked = Asked(repeats, _candidates(judged, about))
        alert = self.alerts(judged, free, asked)
        if len(alert):
            repeats.last = asked.found.get(len(alert) - 1)
        numbers = _wanted(judged, alert, alerts_only=alerts_only)
        rows = self.told(judged, alert, alerts_only=alerts_only, hidden=hidden)
        again = sorted(asked.found.items(), reverse=True)
        for number, row in zip(numbers.tolist(), rows, strict=True):
            while again and again[-1][0] < number:
                _hear(repeated, repeats, about, again.pop())
            if number in asked.found:
                row["repeats"] = repeats.incident_of(asked.found[number])
            elif row["alert"] and number in asked.candidates:
                row["key"] = asked.candidates[number].key
            yield row
        while again:
            _hear(repeated, repeats, about, again.pop())

    def told(
        self,
        judged: JudgedBatch,
        alert: NDArray[np.bool_],
        *,
        alerts_only: bool = False,
        hidden: Mapping[int, str] = MappingProxyType({}),
    ) -> Iterator[dict[str, Any]]:
        """`rows`, where those that `alert (B,)` are known, and by what some of them, the `hidden` ones, were
        found to be fine."""
        batch, judgement = judged.batch, judged.judgement
        wanted = _wanted(judged, alert, alerts_only=alerts_only)
        if not len(wanted):
            return
        strange = judgement.strangeness[wanted]
        # Of 1 - P(normal), all that is very strange would be 1; powers of ten keep their order.
        score, p_value = (strange / LN_10).tolist(), np.exp(-strange).tolist()
        alerts = alert[wanted].tolist()
        texts = batch.messages(wanted)
        reasons = self._reasons(judged, wanted[alerts], [texts[at] for at in np.flatnonzero(alerts).tolist()])
        for number, place in enumerate(_places(batch, wanted, texts)):
            row = {
                **place,
                "score": abs(score[number]),
                "p_value": float(f"{p_value[number]:.6g}"),
                "alert": alerts[number],
            }
            if alerts[number]:
                row |= next(reasons)
                if (because := hidden.get(int(wanted[number]))) is not None:
                    row |= {"alert": False, "dismissed": because}
            if batch.corrects and wanted[number] == 0:
                row["corrects"] = True
            yield row

    def tell(self) -> None:
        """Say in the log what came of the promise: what was held back, and whether it was broken."""
        self.unknown.tell()
        budget = self.budget
        spent, promised = budget.spent, budget.promised
        log.info(
            "%s: %.3g alerts were promised (one in %.0f windows), %d came",
            counted(spent.windows, "window"), promised, 1 / budget.alpha, spent.alerts,
        )  # fmt: skip
        if spent.held_back:
            log.warning(
                "%s as rare as an alert %s held back, because the budget was spent%s; the rows have the "
                "p_value of each",
                counted(spent.held_back, "window"), "was" if spent.held_back == 1 else "were",
                self._held_floor(),
            )  # fmt: skip
        if spent.repeats:
            log.info(
                "%s as rare as an alert came again within a week of what was told: counted, not told again",
                counted(spent.repeats, "window"),
            )
        if budget.chance(spent.rare) < BROKEN:
            log.warning(
                "the promise does not hold for this evidence: %s as rare as an alert came, where %.3g "
                "were expected; either it has changed since (learn again: vestige learn), or much of it is "
                "an attack",
                counted(spent.rare, "window"), promised,
            )  # fmt: skip

    def _about(self, judged: JudgedBatch) -> dict[int, dict[str, Any]]:
        """Of the windows that may alert, what a person may have said of such."""
        batch, looks = judged.batch, judged.judgement.looks
        if looks is None or not isinstance(judged.bound, BoundNormalEncoder):
            return {}
        rows = np.flatnonzero(self.budget.possible(-judged.judgement.strangeness))
        if not len(rows):
            return {}
        raised = self.explainer.raised(
            {name: values[rows] for name, values in batch.steps.items()}, judged.bound, looks[rows]
        )
        found: dict[int, dict[str, Any]] = {}
        events, times = batch.text[rows].to_list(), rfc3339(batch.t_ns[rows])
        for row, time, event, why in zip(rows.tolist(), times, events, raised, strict=True):
            name = batch.recordings[int(batch.recording[row])]
            found[row] = {
                "time": time,
                "host": name.host or None,
                "recording": name.id,
                "event": event,
                **why,
            }
        return found

    def _takes_back(self, judged: JudgedBatch) -> bool:
        """Whether the first window takes the place of the last one of all: of other logs more may have come
        since."""
        batch = judged.batch
        if not batch.corrects or not len(batch):
            return False
        _, names = self.strangeness(judged)
        first = int(batch.recording[0])
        return batch.recordings[first].id == self._last and self.budget.may_take_back(names[first])

    def _held_floor(self) -> str:
        held = self.budget.spent.held_back_floor
        if not held:
            return ""
        return f" ({held} of them rarer than one in {1 / (self.budget.alpha * FLOOR):,.0f})"

    def _reasons(
        self, judged: JudgedBatch, rows: NDArray[np.int64], raw: list[str]
    ) -> Iterator[dict[str, Any]]:
        looks = judged.judgement.looks
        if not len(rows) or looks is None or not isinstance(judged.bound, BoundNormalEncoder):
            return iter(())
        steps = {name: values[rows] for name, values in judged.batch.steps.items()}
        called = judged.batch.text[rows].to_list()
        explained = self.explainer.explain(steps, judged.bound, looks[rows], called, raw)
        changes = self.smallest.find(steps, judged.bound, judged.batch.symbols)
        return (
            {"event": event, **why, **({"smallest": change} if change else {})}
            for event, why, change in zip(called, explained, changes, strict=True)
        )


def _hear(
    repeated: Repeated | None, repeats: Repeats, about: dict[int, dict[str, Any]], found: tuple[int, str]
) -> None:
    number, key = found
    if repeated is not None:
        repeated(repeats.incident_of(key), about[number])


def _wanted(judged: JudgedBatch, alert: NDArray[np.bool_], *, alerts_only: bool) -> NDArray[np.int64]:
    """Which windows have a row."""
    if not alerts_only:
        return np.arange(len(alert))
    told = alert.copy()
    told[:1] |= judged.batch.corrects
    return np.flatnonzero(told)


def _candidates(judged: JudgedBatch, about: dict[int, dict[str, Any]]) -> dict[int, Candidate]:
    """Those windows, by their rows, that would be told of an event that the detector does not know."""
    found = {}
    for row, each in about.items():
        if not each["event"] or (each["nearest"] or {}).get("distance") == 0:
            continue
        at_ns = int(judged.batch.t_ns[row])
        key = key_of(each["host"] or each["recording"], each["event"])
        found[row] = Candidate(key, None if at_ns == NO_TIME else at_ns / 1e9)
    return found


def _places(batch: WindowBatch, rows: NDArray[np.int64], texts: list[str]) -> Iterator[dict[str, Any]]:
    """When and where the steps judged are, and what stands there."""
    times = rfc3339(batch.t_ns[rows])
    place = batch.place[rows].iter_rows(named=True)
    for time, recording, where, text in zip(times, batch.recording[rows].tolist(), place, texts, strict=True):
        name = batch.recordings[recording]
        if "event" in where:
            # The number of a step in its recording: what an alert's step is called stands under this name.
            where["step"] = where.pop("event")
        yield {"time": time, "host": name.host or None, "recording": name.id, **where, "text": text}
