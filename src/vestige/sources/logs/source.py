"""System logs as a source of evidence."""

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
from vestige.sources.logs.options import LogOptions
from vestige.windows import WindowSet


def template_of_steps(windows: WindowSet) -> NDArray[np.int64]:
    """Template of every step's message over the whole corpus, `(n_steps,)`; -1 for padding."""
    group = windows.table("messages")["group"].to_numpy().astype(np.int64)
    group[0] = 0
    groups: NDArray[np.int64] = group[windows.streams["message"]] - 1
    return groups


class LogSource:
    """The source `logs`: see `docs/logs.md` for formats, labels and masks."""

    name = "logs"
    options: type[BaseModel] = LogOptions
    groups: Mapping[str, Callable[[WindowSet], NDArray[np.int64]]] = {"template": template_of_steps}

    @property
    def simulation(self) -> type[BaseModel]:
        """Options of the simulator."""
        from vestige.sources.logs.simulate import SimulateOptions

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
        """Read a corpus into a dataset; see `vestige.sources.logs.prepare`."""
        from vestige.sources.logs.prepare import prepare

        prepare(corpus, out, cast("LogOptions", options), jobs=jobs, overwrite=overwrite, progress=progress)
        return WindowSet.open(out)

    def fit_encoder(self, train: WindowSet) -> Encoder:
        """Templates and words of the training messages."""
        from vestige.sources.logs.encoder import LogEncoder

        return LogEncoder.fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> Encoder:
        """The encoder from a checkpoint."""
        from vestige.sources.logs.encoder import LogEncoder

        return LogEncoder.from_dict(state, schema)

    def live(self, evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
        """A window for every message, as it is read."""
        from vestige.sources.logs.live import live

        return live(evidence, schema)

    def probe(self, schema: Schema) -> LiveBatch:
        """The format's example lines as windows."""
        from vestige.sources.logs.live import probe

        return probe(schema)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """File, 1-based line, byte offset, and masked text of each window's last message."""
        step = windows.target_step[rows]
        names = windows.recordings["id"]
        return pl.DataFrame(
            {
                "file": names.gather(windows.recording[rows]),
                "line": windows.streams["line"][step],
                "offset": windows.streams["offset"][step],
                "text": windows.table("messages")["text"].gather(windows.streams["message"][step]),
            }
        )

    def simulate(self, out: Path, options: BaseModel, *, overwrite: bool = False) -> dict[str, Any]:
        """Write a synthetic corpus; see `vestige.sources.logs.simulate`."""
        from vestige.sources.logs.simulate import SimulateOptions, simulate

        return simulate(out, cast("SimulateOptions", options), overwrite=overwrite)
