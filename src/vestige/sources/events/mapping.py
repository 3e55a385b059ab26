"""Which fields hold time, machine, event and label. `mappings/*.toml` are shipped; users write their own."""

from __future__ import annotations

import functools
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vestige.errors import UsageError
from vestige.sources.definitions import Definitions
from vestige.sources.events.options import EventOptions, TimeUnit

FIELDS = ("timestamp", "machine", "event", "label")
NEGATIVES = ("0", "-", "normal", "benign", "false")


class Mapping(BaseModel):
    """How records of one kind are read. Every key of a mapping's TOML file is a field here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="the mapping's name; the file's, where it is not given")
    kind: Literal["auto", "csv", "jsonl", "sessions"] = Field(
        default="auto", description="how records lie in a file; auto: each file shows it"
    )
    timestamp: tuple[str, ...] = Field(default=(), description="fields with the time; the first present")
    machine: tuple[str, ...] = Field(min_length=1, description="fields with the machine")
    event: tuple[str, ...] = Field(min_length=1, description="fields with the event; a+b joins two")
    label: tuple[str, ...] = Field(default=(), description="fields with the label; none need be there")
    negatives: tuple[str, ...] = Field(default=NEGATIVES, description="labels that mean normal")
    time_unit: TimeUnit = Field(default="auto", description="how times are written")

    @field_validator("timestamp", "machine", "event", "label")
    @classmethod
    def _named(cls, alternatives: tuple[str, ...]) -> tuple[str, ...]:
        for alternative in alternatives:
            if not all(part.strip() for part in alternative.split("+")):
                raise ValueError(f"{alternative!r} names no field")
        return alternatives

    @field_validator("negatives")
    @classmethod
    def _folded(cls, negatives: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text.strip().casefold() for text in negatives))

    @model_validator(mode="after")
    def _timed(self) -> Mapping:
        if not self.timestamp and self.kind != "sessions":
            raise ValueError("`timestamp = [...]` is missing")
        return self

    @property
    def timed(self) -> bool:
        """Whether records say when they happened: sessions only say in which order."""
        return self.kind != "sessions"

    def settings(self) -> dict[str, Any]:
        """JSON-ready, for the schema."""
        return self.model_dump(mode="json")


MAPPINGS = Definitions(Mapping, "vestige.sources.events", "mappings", "mapping", "mapping", "docs/events.md")


def shipped() -> list[str]:
    """Names of the mappings that come with vestige."""
    return MAPPINGS.shipped()


@functools.cache
def every() -> tuple[Mapping, ...]:
    """The shipped mappings."""
    return tuple(load(name) for name in shipped())


def load(name: str) -> Mapping:
    """The shipped mapping called `name`, or that in a file; see `Definitions.load`."""
    return MAPPINGS.load(name)


def chosen(options: EventOptions) -> Mapping:
    """The mapping that `options` name, with the fields, unit and negatives that they set instead."""
    mapping = load(options.mapping)
    changed: dict[str, Any] = {
        name: (value,) for name in FIELDS if (value := getattr(options, name)) is not None
    }
    if options.negatives is not None:
        changed["negatives"] = tuple(options.negatives.split(","))
    if options.time_unit is not None:
        changed["time_unit"] = options.time_unit
    try:
        return Mapping.model_validate(mapping.model_dump() | changed)
    except ValidationError as error:
        first = error.errors()[0]
        raise UsageError(f"--{first['loc'][0]}: {first['msg'].removeprefix('Value error, ')}") from error
