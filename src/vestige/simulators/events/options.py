"""How large an export to write, and how hard."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SimulateOptions(BaseModel):
    """Everything that decides the bytes of a simulated export: equal options, equal bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    machines: int = Field(default=24, ge=3, le=10_000, description="machines, of five roles")
    events: int = Field(default=20_000, ge=1_000, description="events in all")
    days: float = Field(default=7, gt=0, le=365, description="how long the export lasts")
    campaigns: int = Field(default=20, ge=0, le=10_000, description="attacks, each over hours and stages")
    seed: int = Field(default=0, description="equal seeds give equal files")
    format: Literal["csv", "jsonl", "ecs", "ocsf"] = Field(
        default="csv", description="how records are written"
    )
    compress: Literal["none", "all"] = Field(default="none", description="whether files are .gz")

    @model_validator(mode="after")
    def _enough(self) -> Self:
        if self.events < 40 * self.campaigns + 20 * self.machines:
            raise ValueError(
                f"{self.campaigns} campaigns on {self.machines} machines need at least "
                f"{40 * self.campaigns + 20 * self.machines} events"
            )
        return self
