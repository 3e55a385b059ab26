"""Which fields hold time, machine, event and label. `mappings/*.toml` are shipped; users write their own."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vestige.errors import UsageError
from vestige.sources.events.options import EventOptions, TimeUnit

MAX_TOML = 1 << 20
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
        for one in alternatives:
            if not all(part.strip() for part in one.split("+")):
                raise ValueError(f"{one!r} names no field")
        return alternatives

    @field_validator("negatives")
    @classmethod
    def _folded(cls, negatives: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(one.strip().casefold() for one in negatives))

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


def shipped() -> list[str]:
    """Names of the mappings that come with vestige."""
    files = resources.files("vestige.sources.events").joinpath("mappings").iterdir()
    return sorted(one.name.removesuffix(".toml") for one in files if one.name.endswith(".toml"))


def every() -> Iterator[Mapping]:
    """The shipped mappings."""
    return (load(name) for name in shipped())


def load(name: str) -> Mapping:
    """The shipped mapping called `name`, or that in the file `name` ending in `.toml`.

    Raises UsageError naming the file and the key that is wrong.
    """
    where: Path | str
    if name.endswith(".toml"):
        where = Path(name)
        text = _read(where)
    elif name in shipped():
        where = f"{name}.toml"
        folder = resources.files("vestige.sources.events").joinpath("mappings")
        text = folder.joinpath(where).read_text(encoding="utf-8")
    else:
        remedy = f"one of: {', '.join(shipped())}; or the path of your own (my.toml, see docs/events.md)"
        raise UsageError(f"unknown mapping {name!r}", remedy=remedy)
    try:
        return Mapping.model_validate({"name": Path(name).stem} | tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"not TOML: {error}", where=where) from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "mapping"
        what = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{key}: {what}", where=where, remedy="docs/events.md shows a mapping") from error


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


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_TOML).decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the mapping: {error.strerror}", where=path) from error
    except UnicodeDecodeError as error:
        raise UsageError("the mapping is not UTF-8 text", where=path) from error
