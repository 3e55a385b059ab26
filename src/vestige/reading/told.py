"""What units say of themselves while they are read: as what, why, and what is doubtful about it.

A stream's `summary` may hold `format` (what its unit is read as), `why` (why that one and not the next best)
and `warnings` (whole sentences about what is doubtful or was assumed). They are gathered here, in bounded
memory, for a dataset's notes and for whoever looks at evidence before anything is learnt.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

MOST_WARNINGS = 200
"""Different warnings that are kept; all of them are counted."""
MOST_FORMATS = 100
"""Different formats that are kept by their names."""


@dataclass
class FormatRead:
    """A format that units are read in: how many of them, the first of them, and why that one is."""

    units: int
    first: str
    why: str


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

    def read_as(self, unit: str, summary: dict[str, Any]) -> None:
        """Note what a unit is read as, where its stream's summary says so."""
        name = summary.get("format")
        if not name:
            return
        known = self.formats.get(name)
        if known is not None:
            known.units += 1
        elif len(self.formats) < MOST_FORMATS:
            self.formats[name] = FormatRead(1, unit, str(summary.get("why", "")))

    def warn(self, unit: str, warnings: Iterable[str]) -> None:
        """Note what is doubtful about a unit, or about a part of it."""
        for text in dict.fromkeys(warnings):
            known = self.warned.get(text)
            if known is not None:
                known.units += 1
            elif len(self.warned) < MOST_WARNINGS:
                self.warned[text] = Warned(unit, 1)
            else:
                self.more += 1

    def warnings(self, *, named: bool = True) -> list[str]:
        """The warnings as sentences; `named`: each begins with what it is about."""
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
