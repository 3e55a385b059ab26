"""What an episode says of itself: `manifest.json`, format `episode/1`."""

from __future__ import annotations

import codecs
import unicodedata
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from vestige.escaping import visible
from vestige.sources.telemetry.faults import FaultError
from vestige.sources.telemetry.fields import COLLECTORS, CollectorName

NAME = "manifest.json"
LABELS = "labels.jsonl"
MAX_BYTES = 1 << 20
VERSION = "episode/1.0"
LONGEST_NS = 7 * 86_400 * 10**9
"""No episode is longer than a week."""
MOST = 1 << 50
"""Rows and bytes of a file: fewer. Those of all files of an episode are added up in 64 bits."""
SUFFIXES = (".parquet", ".jsonl.zst")
FLOW_TEXTS = frozenset(
    name + packing
    for name in ("conn.log", "netflow.log", "netflow.json", "netflow.csv")
    for packing in ("", ".gz", ".zst")
)
"""Names that Zeek's and nfdump's files may have beside those of every collector; what is in one is told by
its content."""
FILE_NAMES = frozenset(
    {LABELS, *FLOW_TEXTS, *(source + suffix for source in COLLECTORS for suffix in SUFFIXES)}
)
"""All names that a file of an episode may have: nothing else is ever opened."""

UTF16 = {codecs.BOM_UTF16_LE: "UTF-16LE", codecs.BOM_UTF16_BE: "UTF-16BE"}
"""Encodings that some systems write by themselves, by the byte order mark that they begin with."""


def same_name(name: str) -> str:
    """A name as it is compared: file systems keep `ô` as one character or as two (Unicode's NFC and NFD)."""
    return unicodedata.normalize("NFC", name)


def _printable(name: str) -> str:
    if not name.isprintable():
        raise PydanticCustomError("name", "a name has characters that cannot be seen")
    return name


Base = Literal["wall", "monotonic", "boottime"]
Digest = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{64}$"), AfterValidator(str.lower)]
"""Some tools write digests in upper case (Get-FileHash, certutil): that is the same number."""
UnixNs = Annotated[int, Field(ge=10**17, lt=2**62)]
"""Nanoseconds since 1970: below 10^17 (1973) it is a stamp of another clock."""
BootNs = Annotated[int, Field(ge=0, lt=2**62)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[
    str, Field(pattern=r"^\w[\w.\-]{0,99}$"), AfterValidator(_printable), AfterValidator(same_name)
]
"""A name that a folder may have: letters and digits of any script, and `_ . -` behind the first."""


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Host(_Part):
    """The machine that ran the hypervisor; monotonic stamps mean something within one `boot_id` only."""

    id: Id
    boot_id: Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{32}$"), AfterValidator(str.lower)]
    kernel: Text
    qemu: Text
    accel: Literal["kvm", "tcg"]


class Guest(_Part):
    """The virtual machine."""

    image_sha256: Digest
    vcpus: Annotated[int, Field(ge=1, le=4096)]
    memory_bytes: Annotated[int, Field(ge=1, lt=2**62)]


class Sample(_Part):
    """The program that was run; None for an episode without one."""

    sha256: Digest | None


class Anchor(_Part):
    """One moment as the clocks of a host show it, in nanoseconds."""

    t_wall_ns: UnixNs
    t_mono_ns: BootNs
    t_boot_ns: BootNs | None = None
    """As the monotonic clock, with the time that the host slept."""


class Clock(_Part):
    """In which clock each source stamps its rows, and moments at which both clocks were read."""

    sources: dict[CollectorName, Base]
    sync: Annotated[tuple[Anchor, ...], Field(max_length=10_000, strict=False)] = ()


class File(_Part):
    """One file of the episode, with what it must hold."""

    path: str
    source: CollectorName | Literal["labels"]
    rows: Annotated[int, Field(ge=0, lt=MOST)]
    bytes: Annotated[int, Field(ge=0, lt=MOST)]
    sha256: Digest

    @field_validator("path")
    @classmethod
    def _plain(cls, path: str) -> str:
        if path not in FILE_NAMES:
            raise PydanticCustomError("path", "{path} is no file name of an episode", {"path": repr(path)})
        return path

    @model_validator(mode="after")
    def _named_after_collector(self) -> Self:
        collector = self.path.partition(".")[0]
        if self.path in FLOW_TEXTS:
            collector = "netflow"
        if collector != self.source:
            raise PydanticCustomError("path", "{path} is said to be of another source", {"path": self.path})
        return self


class Manifest(_Part):
    """`manifest.json`, checked: types, ranges, and file names that cannot lead anywhere else."""

    schema_version: Literal["episode/1.0"]
    episode_id: Id
    sealed: bool
    host: Host
    guest: Guest
    sample: Sample
    profile: Text
    t_start_ns: UnixNs
    t_end_ns: UnixNs
    clock: Clock
    registry_sha256: Digest
    files: Annotated[tuple[File, ...], Field(max_length=len(COLLECTORS) + 1, strict=False)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not 0 < self.t_end_ns - self.t_start_ns <= LONGEST_NS:
            raise PydanticCustomError("times", "t_end_ns must lie after t_start_ns, within a week")
        names = [file.source for file in self.files]
        if len(set(names)) < len(names):
            raise PydanticCustomError("files", "a source has two files")
        unclocked = set(names) - {"labels"} - set(self.clock.sources)
        if unclocked:
            raise PydanticCustomError("clock", "no clock is named for {which}", {"which": min(unclocked)})
        return self

    @property
    def seconds(self) -> float:
        """How long the episode lasted."""
        return (self.t_end_ns - self.t_start_ns) / 1e9

    def file(self, source: CollectorName | Literal["labels"]) -> File | None:
        """The file of `source`, if the episode has one."""
        return next((file for file in self.files if file.source == source), None)


def parse(data: bytes, where: str) -> Manifest:
    """The manifest in `data`. Raises FaultError: `json` where it is none, `path`, or `manifest`."""
    if (encoding := UTF16.get(data[:2])) is not None:
        what = f"is written in {encoding}, by its byte order mark, and not in UTF-8"
        raise FaultError(what, code="json", subject="manifest", where=where)
    try:
        return Manifest.model_validate_json(data.removeprefix(codecs.BOM_UTF8))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        kind = first["type"]
        place = ".".join(map(str, first["loc"]))
        code = {"json_invalid": "json", "path": "path"}.get(kind, "manifest")
        message = first["msg"]
        if place.endswith("_ns") and kind == "int_type":
            message = f"{first['input']!r:.40} is no whole number of nanoseconds, as they are wanted"
        if place:
            message = f"{place}: {message}"
        raise FaultError(visible(message, 200), code=code, subject="manifest", where=where) from error
