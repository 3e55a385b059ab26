"""How a file of logs is read, as its beginning shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from vestige.errors import EvidenceError
from vestige.evidence.files import EvidenceFile
from vestige.reading.files import FileUnit
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.guess import NAME
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.table import Content


@dataclass(frozen=True)
class LogUnit(FileUnit):
    """A file of logs. `stop`: it is only the part that begins with the first message at byte `start` or after
    it and ends before the first one at `stop` or after it; how it is read was found out (`head`) already."""

    rules: RuleSet | None = None
    start: int = 0
    stop: int | None = None
    head: Head | None = None


@dataclass(frozen=True)
class Head:
    """How a file is read, as its beginning shows: its rules (JSON), its type of log, what it is called in
    reports and on which host, the year of its first line where times name none, and that line's time; why it
    is read so, and what is doubtful about it."""

    settings: str
    kind: str
    profile: str
    host: str
    year: int | None
    first_ns: int
    why: str = ""
    doubts: list[str] = field(default_factory=list)

    @property
    def told(self) -> dict[str, Any]:
        """What a stream's summary says of it: see `reading.told`."""
        chosen = self.rules.format
        name = chosen.name
        if name == NAME:
            name = f"guessed: {chosen.header}"
        return {"format": name, "form": chosen.settings(), "why": self.why, "warnings": self.doubts}

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
            return _head(sample[: sample.rfind(b"\n") + 1], ruleset, content.file)
        except EvidenceError:
            return None  # more lines may tell
    return _head(sample, ruleset, content.file)


def _head(sample: bytes, ruleset: RuleSet, file: EvidenceFile) -> Head:
    choice = ruleset.choose(sample, file)
    rules, chosen = choice.rules, choice.rules.format
    matches = [match for match in map(rules.header.match, choice.lines) if match]
    parser = Parser(rules)
    times = (parser.time(match.string) for match in matches)
    first_ns = next((moment for moment in times if moment != BAD), 0)
    host = file.host or file.stem
    if file.host is None and chosen.host:
        named = (match[chosen.host] for match in matches)
        host = next((name for name in named if name and name != "-"), host)
    return Head(
        json.dumps(rules.settings()),
        ruleset.kind(file, chosen),
        ruleset.profile(file, chosen),
        host,
        ruleset.year(rules, first_ns),
        first_ns,
        choice.why,
        choice.doubts,
    )
