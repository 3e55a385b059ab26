"""Security events as a source of evidence."""

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
from vestige.sources.events.options import EventOptions
from vestige.windows import WindowSet


def event_of_steps(windows: WindowSet) -> NDArray[np.int64]:
    """Row of every step's event in the table of events, less one, `(n_steps,)`; -1 for padding."""
    events: NDArray[np.int64] = windows.streams["event"].astype(np.int64) - 1
    return events


class EventSource:
    """The source `events`: see `docs/events.md` for mappings, labels and sessions."""

    name = "events"
    options: type[BaseModel] = EventOptions
    groups: Mapping[str, Callable[[WindowSet], NDArray[np.int64]]] = {"event": event_of_steps}

    @property
    def simulation(self) -> type[BaseModel]:
        """Options of the simulator."""
        from vestige.sources.events.simulate.options import SimulateOptions

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
        """Read a corpus into a dataset; see `vestige.sources.events.prepare`."""
        from vestige.sources.events.prepare import prepare

        chosen = cast("EventOptions", options)
        prepare(corpus, out, chosen, jobs=jobs, overwrite=overwrite, progress=progress)
        return WindowSet.open(out)

    def fit_encoder(self, train: WindowSet) -> Encoder:
        """The events that training windows show."""
        from vestige.sources.events.encoder import EventEncoder

        return EventEncoder.fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:
        """The encoder from a checkpoint."""
        from vestige.sources.events.encoder import EventEncoder

        return EventEncoder.from_dict(state, schema)

    def live(self, evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
        """A window for every event, as it is read."""
        from vestige.sources.events.live import live

        return live(evidence, schema)

    def probe(self, schema: Schema) -> LiveBatch:
        """A few records of the mapping's own fields as windows."""
        from vestige.sources.events.live import probe

        return probe(schema)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """File, 1-based line, byte offset, machine, and name of each window's last event."""
        step = windows.target_step[rows]
        streams = windows.streams
        return pl.DataFrame(
            {
                "file": windows.table("files")["file"].gather(streams["file"][step]),
                "line": streams["line"][step],
                "offset": streams["offset"][step],
                "machine": windows.recordings["id"].gather(windows.recording[rows]),
                "text": windows.table("events")["text"].gather(streams["event"][step]),
            }
        )

    def simulate(self, out: Path, options: BaseModel, *, overwrite: bool = False) -> dict[str, Any]:
        """Write a synthetic export; see `vestige.sources.events.simulate`."""
        from vestige.sources.events.simulate.options import SimulateOptions
        from vestige.sources.events.simulate.write import simulate

        return simulate(out, cast("SimulateOptions", options), overwrite=overwrite)
