"""Whether a file of evidence fits a mapping, as its beginning shows, and which mapping it would fit."""

from __future__ import annotations

import codecs
import json
import re

from vestige.errors import EvidenceError
from vestige.evidence.stream import SAMPLE_BYTES, SAMPLE_LINES
from vestige.sources.events import layout as layouts
from vestige.sources.events import sessions
from vestige.sources.events.layout import Layout
from vestige.sources.events.mapping import Mapping, every
from vestige.sources.events.parse import Parser, Rules
from vestige.sources.events.records import Fault, RecordReader

WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def first_lines(sample: bytes) -> bytes:
    """At most `SAMPLE_LINES` whole lines; what there is, where there is no line end."""
    ends = [end for end, _ in zip(re.finditer(rb"\n", sample), range(SAMPLE_LINES), strict=False)]
    whole = len(sample) < SAMPLE_BYTES and len(ends) < SAMPLE_LINES
    if whole or not ends:
        return sample
    return sample[: ends[-1].end()]


def check(sample: bytes, rules: Rules, where: str, anomalous_files: str = "") -> Layout:
    """The layout of a file that fits `rules`.

    Raises EvidenceError when it is no text, or when more than half of its first records are bad: then the
    message names the first of them, and the mappings that would fit.
    """
    if not sample:
        raise EvidenceError("the file is empty", where=where)
    if sample.startswith(WIDE):
        remedy = "convert it: iconv -f UTF-16 -t UTF-8 FILE"
        raise EvidenceError("the text is UTF-16", where=where, remedy=remedy)
    if sample.count(b"\0", 0, 4096) > min(len(sample), 4096) // 4:
        raise EvidenceError("no text: it is full of NUL bytes", where=where)
    try:
        layout, good, faults = _try(sample, rules, where, anomalous_files)
    except EvidenceError as error:
        if fitting := _fitting(sample, rules, where):
            error.remedy = f"--mapping {fitting[0]} fits this file"
        raise
    bad = sum(number for number, _ in faults)
    if bad <= good:
        return layout
    row, what = next((first for _, first in faults if first), (1, "unreadable"))
    raise EvidenceError(
        f"{bad} of the first {bad + good} records do not fit the mapping {rules.mapping.name!r}; "
        f"the first of them: {what}",
        where=where,
        row=row,
        remedy=_advice(sample, rules, where),
    )


def _try(
    sample: bytes, rules: Rules, where: str, anomalous_files: str = ""
) -> tuple[Layout, int, list[tuple[int, Fault | None]]]:
    """Layout of a sample, how many records it has, and the bad ones as counts with the first of each."""
    if rules.mapping.kind == "sessions":
        layout = sessions.about(where.rpartition("/")[2], anomalous_files)
    else:
        layout = layouts.find(sample, rules.mapping, where)
    reader = RecordReader(layout.delimiter, max_record=rules.max_record)
    parser = Parser(rules)
    found = [parser.parse(layout, block) for block in reader.blocks(iter([sample]))]
    faults = [(events.bad, next(iter(events.faults), None)) for events in found]
    faults.append((reader.bad, next(iter(reader.faults), None)))
    good = 0
    for events in found:
        # Of sessions, a record is a whole session rather than an event.
        good += len(events.machines) if events.own else len(events)
    return layout, good, faults


def _are_sequences(sample: bytes) -> bool:
    """Whether most lines look like sessions: a name, one comma, several events."""
    lines = sample.split(b"\n")[:SAMPLE_LINES]
    return sum(line.count(b",") == 1 and b" " in line.partition(b",")[2].strip() for line in lines) > (
        len(lines) / 2
    )


def _fitting(sample: bytes, rules: Rules, where: str) -> list[str]:
    """The shipped mappings that would fit, best first."""
    shares: dict[str, float] = {}
    for mapping in every():
        if mapping.kind == "sessions" and not _are_sequences(sample):
            continue
        try:
            _, good, faults = _try(sample, Rules(mapping, rules.max_record), where)
        except EvidenceError:
            continue
        shares[mapping.name] = good / max(1, good + sum(number for number, _ in faults))
    return [name for name in sorted(shares, key=lambda name: -shares[name]) if shares[name] > 0.5]


def _advice(sample: bytes, rules: Rules, where: str) -> str:
    if fitting := _fitting(sample, rules, where):
        return f"mappings that would fit: {', '.join(fitting)}"
    start = sample.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    if start == b"[":
        return "a JSON array: write one object a line (jq -c '.[]' FILE)"
    if start == b"{" and rules.mapping.kind != "csv":
        return f"one JSON object a line is read (jq -c . FILE), with {_fields(rules.mapping)}"
    return f"no shipped mapping fits either: name the fields ({_fields(rules.mapping)}), see docs/events.md"


def _fields(mapping: Mapping) -> str:
    named = {"--timestamp": mapping.timestamp, "--machine": mapping.machine, "--event": mapping.event}
    return ", ".join(f"{flag} {json.dumps(names[0])}" for flag, names in named.items() if names)
