"""Messages of ArcSight's Common Event Format (version 0), behind a header of RFC 3164."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from vestige import __version__
from vestige.service.sinks.base import Row
from vestige.service.sinks.finding import Finding
from vestige.service.sinks.lines import short
from vestige.service.sinks.ocsf import milliseconds
from vestige.service.sinks.rfc5424 import name, priority

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
LONG, SHORT = 983, 60
"""Characters of long values (1,023 in the dictionary of CEF, with the note of what was left out) and of short
ones."""


def cef(row: Row) -> bytes | None:
    """One message, on one line."""
    finding = Finding.of(row)
    if finding is None:
        return None
    time = finding.time or datetime.now(UTC)
    when = f"{MONTHS[time.month - 1]} {time.day:2d} {time:%H:%M:%S}"
    head = "|".join(
        header(field, most)
        for field, most in (
            ("vestige", SHORT),
            ("vestige", SHORT),
            (__version__, SHORT),
            (finding.action, SHORT),
            (finding.title, 400),
            (str(int(finding.urgency)), SHORT),
        )
    )
    body = " ".join(f"{key}={extension(value)}" for key, value in _values(finding))
    line = f"<{priority(finding)}>{when} {name(socket.gethostname(), 255)} CEF:0|{head}|{body}"
    return line.encode()


def header(value: str, most: int) -> str:
    """A field between bars."""
    return short(value, most).replace("\\", "\\\\").replace("|", "\\|")


def extension(value: str) -> str:
    """A value behind its key."""
    return value.replace("\\", "\\\\").replace("=", "\\=")


def _values(finding: Finding) -> Iterator[tuple[str, str]]:
    def told(key: str, value: Any, most: int = LONG, label: str = "") -> Iterator[tuple[str, str]]:
        if value is None or value == "":
            return
        yield key, short(str(value), most)
        if label:
            yield f"{key}Label", label

    extra = finding.extra
    if finding.time is not None:
        yield "rt", str(milliseconds(finding.time))
    if finding.first is not None:
        yield "start", str(milliseconds(finding.first))
    if finding.last is not None:
        yield "end", str(milliseconds(finding.last))
    yield from told("externalId", finding.id, 40)
    yield from told("dhost", finding.host)
    yield from told("filePath", finding.file)
    yield from told("cnt", finding.count)
    yield from told("reason", "; ".join(finding.reasons))
    yield from told("cs1", finding.incident, label="incident")
    yield from told("cs2", extra.get("recording"), label="recording")
    yield from told("cn1", extra.get("line"), label="line")
    yield from told("cn2", extra.get("offset"), label="offset")
    yield from told("cfp1", extra.get("p_value"), label="p-value")
    yield from told("cfp2", extra.get("score"), label="score")
    yield from told("msg", finding.text)
