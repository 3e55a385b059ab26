"""A line for a person about each alert and incident, and counts."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from vestige.service.sinks.base import Row, Sink, Standing
from vestige.service.sinks.ecs import stamp
from vestige.service.sinks.finding import Finding
from vestige.service.sinks.lines import short

COUNTS_S = 60.0
"""How often counts are told, where they have changed."""
TEXT = 200
"""Characters of a message or a reason."""


class Terminal(Sink):
    """Lines on standard output; its position is what it has counted."""

    def __init__(self, spec: str, *, counts_s: float = COUNTS_S) -> None:
        self.spec = spec
        self._counts_s = counts_s
        self._counts = {"alerts": 0, "incidents": 0, "open": 0}
        self._shown, self._shown_at = dict(self._counts), time.monotonic()
        self._standing: Standing | None = None

    def write(self, rows: Sequence[Row]) -> None:
        """A line for each alert, incident and notice."""
        findings = [finding for finding in map(Finding.of, rows) if finding is not None]
        for finding in findings:
            self._count(finding)
        self._print([line(finding) for finding in findings])

    def stand(self, standing: Standing) -> None:
        """Keep it for the next counts."""
        self._standing = standing

    def flush(self) -> None:
        """Tell the counts, now and then."""
        if self._counts != self._shown and time.monotonic() - self._shown_at >= self._counts_s:
            self._print([self._sum()])

    def position(self) -> Any:
        """What was counted."""
        return dict(self._counts)

    def restore(self, position: Any) -> None:
        """Go on counting."""
        if isinstance(position, dict):
            self._counts = {name: int(position.get(name, 0)) for name in self._counts}
            self._shown = dict(self._counts)

    def close(self) -> None:
        """Tell the counts, also where nothing came of what was promised."""
        if self._standing is not None or self._counts != self._shown:
            self._print([self._sum()])

    def _count(self, finding: Finding) -> None:
        if finding.action == "alert":
            self._counts["alerts"] += 1
        elif finding.action == "incident-opened":
            self._counts["incidents"] += 1
            self._counts["open"] += 1
        elif finding.action == "incident-closed":
            self._counts["open"] -= 1

    def _sum(self) -> str:
        self._shown, self._shown_at = dict(self._counts), time.monotonic()
        counts = self._counts
        alerts = f"{counts['alerts']:,}" if self._standing is None else str(self._standing)
        return f"so far: alerts: {alerts}; incidents: {counts['incidents']:,}, open: {counts['open']:,}"

    def _print(self, lines: list[str]) -> None:
        text = "".join(f"{each}\n" for each in lines)
        sys.stdout.flush()
        # Not every terminal has every character.
        sys.stdout.buffer.write(text.encode(sys.stdout.encoding, "backslashreplace"))
        sys.stdout.buffer.flush()


def line(finding: Finding) -> str:
    """When, what, the message and the strongest reason."""
    when = "no time" if finding.time is None else stamp(finding.time)
    parts = [when, short(finding.title, TEXT)]
    if finding.text:
        parts.append(short(finding.text, TEXT))
    if finding.reasons:
        parts.append(short(finding.reasons[0], TEXT))
    return " | ".join(parts)
