"""Alerts that belong together: what a person is shown is one incident that opens, grows and closes.

Alerts of one entity (a host, else a recording) that the same look raised about the same kind of step, or that
follow one another closely, are one incident.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import Any, Self

from vestige.scoring.repeats import MOST_TEXT
from vestige.service.sinks.lines import whole

QUIET_S = 3_600.0
"""An incident closes when no alert of it came for so long: by the times of its entity's evidence, or, where
none of that comes any more, by the clock of this machine."""
CLOSE_S = 120.0
"""Alerts of one entity within so many seconds belong together, whatever raised them."""
MOST_OPEN = 10_000
"""Incidents that are open at a time; the one that was quiet for longest closes for another."""
MOST_NEAR = 64
"""Open incidents of an entity, those heard from last, that are looked at for one close in time."""
MOST_EVIDENCE, MOST_REASONS = 20, 5
"""Places and reasons that an incident keeps: the first places, the rarest reasons."""
STRONG = 0.01
"""A look raised an alert where no more than this share of normal windows is as strange to it, or where none
is stronger: what is weaker is among the reasons by chance now and then, and hardly alerts by itself."""
GROWTH = (10, 100, 1_000, 10_000, 100_000, 1_000_000)
"""An incident says that it grew when it has so many alerts."""

Row = dict[str, Any]


@dataclass
class Raised:
    """What raised `alerts` alike: the `event` judged, the `template` of it where it is a known one, and the
    `looks`. An event is masked; where the detector does not tell it, it is empty."""

    event: str
    template: str | None
    looks: list[str]
    alerts: int = 1

    @classmethod
    def of(cls, alert: Row) -> Self:
        """What raised an alert."""
        nearest = alert.get("nearest") or {}
        template = None
        # What is nearest to a new event says nothing about it: all that is new may be nearest to the same.
        if nearest.get("distance") == 0:
            template = whole(nearest["text"][:MOST_TEXT])
        reasons = sorted(_looks(alert), key=lambda reason: reason["p_value"])
        strong = {reason["look"] for reason in reasons if reason["p_value"] <= STRONG}
        looks = sorted(strong or {reason["look"] for reason in reasons[:1]}) or ["score"]
        return cls(whole((alert.get("event") or "")[:MOST_TEXT]), template, looks)


def entity_of(alert: Row) -> str:
    """Whose alert it is: the host's, else the recording's or the file's."""
    return whole(alert.get("host") or alert.get("recording") or alert.get("file") or "")


@dataclass
class Incident:
    """`first` and `last` are times (RFC 3339, None where nobody knows), `last_s` the last in Unix seconds;
    `kinds` are looks with the kinds of steps that they were about, `raised` counts the alerts that were
    raised alike, of the first ways in which they were; `p_value` is the lowest, None where the detector gives
    none."""

    id: str
    entity: str
    first: str | None
    last: str | None
    last_s: float | None
    alerts: int = 0
    p_value: float | None = None
    heard_s: float | None = None
    """When its last alert was taken, by the clock of this machine."""
    kinds: list[str] = field(default_factory=list)
    raised: list[Row] = field(default_factory=list)
    reasons: list[Row] = field(default_factory=list)
    evidence: list[Row] = field(default_factory=list)
    repeats: int = 0
    """What came again of it while it was open, and was not told again."""
    last_repeat: str | None = None
    """When the last of that came (RFC 3339): it keeps no incident open, and belongs to it."""

    def row(self, state: str) -> Row:
        """A line about it as it is now; `state` is opened, grew or closed."""
        raised = [dict(way) for way in self.raised]
        return {
            "kind": "incident", "id": self.id, "state": state, "host": self.entity,
            "first": self.first, "last": self.last, "alerts": self.alerts,
            "repeats": self.repeats, "last_repeat": self.last_repeat, "p_value": self.p_value,
            "reasons": self.reasons, "raised": raised, "evidence": list(self.evidence),
        }  # fmt: skip


