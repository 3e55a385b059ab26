"""Events through the reading core: files of exports to events of many machines, mixed as they lie there."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from vestige.errors import EvidenceError, FormatError
from vestige.evidence.defects import RECORD, Defect
from vestige.evidence.simulated import is_simulated
from vestige.evidence.stream import closing_on_error
from vestige.log import get
from vestige.reading.files import FileStream, FileUnit, file_units
from vestige.reading.steps import (
    Evidence,
    Listing,
    Position,
    Reader,
    RecordingInfo,
    StepBlock,
    Steps,
)
from vestige.reading.symbols import TextSymbols
from vestige.schema import Schema
from vestige.sources.events.calls import is_anomalous
from vestige.sources.events.columns import MOST_UNEXPLAINED, Events, Machine
from vestige.sources.events.fitting import NOT_MET, Fit, check
from vestige.sources.events.kinds import KINDS, cutter_of, shown_by
from vestige.sources.events.layout import Layout
from vestige.sources.events.options import EventOptions
from vestige.sources.events.parse import Parser, Rules
from vestige.sources.events.probe import layout_and_block
from vestige.sources.events.records import Block, Cutter, RecordReader
from vestige.sources.events.schema import CLASSES, EVENT, SLOTS, rules_for, schema_for
from vestige.sources.events.sessions import without_unions
from vestige.sources.events.settings import settings_of
from vestige.sources.logs.slots import N_SLOTS

if TYPE_CHECKING:
    from vestige.reading.dataset import DatasetWriter
    from vestige.reading.prepare import Account

OPEN_S = 10.0
"""So long a record of a pipe may wait for the end of a quote while other bytes come; then it is given up."""
EARLY_NS = 315_532_800 * 10**9
"""1980-01-01: nothing that exports events wrote an earlier time and meant it."""
LEAST_LINES = 20
"""So many lines must show by which mapping what grows is read, where that was not met before."""
MOST_NAMED = 8
"""Bad records of a file that are named; all of them are counted."""

log = get(__name__)


class EventReader(Reader[FileUnit]):
    """Reads events by the mapping of a schema's settings."""

    symbol_stream = EVENT
    unit_column = "machine"
    interleaved = True
    file_stream = "file"
    digest_stream = "raw"

    def __init__(self, schema: Schema, options: EventOptions | None = None) -> None:
        """`options`: those of a corpus that is read for a dataset."""
        self.schema = schema
        self._rules = Rules.from_settings(schema.settings)
        self._options = options
        self._settings = settings_of(schema)
        self.timed = self._settings.timed
        self._anomalous_files = self._settings.anomalous_files

    @classmethod
    def of_corpus(cls, options: EventOptions) -> EventReader:
        """For a corpus, as a person's options say. Raises UsageError for an unknown mapping."""
        return cls(schema_for(rules_for(options), options), options)

    def remember(self, forms: Sequence[dict[str, Any]]) -> None:
        """See `Reader.remember`."""
        self._rules = self._rules.remembering(forms)

    def slot(self, number: int, raw: str, called: str) -> str:
        """See `Reader.slot`: which field it is, where all records are read by one mapping."""
        if self._rules.others or number >= len(self._rules.mapping.values):
            return super().slot(number, raw, called)
        return f"a value of `{self._rules.mapping.values[number][0]}`"

    def units(self, evidence: Evidence) -> Listing[FileUnit]:
        """Every file, in order; of published sessions, those that are no union of others."""
        listing = file_units(evidence, "event files")
        if self._rules.mapping.kind == "sessions":
            files, unions = without_unions([unit.file for unit in listing.units])
            kept = {file.path for file in files}
            listing.units = [unit for unit in listing.units if unit.file.path in kept]
            listing.left_out += unions
        elif self._anomalous_files and not any(
            is_anomalous(unit.file.id, self._anomalous_files) for unit in listing.units
        ):
            # Where no name says that there are attacks, names say nothing: that is no label.
            self._anomalous_files = ""
        return listing

    def open(self, unit: FileUnit, *, resume: Position | None = None) -> EventStream:
        """See `Reader.open`. Raises EvidenceError for a file that does not fit the mapping."""
        return EventStream(unit, self._rules, self._anomalous_files, resume=resume)

    def probe(self) -> list[StepBlock]:
        """A few records of each mapping's own fields, as if they were a file."""
        blocks = []
        for mapping in self._rules.choices:
            events = Parser(self._rules.only(mapping.name)).parse(*layout_and_block(mapping))
            blocks.append(_steps(events, "probe", values=self._rules.values))
        return blocks

    def finish(self, account: Account, writer: DatasetWriter) -> None:
        """See `Reader.finish`. Raises EvidenceError where there is no event, where more records are bad than
        good, and where nothing has a label in the field that was named."""
        bad = account.left_out.counts.get(RECORD, 0)
        first = next((defect for defect in account.left_out.first if defect.what == RECORD), None)
        if not account.steps:
            raise account.nothing("nothing to read: it holds no event")
        if bad > account.steps and first is not None:
            raise FormatError(
                f"{bad} of {bad + account.steps} records cannot be read; the first: {first.why}",
                where=first.file,
                row=first.row,
                remedy="choose another --mapping, or name the fields (docs/events.md)",
            )
        if self._options is not None and self._options.label is not None and not account.labelled:
            raise FormatError(
                f"no record has a label in the field {self._options.label!r}",
                where=account.corpus,
                remedy="name another --label, or leave it out: then there are no labels",
            )
        asked = None if self._options is None else self._options.anomalous_files
        if asked is not None and self._settings.anomalous_files and not self._anomalous_files:
            raise FormatError(
                f"no file fits --anomalous-files {asked!r}",
                where=account.corpus,
                remedy="paths within the corpus are looked at, such as Attack_Data_Master/Adduser_1/1.txt",
            )
        writer.table("events", account.symbols.frame(account.counts[: len(account.symbols)]))
        labels = account.labels.tolist()
        if not all(labels):
            log.warning("one class only: every event is %s", "an anomaly" if labels[1] else "normal")
        writer.notes.update(
            events=account.steps,
            unique_events=len(account.symbols) - 1,
            files=len(account.units),
            bytes=account.total("bytes"),
            labels=dict(zip(CLASSES, labels, strict=True)),
            label_origin=_origin(
                self.schema, labelled=account.labelled, by_path=account.total("labelled_by_path") > 0
            ),
            synthetic=is_simulated(account.corpus),
            out_of_order=account.out_of_order,
            undecodable_records=account.total("undecodable_records"),
            unwanted_records=account.total("unwanted_records"),
            sessions_of_equal_name=account.repeated,
        )


