"""Options of splitting and judging, as plain settings: light to import, because `vestige --help` does."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, create_model, field_validator, model_validator

from vestige import log, recipes
from vestige.errors import SplitError, UsageError
from vestige.recipes import Recipe

logger = log.get(__name__)
HOLDING = [recipe for recipe in recipes.RECIPES if recipe.names_members]
"""Recipes of every source of which the test part may be named."""
NEEDS_HOLDING = f"--hold-out needs --split {recipes.choice(HOLDING)}"


def _about(own: str) -> str:
    """The help of `--split`, which ends with the recipes of a source alone."""
    names = ", ".join(map(str, recipes.RECIPES))
    if own:
        names = f"{names}, or {own}"
    return f"recipe: {names} (default: {recipes.DEFAULT}; {recipes.WITHOUT_TIMES} where nothing has a time)"


class SplitOptions(BaseModel):
    """Who is held out."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: str | None = Field(
        None,
        description=_about("one of the source's own"),
    )
    split_seed: int = Field(0, ge=0, lt=2**63, description="seed of the recipe's choices")
    fractions: str = Field("0.6,0.2,0.2", description="shares of train, validation and test")
    hold_out: tuple[str, ...] = Field(
        (), description=f"{recipes.choice(HOLDING)} for the test part (repeatable)"
    )
    input_sets: Path | None = Field(
        None, description="file of picked recordings (see --output-sets) instead of a recipe"
    )
    train_size: int | None = Field(
        None, ge=1, description="maximum number of recordings in the training part"
    )
    test_size: int | None = Field(None, ge=1, description="maximum number of recordings in the test part")
    ratio: float | None = Field(
        None, gt=0, description="normal recordings for each anomalous one at most, in every part"
    )

    @classmethod
    def naming(cls, own: Iterable[Recipe]) -> type[SplitOptions]:
        """These options with a help that names the `own` recipes of a source."""
        about = _about(", ".join(map(str, own)))
        return create_model(cls.__name__, __base__=cls, split=(str | None, Field(None, description=about)))

    def __reduce__(self) -> tuple[Any, ...]:
        """Workers get what is chosen: the class that names a source's recipes is of one process alone."""
        return SplitOptions.model_validate, (self.model_dump(),)

    @field_validator("fractions")
    @classmethod
    def _three_shares(cls, text: str) -> str:
        shares = _shares(text)
        if len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError("expected three positive numbers that add up to 1, such as 0.6,0.2,0.2")
        return text

    @field_validator("split")
    @classmethod
    def _todays_name(cls, name: str | None) -> str | None:
        recipe = recipes.renamed(name or "")
        if recipe is None:
            return name
        logger.warning(
            "--split %s is called --split %s now, and the next version no longer knows the old name",
            name,
            recipe,
        )
        return recipe.name

    @model_validator(mode="after")
    def _held_by_a_recipe(self) -> Self:
        # A recipe that is not known here may be the source's own: `check` looks at those.
        named = next((recipe for recipe in recipes.RECIPES if recipe.name == self.split), None)
        nobody = self.split is None or (named is not None and not named.names_members)
        if self.hold_out and (nobody or self.input_sets is not None):
            raise ValueError(f"{NEEDS_HOLDING}, and no --input-sets")
        return self

    def check(self, own: Iterable[Recipe]) -> None:
        """Raise UsageError where a source that brings its `own` recipes cannot be split as is asked."""
        if self.split is None:
            return
        try:
            recipe = recipes.find(self.split, own)
        except SplitError as error:
            raise UsageError(error.what, remedy=error.remedy) from error
        if self.hold_out and not recipe.names_members:
            raise UsageError(
                NEEDS_HOLDING, remedy=f"leave out --hold-out, or use another split than {recipe}"
            )

    @property
    def sizes(self) -> dict[str, Any]:
        """What limits the number of recordings."""
        return {"train_size": self.train_size, "test_size": self.test_size, "ratio": self.ratio}

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
    self_contained: bool = Field(
        False,
        description="put the script of the figures (4.8 MB) into each report, and all models into the run's",
    )


class RejudgeOptions(BaseModel):
    """The same, where a run is judged anew: what is not given stays as the run has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    threshold: str | None = Field(
        None, description="another alert policy, written into the detectors: fpr=SHARE, alerts=N or f1"
    )
    resamples: int | None = Field(None, ge=100, description="bootstrap resamples of the intervals")
    allow_leakage: bool | None = Field(None, description="go on when the audit fails")
    self_contained: bool | None = Field(
        None, description="put the script of the figures into each report, and all models into the run's"
    )


class ModelTransferOptions(BaseModel):
    """What a run takes from elsewhere, and what it leaves elsewhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output_sets: Path | None = Field(
        None, description="also write which recordings were picked for each part to this file"
    )
    save_model: Path | None = Field(None, description="also write the detector's header to this path")
    save_weights: Path | None = Field(None, description="also write the detector's weights to this path")
    use_model: Path | None = Field(
        None, description="train nothing: judge the detector with this header (model.json)"
    )
    use_weights: Path | None = Field(None, description="its weights, where they do not lie beside it")

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if (self.save_model is None) != (self.save_weights is None):
            raise ValueError("--save-model and --save-weights go together")
        if self.use_weights is not None and self.use_model is None:
            raise ValueError("--use-weights needs --use-model")
        return self


def _shares(text: str) -> list[float]:
    try:
        return [float(share) for share in text.split(",")]
    except ValueError:
        return []
