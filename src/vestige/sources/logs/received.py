"""Messages that came over a network, as lines of an inbox: files of which the reader knows how to read them.

A file of an inbox is `HOST/NAME.FORM.log`; how it is read is its form, and no guess from what a sender wrote
first. Each line is a message, whatever it holds: what would begin another line is spelt out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from vestige.sources.logs.escapes import without_escapes
from vestige.sources.logs.format import Format, load
from vestige.sources.logs.guess_records import guess_records
from vestige.sources.logs.records import load as load_record
from vestige.sources.logs.records import records_of, severity, text_of, value_at

LONGEST = 65_536
"""Bytes of a line; a longer message is cut."""
LONGEST_NAME = 256
"""Characters of a host or a program."""
MOST_RECORDS = 100_000
"""Records of one request."""
SYSLOG = ("rfc5424", "rsyslog", "rfc3164")
RECORDS = "records"
USER_NOTICE = "<13>"
"""The priority of a message that has none (RFC 3164, section 4.3.3)."""
HIGHEST_PRIORITY = 191
EXAMPLE = (
    '{"time": "1700000000000000000", "severity": "INFO", "host": "web", "service": "shop", "body": "up"}'
)

_PRIORITY = re.compile(r"<(\d{1,3})>", re.ASCII)
_UNTIMED = re.compile(r"((?:\d{1,6} )?<\d{1,3}>1) - ", re.ASCII)
_SPELT = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != ord("\t")} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


@dataclass(frozen=True)
class Line:
    """A message: its form, the machine that it says it is of, and its line, without a line end. `cut`: it was
    longer than a line may be."""

    form: str
    host: str
    data: bytes
    cut: bool = False


class TooManyError(ValueError):
    """A request holds more than is taken at a time."""


@cache
def forms() -> dict[str, Format]:
    """How files of each form are read."""
    guessed = guess_records([EXAMPLE])
    if guessed is None:
        raise ValueError("the example of a record is none")
    return {**{name: load(name) for name in SYSLOG}, RECORDS: guessed.format}


def form_of(path: Path) -> str | None:
    """The form of a file of an inbox, as its name says; None where it is no such file."""
    parts = path.name.split(".")
    if len(parts) < 3 or parts[1] not in forms():
        return None
    return parts[1]


def syslog_line(data: bytes, sender: str, now: datetime) -> Line | None:
    """A message of syslog as it is, where it has the header of RFC 5424, RFC 3164 or of rsyslog; else behind
    a header with the time of its receipt and the address of its sender. None for an empty one."""
    cut = len(data) > LONGEST
    text = data[:LONGEST].decode("utf-8", errors="replace").replace("\ufeff", "")
    text = without_escapes(text.rstrip("\r\n\0 ")).translate(_SPELT)
    if not text.strip():
        return None
    moment = now.isoformat(timespec="microseconds")
    text = _UNTIMED.sub(rf"\1 {moment} ", text, count=1) if _UNTIMED.match(text) else text
    for form in SYSLOG:
        chosen = forms()[form]
        found = chosen.compiled().match(text)
        if found is not None:
            host = found[chosen.host or ""]
            break
    else:
        form, host = "rsyslog", sender
        priority, rest = USER_NOTICE, text
        found = _PRIORITY.match(text)
        if found is not None and int(found[1]) <= HIGHEST_PRIORITY:
            priority, rest = found[0], text[found.end() :]
        text = f"{priority}{moment} {sender} {rest}"
    if host == "-":
        host = sender
    line = text.encode("utf-8", errors="replace")
    if len(line) > LONGEST:
        cut, line = True, line[:LONGEST].decode("utf-8", errors="ignore").encode()
    return Line(form, host, line, cut)


def otlp_json(data: bytes) -> dict[str, Any]:
    """An ExportLogsServiceRequest in JSON. Raises ValueError for anything else."""
    found = load_record(data.decode("utf-8"))
    if found is None or not isinstance(found.get("resourceLogs", []), list):
        raise ValueError("no ExportLogsServiceRequest in JSON")
    return {"resourceLogs": found.get("resourceLogs", [])}


def record_lines(request: dict[str, Any], sender: str, now: datetime) -> Iterator[Line]:
    """The log records of an ExportLogsServiceRequest (as its JSON has them), each as a JSON object. Raises
    TooManyError, ValueError for what is no such request."""
    now_ns = str(int(now.timestamp() * 10**6) * 1000)
    for number, record in enumerate(records_of(request, most=MOST_RECORDS + 1)):
        if number == MOST_RECORDS:
            raise TooManyError(f"more than {MOST_RECORDS:,} log records")
        times = (str(record.get(name, "0")) for name in ("timeUnixNano", "observedTimeUnixNano"))
        moment = next((time for time in times if time.isdecimal() and int(time[:20])), now_ns)
        level = text_of(record.get("severityText")) or severity(record.get("severityNumber"))
        host = text_of(value_at(record, "resource.host.name"))[:LONGEST_NAME] or sender
        said = {
            "time": moment[:20],
            "severity": level[:LONGEST_NAME],
            "host": host,
            "service": text_of(value_at(record, "resource.service.name"))[:LONGEST_NAME],
        }
        body = text_of(record.get("body"))
        # Spelt as JSON, a character has at most twelve bytes.
        for most in (LONGEST, LONGEST - 4_096, (LONGEST - 4_096) // 12):
            line = json.dumps({**said, "body": body[:most]}).encode("ascii")
            if len(line) <= LONGEST:
                break
        yield Line(RECORDS, host, line, cut=len(body) > most)
