"""Which labelled sets there are: where each lies, how it is read, what is held out, what others published."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from vestige import recipes
from vestige.checked import refused
from vestige.errors import UsageError
from vestige.runs.options import SplitOptions

SHIPPED = Path(__file__).parent / "sets.toml"
MAX_TOML = 1 << 20


class Published(BaseModel):
    """A figure that others published, by which `split`, from which `source`; `note` says why it may not be
    compared with ours."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    detector: str
    figure: str
    value: float
    split: str
    source: str
    note: str


class LabelledSet(BaseModel):
    """A set of the board.

    Attributes:
        name: What it is called, and its folder.
        about: What it is, in a line.
        source: The kind of evidence.
        evidence: Where it lies below the folder of the data; a zip is unpacked, a Parquet table is written
            as CSV, first.
        labels: A Parquet table with the labels of a Parquet table of evidence, by the column `joined_on`.
        simulate: Options of the source's simulator, where the set is not evidence but written here.
        options: How the source reads it.
        splits: What is held out.
        published: Figures of others.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    about: str
    source: str
    evidence: str = ""
    labels: str = ""
    joined_on: str = ""
    simulate: dict[str, JsonValue] = Field(default_factory=dict)
    options: dict[str, JsonValue] = Field(default_factory=dict)
    splits: tuple[SplitOptions, ...] = Field(min_length=1)
    published: tuple[Published, ...] = ()

    @field_validator("splits")
    @classmethod
    def _honest(cls, splits: tuple[SplitOptions, ...]) -> tuple[SplitOptions, ...]:
        for options in splits:
            if options.split is None:
                raise ValueError("every split is named: nothing is left to a default")
            known = next((recipe for recipe in recipes.RECIPES if recipe.name == options.split), None)
            if known is not None and known.in_distribution:
                raise ValueError(
                    f"split {options.split}: its test part is like its training part; the board holds out "
                    "clusters (time, host, sample, profile, or a recipe of the source)"
                )
        if len({split_name(options) for options in splits}) < len(splits):
            raise ValueError("two splits of one recipe and seed")
        return splits

    @model_validator(mode="after")
    def _somewhere(self) -> LabelledSet:
        if bool(self.evidence) == bool(self.simulate):
            raise ValueError("a set is evidence, or it is simulated: name one of both")
        if bool(self.labels) != bool(self.joined_on):
            raise ValueError("labels and joined_on go together")
        return self

    @property
    def fixed(self) -> dict[str, Any]:
        """What its dataset depends on, JSON-ready."""
        names = ("source", "evidence", "labels", "joined_on", "simulate", "options")
        plain = self.model_dump(mode="json")
        return {name: plain[name] for name in names}


class _Listing(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    sets: tuple[LabelledSet, ...] = Field(alias="set", min_length=1)


def split_name(options: SplitOptions) -> str:
    """What a split of a set is called: its recipe, with the seed where that is not the first."""
    if options.split_seed:
        return f"{options.split}-{options.split_seed}"
    return str(options.split)


def load(path: Path = SHIPPED) -> tuple[LabelledSet, ...]:
    """The sets of a TOML file. Raises UsageError where it cannot be read, or says what cannot be."""
    remedy = "see docs/compare.md for its form"
    try:
        data = path.read_bytes()[: MAX_TOML + 1]
        if len(data) > MAX_TOML:
            raise UsageError("more than 1 MiB: this is no list of sets", where=path, remedy=remedy)
        found = _Listing.model_validate(tomllib.loads(data.decode("utf-8"))).sets
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=path, remedy=remedy) from error
    except ValidationError as error:
        place, told = refused(error)
        raise UsageError(f"{place}: {told}", where=path, remedy=remedy) from error
    except ValueError as error:
        raise UsageError(f"is no TOML: {error}", where=path, remedy=remedy) from error
    names = [labelled.name for labelled in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(f"two sets are called {twice[0]}", where=path, remedy="give each its own name")
    return found


def chosen(sets: tuple[LabelledSet, ...], names: tuple[str, ...]) -> tuple[LabelledSet, ...]:
    """Those called by `names`, or all. Raises UsageError for a name that none has."""
    known = [labelled.name for labelled in sets]
    for name in names:
        if name not in known:
            raise UsageError(f"no set is called {name!r}", remedy=f"one of: {', '.join(known)}")
    return tuple(labelled for labelled in sets if not names or labelled.name in names)
