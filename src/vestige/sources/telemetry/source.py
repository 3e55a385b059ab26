"""Telemetry of virtual machines as a source of evidence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.windows import WindowSet
from vestige.schema import Schema
from vestige.sources.base import RecordingInfo
from vestige.sources.package import PackageSource
from vestige.sources.telemetry.options import TelemetryOptions


class TelemetrySource(PackageSource):
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
        return places(recording["id"].to_list(), second, windows.streams.at(GRID, step))

    def describe_recording(self, evidence: Path, recording: str, schema: Schema) -> RecordingInfo | None:
        """Host, profile, times and labels of an episode, as far as manifest and labels can be read."""
        from vestige.sources.telemetry.recording_info import describe_recording

        return describe_recording(evidence, recording, schema)
