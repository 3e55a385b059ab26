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


def _label(one: Event) -> str:
    return "attack" if one.stage else "normal"


def _severity(one: Event) -> int:
    """By the kind of event alone: says nothing about the label."""
    return crc32(one.event.encode()) % 5 + 1


def _cells(one: Event) -> tuple[Any, ...]:
    message = f'{one.role} said "{one.event}", severity {_severity(one)}'
    return _iso(one.t), one.machine, one.role, one.event, _severity(one), message, _label(one)


def as_csv(one: Event) -> str:
    """A row; its message holds commas and quotes, as messages do."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(_cells(one))
    return out.getvalue()


def as_json(one: Event) -> str:
    """The same cells as an object."""
    return _line(dict(zip(COLUMNS, _cells(one), strict=True)))


def as_ecs(one: Event) -> str:
    """Elastic Common Schema: half of the machines' agents send dotted keys, the others nested ones."""
    kind, _, action = one.event.partition(".")
    if crc32(one.machine.encode()) % 2:
        return _line(
            {
                "@timestamp": _iso(one.t), "host.name": one.machine, "event.module": kind,
                "event.code": f"{kind}-{_code(one)}", "event.action": action,
                "event.severity": _severity(one), "labels.label": _label(one),
            }
        )  # fmt: skip
    event = {"module": kind, "code": f"{kind}-{_code(one)}", "action": action, "severity": _severity(one)}
    return _line(
        {
            "@timestamp": _iso(one.t), "host": {"name": one.machine, "type": one.role}, "event": event,
            "labels": {"label": _label(one)},
        }
    )  # fmt: skip


def as_ocsf(one: Event) -> str:
    """Detection findings of the Open Cybersecurity Schema Framework, times in milliseconds."""
    finding = {
        "uid": f"{crc32(repr(one).encode()):08x}", "title": one.event.replace(".", " "),
        "analytic": {"uid": one.event, "type_id": 1},
    }  # fmt: skip
    return _line(
        {
            "time": round(one.t * 1000), "class_uid": 2004, "activity_id": 1, "type_uid": 200401,
            "severity_id": _severity(one), "device": {"hostname": one.machine, "type": one.role},
            "finding_info": finding, "unmapped": {"label": _label(one)},
        }
    )  # fmt: skip


def _code(one: Event) -> int:
    return 1000 + crc32(one.event.encode()) % 9000


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, separators=(",", ":")) + "\n"


FORMATS: dict[str, Callable[[Event], str]] = {
    "csv": as_csv, "jsonl": as_json, "ecs": as_ecs, "ocsf": as_ocsf,
}  # fmt: skip
HEADERS = {"csv": ",".join(COLUMNS) + "\n"}
