"""Whether a file of evidence fits a mapping, as its beginning shows, and which of several it fits best."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vestige.errors import EvidenceError, FormatError
from vestige.evidence.stream import SAMPLE_BYTES, SAMPLE_LINES
from vestige.sources.events import calls, documents, fields, sessions, zeek
from vestige.sources.events import layout as layouts
from vestige.sources.events.audit import AuditReader, fields_of, is_audit
from vestige.sources.events.documents import DocumentReader
from vestige.sources.events.evtx.reader import EvtxReader, is_evtx
from vestige.sources.events.json_lines import BadRecordError, decode
from vestige.sources.events.layout import Layout, folded, split_row
from vestige.sources.events.mapping import FIELDS, Mapping, every
from vestige.sources.events.parse import Parser, Rules, cut
from vestige.sources.events.records import Fault, RecordReader
from vestige.sources.events.times import Dates
from vestige.sources.events.where import condition, named

WIDE = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
FOREIGN = (
    (
        re.compile(rb".{4}LfLe", re.DOTALL),
        "an event log of Windows XP or Server 2003 (.evt), which is not read",
        "convert it on Windows: wevtutil export-log OLD.evt NEW.evtx /lf:true",
    ),
    (
        re.compile(rb"(?:\xef\xbb\xbf)?\s*+<(?:\?xml\s|Events?[\s>]|Objs\s)"),
        "the file is XML, which is not read",
        "an event log of Windows is read as it is (.evtx); otherwise export JSON, an object a line",
    ),
    (
        re.compile(rb"\s*+% time\s++seconds\s++usecs/call"),
        "a summary of strace (-c), which has no sequence of calls",
        "record it again without -c",
    ),
)
"""What is known and not read: how such files begin, what they are, and what helps."""
LOOKED_AT = 20
"""Records that are asked for the signs of a mapping."""
MOST_SHOWN = 24
WRAPPERS = frozenset(
    f"{key}["
    for key in ("Records", "records", "Events", "events", "hits", "value", "results", "items", "entries",
                "rows", "logs", "logEvents", "alerts", "findings")
)  # fmt: skip
"""Lists, by their keys, whose objects are the records where they lie in an object of their own."""
LABELLIKE = frozenset(
    ["labels", "class", "target", "anomaly", "is_anomaly", "attack", "attack_cat", "is_attack", "malicious",
     "is_malicious", "verdict", "ground_truth", "event_label", "time_label", "y", "category_label"]
)  # fmt: skip
"""Names of columns that may hold labels although nobody named them."""

Reading = RecordReader | DocumentReader | AuditReader | EvtxReader | calls.WholeReader


@dataclass(frozen=True)
class Fit:
    """What a file's beginning says: how it lies, by which mapping it is read, and why by that one."""

    layout: Layout
    why: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Trial:
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


def reader_of(layout: Layout, rules: Rules) -> Reading:
    """What cuts a file of that layout into records."""
    if layout.kind == "json":
        return DocumentReader(layout.inside, max_record=rules.max_record)
    if layout.kind == "audit":
        return AuditReader(max_record=rules.max_record)
    if layout.kind == "evtx":
        return EvtxReader(max_record=rules.max_record)
    if layout.kind == "sequence":
        return calls.WholeReader(max_record=rules.max_record)
    # In a log of Zeek no cell is quoted: a row is a line.
    delimiter = "" if layout.kind == "zeek" else layout.delimiter
    return RecordReader(delimiter, max_record=rules.max_record)


def first_lines(sample: bytes) -> bytes:
    """At most `SAMPLE_LINES` whole lines; what there is, where there is no line end."""
    ends = [end for end, _ in zip(re.finditer(rb"\n", sample), range(SAMPLE_LINES), strict=False)]
    whole = len(sample) < SAMPLE_BYTES and len(ends) < SAMPLE_LINES
    if whole or not ends:
        return sample
    return sample[: ends[-1].end()]


