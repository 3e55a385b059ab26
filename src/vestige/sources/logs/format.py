"""A log format: header pattern, times, label, masks. `formats/*.toml` are shipped; users write their own.

What a dataset's schema keeps of it is `Format.settings()`, from which `Rules` is built again anywhere.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from vestige.sources.definitions import Definitions
from vestige.sources.logs import clock, header, records
from vestige.sources.logs.linear import check_shape
from vestige.sources.logs.masks import SHARED, Masker

W3C = "w3c"
"""The format whose files name their columns themselves."""


class Format(BaseModel):
    """How lines of one kind of log are read. Every key of a format's TOML file is a field here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="the format's name; the file's, where it is not given")
    header: str = Field(description="pattern of a message's first line; the last field is <Content>")
    time: dict[str, str] = Field(default={}, description="time fields and their strptime-like layouts")
    example: list[str] = Field(min_length=1, description="two or three lines; the first is a header")
    masks: list[str] = Field(
        default=["url", "email", "uuid", "mac", "ip", "path", "hex", "hash", "id", "num"],
        description="names of masks, in the order in which they are applied",
    )
    mask: dict[str, str] = Field(default={}, description="regular expressions of the format's own masks")
    label: str | None = Field(default=None, description="which messages are anomalies")
    year: int | None = Field(
        default=None, ge=1970, le=2200, description="year of a file's first line, where times name none"
    )
    host: str | None = Field(default=None, description="the field that holds the machine's name")
    field: dict[str, str] = Field(default={}, description="regular expressions of other fields with a shape")
    types: bool = Field(default=False, description="files are of several types, told by their names")
    keys: dict[str, str] = Field(
        default={},
        description="where the content is a JSON object: the keys of its message, template, time, level, "
        "host and error",
    )
    partial: str = Field(default="", description="regular expression of two lines that are one message")
    shown: list[str] = Field(
        default=[],
        description="fields whose text stands, with blanks between, before the content that models see",
    )

    @field_validator("masks")
    @classmethod
    def _names(cls, masks: list[str]) -> list[str]:
        for name in masks:
            if not re.fullmatch("[a-z_]{1,32}", name):
                raise ValueError(
                    f"{name!r} is no name of a mask: small letters and _ only{_meant(name, SHARED)}; "
                    f"known are {', '.join(SHARED)}"
                )
        return masks

    @model_validator(mode="after")
    def _consistent(self) -> Format:
        names = header.fields(self.header)
        needed = [*self.time, *self.field, *self.shown]
        if self.host:
            needed.append(self.host)
        for name in needed:
            if name not in names:
                raise ValueError(f"the header has no field <{name}>")
        for name, pattern in self.field.items():
            check_shape(f"field {name!r}", pattern)
        check_shape("partial", self.partial)
        parts = ", ".join(records.NAMES)
        for part in self.keys:
            if part not in records.NAMES:
                raise ValueError(f"keys: no part is called {part!r}; parts are {parts}")
        unknown = [name for name in self.masks if name not in self.mask and name not in SHARED]
        if unknown:
            known = [*self.mask, *SHARED]
            raise ValueError(
                f"no mask {unknown[0]!r}{_meant(unknown[0], known)}; known are {', '.join(known)}"
            )
        unused = [name for name in self.mask if name not in self.masks]
        if unused:
            raise ValueError(f"the mask {unused[0]!r} is not used: add its name to `masks`, or leave it out")
        Masker(self.resolved_masks)
        self.time_parser()
        if self.compiled().match(self.example[0]) is None:
            raise ValueError(f"the first line of `example` does not fit the header: {self.example[0]!r}")
        return self

    @property
    def resolved_masks(self) -> list[tuple[str, str]]:
        """Names and patterns, in order of application."""
        return [(name, self.mask.get(name) or SHARED[name]) for name in self.masks]

    def compiled(self) -> re.Pattern[str]:
        """The header's regex; ValueError with the author's mistake."""
        return compiled(self.header, self.field, self.time)

    def time_parser(self) -> clock.TimeParser:
        """The reader of the header's time fields."""
        return clock.TimeParser(list(self.time.values()))

    @property
    def by_columns(self) -> bool:
        """Whether lines of a file name the columns of those below them, and not the header here."""
        return self.name == W3C

    @property
    def has_tags(self) -> bool:
        """Whether a program's tag may stand in the header, as syslog has it behind the machine."""
        return "Tag" in self.field

    @property
    def timed(self) -> bool:
        """Whether lines have a time at all."""
        return bool(self.time) or "time" in self.keys

    @property
    def has_year(self) -> bool:
        """Whether times name their year, or there are none."""
        return self.time_parser().has_year

    def settings(self) -> dict[str, Any]:
        """JSON-ready: everything that changes numbers, shared masks spelt out, the label rule left out."""
        plain = self.model_dump(mode="json", exclude={"label", "masks", "mask"})
        own = self.resolved_masks
        return plain | {"masks": [name for name, _ in own], "mask": dict(own)}


def _meant(name: str, known: Iterable[str]) -> str:
    """What somebody may have meant who wrote `name`, in brackets; nothing where nothing is like it."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f" (perhaps {close[0]!r} is meant)" if close else ""


def compiled(pattern: str, field: Mapping[str, str], time: Mapping[str, str]) -> re.Pattern[str]:
    """The regex of a header `pattern`, whose fields have these shapes and layouts of times; equal ones are
    compiled once. Raises ValueError with a sentence for the author of the pattern."""
    return _compiled(pattern, tuple(field.items()), tuple(time.items()))


@functools.lru_cache(maxsize=256)
def _compiled(
    pattern: str, field: tuple[tuple[str, str], ...], time: tuple[tuple[str, str], ...]
) -> re.Pattern[str]:
    shapes = {name: f"(?>{shape})" for name, shape in field}
    times = {name: clock.shape(layout) for name, layout in time}
    return header.compile_header(pattern, shapes | times)


FORMATS = Definitions(Format, "vestige.sources.logs", "formats", "format", "log format", "docs/logs.md")


def editable(settings: dict[str, Any]) -> Format:
    """The format that `Format.settings` wrote, as a person would write it: shared masks by their names alone,
    and the label rule of a shipped one."""
    chosen = Format.model_validate(settings)
    own = {name: pattern for name, pattern in chosen.mask.items() if SHARED.get(name) != pattern}
    label = chosen.label
    if chosen.name in shipped():
        label = load(chosen.name).label
    return chosen.model_copy(update={"mask": own, "label": label})


def shipped() -> list[str]:
    """Names of the formats that come with vestige."""
    return FORMATS.shipped()


@functools.cache
def every() -> tuple[tuple[str, Format], ...]:
    """The shipped formats by name."""
    return tuple((name, load(name)) for name in shipped())


def load(name: str) -> Format:
    """The shipped format called `name`, or that in a file; see `Definitions.load`."""
    return FORMATS.load(name)
