"""The beginning of a file read by one mapping, in each of the ways in which the file may lie."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vestige.errors import FormatError
from vestige.reading.times import HALF
from vestige.sources.events import documents, fields, sessions
from vestige.sources.events import layout as layouts
from vestige.sources.events.kinds import KINDS, cutter_of, shown_by
from vestige.sources.events.layout import Layout, folded, header_of
from vestige.sources.events.mapping import FIELDS, Mapping
from vestige.sources.events.parse import Parser, Rules
from vestige.sources.events.records import Fault
from vestige.sources.events.sample import MOST_PLACES, beginning, field_names, first_records, is_json
from vestige.sources.events.times import Dates

LABELLIKE = frozenset(
    ["labels", "class", "target", "anomaly", "is_anomaly", "attack", "attack_cat", "is_attack", "malicious",
     "is_malicious", "verdict", "ground_truth", "event_label", "time_label", "y", "category_label"]
)  # fmt: skip
"""Names of columns that may hold labels although nobody named them."""
_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


@dataclass(frozen=True)
class Trial:
    """A sample read by one mapping: how many records are good, and the bad ones."""

    mapping: Mapping
    layout: Layout
    good: int
    bad: int
    first: Fault | None
    dates: Dates

    @property
    def merit(self) -> tuple[int, bool, int]:
        """What of two is the better one: good records, then any at all, then few bad ones."""
        return self.good, self.bad > 0, -self.bad

    @property
    def fits(self) -> bool:
        """Whether there are not more bad records than good ones."""
        return self.bad <= self.good


def attempt(sample: bytes, rules: Rules, where: str, anomalous_files: str = "") -> Trial:
    """A sample read as `rules` say, in the way in which most of its records are good.

    Raises EvidenceError where a table lacks columns, and where nobody can see how its dates begin.
    """
    best: Trial | None = None
    for layout in _layouts(sample, rules.mapping, where, anomalous_files):
        trial = read_sample(sample, layout, rules)
        if best is None or trial.merit > best.merit:
            best = trial
        if trial.good and not trial.bad:
            break
    if best is None:
        raise FormatError(f"nothing that the mapping {rules.mapping.name!r} reads", where=where, row=1)
    return _with_dates(best, sample, rules, where)


def read_sample(sample: bytes, layout: Layout, rules: Rules) -> Trial:
    """What a sample comes to."""
    reader, parser = cutter_of(layout, rules.max_record), Parser(rules)
    now = layout
    good = bad = 0
    first: Fault | None = None
    reader.feed(sample)
    blocks = list(reader.take(now=True))
    if layout.kind != "json":
        # Of a document, whose beginning this may be, the last record is cut off.
        blocks += reader.finish()
    for block in blocks:
        events = parser.parse(now, block)
        now = parser.layout or now
        # Of sessions, a record is a whole session rather than an event; what nobody wants is no misfit.
        good += len(events.machines) if events.own else len(events) + events.counts.get("unwanted_records", 0)
        bad += events.bad
        first = first or next(iter(events.faults), None)
    dates = parser.times(now).dates
    first = first or next(iter(reader.faults), None)
    return Trial(rules.mapping, layout, good, bad + reader.bad, first, dates)


def _with_dates(trial: Trial, sample: bytes, rules: Rules, where: str) -> Trial:
    """The same where dates begin with their day or their month, as the sample shows."""
    dates = trial.dates
    if dates.day_first and not dates.month_first:
        return read_sample(sample, replace(trial.layout, day_first=True), rules)
    if dates.month_first and not dates.day_first:
        return read_sample(sample, replace(trial.layout, day_first=False), rules)
    if dates.either and not dates.day_first and rules.day_first is not None:
        # No date of this sample tells: those of what was learnt from did.
        return read_sample(sample, replace(trial.layout, day_first=rules.day_first), rules)
    if dates.either:
        what = "could begin with its day or its month, and no date in the first records tells"
        if dates.day_first:
            what = "begins with its day or its month: in some of the first records the one, in some the other"
        first, second = _guessed_formats(dates.example)
        raise FormatError(
            f"the date {dates.example[:40]!r} {what}",
            where=where,
            row=sample.count(b"\n", 0, max(0, sample.find(dates.example.encode()))) + 1,
            remedy=f"say which: --time-format '{first}' (day first) or '{second}' (month first)",
        )
    return trial


def _guessed_formats(text: str) -> tuple[str, str]:
    """Layouts that would read a date of numbers, day first and month first."""
    found = re.match(r"\d+([/-])\d+[/-](\d+)(,?\s*)(.*)", text, re.DOTALL)
    if found is None:
        return "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S"
    mark, year, gap, clock = found.groups()
    rest = ""
    if clock:
        rest = "%I" if re.search(HALF, clock) else "%H"
        rest = gap + rest + ":%M" + ":%S" * (clock.count(":") > 1)
        if fraction := re.search(r"\d([.,])\d", clock):
            rest += f"{fraction[1]}%f"
        rest += " %p" * ("%I" in rest)
    y = "%Y" if len(year) == 4 else "%y"
    return f"%d{mark}%m{mark}{y}{rest}", f"%m{mark}%d{mark}{y}{rest}"


def _layouts(sample: bytes, mapping: Mapping, where: str, anomalous_files: str) -> Iterator[Layout]:
    """The ways in which a file may lie, as its beginning shows, likely ones first."""
    if mapping.kind == "sessions":
        said = sessions.about(where.rpartition("/")[2], anomalous_files)
        yield replace(said, mapping=mapping.name, unnamed=sessions.are_unnamed(sample))
        return
    shown = shown_by(sample)
    if shown and mapping.kind in KINDS[shown].read_by:
        yield Layout(shown, mapping=mapping.name)
    elif mapping.kind == "jsonl" or (mapping.kind == "auto" and is_json(sample)):
        yield from _json_layouts(sample, mapping)
    else:
        yield layouts.table(sample, mapping, where)


def _json_layouts(sample: bytes, mapping: Mapping) -> Iterator[Layout]:
    start = beginning(sample)
    records = first_records(sample)
    renamed = tuple(_renamed(records, mapping))
    if not start.startswith(b"["):
        yield Layout("jsonl", mapping=mapping.name, renamed=renamed)
    if start[:1] in {b"{", b"["}:
        for place in documents.places(sample)[:MOST_PLACES]:
            yield Layout("json", mapping=mapping.name, inside=place, renamed=renamed)


def _renamed(records: Sequence[dict[str, Any]], mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Fields that no record has by a name of the mapping, but by one that differs in case or blanks alone."""
    names = list(dict.fromkeys(name for record in records for name in record))
    for field in FIELDS:
        alternatives = getattr(mapping, field)
        paths = [fields.plain_path(fields.parts(alternative)[0]) for alternative in alternatives]
        if any(fields.look_up(record, path) is not None for record in records for path in paths):
            continue
        wanted = {folded(path): path for path in paths}
        near = next((name for name in names if folded(name) in wanted), None)
        if near is not None:
            yield field, near


