"""What units say of themselves while they are read: as what, why, and what is doubtful about it.

A stream's `summary` may hold `format` (what its unit is read as), `why` (why that one and not the next best),
`form` (the definition of that format, as its source's `form_text` takes it), `settled` (what its content
alone showed, and other units in that format may not show) and `warnings` (whole sentences about what is
doubtful or was assumed). They are gathered here, in bounded memory, for a dataset's notes and for whoever
looks at evidence before anything is learnt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vestige.errors import DatasetError
from vestige.log import get

MOST_WARNINGS = 200
"""Different warnings that are kept; all of them are counted."""
MOST_FORMATS = 100
"""Different formats that are kept by their names."""
MOST_FORMS = 32
"""Definitions of formats that a dataset's notes keep, those of most units first."""
_COUNTED = re.compile(r"\d[\d,.]*")

log = get(__name__)


@dataclass
class FormatRead:
    """A format that units are read in: how many of them, the first of them, why that one is, and the format's
    definition, where it has one."""

    units: int
    first: str
    why: str
    form: dict[str, Any] | None
    settled: dict[str, Any] = field(default_factory=dict)
    """What all units that show it agree on."""
    disputed: set[str] = field(default_factory=set)

    def settle(self, settled: Mapping[str, Any]) -> None:
        """Take in what a unit has `settled`."""
        for name, value in settled.items():
            if self.settled.setdefault(name, value) != value:
                self.disputed.add(name)


@dataclass
class Warned:
    """A warning: what it is about first, and of how many units it was said."""

    first: str
    units: int


@dataclass
class Told:
    """Formats by name, and warnings by what they say, in the order in which they first came."""

    formats: dict[str, FormatRead] = field(default_factory=dict)
    warned: dict[str, Warned] = field(default_factory=dict)
    more: int = 0
    """Warnings that are not among those kept."""
    units: int = 0
    """Units that were read."""

    def add(self, unit: str, summary: dict[str, Any]) -> None:
        """Note what the summary of a unit's stream says, once the unit was read."""
        self.units += 1
        if name := summary.get("format"):
            self._read_as(name, unit, summary)
        for text in dict.fromkeys(summary.get("warnings", ())):
            self._warn(text, unit)

    def forms(self) -> list[dict[str, Any]]:
        """The formats that units are read in, those of most units first: the definition of each (`form`), and
        what is `settled`."""
        ordered = sorted(self.formats.values(), key=lambda read: -read.units)
        return [
            {
                "form": read.form,
                "settled": {name: v for name, v in read.settled.items() if name not in read.disputed},
            }
            for read in ordered
            if read.form is not None
        ][:MOST_FORMS]

    def _read_as(self, name: str, unit: str, summary: dict[str, Any]) -> None:
        known = self.formats.get(name)
        if known is not None:
            known.units += 1
        elif len(self.formats) < MOST_FORMATS:
            why = str(summary.get("why", ""))
            known = self.formats[name] = FormatRead(1, unit, why, summary.get("form"))
        if known is not None:
            known.settle(summary.get("settled", {}))

    def _warn(self, text: str, unit: str) -> None:
        known = self.warned.get(text)
        if known is not None:
            known.units += 1
        elif len(self.warned) < MOST_WARNINGS:
            self.warned[text] = Warned(unit, 1)
        else:
            self.more += 1

    def warnings(self) -> list[str]:
        """The warnings as sentences; of several units each begins with the one that it is about first."""
        named = self.units > 1
        told = []
        for text, warned in self.warned.items():
            sentence = text
            if named:
                sentence = f"{warned.first}: {text}"
            if warned.units > 1:
                sentence += f" (the same of {warned.units - 1:,} more)"
            told.append(sentence)
        if self.more:
            told.append(f"{self.more:,} more warnings are not shown")
        return told

    def notes(self, notes: dict[str, Any]) -> list[str]:
        """Write `formats` (how many units are read in each, unless the source has said so), `forms` (see
        there) and `warnings` into a dataset's notes, where there are any; the warnings."""
        if self.formats:
            notes.setdefault("formats", {name: read.units for name, read in self.formats.items()})
        if forms := self.forms():
            notes["forms"] = forms
        warnings = self.warnings()
        if warnings:
            notes["warnings"] = warnings
        return warnings


@dataclass
class Said:
    """Says in the log what is doubtful about streams while they are read: each sentence once, of the unit
    that it is about first, however it counts on."""

    sentences: set[str] = field(default_factory=set)

    def say(self, unit: str, summary: dict[str, Any], *, whole: bool = False) -> None:
        """Say what the summary of a unit's stream has that was not said yet. Unless the unit was read as a
        `whole`, what is counted in it may go on, and that is said, too."""
        for text in summary.get("warnings", ()):
            sentence = _COUNTED.sub("", text)
            if sentence in self.sentences or len(self.sentences) > MOST_WARNINGS:
                continue
            self.sentences.add(sentence)
            if len(self.sentences) > MOST_WARNINGS:
                log.warning("more warnings are not shown")
                continue
            until = "" if whole or sentence == text else " (as far as it was read)"
            log.warning("%s%s: %s", unit, until, text)


def warnings_of_notes(notes: Mapping[str, Any], where: Path) -> list[str]:
    """The warnings that `Told.notes` wrote. Raises DatasetError, naming `where` they stand, for anything
    else."""
    warnings = notes.get("warnings", [])
    if not isinstance(warnings, list) or not all(isinstance(text, str) for text in warnings):
        what = "its notes of what is doubtful are damaged"
        raise DatasetError(what, where=where, remedy="prepare it again")
    return warnings
