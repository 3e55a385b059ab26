"""Telemetry of virtual machines as a source of evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.windows import WindowSet
from vestige.schema import Schema
from vestige.sources.base import About
from vestige.sources.room import RoomSource
from vestige.sources.telemetry.options import TelemetryOptions


class TelemetrySource(RoomSource):
    """The source `telemetry`: see `docs/telemetry.md` for the store, the channels and the classes."""

    name = "telemetry"
    options: type[BaseModel] = TelemetryOptions
    encoder = "TelemetryEncoder"

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Folder of the episode, second in it, and what that second was like."""
        from vestige.sources.telemetry.encoder import GRID
        from vestige.sources.telemetry.places import places

        step = windows.last_step[rows]
        recording = windows.recordings[windows.recording[rows]]
        second = step - recording["first_step"].to_numpy() + 1
        return places(recording["id"].to_list(), second, windows.streams[GRID][step])

    def about(self, evidence: Path, recording: str, schema: Schema) -> About | None:
        """Host, profile, times and labels of an episode, as far as manifest and labels can be read."""
        from vestige.sources.telemetry.about import about

        return about(evidence, recording, schema)
