"""Telemetry of virtual machines as a source of evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.steps import RecordingInfo
from vestige.reading.windows import WindowSet
from vestige.schema import Schema
from vestige.sources.base import Source
from vestige.sources.telemetry.options import TelemetryOptions, options_of

if TYPE_CHECKING:
    from vestige.sources.telemetry.encoder import TelemetryEncoder
    from vestige.sources.telemetry.reader import TelemetryReader


class TelemetrySource(Source[TelemetryOptions]):
    """The source `telemetry`: see `docs/telemetry.md` for the store, the channels and the classes."""

    name = "telemetry"
    options = TelemetryOptions

    def corpus_reader(self, corpus: Path, options: TelemetryOptions) -> TelemetryReader:  # noqa: ARG002
        """See `Source.corpus_reader`."""
        from vestige.sources.telemetry.reader import TelemetryReader

        return TelemetryReader.of_corpus(options)

    def reader(self, schema: Schema) -> TelemetryReader:
        """See `Source.reader`."""
        from vestige.sources.telemetry.reader import TelemetryReader

        return TelemetryReader(schema)

    def fit_encoder(self, train: WindowSet) -> TelemetryEncoder:
        """See `Source.fit_encoder`."""
        from vestige.sources.telemetry.encoder import TelemetryEncoder

        return TelemetryEncoder.fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> TelemetryEncoder:
        """See `Source.load_encoder`."""
        from vestige.sources.telemetry.encoder import TelemetryEncoder

        return TelemetryEncoder.from_dict(state, schema)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Folder of the episode, second in it, and what that second was like."""
        from vestige.sources.telemetry.encoder import GRID
        from vestige.sources.telemetry.places import places

        step = windows.target_step[rows]
        recording = windows.recordings[windows.recording[rows]]
        second = (step - recording["first_step"].to_numpy() + 1) * options_of(windows.schema).grid_seconds
        return places(recording["id"].to_list(), second, windows.streams.at(GRID, step))

    def describe(self, evidence: Path, recording: str, schema: Schema) -> RecordingInfo | None:
        """See `DescribesRecordings`: as far as manifest and labels of an episode can be read."""
        from vestige.sources.telemetry.reader import describe

        return describe(evidence, recording, schema)
