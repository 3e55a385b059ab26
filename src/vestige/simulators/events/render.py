"""Events as records of the formats that SIEMs export."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from vestige.simulators.events.timeline import Event

COLUMNS = ("timestamp", "machine", "role", "event", "severity", "message", "label")
ENDINGS = {"csv": "csv", "jsonl": "jsonl", "ecs": "ndjson", "ocsf": "jsonl"}


def _iso(t: float) -> str:
    return f"{datetime.fromtimestamp(round(t, 3), UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def _label(entry: Event) -> str:
    return "attack" if entry.stage else "normal"


def _severity(entry: Event) -> int:
    """By the kind of event alone: says nothing about the label."""
    return crc32(entry.event.encode()) % 5 + 1


def _cells(entry: Event) -> tuple[Any, ...]:
    message = f'{entry.role} said "{entry.event}", severity {_severity(entry)}'
    return _iso(entry.t), entry.machine, entry.role, entry.event, _severity(entry), message, _label(entry)


def as_csv(entry: Event) -> str:
    """A row; its message holds commas and quotes, as messages do."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(_cells(entry))
    return out.getvalue()


def as_json(entry: Event) -> str:
    """The same cells as an object."""
    return _line(dict(zip(COLUMNS, _cells(entry), strict=True)))


def as_ecs(entry: Event) -> str:
    """Elastic Common Schema: half of the machines' agents send dotted keys, the others nested ones."""
    kind, _, action = entry.event.partition(".")
    if crc32(entry.machine.encode()) % 2:
        return _line(
            {
                "@timestamp": _iso(entry.t), "host.name": entry.machine, "event.module": kind,
                "event.code": f"{kind}-{_code(entry)}", "event.action": action,
                "event.severity": _severity(entry), "labels.label": _label(entry),
            }
        )  # fmt: skip
    event = {"module": kind, "code": f"{kind}-{_code(entry)}", "action": action, "severity": _severity(entry)}
    return _line(
        {
            "@timestamp": _iso(entry.t), "host": {"name": entry.machine, "type": entry.role}, "event": event,
            "labels": {"label": _label(entry)},
        }
    )  # fmt: skip


def as_ocsf(entry: Event) -> str:
    """Detection findings of the Open Cybersecurity Schema Framework, times in milliseconds."""
    finding = {
        "uid": f"{crc32(repr(entry).encode()):08x}", "title": entry.event.replace(".", " "),
        "analytic": {"uid": entry.event, "type_id": 1},
    }  # fmt: skip
    return _line(
        {
            "time": round(entry.t * 1000), "class_uid": 2004, "activity_id": 1, "type_uid": 200401,
            "severity_id": _severity(entry), "device": {"hostname": entry.machine, "type": entry.role},
            "finding_info": finding, "unmapped": {"label": _label(entry)},
        }
    )  # fmt: skip


def _code(entry: Event) -> int:
    return 1000 + crc32(entry.event.encode()) % 9000


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"


FORMATS: dict[str, Callable[[Event], str]] = {
    "csv": as_csv, "jsonl": as_json, "ecs": as_ecs, "ocsf": as_ocsf,
}  # fmt: skip
HEADERS = {"csv": ",".join(COLUMNS) + "\n"}
