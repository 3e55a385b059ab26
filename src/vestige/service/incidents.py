"""Alerts that belong together: what a person is shown is one incident that opens, grows and closes.

Alerts of one entity (a host, else a recording) that the same look raised about the same kind of step, or that
follow one another closely, are one incident.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self

from vestige.service.sinks.lines import whole

QUIET_S = 3_600.0
"""An incident closes when its entity had no alert of it for so long, by the times of the evidence."""
CLOSE_S = 120.0
"""Alerts of one entity within so many seconds belong together, whatever raised them."""
MOST_OPEN = 10_000
"""Incidents that are open at a time; the one that was quiet for longest closes for another."""
MOST_EVIDENCE, MOST_REASONS = 20, 5
"""Places and reasons that an incident keeps: the first places, the rarest reasons."""
STRONG = 0.01
"""A look raised an alert where no more than this share of normal windows is as strange to it, or where none
is stronger: what is weaker is among the reasons by chance now and then, and hardly alerts by itself."""
MOST_TEXT = 2_000
"""Characters of an event by which it is known again."""
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
        reasons = sorted(alert.get("reasons", []), key=lambda reason: reason["p_value"])
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
    raised alike, of the first ways in which they were."""

    id: str
    entity: str
    first: str | None
    last: str | None
    last_s: float | None
    alerts: int = 0
    p_value: float = 1.0
    kinds: list[str] = field(default_factory=list)
    raised: list[Row] = field(default_factory=list)
    reasons: list[Row] = field(default_factory=list)
    evidence: list[Row] = field(default_factory=list)

    def row(self, state: str) -> Row:
        """A line about it; `state` is opened, grew or closed."""
        return {
            "kind": "incident", "id": self.id, "state": state, "host": self.entity, "first": self.first,
            "last": self.last, "alerts": self.alerts, "p_value": self.p_value, "reasons": self.reasons,
            "raised": self.raised, "evidence": self.evidence,
        }  # fmt: skip


@dataclass
class Incidents:
    """The open ones, the one heard from last at the end; `count` were ever opened."""

    open: dict[str, Incident] = field(default_factory=dict)
    count: int = 0

    def take(self, alert: Row) -> list[Row]:
        """Put an alert to its incident, whose id it gets; the lines about incidents that come of it."""
        entity, now = entity_of(alert), seconds_of(alert.get("time"))
        lines = self.pass_over(alert)
        kinds = _kinds(alert)
        incident = self._of(entity, kinds, now)
        opened = incident is None
        if incident is None:
            if len(self.open) >= MOST_OPEN:
                lines.append(self.open.pop(next(iter(self.open))).row("closed"))
            self.count += 1
            incident = Incident(f"{self.count:06d}", entity, alert.get("time"), None, None)
        alert["incident"] = incident.id
        _add(incident, alert, kinds, now)
        # Who was heard from last stands at the end.
        self.open.pop(incident.id, None)
        self.open[incident.id] = incident
        if opened:
            lines.append(incident.row("opened"))
        elif incident.alerts in GROWTH:
            lines.append(incident.row("grew"))
        return lines

    def pass_over(self, alert: Row) -> list[Row]:
        """Close what the entity of an alert has been quiet about for long enough when it comes."""
        entity, now = entity_of(alert), seconds_of(alert.get("time"))
        if now is None:
            return []
        quiet = [
            each.id
            for each in self.open.values()
            if each.entity == entity and each.last_s is not None and now - each.last_s > QUIET_S
        ]
        return [self.open.pop(each).row("closed") for each in quiet]

    def close_all(self) -> list[Row]:
        """Close all of them: nothing more will come."""
        lines = [incident.row("closed") for incident in self.open.values()]
        self.open.clear()
        return lines

    def to_dict(self) -> Row:
        """All of it as JSON values."""
        return {"count": self.count, "open": [asdict(incident) for incident in self.open.values()]}

    @classmethod
    def of(cls, plain: Row) -> Self:
        """Those whose `to_dict` gave `plain`. Raises KeyError or TypeError where it is no such thing."""
        found = [Incident(**each) for each in plain["open"]]
        return cls({each.id: each for each in found}, int(plain["count"]))

    def _of(self, entity: str, kinds: list[str], now: float | None) -> Incident | None:
        """The open incident that an alert belongs to."""
        mine = [each for each in self.open.values() if each.entity == entity]
        for incident in reversed(mine):
            near = now is not None and incident.last_s is not None and abs(now - incident.last_s) <= CLOSE_S
            if near or set(kinds) & set(incident.kinds):
                return incident
        return None


def _add(incident: Incident, alert: Row, kinds: list[str], now: float | None) -> None:
    incident.alerts += 1
    incident.p_value = min(incident.p_value, alert.get("p_value", 1.0))
    if now is not None and (incident.last_s is None or now >= incident.last_s):
        incident.last, incident.last_s = alert.get("time"), now
    incident.kinds = list(dict.fromkeys([*incident.kinds, *kinds]))[:MOST_EVIDENCE]
    _count(incident, Raised.of(alert))
    known = {reason["says"] for reason in incident.reasons}
    incident.reasons += [reason for reason in alert.get("reasons", []) if reason["says"] not in known]
    incident.reasons = sorted(incident.reasons, key=lambda reason: reason["p_value"])[:MOST_REASONS]
    if len(incident.evidence) < MOST_EVIDENCE:
        names = ("time", "recording", "file", "line", "offset", "text")
        incident.evidence.append({name: alert[name] for name in names if name in alert})


def _count(incident: Incident, raised: Raised) -> None:
    for known in incident.raised:
        if all(known[name] == value for name, value in asdict(raised).items() if name != "alerts"):
            known["alerts"] += 1
            return
    if len(incident.raised) < MOST_EVIDENCE:
        incident.raised.append(asdict(raised))


def _kinds(alert: Row) -> list[str]:
    """What an alert is about: each look that raised it, with the kind of step."""
    about = (alert.get("nearest") or {}).get("text", "")
    return [f"{reason['look']}: {about}" for reason in alert.get("reasons", [])] or [f"score: {about}"]


def seconds_of(time: str | None) -> float | None:
    """A time of RFC 3339 in UTC as Unix seconds. Raises ValueError."""
    if time is None:
        return None
    # Nanoseconds are more than a datetime holds.
    return datetime.fromisoformat(f"{time[:26].rstrip('Z')}Z").timestamp()
