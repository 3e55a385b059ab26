"""How many recordings to write, and how."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SimulateOptions(BaseModel):
    """Everything that decides the bytes of a simulated corpus: equal options, equal bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    programs: int = Field(default=60, ge=1, le=10_000, description="programs, each of its own code")
    recordings: int = Field(default=2, ge=1, le=10_000, description="recordings of each program")
    malicious: float = Field(
        default=0.5, ge=0, le=1, description="share of each program's recordings hijacked"
    )
    kilobytes: float = Field(
        default=32,
        ge=4,
        le=4 << 20,
        description="size of a trace (KiB), half to one and a half times so much",
    )
    overflows: float = Field(default=2, ge=0, le=100, description="buffer overflows in a MiB of trace")
    seed: int = Field(default=0, ge=0, lt=1 << 32, description="equal seeds give equal files")
    map: Literal["ldrmodules", "maps"] = Field(
        default="ldrmodules",
        description="form of the memory map: Volatility's ldrmodules with ranges.json, or /proc/PID/maps",
    )
    compress: Literal["none", "gz", "zst"] = Field(default="none", description="how traces are packed")
