"""A format made for lines that are JSON objects, or records of journald's export form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from vestige.sources.logs import records
from vestige.sources.logs.format import Format, compiled
from vestige.sources.logs.guess import MASKS, MOST_LINE_FORMATS, Guess
from vestige.sources.logs.masks import GUESSED

RECORDS = "records"
"""What a format of JSON objects is called."""
START, START_OF_ARRAY = r"(?=\{)", r"(?=[\[\x1e]?\{)"
"""Where a record begins: one of an array behind its bracket, of a JSON text sequence (RFC 7464) behind RS."""
INDENTED = rf"[ \t]{{0,64}}{START_OF_ARRAY}"
"""The same where records of an array are indented."""


def guess_records(lines: Sequence[str], *, timed: bool = False) -> Guess | None:
    """The format of lines that are JSON objects, or journald's export form; None where they are not, for the
    most part, or hold no message. `timed`: not where they have no time, either."""
    if any(line.startswith(records.EXPORT) for line in lines):
        n = len(lines)
        return _of_records(f"{records.EXPORT}<Content>", {}, records.JOURNALD, n, n, lines)
    found, whole = records.sample(lines)
    if not found or whole < records.FIT * len(lines):
        return None
    each = [inner for record in found for inner in records.records_of(record)]
    keys = records.find_keys(each, mixed=True)
    if keys is None or (timed and "time" not in keys):
        return None
    start = START
    if are_indented(lines):
        start = INDENTED
    elif not all(line.startswith("{") for line in lines if records.load(line) is not None):
        start = START_OF_ARRAY
    made = _of_records("<Start><Content>", {"Start": start}, keys, whole, len(lines), lines)
    if made is not None and (zone := records.zone_beside(each, keys)):
        doubt = f"zones under a key ({zone}) are not read: the times are taken as UTC"
        made = replace(made, doubts=(*made.doubts, doubt))
    return made


def are_indented(lines: Sequence[str]) -> bool:
    """Whether indented lines are records by themselves, and no parts of an object that lies over several
    lines: then all others are records, too, or the brackets of an array."""
    outer = (line for line in lines if line[0] not in " \t")
    return any(line[0] in " \t" and records.load(line) is not None for line in lines) and all(
        line.strip() in {"[", "]"} or records.load(line) is not None for line in outer
    )


def _of_records(
    header: str, shapes: dict[str, str], keys: dict[str, str], fits: int, n: int, lines: Sequence[str]
) -> Guess | None:
    """The format of records; None where none of the lines has its header, as damaged ones may not."""
    key = (header, *shapes.items(), *keys.items())
    made = _RECORD_FORMATS.get(key)
    if made is None:
        match = compiled(header, shapes, {}).match
        example = next((line for line in lines if match(line)), None)
        if example is None:
            return None
        docker = keys.get("message") == "log" and header.startswith("<")
        made = Format(
            name=RECORDS,
            header=header,
            field=shapes,
            keys=keys,
            partial=records.DOCKER if docker else "",
            example=[example],
            masks=list(MASKS),
            mask=GUESSED,
            types=True,
        )
        if len(_RECORD_FORMATS) >= MOST_LINE_FORMATS:
            _RECORD_FORMATS.clear()
        _RECORD_FORMATS[key] = made
    doubts = (
        ()
        if "time" in keys
        else ("its records have no time that is known as such, so the messages have none",)
    )
    return Guess(made, fits, n, fits / n, doubts)


_RECORD_FORMATS: dict[tuple[object, ...], Format] = {}
"""What `_of_records` made, by header and keys."""
