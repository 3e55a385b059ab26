"""How a file of logs is read, as its beginning shows."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vestige.errors import EvidenceError, FormatError
from vestige.evidence.files import EvidenceFile, is_binary
from vestige.reading.files import FileUnit
from vestige.sources.logs import grammar, years
from vestige.sources.logs.choice import Choice, RuleSet
from vestige.sources.logs.clock import BAD, dated, in_frame
from vestige.sources.logs.guess import NAME
from vestige.sources.logs.guess_records import RECORDS
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.table import Content

LEAST_LINES = 20
"""So many lines must show how what grows is read, where those before them fit no format, or none that was
met before."""

MOST_MACHINES = 4
"""Machines that are named where a file's lines are of several."""
_TAG = re.compile(grammar.TAG)


@dataclass(frozen=True)
class LogUnit(FileUnit):
    """A file of logs. `stop`: it is only the part that begins with the first message at byte `start` or after
    it and ends before the first one at `stop` or after it; how it is read was found out (`head`) already.
    `rotated`: the files of the log that it is one file of, the oldest first; `year`: of its first line, where
    that was found out already."""

    rules: RuleSet | None = None
    start: int = 0
    stop: int | None = None
    head: Head | None = None
    rotated: tuple[EvidenceFile, ...] = ()
    year: int | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """See `Unit.paths`."""
        return (self.file.path, *(file.path for file in self.rotated))


@dataclass(frozen=True)
class Head:
    """How a file is read, as its beginning shows: its rules (JSON), its type of log, what it is called in
    reports and on which host, the year of its first line where times name none, and the first time that can
    be read; why it is read so, and what is doubtful about it. `assumed`: which year nobody gave, and why it
    is that. `known`: see `Choice`."""

    settings: str
    kind: str
    profile: str
    host: str
    year: int | None
    first_ns: int
    why: str = ""
    doubts: list[str] = field(default_factory=list)
    assumed: str = ""
    known: bool = True

    @property
    def told(self) -> dict[str, Any]:
        """What a stream's summary says of it: see `reading.told`."""
        chosen = self.rules.format
        name = chosen.name
        if name == NAME:
            name = f"guessed: {chosen.header}"
        elif name == RECORDS:
            name = f"records: {', '.join(f'{part} {path}' for part, path in chosen.keys.items())}"
        doubts = [*self.doubts, *filter(None, [self.assumed])]
        return {"format": name, "form": chosen.settings(), "why": self.why, "warnings": doubts}

    @property
    def rules(self) -> Rules:
        """The rules themselves."""
        return Rules.from_settings(json.loads(self.settings))


def head_of(unit: LogUnit, content: Content) -> Head | None:
    """How a file is read; None where not enough of it has come yet. Raises EvidenceError for what fits no
    format."""
    ruleset = unit.rules
    if ruleset is None:
        raise ValueError("a unit without rules")
    sample, enough = content.sample()
    if not enough:
        if unit.mode == "whole" or b"\n" not in sample:
            return None
        try:
            head = _head(sample[: sample.rfind(b"\n") + 1], unit, ruleset, content)
        except EvidenceError:
            if is_binary(sample):
                raise
            return None  # more lines may tell
        # A banner, or the end of a stack trace, is not to decide how all that follows is read.
        return head if head.known or sample.count(b"\n") >= LEAST_LINES else None
    try:
        return _head(sample, unit, ruleset, content)
    except FormatError:
        if unit.mode != "whole":
            found = _after_others(sample, unit, ruleset, content)
            if found is not None:
                return found
        raise


def _after_others(sample: bytes, unit: LogUnit, ruleset: RuleSet, content: Content) -> Head | None:
    """How what grows is read, where it begins with lines that fit no format: as what follows these shows.
    None where that fits none either."""
    lines = sample.split(b"\n")
    left_out = len(lines) // 2
    while len(lines) - left_out > LEAST_LINES:
        with suppress(EvidenceError):
            head = _head(b"\n".join(lines[left_out:]), unit, ruleset, content)
            doubt = f"its beginning fits no format: it is read as its lines from {left_out + 1} on show"
            return replace(head, doubts=[*head.doubts, doubt])
        left_out += (len(lines) - left_out) // 2
    return None


