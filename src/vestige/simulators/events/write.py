"""From options to a directory with one file a day, as a SIEM rotates its exports."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, cast

from vestige.evidence.files import MARKER
from vestige.simulators.events.options import SimulateOptions
from vestige.simulators.events.render import ENDINGS, FORMATS, HEADERS
from vestige.simulators.events.timeline import Event, received
from vestige.storage import atomic_directory

ABOUT = (
    "SYNTHETIC. Written by `vestige simulate events` with the options below: no machine ever reported any of "
    "this. Machines, detectors and campaigns are invented; results on this export say that the program "
    "works, not how well it finds attacks. Equal options give equal files."
)


def simulate(out: Path, options: SimulateOptions, *, overwrite: bool = False) -> dict[str, Any]:
    """Write an export to `out`; returns (and leaves in `MARKER`) what was planted.

    Raises OutputError when `out` holds something else, or cannot be written.
    """
    count = _Count()
    with atomic_directory(out, marker=MARKER, overwrite=overwrite) as root:
        for day, events in groupby(received(options), key=_day):
            name = f"events-{day}.{ENDINGS[options.format]}" + (".gz" if options.compress == "all" else "")
            _write(root / name, (event for _, event in events), options.format, count)
        planted = count.summary()
        report = {"about": ABOUT, "options": options.model_dump(), "planted": planted}
        (root / MARKER).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return planted


def _day(event: tuple[float, Event]) -> str:
    return datetime.fromtimestamp(event[0], UTC).date().isoformat()


def _write(path: Path, events: Iterator[Event], format_name: str, count: _Count) -> None:
    render = FORMATS[format_name]
    with _open(path) as file:
        file.write(HEADERS.get(format_name, "").encode())
        for event in events:
            count.add(path.name, event)
            file.write(render(event).encode())


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """A file to write bytes to; a compressed one without name and time, so that equal content is equal."""
    with path.open("wb") as raw:
        if path.suffix != ".gz":
            yield raw
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=5, mtime=0) as packed:
            yield cast("BinaryIO", packed)


class _Count:
    """What was written so far."""

    def __init__(self) -> None:
        self._files: Counter[str] = Counter()
        self._stages: Counter[str] = Counter()
        self._machines: Counter[str] = Counter()
        self._attacked: Counter[str] = Counter()
        self._kinds: set[str] = set()
        self._campaigns: set[int] = set()

    def add(self, file: str, event: Event) -> None:
        self._files[file] += 1
        self._machines[event.machine] += 1
        self._kinds.add(event.event)
        if event.stage:
            self._stages[event.stage] += 1
            self._attacked[event.machine] += 1
            self._campaigns.add(event.campaign)

    def summary(self) -> dict[str, Any]:
        return {
            "events": self._files.total(),
            "anomalies": self._stages.total(),
            "campaigns": len(self._campaigns),
            "event_types": len(self._kinds),
            "by_stage": dict(sorted(self._stages.items())),
            "by_machine": {
                name: {"events": n, "anomalies": self._attacked[name]}
                for name, n in sorted(self._machines.items())
            },
            "files": dict(self._files),
        }
