"""Intel PT traces as a source of evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.windows import WindowSet
from vestige.schema import Schema
from vestige.sources.base import Source
from vestige.sources.traces.options import TraceOptions

if TYPE_CHECKING:
    from vestige.sources.traces.encoder import TraceEncoder
    from vestige.sources.traces.reader import TraceReader


class TraceSource(Source[TraceOptions]):
    """The source `traces`: see `docs/traces.md` for the layout, memory maps and tokens."""

    name = "traces"
    options = TraceOptions

    def corpus_reader(self, corpus: Path, options: TraceOptions) -> TraceReader:  # noqa: ARG002
        """See `Source.corpus_reader`."""
        from vestige.sources.traces.reader import TraceReader

        return TraceReader.of_corpus(options)

    def reader(self, schema: Schema) -> TraceReader:
        """See `Source.reader`."""
        from vestige.sources.traces.reader import TraceReader

        return TraceReader(schema)

    def fit_encoder(self, train: WindowSet) -> TraceEncoder:
        """See `Source.fit_encoder`."""
        from vestige.sources.traces.encoder import TraceEncoder

        return TraceEncoder.fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> TraceEncoder:
        """See `Source.load_encoder`."""
        from vestige.sources.traces.encoder import TraceEncoder

        return TraceEncoder.from_dict(state, schema)

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
