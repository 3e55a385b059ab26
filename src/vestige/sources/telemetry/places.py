"""Where a window ends, and what its last second was like, for a person to read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.sources.telemetry.channels import CHANNELS, columns
from vestige.sources.telemetry.fields import COLLECTORS

SAID = {
    "guest.system.cpu.time.user": "user",
    "guest.system.cpu.time.system": "system",
    "guest.system.disk.io.write": "written",
    "guest.system.network.io.transmit": "sent",
    "guest.system.process.created": "processes",
    "netflow.conn_count": "connections",
    "netflow.uniq_resp_h": "addresses",
}
"""The channels that are told, and how."""
_TOLD = [
    (at, SAID[channel.name], channel.unit) for at, channel in enumerate(CHANNELS) if channel.name in SAID
]


def places(file: Sequence[str], second: NDArray[np.int64], last_BC: NDArray[np.float32]) -> pl.DataFrame:
    """A row a window: `file` (the episode's folder), `second` (its last one, counted from 1) and `text`, made
    of the grid's values in that second `(B, C)`."""
    return pl.DataFrame(
        {"file": list(file), "second": second, "text": [tell(step_C) for step_C in last_BC]},
        schema={"file": pl.String, "second": pl.Int64, "text": pl.String},
    )


def tell(step_C: NDArray[np.float32]) -> str:
    """One second in words: what is known of a few channels, and which collectors are missing."""
    known = [f"{name} {step_C[at]:.3g} {unit}" for at, name, unit in _TOLD if np.isfinite(step_C[at])]
    lost = [f"no {collector}" for collector in COLLECTORS if np.isnan(step_C[columns(collector)]).all()]
    return ", ".join([*known, *lost])


def by_channel(step_C: NDArray[np.float32]) -> dict[str, float | None]:
    """One second by the names of its channels; None for a missing value."""
    return {channel.name: _plain(value) for channel, value in zip(CHANNELS, step_C, strict=True)}


def _plain(value: np.float32) -> float | None:
    if not np.isfinite(value):
        return None
    if value == np.rint(value):
        return float(value)
    # The shortest text of a float32 is what people know a fraction by: 0.1, not 0.10000000149011612.
    return float(str(value))
