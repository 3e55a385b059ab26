"""Which fields hold time, machine, event and label. `mappings/*.toml` are shipped; users write their own."""

from __future__ import annotations

import functools
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from vestige.checked import refused
from vestige.errors import UsageError
from vestige.sources.definitions import Definitions
from vestige.sources.events.fields import literal_of
from vestige.sources.events.options import EventOptions, TimeUnit
from vestige.sources.events.strptime import TimeFormat
from vestige.sources.events.where import condition
from vestige.sources.logs.masks import SHARED, Masker
from vestige.sources.logs.slots import N_SLOTS

FIELDS = ("timestamp", "machine", "event", "label")
SELDOM = ("time_format", "where", "machine_name", "masks")
MASKS = (
    "url", "email", "uuid", "mac", "ip", "ip_six", "winpath", "host", "path", "hex", "hash", "size", "ctime",
    "date", "time", "num",
)  # fmt: skip
"""What varies in the texts of events, in the order in which it is looked for."""
AUTO = "auto"
UNTIMED = frozenset(["sessions", "pairs", "sequence"])
"""Kinds whose records only say in which order they happened."""
CALLS = ("strace", "unm", "adfa")
"""Mappings of sequences of system calls, which a file's lines show."""
NEGATIVES = ("0", "-", "normal", "benign", "false")


