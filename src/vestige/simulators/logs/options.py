"""How large a corpus to write, and how hard."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class SimulateOptions(BaseModel):
    """Everything that decides the bytes of a simulated corpus: equal options, equal bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: int = Field(default=6, ge=2, le=500, description="machines; each keeps three logs")
    messages: int = Field(default=20_000, ge=1_000, description="log messages in all, spread over the hosts")
    days: float = Field(default=7, gt=0, le=365, description="how long the corpus lasts")
    anomalies: float = Field(
        default=0.03, ge=0, le=0.3, description="approximate share of anomalous messages"
    )
    seed: int = Field(default=0, description="equal seeds give equal files")
    format: Literal["bgl", "thunderbird", "hadoop", "linux"] = Field(
        default="bgl", description="line format; bgl and thunderbird carry the labels in the lines"
    )
    compress: Literal["none", "some", "all"] = Field(
        default="some", description="which hosts' files are .gz (some: every fourth host's)"
    )
    multiline: float = Field(
        default=0.005, ge=0, le=0.2, description="approximate share of messages with a stack trace"
    )

    @model_validator(mode="after")
    def _enough_for_every_host(self) -> Self:
        if self.messages < 100 * self.hosts:
            raise ValueError(f"{self.hosts} hosts need at least {100 * self.hosts} messages")
        return self
