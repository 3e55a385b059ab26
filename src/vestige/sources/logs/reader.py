"""Logs through the reading core: files of evidence to messages, whatever asks for them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.evidence.defects import FILE, Defect
from vestige.evidence.files import EvidenceFile, find, stdin
from vestige.evidence.simulated import is_simulated
from vestige.evidence.stream import ByteStream, closing_on_error
from vestige.log import get
from vestige.reading.dataset import DatasetWriter
from vestige.reading.prepare import Account
from vestige.reading.steps import (
    ChunkStream,
    Evidence,
    Join,
    Labeller,
    Listing,
    Position,
    Reader,
    RecordingInfo,
    StepBlock,
    Unit,
)
from vestige.schema import Schema
from vestige.sources.logs.anomalies import Anomalies, WindowLabeller, meaning
from vestige.sources.logs.blocks import Block, BlockReader
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.clock import BAD, Clock
from vestige.sources.logs.corpora import corpora, together
from vestige.sources.logs.labels import FORMS
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Messages, Parser, Rules, parse
from vestige.sources.logs.schema import MESSAGE, schema_for
from vestige.sources.logs.symbols import LogSymbols
from vestige.sources.logs.table import Content, TableError, contents, is_table

PART_BYTES = 8 << 20
"""A plain file of more than twice as many bytes is read in such parts, where several workers read."""
STEP_BYTES = 1 << 13
"""Bytes at a time behind the end of a part, until its last message is whole."""

log = get(__name__)


@dataclass(frozen=True)
class LogUnit(Unit):
    """A file of logs. `stop`: it is only the part that begins with the first message at byte `start` or after
    it and ends before the first one at `stop` or after it; how it is read was found out (`head`) already."""

    file: EvidenceFile = field(default_factory=stdin)
    rules: RuleSet | None = None
    start: int = 0
    stop: int | None = None
    head: Head | None = None


@dataclass(frozen=True)
class Head:
    """How a file is read, as its beginning shows: its rules (JSON), its type of log, what it is called in
    reports and on which host, the year of its first line where times name none, and that line's time."""

    settings: str
    kind: str
    profile: str
    host: str
    year: int | None
    first_ns: int

    @property
    def rules(self) -> Rules:
        """The rules themselves."""
        return Rules.from_settings(json.loads(self.settings))


