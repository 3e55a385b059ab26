"""Small exports that the tests read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vestige.engine import HERE
from vestige.reading.prepare import prepare
from vestige.reading.windows import WindowSet
from vestige.sources.events.options import EventOptions
from vestige.sources.events.reader import EventReader

SECOND = 10**9
START = 1_772_438_400
"""2026-03-02T08:00:00Z, in seconds."""

Row = tuple[float, str, str, str]
"""Seconds after START, machine, event, label."""


def table(rows: list[Row], delimiter: str = ",") -> str:
    """A CSV export."""
    lines = [("timestamp", "machine", "event", "label")]
    lines += [(f"{START + at:.3f}", machine, event, label) for at, machine, event, label in rows]
    return "".join(delimiter.join(cells) + "\n" for cells in lines)


def objects(rows: list[dict[str, Any]]) -> str:
    """JSON lines."""
    return "".join(json.dumps(one) + "\n" for one in rows)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def dataset(
    evidence: Path, out: Path, *, budget: int = 1 << 17, fan_out: int = 64, **options: Any
) -> WindowSet:
    reader = EventReader.of_corpus(EventOptions(**options))
    prepare(reader, evidence, out, engine=HERE, budget=budget, fan_out=fan_out)
    return WindowSet.open(out)


def texts(windows: WindowSet) -> list[list[str]]:
    """The event names of every window; padding is empty."""
    names = windows.table("events")["text"].to_list()
    return [[names[row] for row in window] for window in windows.gather()["event"].tolist()]
