"""What a corpus of logs consists of: one place with one way of reading, or a TOML file that lists several.

# everything.toml: each corpus has its own format and labels, and its name before its files' names
[[corpus]]
path = "hadoop/"                      # relative to this file
format = "hadoop"

[[corpus]]
path = "/evidence/ubuntu.csv.gz"
name = "ubuntu"                       # else the path's own
label = "words:lists/"
year = 2008
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from vestige.checked import refused
from vestige.errors import UsageError
from vestige.evidence.defects import Defect
from vestige.evidence.files import STDIN, EvidenceFile, find
from vestige.sources.logs import header
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.format import Format, load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.options import LogOptions, Year

AUTO = ("cri", "rfc5424", "rsyslog", "rfc3164", "monotonic", "dmesg", "kippo", "access", "squid")
"""The formats that `auto` stands for: those of logs whose lines hold free text."""
MAX_TOML = 1 << 20


class Entry(BaseModel):
    """One `[[corpus]]`. What it does not say is as the command line's options say."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1)
    name: str = ""
    format: str | None = None
    label: str | None = None
    year: Year | None = None

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        if name and not re.fullmatch(r"\w[\w .-]{0,63}", name):
            raise ValueError("a name has letters, digits, blanks, dots and hyphens")
        return name


class Listing(BaseModel):
    """A TOML file that lists corpora."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    corpus: list[Entry] = Field(min_length=1)


@dataclass(frozen=True)
class Corpus:
    """Files that are read by one set of rules, and what was left out."""

    path: Path
    rules: RuleSet
    files: list[EvidenceFile]
    skipped: list[Defect]


def rules_for(options: LogOptions) -> RuleSet:
    """What `options` mean. Raises UsageError for an unknown format or label rule."""
    guesses = "auto" in [part.strip() for part in options.format.split(",")]
    return _rules(options, [load(name) for name in _names(options.format)], guesses=guesses)


def corpora(corpus: Path, options: LogOptions) -> list[Corpus]:
    """The corpora at `corpus`. Raises UsageError for a wrong listing, EvidenceError as `find` does."""
    if corpus == STDIN or corpus.suffix != ".toml" or not corpus.is_file():
        rules = rules_for(options)
        return [Corpus(corpus, rules, *find(corpus, "log files"))]
    return list(_listed(corpus, options))


def together(parts: list[Corpus]) -> RuleSet:
    """The rules by which live evidence like these corpora is read: all their formats, and no labels where
    these differ."""
    first, *others = (part.rules for part in parts)
    formats = {}
    for part in parts:
        for described in part.rules.formats:
            # Formats are equal where they say the same, whatever corpus names them.
            formats[described.model_dump_json()] = described
    label, until = first.label, first.until
    if any(rules.label != label for rules in others):
        label = LabelRule("none")
    if any(rules.until != until for rules in others):
        until = None
    guesses = any(part.rules.guesses for part in parts)
    return replace(first, formats=tuple(formats.values()), label=label, until=until, guesses=guesses)


def _listed(listing: Path, options: LogOptions) -> Iterator[Corpus]:
    entries = _entries(listing)
    names = [entry.name or Path(entry.path).name.partition(".")[0] for entry in entries]
    for entry, name in zip(entries, names, strict=True):
        if names.count(name) > 1:
            raise UsageError(f"two corpora are called {name!r}", where=listing, remedy="give them a `name`")
        path = listing.parent / entry.path
        given = entry.model_dump(include={"format", "label", "year"}, exclude_none=True)
        if (label := given.get("label", "")).startswith("words:"):
            given["label"] = f"words:{listing.parent / label.removeprefix('words:')}"
        if (chosen := given.get("format", "")).endswith(".toml"):
            given["format"] = str(listing.parent / chosen)
        files, skipped = find(path, "log files")
        yield Corpus(
            path,
            replace(rules_for(options.model_copy(update=given)), mixed=True),
            [replace(file, id=f"{name}/{file.id}") for file in files],
            [replace(defect, file=f"{name}/{defect.file}") for defect in skipped],
        )


def _entries(listing: Path) -> list[Entry]:
    try:
        with listing.open("rb") as file:
            text = file.read(MAX_TOML).decode("utf-8")
        return Listing.model_validate(tomllib.loads(text)).corpus
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=listing) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"not TOML: {error}", where=listing) from error
    except ValidationError as error:
        key, message = refused(error)
        raise UsageError(f"{key}: {message}", where=listing, remedy="docs/logs.md shows a listing") from error


def _names(text: str) -> list[str]:
    """The formats' names: `auto` stands for several, commas separate."""
    every: list[str] = []
    for part in text.split(","):
        name = part.strip()
        if name == "auto":
            every += AUTO
        elif name:
            every.append(name)
    return list(dict.fromkeys(every)) or [text]


def _rules(options: LogOptions, formats: list[Format], *, guesses: bool) -> RuleSet:
    if options.year is not None:
        year = int(options.year.partition("-")[0])
        formats = [chosen.model_copy(update={"year": year}) for chosen in formats]
    own = {chosen.label for chosen in formats}
    if options.label is None and len(own) > 1:
        told = ", ".join(f"{chosen.name}: {chosen.label or 'none'}" for chosen in formats)
        raise UsageError(f"these formats label differently ({told})", remedy="say --label, one rule for all")
    label = options.label or next(iter(own))
    # A label can be read from a field only where the lines of every format have it.
    fields = set.intersection(*(set(header.fields(chosen.header)) for chosen in formats))
    if guesses:
        fields.add("Level")  # a guessed header has it, or the file is refused
    until = None
    if options.year and "-" in options.year:
        until = options.year
    rule = LabelRule.parse(label, sorted(fields))
    mixed = len(formats) > 1
    return RuleSet(
        tuple(formats),
        rule,
        options.encoding,
        options.max_line_bytes,
        until,
        mixed,
        guesses=guesses,
        unasked=label is None,
        values=options.values,
    )