class LogReader(Reader[LogUnit]):
    """Reads logs by the rules of a schema's settings, or, for a dataset, by a person's options."""

    symbol_stream = MESSAGE
    tells_text = False
    part_bytes = PART_BYTES

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._rules = RuleSet.from_settings(schema.settings)
        self._corpora: list[tuple[RuleSet, list[EvidenceFile], list[Defect]]] | None = None
        self._simulated = False
        self._origins: list[str] = []
        self._assumes = False

    @classmethod
    def of_corpus(cls, corpus: Path, options: LogOptions) -> LogReader:
        """For the corpora at `corpus`, with their labels. Raises UsageError for a wrong option or listing,
        EvidenceError where there is nothing."""
        parts = corpora(corpus, options)
        reader = cls(
            schema_for(
                together(parts),
                length=options.length,
                stride=options.stride,
                target=options.target,
                embedding=options.embedding,
                anomalies=options.anomalies,
            )
        )
        reader._corpora = [(part.rules, part.files, part.skipped) for part in parts]
        reader._simulated = any(is_simulated(part.path) for part in parts)
        reader._origins = [part.rules.label.origin for part in parts]
        reader._assumes = options.year is None
        return reader

    def units(self, evidence: Evidence) -> Listing[LogUnit]:
        """Every file, in order; of several pieces of evidence, files are called by their whole path."""
        listing: Listing[LogUnit] = Listing([])
        for rules, files, left_out in self._found(evidence):
            listing.left_out += left_out
            for file in files:
                name = file.id if len(evidence.paths) == 1 else file.where
                unit = LogUnit(
                    file.id, name, file.size, not file.in_directory, evidence.mode, file=file, rules=rules
                )
                listing.units.append(unit)
        return listing

    def _found(self, evidence: Evidence) -> Iterator[tuple[RuleSet, list[EvidenceFile], list[Defect]]]:
        if self._corpora is not None:
            yield from self._corpora
            return
        for path in evidence.paths:
            yield self._rules, *find(path, "log files")

    def open(self, unit: LogUnit, *, resume: Position | None = None) -> LogStream | LogPart:
        """See `Reader.open`. Raises EvidenceError for a file that is no log of these formats."""
        labelled = self._corpora is not None
        if unit.stop is not None:
            return LogPart(unit)
        return LogStream(unit, labelled=labelled, resume=resume)

    def symbols(self) -> LogSymbols:
        """See `Reader.symbols`."""
        return LogSymbols()

    def probe(self) -> list[StepBlock]:
        """The formats' own example lines, each as if they were a file."""
        blocks = []
        for rules in self._rules.each():
            data = "\n".join(rules.format.example).encode(rules.encoding, errors="replace") + b"\n"
            messages = Parser(rules).parse(Block(data, 0, 1, final=True))
            t_ns = Clock(rules.year, 0).set(messages.t_ns)
            info = RecordingInfo("probe")
            blocks.append(_steps(messages, t_ns, None, rules.format.name, info, "probe", ended=True))
        return blocks

    def labeller(self) -> Labeller | None:
        """See `Reader.labeller`."""
        kind: Anomalies = self.schema.settings["anomalies"]
        return None if kind == "point" else WindowLabeller(kind, self.schema.before, self.schema.ahead)

    def divide(self, unit: LogUnit, jobs: int) -> list[LogUnit]:
        """Parts of a large plain file."""
        size = unit.file.size
        if (
            jobs == 1
            or unit.rules is None
            or size is None
            or size < 2 * self.part_bytes
            or unit.file.packed
            or is_table(unit.file)
        ):
            return [unit]
        content = next(contents(unit.file, unit.rules, unit.mode))
        try:
            head = head_of(unit, content)
        finally:
            content.close()
        if head is None or head.rules.label.kind == "table":
            return [unit]
        starts = range(0, size, self.part_bytes)
        return [
            replace(unit, start=start, stop=min(start + self.part_bytes, size), head=head, size=None)
            for start in starts
        ]

    def join(self, first: LogUnit) -> Join:
        """See `Reader.join`."""
        return Join() if first.head is None else _LogJoin(first, first.head)

    def finish(self, account: Account, writer: DatasetWriter) -> None:
        """See `Reader.finish`. Raises EvidenceError where there are no messages, or one of several kinds of
        anomalies is missing."""
        if not account.steps:
            raise account.nothing("nothing to read: it is empty")
        labels = dict(zip(self.schema.classes, account.labels.tolist(), strict=True))
        if account.labelled:
            _check_classes(labels, account.corpus)
        symbols = account.symbols
        if not isinstance(symbols, LogSymbols):
            raise TypeError("these are no messages")
        counts = account.counts[: len(symbols)]
        writer.table("messages", symbols.grouped(counts))
        counted: Counter[str] = Counter()
        formats: Counter[str] = Counter()
        for _, summary in account.units:
            counted.update(summary["counts"])
            formats.update(summary["formats"])
        origins = [*self._origins, meaning(self.schema.settings["anomalies"])]
        self._tell_assumptions(account, writer)
        writer.notes.update(
            {name: counted[name] for name in sorted(counted)},
            messages=account.steps,
            label_origin=" ".join(filter(None, dict.fromkeys(origins))),
            synthetic=self._simulated,
            formats=dict(sorted(formats.items())),
            unique_messages=len(symbols) - 1,
            labels=labels,
        )

    def _tell_assumptions(self, account: Account, writer: DatasetWriter) -> None:
        """Say once of a format which year nobody gave, and of a type that it has no list of words."""
        years: dict[str, int] = {}
        wordless: dict[str, None] = {}
        for _, summary in account.units:
            for name, year in summary["years"].items():
                years.setdefault(name, year)
            wordless.update(dict.fromkeys(summary["wordless"]))
        for name, year in years.items() if self._assumes else ():
            log.warning(
                "times of the format %s name no year: the first line of each file is taken to be of %d "
                "(--year says otherwise)",
                name,
                year,
            )
            writer.notes.setdefault("assumed_year", year)
        for kind in wordless:
            log.warning("no list of words for the type %s: all its messages count as normal", kind)
        if wordless:
            writer.notes["types_without_words"] = list(wordless)


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
    rules, lines = ruleset.choose(sample, file)
    chosen = rules.format
    matches = [match for match in map(rules.header.match, lines) if match]
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
    )