def check(sample: bytes, rules: Rules, where: str, anomalous_files: str = "", *, file: str = "") -> Fit:
    """How a file that fits `rules` lies, and why so.

    Raises EvidenceError when it is no text, or when more than half of its first records are bad: then the
    message names the first of them, what its fields are called, and the mappings that would fit.
    """
    if not sample:
        raise EvidenceError("the file is empty", where=where)
    if is_evtx(sample):
        return _of_windows(sample, rules, where)
    if sample.startswith(WIDE):
        remedy = "convert it: iconv -f UTF-16 -t UTF-8 FILE"
        raise EvidenceError("the text is UTF-16", where=where, remedy=remedy)
    for pattern, what, remedy in FOREIGN:
        if pattern.match(sample):
            raise EvidenceError(what, where=where, remedy=remedy)
    if sample.count(b"\0", 0, 4096) > min(len(sample), 4096) // 4:
        raise EvidenceError("no text: it is full of NUL bytes", where=where)
    if (fit := _of_calls(sample, rules, where, anomalous_files, file)) is not None:
        return fit
    if rules.others:
        return _choose(sample, rules, where)
    try:
        trial = _try(sample, rules, where, anomalous_files)
    except EvidenceError as error:
        if fitting := _fitting(sample, rules, where):
            error.remedy = f"--mapping {fitting[0]} fits this file"
        raise
    _refuse_unless_fits(trial, sample, rules, where)
    return Fit(trial.layout, _how(trial), tuple(_doubts(trial, sample)))


def _of_windows(sample: bytes, rules: Rules, where: str) -> Fit:
    """How a Windows event log is read: its records are JSON of which the first ones choose the mapping."""
    reader = EvtxReader(max_record=rules.max_record)
    reader.feed(sample)
    blocks = [*reader.take(), *reader.finish()]
    if not blocks:
        what = "a Windows event log without any record"
        if reader.faults:
            what = f"a Windows event log whose records cannot be read; the first: {reader.faults[0][1]}"
        raise EvidenceError(what, where=where)
    if rules.mapping.kind not in {"auto", "jsonl"} and not rules.others:
        what = f"a Windows event log, which is not read by the mapping {rules.mapping.name!r}"
        raise EvidenceError(what, where=where, remedy="--mapping windows fits this file")
    fit = check(first_lines(b"".join(block.data for block in blocks)), rules, where)
    layout = replace(fit.layout, kind="evtx")
    return replace(fit, layout=layout, why=fit.why.replace(fit.layout.called, layout.called, 1))


def _of_calls(sample: bytes, rules: Rules, where: str, anomalous_files: str, file: str) -> Fit | None:
    """How a file of system calls is read, where the mapping is of such, or `auto` and its lines show it."""
    kind = calls.kind_of(sample)
    mapping = rules.mapping
    if rules.others:
        mapping = next((choice for choice in rules.others if choice.kind == kind), mapping)
    if mapping.kind in {"strace", "pairs", "sequence"}:
        kind = mapping.kind
    elif mapping.kind != "syscalls":
        return None
    if kind is None:
        return None
    rules = Rules(mapping, rules.max_record)
    layout = replace(calls.about(kind, file or where, anomalous_files), mapping=mapping.name)
    trial = _read(sample, layout, rules)
    _refuse_unless_fits(trial, sample, rules, where)
    return Fit(layout, _how(trial))


