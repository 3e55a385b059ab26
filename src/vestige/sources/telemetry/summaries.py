"""Statistics of windows: what models read that do not read step by step.

Letters: B windows, T steps, C channels, S statistics, F = C x S features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.schema import Feature
from vestige.sources.telemetry.kernels import summarise

STATISTICS = ("mean", "std", "min", "max", "last", "slope")
"""Of the steps that are not missing: `std` is the population's, `last` the latest value there is, `slope` the
rise a second of the least-squares line (missing below two values). A channel that is missing throughout has
none of them."""


def features(channels: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """The columns of a summary, `<channel>:<statistic>`, every statistic of a channel beside the others."""
    found: list[Feature] = []
    for channel in channels:
        for name in STATISTICS:
            unit = channel.unit
            if name == "slope":
                unit = f"{unit}/s"
            found.append(Feature(f"{channel.name}:{name}", unit, channel.host_only))
    return tuple(found)


def summary(steps_BTC: NDArray[Any], seconds: int = 1) -> NDArray[np.float32]:
    """The statistics of windows on the grid, `(B, F)` float32; a window's never depend on the others.

    `seconds`: how long a step lasts.
    """
    out_BCS = np.empty((len(steps_BTC), steps_BTC.shape[2], len(STATISTICS)), dtype=np.float32)
    summarise(steps_BTC, out_BCS)
    if seconds != 1:
        out_BCS[:, :, STATISTICS.index("slope")] /= seconds
    return out_BCS.reshape(len(steps_BTC), steps_BTC.shape[2] * len(STATISTICS))
