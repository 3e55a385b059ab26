"""System logs as a source of evidence."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.windows import WindowSet
from vestige.sources.logs.options import LogOptions
from vestige.sources.package import Groups, PackageSource


def template_of_steps(windows: WindowSet) -> NDArray[np.int64]:
    """Template of every step's message over the whole corpus, `(n_steps,)`; -1 for padding."""
    group = windows.table("messages")["group"].to_numpy().astype(np.int64)
    group[0] = 0
    groups: NDArray[np.int64] = group[windows.streams["message"]] - 1
    return groups


class LogSource(PackageSource):
    """The source `logs`: see `docs/logs.md` for formats, labels and masks."""

    name = "logs"
    options: type[BaseModel] = LogOptions
    groups: Groups = MappingProxyType({"template": template_of_steps})
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