class EventStream(FileStream):
    """A file as events. A record whose quote is not closed is given up after a bound of bytes, or, of a pipe,
    of time: its first line is a bad record, and the rest goes on."""

    hashes = False

    def __init__(
        self, unit: FileUnit, rules: Rules, anomalous_files: str, *, resume: Position | None = None
    ) -> None:
        super().__init__(unit, resume)
        self._rules, self._anomalous_files = rules, anomalous_files
        self._mapping = rules.mapping
        self._parser = Parser(rules)
        state = {} if resume is None else resume["chunk"]
        self._waiting: deque[Block] = deque()
        self._layout: Layout | None = None
        self._fit: Fit | None = None
        self._unexplained: dict[str, None] = {}
        self._reader: Cutter = RecordReader()
        self._counts: Counter[str] = Counter()
        self._bad = self._reported = self._refused = 0
        self._open_since: float | None = None
        with closing_on_error(self):
            if state.get("layout"):
                self._begin_with(_layout_from_json(state["layout"]))
                self._reader.resume({name: value for name, value in state.items() if name != "layout"})
            else:
                self._check()

    @property
    def digests(self) -> dict[str, str]:
        """See `StepStream.digests`: machines lie in many files, and have digests when they are sorted."""
        return {}

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, how many bad records there are beyond those named, and what the file is read as, and
        why."""
        named = sum(defect.what == RECORD for defect in self.defects)
        summary: dict[str, Any] = {
            **self._counts,
            "bytes": self._reader.n_bytes,
            "more_defects": {RECORD: self._bad + self._reader.bad - named},
        }
        if self._layout is not None:
            summary["format"] = self._layout.mapping
            summary["form"] = self._mapping.model_dump(mode="json")
            if self._layout.day_first is not None:
                summary["settled"] = {"day_first": self._layout.day_first}
        if self._fit is not None:
            summary["why"] = self._fit.why
        if warnings := self._doubts():
            summary["warnings"] = warnings
        return summary

    def _doubts(self) -> list[str]:
        """Whole sentences about what is doubtful, or was assumed."""
        doubts = list(self._fit.warnings) if self._fit is not None else []
        doubts += self._reader.warnings
        if unwanted := self._counts["unwanted_records"]:
            doubts.append(f"Records that do not fulfil --where are left out: {unwanted:,}.")
        if early := self._counts["early"]:
            doubts.append(
                f"Times before 1980 ({early:,} events): they count from another start, or in another "
                "unit (--time-unit, --time-format)."
            )
        if rounded := self._counts["rounded_times"]:
            doubts.append(
                f"Times in scientific notation that tell no second ({rounded:,} of all): a spreadsheet may "
                "have rounded them, so that they are hours off, and in no order; export them again as text."
            )
        if unnamed := self._counts["unnamed_machines"]:
            name = self._mapping.only_machine
            doubts.append(
                f"Records that name no machine ({unnamed:,}) are taken for those of one, {name!r}: "
                "--machine-name says what it is called."
            )
        if passed := self._counts["no_calls"]:
            doubts.append(
                f"Signals and ends of processes are no system calls and are passed over (lines: {passed:,})."
            )
        if clocks := self._counts["clock_times"]:
            doubts.append(
                f"Times of day without a date are no times ({clocks:,} calls): strace -ttt writes whole ones."
            )
        unlabelled = self._counts["unlabelled"]
        if unlabelled and self._counts["labelled"]:
            doubts.append(
                f"Events without a label among those that have one count as normal: {unlabelled:,}."
            )
        if self._unexplained:
            shown = ", ".join(map(repr, list(self._unexplained)[:MOST_UNEXPLAINED]))
            doubts.append(
                f"Labels of which nobody said what they mean count as anomalies ({shown}; of "
                f"{self._counts['unexplained_labels']:,} events): --negatives names those that mean normal."
            )
        return doubts

    def release(self) -> StepBlock | None:
        """A record that waits for the end of a quote is given up, and what lies behind its first line is
        read: nothing of it is handed on twice."""
        if self._chunk is not None or not self._reader.is_open:
            return None
        while self._reader.is_open and not self._waiting:
            self._waiting.extend(self._reader.give_up())
        self._tell_of_refused()
        return self.read(1 << 30) if self._waiting else None

    def _begin(self) -> dict[str, Any]:
        state: dict[str, Any] = self._reader.state
        if self._waiting:
            state = self._reader.state_at(self._waiting[0])
        return {"layout": None if self._layout is None else asdict(self._layout), **state}

    def _next(self) -> StepBlock | None:
        while True:
            if self._layout is None and not self._check():
                return None
            if self._waiting:
                chunk = self._chunk_of(self._waiting.popleft())
                if len(chunk):
                    return chunk
                continue
            piece = self._read_bytes()
            if piece is not None:
                self._reader.feed(piece)
                self._waiting.extend(self._reader.take())
                self._tell_of_refused()
            elif self._bytes.ended:
                if self._ended:
                    return None
                self._waiting.extend(self._reader.finish())
                if not self._waiting:
                    self._end()
                    return None
            else:
                self._waiting.extend(self._reader.take(now=True))
                self._give_up_in_time()
                if not self._waiting:
                    return None

    def _give_up_in_time(self) -> None:
        if not self._reader.is_open:
            self._open_since = None
        elif self._open_since is None:
            self._open_since = time.monotonic()
        elif time.monotonic() - self._open_since > OPEN_S:
            self._open_since = None
            self._waiting.extend(self._reader.give_up())

    def _end(self) -> None:
        self._ended = True
        self._tell_of_refused()

    def _check(self) -> bool:
        """Find out how the file lies; False where too little of it has come."""
        sample, enough = self._bytes.sample()
        shown = shown_by(sample)
        if shown and KINDS[shown].packed:
            if not enough and len(sample) < KINDS[shown].packed:
                return False
        elif not enough:
            if self._unit.mode == "whole" or b"\n" not in sample:
                return False
            sample = sample[: sample.rfind(b"\n") + 1]
        try:
            file = self._unit.file
            fit = check(sample, self._rules, file.where, self._anomalous_files, file=file.id)
        except EvidenceError:
            if enough:
                raise
            return False  # more records may tell
        if not enough and NOT_MET in fit.warnings and sample.count(b"\n") < LEAST_LINES:
            return False
        self._fit = fit
        self._begin_with(self._fit.layout)
        return True

    def _begin_with(self, layout: Layout) -> None:
        self._layout = layout
        rules = self._rules.only(layout.mapping)
        self._mapping = rules.mapping
        self._parser = Parser(rules)
        self._reader = cutter_of(layout, rules.max_record)

    def _chunk_of(self, block: Block) -> StepBlock:
        if self._layout is None:
            raise ValueError("the layout is not known yet")
        events = self._parser.parse(self._layout, block)
        self._layout = self._parser.layout
        self._counts.update(events.counts)
        self._unexplained.update(dict.fromkeys(events.unexplained))
        if not events.own:
            # Steps without a time are below zero.
            self._counts["early"] += int(((events.t_ns >= 0) & (events.t_ns < EARLY_NS)).sum())
        self._bad += events.bad
        self._tell_of_bad(events.faults)
        return _steps(events, self._unit.name, values=self._rules.values)

    def _tell_of_refused(self) -> None:
        """What the reader refused since it was last asked."""
        self._tell_of_bad(self._reader.faults[self._refused :])
        self._refused = len(self._reader.faults)
        self.defects += [Defect(self._unit.file.id, None, what, why) for what, why in self._reader.told]
        self._reader.told.clear()

    def _tell_of_bad(self, faults: Iterable[tuple[int, str]]) -> None:
        for row, why in faults:
            if self._reported < MOST_NAMED:
                self._reported += 1
                self.defects.append(Defect(self._unit.file.id, row, RECORD, why))


def _steps(events: Events, file: str, *, values: bool) -> StepBlock:
    """Events of many machines as steps; row 0 of the table of symbols is padding. `values`: whether they are
    kept."""
    n = len(events)
    kept: Steps = {}
    if values:
        # Sessions and calls have no other fields.
        kept[SLOTS] = np.zeros((n, N_SLOTS), np.uint64) if events.slots is None else events.slots
    infos = [_info(machine) for machine in events.machines]
    if events.own:
        # Published sessions may be called alike: what tells them apart is where they begin.
        first = np.full(len(infos), 0, dtype=np.int64)
        first[events.machine[::-1]] = np.arange(n)[::-1]
        lines = events.line[first].tolist() if n else []
        infos = [replace(info, key=f"{file}:{line}") for info, line in zip(infos, lines, strict=True)]
    return StepBlock(
        recordings=tuple(infos),
        recording=events.machine,
        values={
            EVENT: events.event + np.uint32(1),
            "t_ns": events.t_ns,
            "line": events.line,
            "offset": events.offset,
            "file": np.zeros(n, dtype=np.uint32),
            "raw": events.raw,
            **kept,
        },
        t_ns=events.t_ns,
        label=events.label if events.counts.get("labelled") else None,
        symbols=TextSymbols(events.texts),
        file=file,
        place={"line": events.line, "offset": events.offset},
        ended=np.full(len(infos), events.own, dtype=np.bool_),
    )


@lru_cache(maxsize=1 << 12)
def _info(machine: Machine) -> RecordingInfo:
    """A machine as a recording; the same machines come in every block."""
    return RecordingInfo(machine.id, host=machine.host, sample=machine.sample, profile=machine.profile)


def _layout_from_json(state: dict[str, Any]) -> Layout:
    """A layout as it was before it was written as JSON, which has lists alone."""
    plain: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in state.items()
    }
    plain["places"] = tuple(tuple(map(tuple, alternatives)) for alternatives in state["places"])
    plain["renamed"] = tuple(map(tuple, state["renamed"]))
    return Layout(**plain)


def _origin(schema: Schema, *, labelled: bool, by_path: bool) -> str:
    """One sentence that says where labels come from."""
    if not labelled:
        return "The export has no labels."
    if by_path:
        return "Labels are those of directories and files: a recording is an anomaly where its path says so."
    if not settings_of(schema).timed:
        return "Labels are those of the published sessions: a whole session is an anomaly or none of it."
    if schema.target == "recording":
        return "A machine counts as an anomaly where any of its events carries a label in the export."
    return "Labels are those of the events in the export, as whoever made it set them."
