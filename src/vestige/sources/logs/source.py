"""System logs as a source of evidence."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.windows import WindowSet
from vestige.recipes import Recipe
from vestige.sources.logs.options import LogOptions
from vestige.sources.package import PackageSource


class LogSource(PackageSource):
    """The source `logs`: see `docs/logs.md` for formats, labels and masks."""

    name = "logs"
    options: type[BaseModel] = LogOptions
    recipes: tuple[Recipe, ...] = (
        Recipe(
            "template", "group", "group", stream="message", table="messages",
            promises=("groups_disjoint",), cluster="template",
        ),
    )  # fmt: skip
    encoder = "LogEncoder"

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