def _choose(sample: bytes, rules: Rules, where: str) -> Fit:
    """The best of the mappings that `rules` allow."""
    records = _first_records(sample)
    special = _known(records, rules.choices)
    plain = "jsonl" if _is_json(sample) else "csv"
    general = [choice for choice in rules.choices if not choice.signs and choice.kind in {plain, "auto"}]
    refused: list[tuple[Mapping, EvidenceError | _Trial]] = []
    chosen: _Trial | None = None
    for mapping in [*special, *general]:
        try:
            trial = _try(sample, rules.only(mapping.name), where)
        except EvidenceError as error:
            refused.append((mapping, error))
            continue
        if trial.fits and chosen is None and (trial.good or mapping.kind == "csv"):
            chosen = trial
        else:
            refused.append((mapping, trial))
        if chosen is not None and refused:
            break
    if chosen is None:
        raise _none_fits(sample, rules, where, refused)
    why = _how(chosen)
    if chosen.mapping.signs:
        why += f", known by {_shown_signs(records, chosen.mapping)}"
    if refused:
        why += f"; not {_rejection(*refused[0])}"
    return Fit(chosen.layout, why, tuple(_doubts(chosen, sample)))


def _rejection(mapping: Mapping, trial: EvidenceError | _Trial) -> str:
    """Why a mapping was not taken, in a few words."""
    if isinstance(trial, EvidenceError):
        return f"{mapping.name}: {trial.what[:160]}"
    if not trial.fits and trial.first is not None:
        return f"{mapping.name}: {trial.first[1]} (line {trial.first[0]})"
    if mapping.signs:
        return f"{mapping.name}, which would fit too but is broader"
    return f"{mapping.name}, which reads it, too, by the names that any export may have"


def _none_fits(
    sample: bytes, rules: Rules, where: str, refused: Sequence[tuple[Mapping, EvidenceError | _Trial]]
) -> EvidenceError:
    """What to say where no mapping fits: of the one that knows such files best, or the general one."""
    if _are_sequences(sample):
        return FormatError(
            "no record has a time, a machine and an event: these look like sessions",
            where=where,
            row=1,
            remedy="--mapping sessions fits this file",
        )
    ranked = sorted(refused, key=lambda entry: isinstance(entry[1], EvidenceError) and entry[0].name == "csv")
    mapping, trial = ranked[0]
    if isinstance(trial, EvidenceError):
        return trial
    return _misfit(trial, sample, rules.only(mapping.name), where)


def _refuse_unless_fits(trial: _Trial, sample: bytes, rules: Rules, where: str) -> None:
    if not trial.fits:
        raise _misfit(trial, sample, rules, where)


def _misfit(trial: _Trial, sample: bytes, rules: Rules, where: str) -> FormatError:
    row, what = trial.first or (1, "unreadable")
    total = trial.bad + trial.good
    return FormatError(
        f"{trial.bad} of the first {total} records do not fit the mapping {rules.mapping.name!r}; "
        f"the first of them: {what}",
        where=where,
        row=row,
        remedy=_advice(what, sample, rules, where),
    )


def _how(trial: _Trial) -> str:
    """How a file lies, in a few words."""
    layout = trial.layout
    called = layout.called
    if layout.kind == "csv":
        mark = _DELIMITERS.get(layout.delimiter, layout.delimiter)
        called = f"a table with {mark} between {layout.columns} cells"
        if layout.preamble:
            called += f", its header in line {layout.preamble + 1}"
    elif layout.inside:
        called = f"JSON, the objects in {''.join(layout.inside)}"
    return f"{called}; {trial.good} of its first {trial.good + trial.bad} records fit"


_DELIMITERS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar"}


def _doubts(trial: _Trial, sample: bytes) -> Iterator[str]:
    """Whole sentences about what was assumed of a file."""
    for field, name in trial.layout.renamed:
        yield (
            f"The {field} is taken from {name!r}, which differs from {folded(name)!r} in case or blanks "
            f"alone (--{field} names another)."
        )
    if trial.mapping.label and not any(field == "label" for field, _ in trial.layout.renamed):
        names = _names(_first_records(sample))
        if not any(fields.look_up(dict.fromkeys(names, True), label) for label in trial.mapping.label):
            near = [name for name in names if folded(name) in LABELLIKE]
            if near:
                yield (
                    f"There is no label in {trial.mapping.label[0]!r}, so every event counts as normal; "
                    f"{', '.join(map(repr, near[:4]))} may hold one (--label names it)."
                )


