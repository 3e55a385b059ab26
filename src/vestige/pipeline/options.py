"""Options of splitting and judging, as plain settings: light to import, because `vestige --help` does."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator


class SplitOptions(BaseModel):
    """Who is held out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str = Field("time", description="recipe: time, host, sample, random, or one of the source's own")
    split_seed: int = Field(0, ge=0, description="seed of the recipe's choices")
    fractions: str = Field("0.6,0.2,0.2", description="shares of train, validation and test")
    hold_out: tuple[str, ...] = Field((), description="host or sample for the test part (repeatable)")

    @field_validator("fractions")
    @classmethod
    def _three_shares(cls, text: str) -> str:
        shares = _shares(text)
        if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError("expected three positive numbers that add up to 1, such as 0.6,0.2,0.2")
        return text

    @property
    def shares(self) -> tuple[float, float, float]:
        """Shares of train, validation and test."""
        train, validation, test = _shares(self.fractions)
        return train, validation, test


class JudgeOptions(BaseModel):
    """How detectors are judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: str = Field(
        "fpr=0.01",
        description="alert policy, chosen on validation: fpr=SHARE, alerts=N a host and day, or f1",
    )
    resamples: int = Field(1000, ge=100, description="bootstrap resamples of the intervals")
    allow_leakage: bool = Field(False, description="go on when the audit fails; the report says so in red")


class RejudgeOptions(BaseModel):
    """The same, where a run is judged anew: what is not given stays as the run has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: str | None = Field(
        None, description="another alert policy, written into the detectors: fpr=SHARE, alerts=N or f1"
    )
    resamples: int | None = Field(None, ge=100, description="bootstrap resamples of the intervals")
    allow_leakage: bool | None = Field(None, description="go on when the audit fails")


def _shares(text: str) -> list[float]:
    try:
        return [float(one) for one in text.split(",")]
    except ValueError:
        return []
