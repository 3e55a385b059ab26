"""How a store of episodes is to be read. Field descriptions are the command line's help texts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vestige import checked
from vestige.schema import Schema

SECOND_NS = 10**9
LONGEST = 3600


class TelemetryOptions(BaseModel):
    """Options of `vestige prepare telemetry` and `vestige run telemetry`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    grid_seconds: int = Field(
        default=1,
        ge=1,
        le=LONGEST,
        description="seconds of a step of the grid; as many as lie between two rows, where those are slower",
    )
    length: int = Field(default=10, ge=1, le=3600, description="steps of the grid that a window looks at")
    stride: int = Field(default=5, ge=1, le=3600, description="steps from one window to the next")
    classes: Literal["phase", "label"] = Field(
        default="phase",
        description="what is told apart: phase (clean, armed, infecting, infected_running, dormant) or label "
        "(benign, malicious)",
    )
    index: Path | None = Field(
        default=None,
        description="what vestige validate -o wrote about the store (default: validation_v1.parquet in it, "
        "where there is one)",
    )


def options_of(schema: Schema) -> TelemetryOptions:
    """The options that a schema was made by. Raises ValueError where its settings are those of none."""
    grid = checked.mapping(schema.settings.get("grid"), "grid")
    step_ns = checked.whole(grid.get("step_ns"), "step_ns", SECOND_NS, LONGEST * SECOND_NS)
    if step_ns % SECOND_NS:
        raise ValueError(f"step_ns is {step_ns}, no whole seconds")
    return TelemetryOptions(
        grid_seconds=step_ns // SECOND_NS,
        length=schema.length,
        stride=schema.stride,
        classes=schema.settings.get("classes"),
    )