def _head(sample: bytes, unit: LogUnit, ruleset: RuleSet, content: Content) -> Head:
    file = content.file
    choice = ruleset.choose(sample, file)
    rules, chosen = choice.rules, choice.rules.format
    matches = [match for match in map(rules.header.match, choice.lines) if match]
    parser = Parser(rules)
    times = (parser.time(match.string) for match in matches)
    first_ns = next((moment for moment in times if moment != BAD), 0)
    host, doubts = file.host or file.stem, choice.doubts
    if file.host is None and (chosen.host or "host" in chosen.keys):
        machines = _machines(parser, choice)
        # In a line that names no machine, a tag stands where it would be; or there are no tags at all.
        named = (name for name in parser.hosts(choice.lines) if name and name != "-")
        host = next(iter(machines or (name for name in named if _TAG.fullmatch(name) is None)), host)
        if len(several := _distinct(machines)) > 1:
            doubts = [*doubts, _several(host, several)]
    year, first_ns, assumed = _year(unit, ruleset, rules, first_ns, content)
    return Head(
        json.dumps(rules.settings()),
        ruleset.kind(file, chosen),
        ruleset.profile(file, chosen),
        host,
        year,
        first_ns,
        choice.why,
        doubts,
        assumed,
        choice.known,
    )


def _machines(parser: Parser, choice: Choice) -> list[str]:
    """The machines that a file's first lines name; of syslog those before a tag: `last message repeated 3
    times` names none."""
    match, chosen = choice.rules.header.match, choice.rules.format
    lines = choice.lines
    if chosen.host is not None and chosen.has_tags:
        lines = [line for line in lines if (found := match(line)) is not None and found["Tag"] is not None]
    named = dict.fromkeys(parser.hosts(lines))
    return [name for name in named if name not in {"", "-"} and _TAG.fullmatch(name) is None]


def _distinct(machines: list[str]) -> list[str]:
    """Those of these names that are of several machines: each is `localhost` until it knows its name, and
    `web1` is `web1.example.com`."""
    names = [name for name in machines if name.partition(".")[0].lower() != "localhost"]
    short = {name.partition(".")[0] for name in names if "." in name}
    return [name for name in names if "." in name or name not in short]


def _several(host: str, machines: list[str]) -> str:
    """What is said of a file whose first lines name several machines, of which it counts as that of one."""
    names = ", ".join(machines[:MOST_MACHINES]) + ", ..." * (len(machines) > MOST_MACHINES)
    return (
        f"its first lines name {len(machines)} machines ({names}): all of its messages count as those of "
        f"{host}, unless each machine has a file of its own"
    )


def _year(
    unit: LogUnit, ruleset: RuleSet, rules: Rules, first_ns: int, content: Content
) -> tuple[int | None, int, str]:
    """The year of a file's first line, the first time in it, and what is said where nobody gave the year."""
    # Of JSON objects only their times show whether these name a year; seconds since a start name none, ever.
    unnamed = not rules.format.time and bool(in_frame(np.array([first_ns]))[0])
    if rules.format.has_year and not unnamed:
        return None, first_ns, ""
    # A log file within a table was written when the table was.
    file, given = unit.file if content.in_table else content.file, ruleset.given_year(rules)
    # What comes through a pipe, or out of a table, cannot be looked over before it is read.
    looked_over = not content.in_table and file.size is not None
    extent = years.of_first(first_ns)
    if looked_over and (given is None or unit.rotated):
        extent = years.extent_of(file, rules)
    if unit.year is not None:
        year = unit.year
    elif looked_over and unit.rotated:
        year = _agreed(unit, ruleset, rules)
    elif given is not None:
        year = given
    else:
        year = extent.latest(ruleset.written_until(file))
    assumed = ""
    if given is None and ruleset.until is None:
        assumed = extent.told(year, years.written(file)[1], live=ruleset.live)
    placed = int(dated(np.array([first_ns]), np.array([year]))[0])
    if not first_ns or placed == BAD:
        placed = 0
    return year, placed, assumed


def _agreed(unit: LogUnit, ruleset: RuleSet, rules: Rules) -> int:
    """The year of the first line of one file of a rotated log, by all its files."""
    extents = [years.extent_of(file, rules) for file in unit.rotated]
    given = ruleset.given_year(rules)
    if given is None:
        found = years.agreeing(extents, [ruleset.written_until(file) for file in unit.rotated])
    else:
        found = years.following(extents, given)
    # By its path: whoever follows it bounds how far it is read, and may call it otherwise.
    return found[[file.path for file in unit.rotated].index(unit.file.path)]
