"""Security events as a source of evidence."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.windows import WindowSet
from vestige.sources.events.options import EventOptions
from vestige.sources.package import Groups, PackageSource


def event_of_steps(windows: WindowSet) -> NDArray[np.int64]:
    """Row of every step's event in the table of events, less one, `(n_steps,)`; -1 for padding."""
    events: NDArray[np.int64] = windows.streams["event"].astype(np.int64) - 1
    return events


class EventSource(PackageSource):
    """The source `events`: see `docs/events.md` for mappings, labels and sessions."""

    name = "events"
    options: type[BaseModel] = EventOptions
    groups: Groups = MappingProxyType({"event": event_of_steps})
    encoder = "EventEncoder"

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """File, 1-based line, byte offset, machine, and name of each window's last event."""
        step = windows.target_step[rows]
        streams = windows.streams
        return pl.DataFrame(
            {
                "file": windows.table("files")["file"].gather(streams.at("file", step)),
                "line": streams.at("line", step),
                "offset": streams.at("offset", step),
                "machine": windows.recordings["id"].gather(windows.recording[rows]),
                "text": windows.table("events")["text"].gather(streams.at("event", step)),
            }
        )