def how(trial: Trial) -> str:
    """How a file lies, in a few words."""
    layout = trial.layout
    called = KINDS[layout.kind].called
    if layout.kind == "csv":
        mark = _DELIMITERS.get(layout.delimiter, layout.delimiter)
        called = f"a table with {mark} between {layout.columns} cells"
        if layout.preamble:
            called += f", its header in line {layout.preamble + 1}"
    elif layout.inside:
        called = f"JSON, the objects in {''.join(layout.inside)}"
    return f"{called}; {trial.good} of its first {trial.good + trial.bad} records fit"


def doubts(trial: Trial, sample: bytes) -> Iterator[str]:
    """Whole sentences about what was assumed of a file."""
    for field, name in trial.layout.renamed:
        yield (
            f"The {field} is taken from {name!r}, which differs from {folded(name)!r} in case or blanks "
            f"alone (--{field} names another)."
        )
    if trial.layout.kind == "csv":
        names = header_of(trial.layout)
        for field, places in zip(FIELDS, trial.layout.places, strict=True):
            for column in places[0][:1] if places else ():
                if isinstance(column, int) and names.count(names[column]) > 1:
                    many = names.count(names[column])
                    yield (
                        f"{many} columns are called {names[column]!r}; the {field} is taken from the first "
                        "of them. If another is meant, give it a name of its own."
                    )
    if trial.mapping.label and not any(field == "label" for field, _ in trial.layout.renamed):
        names = field_names(first_records(sample))
        if not any(fields.look_up(dict.fromkeys(names, True), label) for label in trial.mapping.label):
            near = [name for name in names if folded(name) in LABELLIKE]
            if near:
                yield (
                    f"There is no label in {trial.mapping.label[0]!r}, so every event counts as normal; "
                    f"{', '.join(map(repr, near[:4]))} may hold one (--label names it)."
                )
