"""Model inputs from windows on the grid: the steps themselves, and their statistics. Nothing is fitted.

Letters: B windows, T steps, C channels, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import polars as pl

from vestige.reading.encoding import Batch
from vestige.reading.steps import Steps
from vestige.reading.windows import WindowSet
from vestige.schema import Input, Schema
from vestige.sources.telemetry.channels import features
from vestige.sources.telemetry.options import options_of
from vestige.sources.telemetry.summaries import features as summary_features
from vestige.sources.telemetry.summaries import summary

GRID = "grid"
INPUTS = (
    Input("summary", "summary", features=summary_features(features())),
    Input("tensor", "tensor", features=features()),
)


@dataclass(frozen=True)
class TelemetryEncoder:
    """Two inputs: `summary (B, F)` float32, see `summaries`, and `tensor (B, C, T)` float32, a view on the
    gathered steps. A missing value is NaN, and stays so up to the detector."""

    seconds: int = 1
    """How long a step lasts."""
    symbols: ClassVar[str] = "episodes"
    inputs: ClassVar[tuple[Input, ...]] = INPUTS

    def bind(self, symbols: pl.DataFrame) -> TelemetryEncoder:  # noqa: ARG002
        """Itself: there is nothing to look up."""
        return self

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The grid, if anything is wanted."""
        if not names:
            return ()
        return (GRID,)

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """Only the inputs called `names`, from the stream `grid`, `(B, T, C)`."""
        grid_BTC = steps[GRID]
        batch: Batch = {}
        for name in names:
            if name == "summary":
                batch[name] = summary(grid_BTC, self.seconds)
            else:
                # The grid as networks over channels take it: steps last.
                batch[name] = np.moveaxis(grid_BTC, 1, 2)
        return batch

    def unseen(self, windows: WindowSet) -> dict[str, float]:  # noqa: ARG002
        """Nothing: numbers have no vocabulary."""
        return {}

    def to_dict(self) -> dict[str, Any]:
        """No state."""
        return {}

    @classmethod
    def fit(cls, train: WindowSet) -> TelemetryEncoder:
        """Nothing is fitted: numbers need no vocabulary."""
        return cls(options_of(train.schema).grid_seconds)

    @classmethod
    def from_dict(cls, state: dict[str, Any], schema: Schema) -> TelemetryEncoder:
        """The encoder of a checkpoint. Raises KeyError where `schema` lacks an input, ValueError for any
        state."""
        for wanted in INPUTS:
            schema.input(wanted.name)
        if state:
            raise ValueError(f"unknown state: {', '.join(sorted(state))}")
        return cls(options_of(schema).grid_seconds)
