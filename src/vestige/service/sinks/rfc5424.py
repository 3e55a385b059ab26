"""Syslog messages of RFC 5424 with structured data."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

from vestige import __version__
from vestige.service.sinks.base import Row
from vestige.service.sinks.ecs import stamp
from vestige.service.sinks.finding import Finding, Urgency
from vestige.service.sinks.lines import short

FACILITY = 16
"""local0."""
SEVERITIES = {Urgency.TOLD: 6, Urgency.NOTICE: 5, Urgency.ALERT: 4, Urgency.INCIDENT: 3}
"""Informational, notice, warning, error."""
SD_ID = "vestige@32473"
"""32473 is the enterprise number that RFC 5612 keeps for examples; there is none of our own."""
BOM = "\ufeff"
TEXT, VALUE, REASONS = 600, 255, 2
"""Characters of the message and of a value, and how many reasons are told: most messages then stay within the
2,048 octets that every receiver should take (section 6.1)."""
NAMED = ("recording", "line", "offset", "event", "score", "p_value", "look")


def priority(finding: Finding) -> int:
    """The number in angle brackets (section 6.2.1)."""
    return FACILITY * 8 + SEVERITIES[finding.urgency]


def syslog(row: Row) -> bytes | None:
    """One message. Its time is that of the evidence, its host this machine: the host that the evidence is of
    stands in the structured data."""
    finding = Finding.of(row)
    if finding is None:
        return None
    time = "-" if finding.time is None else stamp(finding.time)
    header = f"<{priority(finding)}>1 {time} {name(socket.gethostname(), 255)} vestige {os.getpid()}"
    values = " ".join(f'{key}="{escaped(value)}"' for key, value in _values(finding))
    data = f'[{SD_ID} {values}][origin software="vestige" swVersion="{__version__}"]'
    text = finding.title
    if finding.message != finding.title:
        text = f"{finding.title}: {finding.message}"
    text = short(text, TEXT)
    if not text.isascii():
        # MSG-UTF8 of section 6.4.
        text = BOM + text
    return f"{header} {name(finding.action, 32)} {data} {text}".encode()


def name(text: str, most: int) -> str:
    """Printable ASCII without spaces, as the header needs it; `-` where there is none."""
    return "".join(each if "!" <= each <= "~" else "_" for each in text)[:most] or "-"


def escaped(value: str) -> str:
    """A value of structured data (section 6.3.3)."""
    return short(value, VALUE).replace("\\", "\\\\").replace('"', '\\"').replace("]", "\\]")


def _values(finding: Finding) -> Iterator[tuple[str, str]]:
    yield "id", finding.id
    for key, value in (("incident", finding.incident), ("host", finding.host), ("file", finding.file)):
        if value:
            yield key, value
    for key in NAMED:
        if finding.extra.get(key) is not None:
            yield key, str(finding.extra[key])
    if finding.action.startswith("incident-"):
        yield "alerts", str(finding.count)
    for reason in finding.reasons[:REASONS]:
        # A name may come several times.
        yield "reason", reason
