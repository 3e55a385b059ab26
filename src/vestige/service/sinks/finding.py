"""What the formats of other systems need of a row, read from it once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import Any

from vestige.service.sinks.base import Row
from vestige.service.sinks.lines import json_line

JUDGED = frozenset(
    {
        "text",
        "event",
        "score",
        "p_value",
        "alert",
        "reasons",
        "expected",
        "nearest",
        "smallest",
        "incident",
        "dismissed",
        "corrects",
    }
)
"""What a row says of a step beyond where it lies: a correction has the same step, and so the same id."""
OWN_FIELD = frozenset({"time", "host", "file", "text", "kind", "corrects"})
"""What all formats have a field of their own for."""


class Urgency(IntEnum):
    """How soon somebody should look, from 0 to 10, by the kind of a row alone: how rare a step is says
    nothing about how bad it is."""

    TOLD = 1
    NOTICE = 3
    ALERT = 5
    INCIDENT = 7


URGENCIES = {
    "alert": Urgency.ALERT,
    "alert-corrected": Urgency.ALERT,
    "alert-withdrawn": Urgency.TOLD,
    "incident-opened": Urgency.INCIDENT,
    "incident-grew": Urgency.INCIDENT,
    "incident-closed": Urgency.TOLD,
}
"""Every other kind of row is a notice."""


@dataclass(frozen=True)
class Finding:
    """An alert, a line about an incident, or a notice.

    `action` is what happened (`alert`, `incident-opened`, `drift`), `id` the same for the same step or
    incident whenever it is written; times are in UTC, None where nobody knows them; `extra` is what of the
    row has no field here. Texts are as the evidence has them.
    """

    action: str
    id: str
    incident: str | None
    time: datetime | None
    first: datetime | None
    last: datetime | None
    host: str
    file: str
    text: str
    reasons: tuple[str, ...]
    count: int
    extra: Row

    @classmethod
    def of(cls, row: Row) -> Finding | None:
        """None for a step that is no alert, and that takes none back."""
        action = _action(row)
        if action is None:
            return None
        first, last = _time(row.get("first")), _time(row.get("last"))
        incident = _text(row.get("incident")) or None
        found = _id(row)
        if row.get("kind") == "incident":
            incident = found
        return cls(
            action=action,
            id=found,
            incident=incident,
            time=_time(row.get("time")) or last or first,
            first=first,
            last=last,
            host=_text(row.get("host")),
            file=_text(row.get("file")),
            text=_text(row.get("text")),
            reasons=_reasons(row.get("reasons")),
            count=_count(row.get("alerts")),
            extra={name: value for name, value in row.items() if name not in OWN_FIELD},
        )

    @property
    def urgency(self) -> Urgency:
        """By the kind of the row."""
        return URGENCIES.get(self.action, Urgency.NOTICE)

    @property
    def title(self) -> str:
        """A few words on what happened, without the message itself."""
        where = f" on {self.host}" if self.host else ""
        if self.action.startswith("incident-"):
            alerts = "1 alert" if self.count == 1 else f"{self.count:,} alerts"
            return f"Incident {self.id} {self.action.removeprefix('incident-')}{where}: {alerts}"
        if self.action.startswith("alert"):
            says = {"alert": "Unusual", "alert-corrected": "Still unusual"}.get(
                self.action, "No longer unusual"
            )
            return f"{says}{where}"
        return f"{self.action.capitalize()}{where}"

    @property
    def message(self) -> str:
        """The message itself, else the reasons, else the title."""
        return self.text or "; ".join(self.reasons) or self.title


def _action(row: Row) -> str | None:
    kind = row.get("kind")
    if kind == "incident":
        return f"incident-{_text(row.get('state')) or 'told'}"
    if kind and kind != "alert":
        return _text(kind)
    if row.get("corrects"):
        return "alert-corrected" if row.get("alert") else "alert-withdrawn"
    return "alert" if row.get("alert", True) else None


def _id(row: Row) -> str:
    """An incident's own id; else a digest of where a step lies, or of all of a notice."""
    if row.get("kind") == "incident":
        return _text(row.get("id")) or "unknown"
    identity = row
    if not row.get("kind"):
        identity = {name: value for name, value in row.items() if name not in JUDGED}
    return hashlib.sha256(json_line(identity)).hexdigest()[:32]


def _time(value: Any) -> datetime | None:
    """A time of RFC 3339, to the microsecond; None for anything else."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        if time.tzinfo is None:
            time = time.replace(tzinfo=UTC)
        return time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _reasons(value: Any) -> tuple[str, ...]:
    """What reasons say; each is a sentence, or an object that has one."""
    if not isinstance(value, list | tuple):
        return ()
    return tuple(map(_reason, value))


def _reason(reason: Any) -> str:
    if not isinstance(reason, dict):
        return _text(reason)
    if "says" in reason:
        return _text(reason["says"])
    return f"{_text(reason.get('what'))} ({_text(reason.get('contribution'))})"


def _count(value: Any) -> int:
    """How many alerts: a number, or a list of them."""
    if isinstance(value, list | tuple):
        return len(value)
    return value if isinstance(value, int) else 1