def _try(sample: bytes, rules: Rules, where: str, anomalous_files: str = "") -> _Trial:
    """A sample read as `rules` say, in the way in which most of its records are good.

    Raises EvidenceError where a table lacks columns, and where nobody can see how its dates begin.
    """
    best: _Trial | None = None
    for layout in _layouts(sample, rules.mapping, where, anomalous_files):
        trial = _read(sample, layout, rules)
        if best is None or trial.merit > best.merit:
            best = trial
        if trial.good and not trial.bad:
            break
    if best is None:
        raise FormatError(f"nothing that the mapping {rules.mapping.name!r} reads", where=where, row=1)
    return _with_dates(best, sample, rules, where)


def _with_dates(trial: _Trial, sample: bytes, rules: Rules, where: str) -> _Trial:
    """The same where dates begin with their day or their month, as the sample shows."""
    dates = trial.dates
    if dates.day_first and not dates.month_first:
        return _read(sample, replace(trial.layout, day_first=True), rules)
    if dates.month_first and not dates.day_first:
        return _read(sample, replace(trial.layout, day_first=False), rules)
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
        rest = "%I" if re.search(r"[AaPp]\.?[Mm]", clock) else "%H"
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
    if mapping.kind == "auto" and zeek.is_zeek(sample):
        yield zeek.first_layout(mapping)
    elif mapping.kind in {"auto", "syscalls"} and is_audit(sample):
        yield Layout("audit", mapping=mapping.name)
    elif mapping.kind == "jsonl" or (mapping.kind == "auto" and _is_json(sample)):
        yield from _json_layouts(sample, mapping)
    else:
        yield layouts.table(sample, mapping, where)


def _is_json(sample: bytes) -> bool:
    return _start(sample)[:1] in {b"{", b"["}


def _start(sample: bytes) -> bytes:
    """A sample without what may stand before its first record."""
    return sample.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n\x1e")


def _json_layouts(sample: bytes, mapping: Mapping) -> Iterator[Layout]:
    start = _start(sample)
    records = _first_records(sample)
    renamed = tuple(_renamed(records, mapping))
    if not start.startswith(b"["):
        yield Layout("jsonl", mapping=mapping.name, renamed=renamed)
    if start[:1] in {b"{", b"["}:
        for place in documents.places(sample)[:_MOST_PLACES]:
            yield Layout("json", mapping=mapping.name, inside=place, renamed=renamed)


_MOST_PLACES = 5


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


def _names(records: Sequence[dict[str, Any]]) -> list[str]:
    """What the fields of records are called, nested ones by their paths, in the order in which they come."""
    names: dict[str, None] = {}
    for record in records:
        for name in _paths(record, 3):
            if len(names) < 1000:
                names.setdefault(name)
    return list(names)


def _paths(record: dict[str, Any], depth: int) -> Iterator[str]:
    for name, value in record.items():
        inner = value
        mark = ""
        if isinstance(value, list) and value and isinstance(value[0], dict):
            inner, mark = value[0], "[]"
        if isinstance(inner, dict) and inner and depth > 1:
            for path in _paths(inner, depth - 1):
                yield f"{name}{mark}.{path}"
        else:
            yield name


def _first_records(sample: bytes) -> list[dict[str, Any]]:
    """The first few records as objects, whatever the file is; what cannot be read is left out."""
    start = _start(sample)
    if zeek.is_zeek(sample):
        return _zeek_records(sample)
    if is_audit(sample):
        reader = AuditReader()
        reader.feed(sample)
        return [fields_of(record.decode("utf-8", "replace")) for record in _records_of(reader)]
    if start[:1] in {b"{", b"["}:
        return _json_records(sample, start)
    return _rows(start)


