"""What a sweep asks of an episode."""

from __future__ import annotations

import hashlib
import json

from pydantic import BaseModel, ConfigDict, Field, field_validator

VERSION = "2"
"""Of the rules: when they change, every episode is swept again."""


class ValidateOptions(BaseModel):
    """Field descriptions are the command line's help texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gate: float = Field(
        default=0.9, gt=0, le=1, description="share of the rows that a source's rate promises, and of values"
    )
    floor: tuple[str, ...] = Field(
        default=(), description="PROFILE=CONNECTIONS that an episode must have (repeatable; otherwise 1)"
    )
    grid_seconds: int = Field(
        default=1, ge=1, le=3600, description="seconds of a step of the grid on which episodes are to be read"
    )
    deep: bool = Field(default=False, description="decode every column, not stamps and row numbers alone")

    @field_validator("floor")
    @classmethod
    def _floors(cls, floor: tuple[str, ...]) -> tuple[str, ...]:
        for text in floor:
            profile, _, connections = text.rpartition("=")
            if not profile or not connections.isdecimal():
                raise ValueError(f"{text!r} is not PROFILE=CONNECTIONS")
        return floor

    def connections(self, profile: str) -> int:
        """The fewest connections that an episode of `profile` may have."""
        floors = dict(text.rpartition("=")[::2] for text in self.floor)
        return int(floors.get(profile, 1))

    @property
    def rules(self) -> str:
        """What identifies the rules: equal ones give equal verdicts, quick or deep alike."""
        from vestige.sources.telemetry import index  # Polars takes its time

        settings = json.dumps([self.gate, sorted(self.floor)]).encode()
        return index.rules(VERSION, self.grid_seconds, hashlib.sha256(settings).hexdigest()[:12])
