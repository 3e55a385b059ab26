"""Security events as a source of evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe
from vestige.schema import Schema
from vestige.sources.base import Source
from vestige.sources.events.options import EventOptions

if TYPE_CHECKING:
    from vestige.sources.events.encoder import EventEncoder
    from vestige.sources.events.reader import EventReader


class EventSource(Source[EventOptions]):
    """The source `events`: see `docs/events.md` for mappings, labels and sessions."""

    name = "events"
    options = EventOptions
    form_option = "mapping"
    recipes: tuple[Recipe, ...] = (
        Recipe("event", "group", stream="event", promises=("groups_disjoint",), cluster="event"),
    )

    def corpus_reader(self, corpus: Path, options: EventOptions) -> EventReader:  # noqa: ARG002
        """See `Source.corpus_reader`."""
        from vestige.sources.events.reader import EventReader

        return EventReader.of_corpus(options)

    def reader(self, schema: Schema) -> EventReader:
        """See `Source.reader`."""
        from vestige.sources.events.reader import EventReader

        return EventReader(schema)

    def form_text(self, form: dict[str, Any], about: str) -> str:
        """See `Source.form_text`: a mapping."""
        from vestige.sources.events.mapping import MAPPINGS, Mapping

        return MAPPINGS.text(Mapping.model_validate(form), about=about)

    def fit_encoder(self, train: WindowSet) -> EventEncoder:
        """See `Source.fit_encoder`."""
        from vestige.sources.events.encoder import EventEncoder

        return EventEncoder.fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> EventEncoder:
        """See `Source.load_encoder`."""
        from vestige.sources.events.encoder import EventEncoder

        return EventEncoder.from_dict(state, schema)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """File, 1-based line, byte offset, machine, and name of each window's last event."""
        step = windows.target_step[rows]
        return pl.DataFrame(
            {
                "file": windows.table("files")["file"].gather(windows.streams.at("file", step)),
                "line": windows.streams.at("line", step),
                "offset": windows.streams.at("offset", step),
                "machine": windows.recordings["id"].gather(windows.recording[rows]),
                "text": windows.table("events")["text"].gather(windows.streams.at("event", step)),
            }
        )
