"""How alerts are clustered, as plain settings: light to import, because `vestige --help` does."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class TriageOptions(BaseModel):
    """What counts as alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: Literal["l1", "cosine"] = Field(
        "cosine", description="distance of two explanations: cosine or l1"
    )
    eps: float = Field(
        0.3, gt=0, le=2, description="explanations are alike if they are no further apart than this"
    )
    min_samples: int = Field(5, ge=1, description="alerts nearby that make a cluster (DBSCAN)")
    most_distinct: int = Field(
        2000, ge=1, le=20_000, description="different explanations kept an event; the rest join the nearest"
    )
