"""Formats that were met before: what a detector learnt from is read so, and new files are, where they fit.

A file that has just begun, or whose first lines differ from the others, would be guessed to be of another
format, and its messages would then all be new.
"""

from __future__ import annotations

from collections.abc import Sequence

from vestige.sources.logs import records
from vestige.sources.logs.format import Format
from vestige.sources.logs.guess_records import RECORDS

NOT_MET = "its first lines are of no format that was learnt from, so that its messages may all be new"
"""What is doubtful about a file that none of the formats fits."""


def records_met(met: Sequence[Format], lines: Sequence[str]) -> tuple[Format, int] | None:
    """The format of records, of those that were `met`, that these lines have, and how many of them are such
    records; None where most are none, or have no message, or no time, where the format has them."""
    known = [each for each in met if each.name == RECORDS]
    exported = [line for line in lines if line.startswith(records.EXPORT)]
    if exported:
        each = next((each for each in known if each.header.startswith(records.EXPORT)), None)
        return None if each is None else (each, len(lines))
    if not known:
        return None
    found, whole = records.sample(lines)
    if not found or whole < records.FIT * len(lines):
        return None
    inner = [member for record in found for member in records.records_of(record)]
    for each in known:
        if any(map(each.compiled().match, lines)) and _has_keys(each, inner):
            return each, whole
    return None


def is_met(met: Sequence[Format], chosen: Format) -> bool:
    """Whether a format is one of those that were met: it reads lines alike, whatever its example is."""
    return any(
        (each.header, each.field, each.time, each.keys)
        == (chosen.header, chosen.field, chosen.time, chosen.keys)
        for each in met
    )


def _has_keys(each: Format, inner: Sequence[records.Record]) -> bool:
    """Whether most records have what the format takes for the message, and for its time."""
    message = each.keys.get("message") or each.keys.get("template")
    needed = [path for path in (message, each.keys.get("time")) if path]
    having = sum(all(records.value_at(record, path) is not None for path in needed) for record in inner)
    return having >= records.FIT * len(inner)