class LogStream(ChunkStream):
    """A file as messages: itself, or, one after the other, the log files that it is a table of.

    A message is known to be whole when the next one begins. Until then it is held back; `release` hands it on
    after a quiet time.
    """

    def __init__(self, unit: LogUnit, *, labelled: bool, resume: Position | None) -> None:
        super().__init__(resume)
        self._unit, self._wants_labels = unit, labelled
        rules = unit.rules
        if rules is None:
            raise ValueError("a unit without rules")
        state = {} if resume is None else resume["chunk"]
        self._number = int(state.get("content", 0))
        self._offset, self._line = int(state.get("offset", 0)), int(state.get("line", 1))
        self._head = Head(**state["head"]) if state.get("head") else None
        self._clock = Clock(**state["clock"]) if state.get("clock") else None
        self._released: int | None = state.get("released")
        self._complete = not self._offset
        self._contents = contents(unit.file, rules, unit.mode, number=self._number, offset=self._offset)
        self._content: Content | None = None
        self._reader: BlockReader | None = None
        self._digests: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._years: dict[str, int] = {}
        self._wordless: list[str] = []
        self._taken = 0
        with closing_on_error(self):
            self._advance()

    @property
    def taken(self) -> int:
        """See `StepStream.taken`."""
        return self._taken if self._content is None else self._content.taken

    @property
    def digests(self) -> dict[str, str]:
        """See `StepStream.digests`."""
        return self._digests

    @property
    def summary(self) -> dict[str, Any]:
        """Counts of lines and messages, formats of files, years that were assumed."""
        return {
            "counts": dict(self._counts),
            "formats": dict(self._formats),
            "years": self._years,
            "wordless": self._wordless,
        }

    def wait(self, seconds: float) -> bool:
        """See `StepStream.wait`."""
        return True if self._content is None else self._content.wait(seconds)

    def stop(self) -> None:
        """See `StepStream.stop`."""
        if self._content is not None:
            self._content.stop()

    def close(self) -> None:
        """See `StepStream.close`."""
        if self._content is not None:
            self._content.close()

    def release(self) -> StepBlock | None:
        """The last message, in whole lines, although more of it may follow."""
        if self._reader is None or self._chunk is not None or self._clock is None or self._head is None:
            return None
        pending = self._reader.pending()
        if pending is None:
            return None
        messages = parse(self._head.settings, pending)
        if not len(messages) or int(messages.raw[0]) == self._released:
            return None
        corrects = self._released is not None
        self._released = int(messages.raw[0])
        block = self._steps(messages, replace(self._clock), ended=False)
        return replace(block, corrects=corrects)

    def _begin(self) -> dict[str, Any]:
        offset, line = (self._offset, self._line) if self._reader is None else self._reader.place
        return {
            "content": self._number,
            "head": None if self._head is None else vars(self._head),
            "offset": offset,
            "line": line,
            "clock": None if self._clock is None else self._clock.to_dict(),
            "released": self._released,
        }

    def _next(self) -> StepBlock | None:
        while self._content is not None:
            if self._reader is None and not self._choose():
                if self._content is not None and not self._content.ended:
                    return None
                continue
            reader, content = self._reader, self._content
            if reader is None:
                continue
            block = reader.take()
            if block is None:
                piece = content.read()
                if piece is not None:
                    reader.feed(piece)
                    continue
                block = reader.finish() if content.ended else reader.take(now=True)
                if block is None:
                    if not content.ended:
                        return None
                    self._end_content()
                    continue
            chunk = self._chunk_of(block)
            if chunk is not None:
                return chunk
        self._ended = True
        return None

    def _choose(self) -> bool:
        """Find out how the content is read; False where that is not known yet, or it was left out."""
        content = self._content
        if content is None:
            return False
        if self._head is None:
            try:
                self._head = head_of(self._unit, content)
            except TableError:
                raise
            except EvidenceError as error:
                if not content.in_table:
                    raise
                self.defects.append(Defect(content.file.id, error.row, FILE, error.what))
                self._leave()
                return False
            if self._head is None:
                return False
        self._take_up(self._head)
        return True

    def _take_up(self, head: Head) -> None:
        rules = head.rules
        self._rules = rules
        if self._complete:
            self._reader = BlockReader(rules.is_start, max_line=rules.max_line)
        else:
            self._reader = BlockReader.at(
                rules.is_start, max_line=rules.max_line, offset=self._offset, line=self._line
            )
        if self._clock is None:
            self._clock = Clock(head.year, head.first_ns)
        self._formats[rules.format.name] += 1
        if head.year is not None:
            self._years[rules.format.name] = head.year
        if rules.label.kind == "words" and not rules.label.values and head.kind not in self._wordless:
            self._wordless.append(head.kind)

    def _chunk_of(self, block: Block) -> StepBlock | None:
        """The messages of a block; None where it holds none that is new."""
        if self._head is None or self._clock is None:
            raise ValueError("nothing was chosen yet")
        messages = parse(self._head.settings, block)
        self._counts.update(messages.counts)
        corrects = False
        if self._released is not None and len(messages):
            corrects = int(messages.raw[0]) != self._released
            self._released = None
            if not corrects:
                # It was handed on as it is: only the clock has to be told of it.
                self._clock.set(messages.t_ns[:1])
                messages = messages.without_first()
        chunk = self._steps(messages, self._clock, ended=block.final)
        if block.final:
            self._end_content()
        if not len(chunk) and not chunk.ended.any():
            return None
        return replace(chunk, corrects=corrects)

    def _steps(self, messages: Messages, clock: Clock, *, ended: bool) -> StepBlock:
        head, content = self._head, self._content
        if head is None or content is None:
            raise ValueError("nothing was chosen yet")
        label: NDArray[np.uint8] | None = None
        if self._wants_labels and self._rules.label.kind == "table":
            label = content.labels(messages.line)
        elif self._wants_labels and self._rules.label.kind != "none":
            label = messages.label
        file = content.file.id if content.in_table or self._unit.name == self._unit.id else self._unit.name
        info = RecordingInfo(file, host=head.host, profile=head.profile)
        t_ns = clock.set(messages.t_ns)
        return _steps(messages, t_ns, label, head.kind, info, file, ended=ended)

    def _end_content(self) -> None:
        content, reader = self._content, self._reader
        if content is None:
            return
        if reader is not None and self._clock is not None:
            self._counts.update(
                files=1, bytes=reader.n_bytes, over_long=reader.over_long, bad_times=self._clock.bad
            )
            if self._complete:
                self._digests[content.file.id] = reader.digest
        self.defects += [replace(defect, file=content.file.id) for defect in content.defects]
        self._leave()

    def _leave(self) -> None:
        if self._content is not None:
            self._taken = self._content.taken
            self._content.close()
        self._head = self._clock = self._reader = self._released = None
        self._complete, self._offset, self._line = True, 0, 1
        self._number += 1
        self._content = next(self._contents, None)
        self._ended = self._content is None

    def _advance(self) -> None:
        """Open the first content, and find out how it is read, so that a misfit is an error at once."""
        self._content = next(self._contents, None)
        while self._content is not None and self._reader is None:
            if not self._choose() and self._content is not None and not self._content.ended:
                return


