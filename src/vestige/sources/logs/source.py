"""System logs as a source of evidence."""

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
from vestige.sources.logs.options import LogOptions

if TYPE_CHECKING:
    from vestige.sources.logs.encoder import LogEncoder
    from vestige.sources.logs.reader import LogReader


class LogSource(Source[LogOptions]):
    """The source `logs`: see `docs/logs.md` for formats, labels and masks."""

    name = "logs"
    options = LogOptions
    form_option = "format"
    recipes: tuple[Recipe, ...] = (
        Recipe(
            "template", "group", "group", stream="message", table="messages",
            promises=("groups_disjoint",), cluster="template",
        ),
    )  # fmt: skip

    def corpus_reader(self, corpus: Path, options: LogOptions) -> LogReader:
        """See `Source.corpus_reader`."""
        from vestige.sources.logs.reader import LogReader

        return LogReader.of_corpus(corpus, options)

    def without_labels(self, options: LogOptions) -> LogOptions:
        """See `Source.without_labels`."""
        return options.model_copy(update={"label": "none"})

    def reader(self, schema: Schema) -> LogReader:
        """See `Source.reader`."""
        from vestige.sources.logs.reader import LogReader

        return LogReader(schema)

    def form_text(self, form: dict[str, Any], about: str) -> str:
        """See `Source.form_text`: a format."""
        from vestige.sources.logs.format import FORMATS, editable

        return FORMATS.text(editable(form), about=about)

    def fit_encoder(self, train: WindowSet) -> LogEncoder:
        """See `Source.fit_encoder`."""
        from vestige.sources.logs.encoder import LogEncoder

        return LogEncoder.fit(train)

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> LogEncoder:
        """See `Source.load_encoder`."""
        from vestige.sources.logs.encoder import LogEncoder

        return LogEncoder.from_dict(state, schema)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """File, 1-based line, byte offset, and masked text of the message that each window judges."""
        step = windows.target_step[rows]
        names = windows.recordings["id"]
        return pl.DataFrame(
            {
                "file": names.gather(windows.recording[rows]),
                "line": windows.streams.at("line", step),
                "offset": windows.streams.at("offset", step),
                "text": windows.table("messages")["text"].gather(windows.streams.at("message", step)),
            }
        )
