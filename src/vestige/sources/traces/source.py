"""Intel PT traces as a source of evidence."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.windows import WindowSet
from vestige.schema import Schema
from vestige.sources.base import LiveBatch
from vestige.sources.package import PackageSource
from vestige.sources.traces.options import TraceOptions


class TraceSource(PackageSource):
    """The source `traces`: see `docs/traces.md` for the layout, memory maps and tokens."""

    name = "traces"
    options: type[BaseModel] = TraceOptions
    encoder = "TraceEncoder"

    def probe(self, schema: Schema) -> LiveBatch:
        """A few packets as windows."""
        from vestige.sources.traces.probe import probe

        return probe(schema)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Recording, number of the event in it (from 1), byte of the trace, and what the last event is."""
        step = windows.target_step[rows]
        recording = windows.recording[rows]
        first = windows.recordings["first_step"].to_numpy()[recording]
        padded = windows.recordings["n_steps"].to_numpy() - windows.table("quality")["events"].to_numpy()
        return pl.DataFrame(
            {
                "file": windows.recordings["id"].gather(recording),
                "event": step - first - padded[recording] + 1,
                "offset": windows.streams.at("offset", step),
                "text": windows.table("symbols")["text"].gather(windows.streams.at("symbol", step)),
            }
        )
