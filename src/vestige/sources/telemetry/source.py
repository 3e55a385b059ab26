"""Telemetry of virtual machines as a source of evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.encoding import Encoder
from vestige.schema import Schema
from vestige.sources.base import LiveBatch, Progress
from vestige.sources.telemetry.options import TelemetryOptions
from vestige.windows import WindowSet


class TelemetrySource:
    """The source `telemetry`: see `docs/telemetry.md` for the store, the channels and the classes."""

    name = "telemetry"
    options: type[BaseModel] = TelemetryOptions
    groups: Mapping[str, Callable[[WindowSet], NDArray[np.int64]]] = {}

    @property
    def simulation(self) -> type[BaseModel]:
        """Options of the simulator."""
        from vestige.sources.telemetry.simulate.options import SimulateOptions

        return SimulateOptions

    def prepare(
        self,
        corpus: Path,
        out: Path,
        options: BaseModel,
        *,
        jobs: int | None = None,
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> WindowSet:
        """Read a store into a dataset; see `vestige.sources.telemetry.prepare`."""
        from vestige.sources.telemetry.prepare import prepare

        chosen = cast("TelemetryOptions", options)
        prepare(corpus, out, chosen, jobs=jobs, overwrite=overwrite, progress=progress)
        return WindowSet.open(out)

    def fit_encoder(self, train: WindowSet) -> Encoder:  # noqa: ARG002
        """Nothing is fitted: numbers need no vocabulary."""
        from vestige.sources.telemetry.encoder import TelemetryEncoder

        return TelemetryEncoder()

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:
        """The encoder from a checkpoint."""
        from vestige.sources.telemetry.encoder import TelemetryEncoder

        return TelemetryEncoder.from_dict(state, schema)

    def live(self, evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
        """A window for every second of an episode."""
        from vestige.sources.telemetry.live import live

        return live(evidence, schema)

    def probe(self, schema: Schema) -> LiveBatch:
        """A made-up episode as windows."""
        from vestige.sources.telemetry.live import probe

        return probe(schema)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Folder of the episode, second in it, and what that second was like."""
        from vestige.sources.telemetry.encoder import GRID
        from vestige.sources.telemetry.places import places

        step = windows.last_step[rows]
        recording = windows.recordings[windows.recording[rows]]
        second = step - recording["first_step"].to_numpy() + 1
        return places(recording["id"].to_list(), second, windows.streams[GRID][step])

    def simulate(self, out: Path, options: BaseModel, *, overwrite: bool = False) -> dict[str, Any]:
        """Write a synthetic store; see `vestige.sources.telemetry.simulate`."""
        from vestige.sources.telemetry.simulate.options import SimulateOptions
        from vestige.sources.telemetry.simulate.write import simulate

        return simulate(out, cast("SimulateOptions", options), overwrite=overwrite)