@dataclass
class Incidents:
    """The open ones, the one heard from last at the end; `count` were ever opened, and `most` may be open.
    Ids are those of the `number`th of `of_watches` watches that share evidence: no two give the same."""

    open: dict[str, Incident] = field(default_factory=dict)
    count: int = 0
    most: int = MOST_OPEN
    number: int = 1
    of_watches: int = 1
    _of_entity: dict[str, dict[str, Incident]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """The open ones of each entity, in the same order."""
    _of_kind: dict[tuple[str, str], str] = field(default_factory=dict, init=False, repr=False, compare=False)
    """Which open one of an entity a kind was last seen in."""

    def __post_init__(self) -> None:
        for incident in self.open.values():
            self._note(incident)

    def take(self, alert: Row) -> list[Row]:
        """Put an alert to its incident, whose id it gets; the lines about incidents that come of it."""
        entity, at_s = entity_of(alert), seconds_of(alert.get("time"))
        lines = [] if at_s is None else self.pass_time(entity, at_s)
        kinds = _kinds(alert)
        incident = self._find(entity, kinds, at_s)
        opened = incident is None
        if incident is None:
            if len(self.open) >= self.most:
                lines.append(self._close(next(iter(self.open.values()))))
            self.count += 1
            id_ = (self.count - 1) * self.of_watches + self.number
            incident = Incident(f"{id_:06d}", entity, alert.get("time"), None, None)
        alert["incident"] = incident.id
        _add(incident, alert, kinds, at_s)
        incident.heard_s = time.time()
        self.open.pop(incident.id, None)
        self.open[incident.id] = incident
        self._note(incident)
        if opened:
            lines.append(incident.row("opened"))
        elif incident.alerts in GROWTH:
            lines.append(incident.row("grew"))
        return lines

    def take_back(self, alert: Row) -> None:
        """Make undone that an alert, the last of its incident, was counted there: it is corrected."""
        incident = self.open.get(alert["incident"])
        if incident is None:
            return
        incident.alerts = max(0, incident.alerts - 1)
        _count(incident, replace(Raised.of(alert), alerts=-1))
        if incident.evidence and incident.evidence[-1] == _place_of(alert):
            del incident.evidence[-1]

    def repeat(self, id_: str, alert: Row | None) -> None:
        """Count what came again of an incident, while that is open; None: the last that came is none after
        all. How it was raised is kept: what is dismissed is dismissed with it.

        Repeats keep no incident open, or an event that never ends would gather all other alerts of its host:
        those that come when it is closed are in no incident.
        """
        incident = self.open.get(id_)
        if incident is None:
            return
        if alert is None:
            incident.repeats = max(0, incident.repeats - 1)
            return
        at_s = seconds_of(alert.get("time"))
        if at_s is not None and incident.last_s is not None and at_s - incident.last_s > QUIET_S:
            # It is about to close: in which pieces evidence comes makes no difference.
            return
        incident.repeats += 1
        incident.last_repeat = alert.get("time") or incident.last_repeat
        _count(incident, replace(Raised.of(alert), alerts=0))

    def pass_time(self, entity: str, now_s: float) -> list[Row]:
        """Close what an entity, whose evidence has come to the time `now_s`, was quiet about for long
        enough."""
        mine = self._of_entity.get(entity)
        if not mine:
            return []
        quiet = [each for each in mine.values() if each.last_s is not None and now_s - each.last_s > QUIET_S]
        return [self._close(each) for each in quiet]

    def pass_clock(self, now_s: float) -> list[Row]:
        """Close what nothing was heard of for long enough by the clock of this machine, whose time is
        `now_s` (Unix seconds)."""
        lines = []
        # Who was heard from first stands first.
        for incident in list(self.open.values()):
            if incident.heard_s is None or incident.heard_s > now_s:
                # A state from before this was kept, or a clock that was set back: it begins to count now.
                incident.heard_s = now_s
            if now_s - incident.heard_s <= QUIET_S:
                break
            lines.append(self._close(incident))
        return lines

    def close_all(self) -> list[Row]:
        """Close all of them: nothing more will come."""
        return [self._close(incident) for incident in list(self.open.values())]

    def go_on_after(self, highest: int) -> None:
        """Give no id up to this one."""
        self.count = -(-max(highest - self.number + 1, 0) // self.of_watches)

    def share(self, number: int, of_watches: int) -> None:
        """Be the `number`th of so many watches."""
        self.number, self.of_watches = number, of_watches

    def to_dict(self) -> Row:
        """All of it as JSON values."""
        return {"count": self.count, "open": [asdict(incident) for incident in self.open.values()]}

    @classmethod
    def of(cls, plain: Row) -> Self:
        """Those whose `to_dict` gave `plain`. Raises KeyError or TypeError where it is no such thing."""
        found = [Incident(**each) for each in plain["open"]]
        return cls({each.id: each for each in found}, int(plain["count"]))

    def _find(self, entity: str, kinds: list[str], at_s: float | None) -> Incident | None:
        """The open incident that an alert belongs to."""
        mine = self._of_entity.get(entity, {})
        if at_s is not None:
            for incident in islice(reversed(mine.values()), MOST_NEAR):
                if incident.last_s is not None and abs(at_s - incident.last_s) <= CLOSE_S:
                    return incident
        known = (self._of_kind.get((entity, kind)) for kind in kinds)
        return next((mine[found] for found in known if found is not None), None)

    def _note(self, incident: Incident) -> None:
        """Have an incident found, as the one heard from last."""
        mine = self._of_entity.setdefault(incident.entity, {})
        mine.pop(incident.id, None)
        mine[incident.id] = incident
        for kind in incident.kinds:
            self._of_kind[incident.entity, kind] = incident.id

    def _close(self, incident: Incident) -> Row:
        del self.open[incident.id]
        mine = self._of_entity[incident.entity]
        del mine[incident.id]
        if not mine:
            del self._of_entity[incident.entity]
        for kind in incident.kinds:
            if self._of_kind.get((incident.entity, kind)) != incident.id:
                continue
            del self._of_kind[incident.entity, kind]
            for other in islice(reversed(mine.values()), MOST_NEAR):
                if kind in other.kinds:
                    self._of_kind[incident.entity, kind] = other.id
                    break
        return incident.row("closed")


def _add(incident: Incident, alert: Row, kinds: list[str], at_s: float | None) -> None:
    incident.alerts += 1
    ranks = [rank for rank in (incident.p_value, alert.get("p_value")) if rank is not None]
    incident.p_value = min(ranks, default=None)
    if at_s is not None and (incident.last_s is None or at_s >= incident.last_s):
        incident.last, incident.last_s = alert.get("time"), at_s
    incident.kinds = list(dict.fromkeys([*incident.kinds, *kinds]))[:MOST_EVIDENCE]
    _count(incident, Raised.of(alert))
    told: dict[str, Row] = {}
    for reason in sorted([*incident.reasons, *alert.get("reasons", [])], key=_weakness):
        told.setdefault(reason.get("what", reason["says"]), reason)
    incident.reasons = list(told.values())[:MOST_REASONS]
    if len(incident.evidence) < MOST_EVIDENCE:
        incident.evidence.append(_place_of(alert))


def _place_of(alert: Row) -> Row:
    names = ("time", "recording", "file", "line", "step", "offset", "text")
    return {name: alert[name] for name in names if name in alert}


def _count(incident: Incident, raised: Raised) -> None:
    row = asdict(raised)
    for known in incident.raised:
        if all(known[name] == value for name, value in row.items() if name != "alerts"):
            known["alerts"] += raised.alerts
            return
    if raised.alerts >= 0 and len(incident.raised) < MOST_EVIDENCE:
        incident.raised.append(row)


def _kinds(alert: Row) -> list[str]:
    """What an alert is about: each look that raised it, with the kind of step."""
    about = (alert.get("nearest") or {}).get("text", "")
    return [f"{reason['look']}: {about}" for reason in _looks(alert)] or [f"score: {about}"]


def _looks(alert: Row) -> list[Row]:
    """The reasons that a look gave. Those of a detector that was taught by labels tell what its score hangs
    on, and are of no look: each window has others, and alerts are not grouped by them."""
    return [reason for reason in alert.get("reasons", []) if "look" in reason]


def _weakness(reason: Row) -> float:
    """By which the reasons of a detector are put in order, the strongest first."""
    return float(reason["p_value"] if "p_value" in reason else -reason["contribution"])


def seconds_of(text: str | None) -> float | None:
    """A time of RFC 3339 in UTC as Unix seconds. Raises ValueError."""
    if text is None:
        return None
    # Nanoseconds are more than a datetime holds.
    return datetime.fromisoformat(f"{text[:26].rstrip('Z')}Z").timestamp()
