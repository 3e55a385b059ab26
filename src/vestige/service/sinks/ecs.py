"""Documents of the Elastic Common Schema, one a row."""

from __future__ import annotations

from datetime import UTC, datetime

from vestige import __version__
from vestige.service.sinks.base import Row
from vestige.service.sinks.finding import Finding
from vestige.service.sinks.lines import json_line

VERSION = "8.11.0"
"""Of the schema. Every event needs `@timestamp`, `ecs.version` and, for Elastic Security, `event.kind`,
`event.category` and `event.type`."""


def ecs(row: Row) -> bytes | None:
    """One document. What the schema has no field for is under `vestige`, a name that is ours alone."""
    finding = Finding.of(row)
    if finding is None:
        return None
    event = {
        "kind": "alert",
        "category": ["intrusion_detection"],
        "type": ["info"],
        "action": finding.action,
        "id": finding.id,
        "severity": int(finding.urgency),
        "module": "vestige",
        "dataset": f"vestige.{finding.action.partition('-')[0]}",
    }
    if finding.reasons:
        event["reason"] = "; ".join(finding.reasons)
    if finding.first is not None:
        event["start"] = stamp(finding.first)
    if finding.last is not None:
        event["end"] = stamp(finding.last)
    document: Row = {
        # Where nobody knows when it happened, the schema asks for when it was first seen.
        "@timestamp": stamp(finding.time or datetime.now(UTC)),
        "ecs": {"version": VERSION},
        "message": finding.message,
        "event": event,
        "observer": {"vendor": "vestige", "product": "vestige", "version": __version__},
    }
    if finding.host:
        document["host"] = {"name": finding.host}
    if finding.file:
        document["log"] = {"file": {"path": finding.file}}
    document["vestige"] = finding.extra
    return json_line(document)


def stamp(time: datetime) -> str:
    """RFC 3339 with microseconds, in UTC."""
    return time.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
