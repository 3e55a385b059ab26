"""Intel PT traces as a source of evidence."""

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
from vestige.sources.traces.options import TraceOptions
from vestige.windows import WindowSet


class TraceSource:
    """The source `traces`: see `docs/traces.md` for the layout, memory maps and tokens."""

    name = "traces"
    options: type[BaseModel] = TraceOptions
    groups: Mapping[str, Callable[[WindowSet], NDArray[np.int64]]] = {}

    @property
    def simulation(self) -> type[BaseModel]:
        """Options of the simulator."""
        from vestige.sources.traces.simulate.options import SimulateOptions

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
        """Read a corpus into a dataset; see `vestige.sources.traces.prepare`."""
        from vestige.sources.traces.prepare import prepare

        chosen = cast("TraceOptions", options)
        prepare(corpus, out, chosen, jobs=jobs, overwrite=overwrite, progress=progress)
        return WindowSet.open(out)

    def fit_encoder(self, train: WindowSet) -> Encoder:
        """The events that training windows show."""
        from vestige.sources.traces.encoder import TraceEncoder

        return TraceEncoder.fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:
        """The encoder from a checkpoint."""
        from vestige.sources.traces.encoder import TraceEncoder

        return TraceEncoder.from_dict(state, schema)

    def live(self, evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
        """Windows laid as in a dataset, as the traces are read."""
        from vestige.sources.traces.live import live

        return live(evidence, schema)

    def probe(self, schema: Schema) -> LiveBatch:
        """A few packets as windows."""
        from vestige.sources.traces.probe import probe

        return probe(schema)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Run, number of the event in it (from 1), byte of the trace, and what the last event is."""
        step = windows.target_step[rows]
        recording = windows.recording[rows]
        first = windows.recordings["first_step"].to_numpy()[recording]
        padded = windows.recordings["n_steps"].to_numpy() - windows.table("quality")["events"].to_numpy()
        return pl.DataFrame(
            {
                "file": windows.recordings["id"].gather(recording),
                "line": step - first - padded[recording] + 1,
                "offset": windows.streams["offset"][step],
                "text": windows.table("symbols")["text"].gather(windows.streams["symbol"][step]),
            }
        )

    def simulate(self, out: Path, options: BaseModel, *, overwrite: bool = False) -> dict[str, Any]:
        """Write a synthetic corpus; see `vestige.sources.traces.simulate`."""
        from vestige.sources.traces.simulate.options import SimulateOptions
        from vestige.sources.traces.simulate.write import simulate

        return simulate(out, cast("SimulateOptions", options), overwrite=overwrite)