class Mapping(BaseModel):
    """How records of one kind are read. Every key of a mapping's TOML file is a field here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", description="the mapping's name; the file's, where it is not given")
    kind: Literal["auto", "csv", "jsonl", "sessions", "strace", "pairs", "sequence", "syscalls"] = Field(
        default="auto", description="how records lie in a file; auto: each file shows it"
    )
    signs: str = Field(
        default="", description="what --mapping auto knows such records by: an expression as of --where"
    )
    timestamp: tuple[str, ...] = Field(default=(), description="fields with the time; the first present")
    machine: tuple[str, ...] = Field(min_length=1, description="fields with the machine")
    event: tuple[str, ...] = Field(min_length=1, description="fields with the event; a+b joins two")
    label: tuple[str, ...] = Field(default=(), description="fields with the label; none need be there")
    negatives: tuple[str, ...] = Field(default=NEGATIVES, description="labels that mean normal")
    time_unit: TimeUnit = Field(default="auto", description="how times are written")
    time_format: tuple[str, ...] = Field(
        default=(),
        description="layouts of times, in directives such as %d/%m/%Y; none: times as time_unit says",
    )
    where: str = Field(default="", description="which records count; empty: all of them")
    masks: tuple[tuple[str, str], ...] = Field(
        default=(),
        description="events are messages of which templates are made: names and regular expressions of what "
        "varies in them",
    )
    values: tuple[tuple[str, ...], ...] = Field(
        default=(),
        max_length=N_SLOTS,
        description="fields with values that may tell something (addresses, users, programs), each with its "
        "alternatives: --values keeps them",
    )
    machine_name: str = Field(
        default="", description="what the machine is called of records that name none; empty: such are bad"
    )

    @field_validator("timestamp", "machine", "event", "label")
    @classmethod
    def _named(cls, alternatives: tuple[str, ...]) -> tuple[str, ...]:
        for alternative in alternatives:
            if not all(part.strip() for part in alternative.split("+")):
                raise ValueError(f"{alternative!r} names no field")
        return alternatives

    @field_validator("values")
    @classmethod
    def _each_named(cls, values: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for alternatives in values:
            if not alternatives or not all(part.strip() for path in alternatives for part in path.split("+")):
                raise ValueError(f"{list(alternatives)!r} names no field")
        return values

    @field_validator("negatives")
    @classmethod
    def _folded(cls, negatives: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text.strip().casefold() for text in negatives))

    @field_validator("time_format")
    @classmethod
    def _known(cls, layouts: tuple[str, ...]) -> tuple[str, ...]:
        for layout in layouts:
            TimeFormat(layout)
        return layouts

    @field_validator("masks")
    @classmethod
    def _compiled(cls, masks: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        Masker(masks)
        return masks

    @field_validator("where", "signs")
    @classmethod
    def _readable(cls, expression: str) -> str:
        if expression:
            condition(expression)
        return expression

    @model_validator(mode="after")
    def _timed(self) -> Mapping:
        if not self.timestamp and self.kind not in UNTIMED:
            raise ValueError("`timestamp = [...]` is missing")
        return self

    @property
    def only_machine(self) -> str:
        """What the machine is called of records that name none, by the mapping itself; empty: they are
        bad."""
        return next((literal for name in self.machine if (literal := literal_of(name))), "")

    @property
    def timed(self) -> bool:
        """Whether records may say when they happened: sessions only say in which order."""
        return self.kind not in UNTIMED

    def settings(self, *, values: bool = False) -> dict[str, Any]:
        """JSON-ready, for the schema: what decides about a number, and of what is seldom set only that.
        `values`: whether they are kept."""
        left_out = {"signs"} if values else {"signs", "values"}
        plain = self.model_dump(mode="json", exclude=left_out)
        for name in SELDOM:
            if not plain[name]:
                del plain[name]
        return plain


REMEDIES = {
    "where": "for example --where 'event_type == \"alert\"'; docs/events.md has the language",
    "time-format": "for example --time-format '%d/%m/%Y %I:%M:%S %p'",
}

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


def chosen(options: EventOptions) -> tuple[Mapping, ...]:
    """The mapping that `options` name, with the fields, unit and negatives that they set instead; of `auto`,
    all those that a file may turn out to fit, in the order in which they are tried."""
    if options.template is not None and options.event is not None:
        raise UsageError(
            "--template names the field of the event, as does --event",
            remedy="give one of them: a+b joins two fields, for either",
        )
    named = [options.mapping]
    if options.mapping == AUTO:
        named = automatic()
    mappings = tuple(_changed(load(name), options) for name in named)
    if options.template is not None and not any(mapping.masks for mapping in mappings):
        raise UsageError(
            f"--template: records of the mapping {options.mapping!r} have no message", remedy="leave it out"
        )
    return mappings


def automatic() -> list[str]:
    """What `--mapping auto` chooses from: mappings with signs, and the general ones last."""
    special = [mapping.name for mapping in every() if mapping.signs]
    # A log of Sysmon is one of Windows, an alert in ECS one of whatever wrote it: the narrower comes first.
    broad = [name for name in ("windows", "ocsf", "ecs") if name in special]
    narrow = [name for name in special if name not in broad]
    return [*narrow, *broad, *CALLS, "jsonl", "csv"]


def _changed(mapping: Mapping, options: EventOptions) -> Mapping:
    changed: dict[str, Any] = {
        name: (value,) for name in FIELDS if (value := getattr(options, name)) is not None
    }
    if options.template is not None and mapping.kind in {"auto", "csv", "jsonl"}:
        changed |= {"event": (options.template,), "masks": [(name, SHARED[name]) for name in MASKS]}
    if options.negatives is not None:
        changed["negatives"] = tuple(options.negatives.split(","))
    if options.time_unit is not None:
        changed["time_unit"] = options.time_unit
    if options.time_format is not None:
        changed["time_format"] = (options.time_format,)
    if options.where is not None:
        changed["where"] = options.where
    if options.machine_name is not None:
        # A mapping's own name for the only machine gives way.
        named = [name for name in changed.get("machine", mapping.machine) if not literal_of(name)]
        changed |= {"machine_name": options.machine_name, "machine": tuple(named)}
    try:
        return Mapping.model_validate(mapping.model_dump() | changed)
    except ValidationError as error:
        name, message = refused(error)
        flag = name.partition(".")[0].replace("_", "-")
        raise UsageError(f"--{flag}: {message}", remedy=REMEDIES.get(flag, "")) from error
