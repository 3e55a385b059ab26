"""Security events as a source of evidence."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe
from vestige.sources.events.options import EventOptions
from vestige.sources.package import PackageSource


class EventSource(PackageSource):
    """The source `events`: see `docs/events.md` for mappings, labels and sessions."""

    name = "events"
    options: type[BaseModel] = EventOptions
    recipes: tuple[Recipe, ...] = (
        Recipe("event", "group", stream="event", promises=("groups_disjoint",), cluster="event"),
    )
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