class LogPart(ChunkStream):
    """A part of a large file. Its lines count from its first message, and its times are as they were read:
    `_LogJoin` knows what came before it."""

    def __init__(self, unit: LogUnit) -> None:
        super().__init__()
        if unit.head is None or unit.stop is None:
            raise ValueError("a part needs to know how it is read, and where it stops")
        self._unit, self._head, self._stop = unit, unit.head, unit.stop
        rules = unit.head.rules
        # One byte earlier: whether a line begins at `start` shows in the byte before it.
        begin = max(0, unit.start - 1)
        self._content = ByteStream(unit.file, offset=begin)
        self._reader = BlockReader.at(rules.is_start, max_line=rules.max_line, offset=begin, line=1)
        self._has_labels = rules.label.kind != "none"
        self._fed = begin
        self._waiting = b""
        self._lines = 0
        self._counts: Counter[str] = Counter()
        self._blocks = self._read_blocks()

    @property
    def taken(self) -> int:
        """See `StepStream.taken`."""
        return self._stop - self._unit.start

    @property
    def digests(self) -> dict[str, str]:
        """See `StepStream.digests`: a part knows none."""
        return {}

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, and how many lines the part has."""
        return {"counts": dict(self._counts), "lines": self._lines}

    def close(self) -> None:
        """See `StepStream.close`."""
        self._content.close()

    def _begin(self) -> dict[str, Any]:
        return {}  # parts are read to their end

    def _next(self) -> StepBlock | None:
        if self._ended:
            return None
        block = next(self._blocks, None)
        if block is None:
            self._ended = True
            self.defects += self._content.defects
            block = Block(b"", self._reader.place[0], 1)
        messages = parse(self._head.settings, block)
        if block.data:
            self._counts.update(messages.counts, over_long=len(block.gaps))
        label = messages.label if self._has_labels else None
        info = RecordingInfo(self._unit.id, host=self._head.host, profile=self._head.profile)
        last = self._ended and self._stop == self._unit.file.size
        return _steps(messages, messages.t_ns, label, self._head.kind, info, self._unit.id, ended=last)

    def _read_blocks(self) -> Iterator[Block]:
        """The part's messages. What comes before its first one belongs to the part before."""
        reader = self._reader
        if self._unit.start:
            for dropped in (reader.drop_line, reader.drop_to_start):
                while not dropped():
                    if not self._feed():
                        return
            if reader.place[0] >= self._stop:
                return
            reader.count_lines_from_here()
        yield from self._until_stop()
        self._lines = reader.place[1] - 1

    def _until_stop(self) -> Iterator[Block]:
        reader = self._reader
        while self._fed < self._stop and self._feed():
            while (block := reader.take()) is not None:
                yield block
        mark = reader.mark()
        while (block := reader.take_to_start_from(mark)) is None:
            if not self._feed():
                block = reader.finish()
                break
        if block is not None:
            yield block

    def _feed(self) -> bool:
        """Feed the reader up to the part's stop, or behind it a little at a time; False at the file's end."""
        if not self._waiting:
            self._waiting = self._content.read() or b""
        room = self._stop - self._fed if self._fed < self._stop else STEP_BYTES
        piece, self._waiting = self._waiting[:room], self._waiting[room:]
        self._reader.feed(piece)
        self._fed += len(piece)
        return bool(piece)