def _json_records(sample: bytes, start: bytes) -> list[dict[str, Any]]:
    lines = [line for line in start.split(b"\n")[: 2 * LOOKED_AT] if line.strip()]
    if found := _objects(lines):
        # A whole file of CloudTrail, or the response of a search, may be one line.
        place = documents.places(lines[0])[0]
        if place and place[-1] in WRAPPERS:
            return _wrapped(sample, place) or found
        return found
    for place in documents.places(sample)[:_MOST_PLACES]:
        if found := _wrapped(sample, place):
            return found
    return []


def _wrapped(sample: bytes, place: documents.Place) -> list[dict[str, Any]]:
    reader = DocumentReader(place)
    reader.feed(sample)
    return _objects(_records_of(reader))


def _records_of(reader: DocumentReader | AuditReader) -> list[bytes]:
    """The first records that are whole; of audit, all are over where the sample is."""
    blocks = list(reader.take(now=True))
    if isinstance(reader, AuditReader):
        blocks += reader.give_up()
    found = [record for block in blocks[:2] for record in cut(block)[0][:LOOKED_AT]]
    return found[:LOOKED_AT]


def _objects(texts: Sequence[bytes]) -> list[dict[str, Any]]:
    found = []
    for text in texts[:LOOKED_AT]:
        try:
            found.append(decode(text.decode("utf-8", errors="replace")))
        except BadRecordError:
            continue
    return found


def _zeek_records(sample: bytes) -> list[dict[str, Any]]:
    anything = Mapping(timestamp=("ts",), machine=("ts",), event=("ts",))
    rows = zeek.ZeekRows(zeek.first_layout(anything), anything)
    found = []
    for line in sample.decode("utf-8", errors="replace").split("\n")[: 2 * LOOKED_AT]:
        try:
            cells = rows.cells(line)
        except BadRecordError:
            continue
        if cells:
            found.append(dict(zip(rows.names, cells, strict=False)))
    return found[:LOOKED_AT]


def _rows(start: bytes) -> list[dict[str, Any]]:
    """Rows of a table, whatever stands between its cells: as its first line that is no comment has it."""
    while start.startswith(b"#"):
        start = start.partition(b"\n")[2].lstrip()
    first = start[: start.find(b"\n") + 1].decode("utf-8", errors="replace")
    delimiter = max(layouts.DELIMITERS, key=lambda mark: len(split_row(first, mark)))
    reader = RecordReader(delimiter)
    reader.feed(start)
    texts = [
        record.decode("utf-8", errors="replace").rstrip("\r\n")
        for block in list(reader.take(now=True))[:1]
        for record in cut(block)[0][: LOOKED_AT + 1]
    ]
    header, *rows = [split_row(text, delimiter) for text in texts if text.strip()] or [[]]
    names = [cell.strip() for cell in header]
    return [
        {name: cell for name, cell in zip(names, row, strict=True) if cell}
        for row in rows
        if len(row) == len(names)
    ]


def _known(records: Sequence[dict[str, Any]], mappings: Sequence[Mapping]) -> list[Mapping]:
    """The mappings whose signs most of the records have; those that all of them have first."""
    shares = {mapping.name: _share(records, mapping) for mapping in mappings if mapping.signs}
    known = [mapping for mapping in mappings if shares.get(mapping.name, 0) > 0.5]
    return sorted(known, key=lambda mapping: shares[mapping.name] < 1)


def _share(records: Sequence[dict[str, Any]], mapping: Mapping) -> float:
    """The share of records that have the signs of a mapping."""
    has_signs = condition(mapping.signs)
    return sum(has_signs(record) for record in records) / max(1, len(records))


def _shown_signs(records: Sequence[dict[str, Any]], mapping: Mapping) -> str:
    """The fields of a mapping's signs that the first records have."""
    found = [
        name for name in named(mapping.signs) if any(fields.look_up(r, name) is not None for r in records)
    ]
    return ", ".join(found[:5])


