"""One record of whatever was not read: never silent, always the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from vestige.errors import DatasetError

FILE, RECORD, REST, DETAIL = "the file", "a record", "the rest of the file", "a detail"
"""What can be left out: all of a unit, a record, what comes after damage; or a detail is not as it should
be."""
_NOUNS = {FILE: "file", RECORD: "record", DETAIL: "detail"}
MOST_NOTED = 1000
"""Defects that a dataset's notes hold; all of them are counted."""


@dataclass(frozen=True)
class Defect:
    """Something that was not read. `row`: 1-based, None where it is none; `what` was left out, and `why`."""

    file: str
    row: int | None
    what: str
    why: str

    def __str__(self) -> str:
        """For the log: `file:row: why`."""
        place = self.file
        if self.row is not None:
            place = f"{place}:{self.row}"
        return f"{place}: {self.why}"


@dataclass
class LeftOut:
    """What was left out of evidence: counts of all, and the first of them."""

    counts: dict[str, int]
    first: list[Defect]

    @classmethod
    def nothing(cls) -> LeftOut:
        """Nothing was left out yet."""
        return cls({}, [])

    @classmethod
    def of_notes(cls, notes: Mapping[str, Any], where: Path) -> LeftOut:
        """What `notes` wrote; nothing, where they say nothing of it. Raises DatasetError for anything else,
        naming `where` they stand."""
        try:
            return _LEFT_OUT.validate_python(
                {"counts": notes.get("left_out_counts", {}), "first": notes.get("left_out", [])}
            )
        except ValidationError as error:
            what = "its notes of what was left out are damaged"
            raise DatasetError(what, where=where, remedy="prepare it again") from error

    def add(self, defects: Iterable[Defect], *, more: dict[str, int] | None = None) -> None:
        """Count these defects; `more`: by what was left out, how many there were beyond those named."""
        for defect in defects:
            self.counts[defect.what] = self.counts.get(defect.what, 0) + 1
            if len(self.first) < MOST_NOTED:
                self.first.append(defect)
        for what, count in (more or {}).items():
            if count:
                self.counts[what] = self.counts.get(what, 0) + count

    def notes(self) -> dict[str, Any]:
        """For a dataset's notes: `left_out` and `left_out_counts`."""
        return {
            "left_out": [asdict(defect) for defect in self.first],
            "left_out_counts": dict(sorted(self.counts.items())),
        }


_LEFT_OUT = TypeAdapter(LeftOut)


def counted(n: int, noun: str) -> str:
    """`1 step`, `2,000 steps`."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def counted_defects(counts: Mapping[str, int]) -> str:
    """How much of what was left out: `1 file, 1,200 records, the rest of 2 files`."""
    return ", ".join(_counted_what(what, count) for what, count in sorted(counts.items()))


def _counted_what(what: str, count: int) -> str:
    if what == REST:
        return f"the rest of {_counted_what(FILE, count)}"
    return counted(count, _NOUNS[what]) if what in _NOUNS else f"{what} {count:,}"