class _LogJoin(Join):
    """Parts of a file in their order: the lines and the run of time that came before each are known here."""

    def __init__(self, unit: LogUnit, head: Head) -> None:
        self._unit, self._head = unit, head
        self._line = 0
        self._clock = Clock(head.year, head.first_ns)
        self._counts: Counter[str] = Counter()

    def over(self, block: StepBlock) -> StepBlock:
        """Times and lines as a stream over the whole file would give them."""
        t_ns = self._clock.set(block.t_ns)
        line = block.values["line"] + self._line
        return replace(block, t_ns=t_ns, values={**block.values, "t_ns": t_ns, "line": line})

    def end_part(self, summary: dict[str, Any]) -> dict[str, Any]:
        """See `Join.end_part`: the summary of the file up to here."""
        self._line += summary["lines"]
        self._counts.update(summary["counts"])
        name, year = self._head.rules.format.name, self._head.year
        counts = {"files": 1, "bytes": self._unit.file.size, "bad_times": self._clock.bad}
        label = self._head.rules.label
        wordless = [self._head.kind] if label.kind == "words" and not label.values else []
        return {
            "counts": dict(self._counts) | counts,
            "formats": {name: 1},
            "years": {} if year is None else {name: year},
            "wordless": wordless,
        }

    def digests(self) -> dict[str, str]:
        """See `Join.digests`."""
        with self._unit.file.open() as file:
            digest = hashlib.sha256()
            while piece := file.read(PART_BYTES):
                digest.update(piece)
            return {self._unit.id: digest.hexdigest()}


def _steps(
    messages: Messages,
    t_ns: NDArray[np.int64],
    label: NDArray[np.uint8] | None,
    kind: str,
    info: RecordingInfo,
    file: str,
    *,
    ended: bool,
) -> StepBlock:
    """Messages of one recording as steps; row 0 of the table of symbols is padding."""
    return StepBlock(
        recordings=(info,),
        recording=np.zeros(len(messages), dtype=np.uint32),
        values={
            MESSAGE: messages.text + np.uint32(1),
            "t_ns": t_ns,
            "line": messages.line,
            "offset": messages.offset,
            "raw": messages.raw,
        },
        t_ns=t_ns,
        label=label,
        symbols=LogSymbols(messages.texts, kind),
        file=file,
        place={"line": messages.line, "offset": messages.offset},
        ended=np.array([ended]),
    )


def _check_classes(labels: dict[str, int], corpus: Path) -> None:
    """Raise EvidenceError where one of several kinds of anomalies has no messages; tell where there is but
    one class."""
    found = [name for name, count in labels.items() if count]
    if len(found) == 1:
        log.warning(
            "one class only: all %d messages are labelled %s; --label %s says which are anomalies",
            labels[found[0]],
            found[0],
            FORMS,
        )
    elif len(found) < len(labels):
        missing = next(name for name in labels if name not in found)
        counts = ", ".join(f"{name}: {count}" for name, count in labels.items())
        raise EvidenceError(
            f"no message is of the class {missing!r} ({counts})",
            where=corpus,
            remedy="use another --anomalies, or other windows (--window-size)",
        )