def _read(sample: bytes, layout: Layout, rules: Rules) -> _Trial:
    """What a sample comes to."""
    reader, parser = reader_of(layout, rules), Parser(rules)
    good = bad = 0
    first: Fault | None = None
    reader.feed(sample)
    blocks = list(reader.take(now=True))
    if layout.kind != "json":
        # Of a document, whose beginning this may be, the last record is cut off.
        blocks += reader.finish()
    for block in blocks:
        events = parser.parse(layout, block)
        layout = parser.layout or layout
        # Of sessions, a record is a whole session rather than an event; what nobody wants is no misfit.
        good += len(events.machines) if events.own else len(events) + events.counts.get("unwanted_records", 0)
        bad += events.bad
        first = first or next(iter(events.faults), None)
    dates = parser.times(layout).dates
    first = first or next(iter(reader.faults), None)
    if layout.kind == "zeek":
        layout = zeek.first_layout(rules.mapping)
    return _Trial(rules.mapping, layout, good, bad + reader.bad, first, dates)


def _are_sequences(sample: bytes) -> bool:
    """Whether most lines look like sessions: a name, one comma, several events; objects that list events of a
    session; or sequences alone."""
    if sample.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{"):
        first = sample.partition(b"\n")[0]
        return b'"session"' in first and b'"events"' in first
    if sessions.are_unnamed(sample):
        return b" " in sample.strip().partition(b"\n")[0]
    lines = sample.split(b"\n")[:SAMPLE_LINES]
    return sum(line.count(b",") == 1 and b" " in line.partition(b",")[2].strip() for line in lines) > (
        len(lines) / 2
    )


def _fitting(sample: bytes, rules: Rules, where: str) -> list[str]:
    """The shipped mappings that would fit, best first."""
    shares: dict[str, float] = {}
    if kind := calls.kind_of(sample):
        return [mapping.name for mapping in every() if mapping.kind == kind]
    records = _first_records(sample)
    for mapping in every():
        if mapping.kind == "sessions" and not _are_sequences(sample):
            continue
        if mapping.signs and _share(records, mapping) <= 0.5:
            continue
        try:
            trial = _try(sample, Rules(mapping, rules.max_record), where)
        except EvidenceError:
            continue
        shares[mapping.name] = trial.good / max(1, trial.good + trial.bad)
    return [name for name in sorted(shares, key=lambda name: -shares[name]) if shares[name] > 0.5]


def _advice(what: str, sample: bytes, rules: Rules, where: str) -> str:
    """What helps against that first fault."""
    if fitting := [name for name in _fitting(sample, rules, where) if name != rules.mapping.name]:
        return f"mappings that would fit: {', '.join(fitting)}"
    if rules.mapping.kind == "sessions":
        return "a line of sessions is `name,event event ...`, or a sequence of numbers alone (docs/events.md)"
    if "the header" in what:
        return (
            "give the header and the rows equally many cells: a name is missing, or a delimiter is in a cell"
        )
    if what.endswith("is no time"):
        return _TIME_ADVICE
    return _advice_on_fields(what, sample)


_TIME_ADVICE = (
    "say how times are written: --time-format '%d/%m/%Y %H:%M:%S', or --time-unit; the name of a time zone "
    "is not understood (what it means depends on who wrote it): put its offset there, such as -0400"
)


def _advice_on_fields(what: str, sample: bytes) -> str:
    names = _names(_first_records(sample))
    if not names:
        if _is_json(sample):
            return "its JSON is damaged, or holds no objects: jq . FILE names the place"
        return "no shipped mapping fits either: name the fields (docs/events.md)"
    flags = {"no time": "--timestamp", "no machine": "--machine", "no event": "--event"}
    advice = f"name the field with {flags.get(what, '--timestamp, --machine, --event')}"
    if what == "no machine":
        advice += ", or what the only machine is called with --machine-name web1"
    return f"{advice}; the records have: {', '.join(names[:MOST_SHOWN])[:600]}"
