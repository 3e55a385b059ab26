"""How large a store to write, how hard, and what is to be wrong with it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator


class SimulateOptions(BaseModel):
    """Everything that decides the bytes of a simulated store: equal options, equal bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: int = Field(default=4, ge=1, le=100, description="lab machines; no two alike")
    episodes: int = Field(default=200, ge=1, le=1_000_000, description="episodes in all")
    seconds: int = Field(default=300, ge=30, le=86_400, description="how long an episode lasts on average")
    days: int = Field(default=14, ge=1, le=365, description="over how many days they are spread")
    seed: int = Field(default=0, ge=0, description="equal seeds give equal files")
    plant: tuple[str, ...] = Field(
        default=(),
        description="FAULT=EPISODES, repeatable: what is wrong with how many episodes; all=N is N of each "
        "fault, none=0 is nothing (default: each of the common ones in one episode of a hundred)",
    )

    @field_validator("plant")
    @classmethod
    def _known_faults(cls, plant: tuple[str, ...], found: ValidationInfo) -> tuple[str, ...]:
        from vestige.simulators.telemetry.plants import planned

        episodes = found.data.get("episodes", 0)
        if (wanted := sum(planned(plant, episodes).values())) > episodes:
            raise ValueError(f"{wanted} episodes with a fault are more than {episodes} episodes")
        return plant
