"""Logs through the reading core: what there is to read, and what a dataset of it holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vestige.errors import EvidenceError
from vestige.evidence.defects import Defect
from vestige.evidence.expand import is_packed
from vestige.evidence.files import EvidenceFile, find
from vestige.evidence.simulated import is_simulated
from vestige.log import get
from vestige.reading.digests import BLOCK
from vestige.reading.files import name_of
from vestige.reading.steps import (
    Evidence,
    Join,
    Labeller,
    Listing,
    Position,
    Reader,
    RecordingInfo,
    StepBlock,
)
from vestige.schema import Schema
from vestige.sources.logs import years
from vestige.sources.logs.anomalies import WindowLabeller, anomalies_of, meaning
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.clock import Clock
from vestige.sources.logs.corpora import corpora, together
from vestige.sources.logs.head import Head, LogUnit, head_of
from vestige.sources.logs.labels import FORMS, LabelRule
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import TEXT_CHARACTERS, Parser
from vestige.sources.logs.parsing import has_kernel
from vestige.sources.logs.part import LogJoin, LogPart
from vestige.sources.logs.received import form_of, forms
from vestige.sources.logs.schema import MESSAGE, schema_for
from vestige.sources.logs.slots import SlotReader
from vestige.sources.logs.stream import LogStream, steps_of
from vestige.sources.logs.symbols import LogSymbols
from vestige.sources.logs.table import contents, is_table

if TYPE_CHECKING:
    from vestige.reading.dataset import DatasetWriter
    from vestige.reading.prepare import Account

PROBE_YEAR = 2005
"""The year of example lines that name none."""
PART_BYTES = 16 << 20
"""A plain file of more than twice as many bytes is read in such parts, where several workers read."""
ENOUGH_PARTS = 32
"""Parts a worker from which on they are larger, up to twice as large: each costs a little of its own, and
with so many all workers end at about the same time."""

FASTER = 7
"""How many times as much the kernel reads before workers pay: it takes less time for seven times 48 MiB than
the plain reader for 48 MiB."""

log = get(__name__)


class LogReader(Reader[LogUnit]):
    """Reads logs by the rules of a schema's settings, or, for a dataset, by a person's options."""

    symbol_stream = MESSAGE
    tells_text = False
    part_bytes = PART_BYTES
    worker_modules = ("vestige.sources.logs.kernel.ready",)

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._rules = RuleSet.from_settings(schema.settings)
        self._anomalies = anomalies_of(schema)
        self._corpora: list[tuple[RuleSet, list[EvidenceFile], list[Defect]]] | None = None
        self._simulated = False
        self._inbox: Path | None = None
        self._origins: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        # Workers are told which units to read: with the list of all files, each of them would cost more.
        return {**self.__dict__, "_corpora": None if self._corpora is None else []}

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
        return reader

    def units(self, evidence: Evidence) -> Listing[LogUnit]:
        """Every file, in order; of several pieces of evidence, files are called by their whole path."""
        listing: Listing[LogUnit] = Listing([])
        for rules, files, left_out in self._found(evidence):
            listing.left_out += left_out
            together = years.rotated(files)
            for file in files:
                name = name_of(file, evidence)
                unit = LogUnit(
                    file.id, name, file.size, not file.in_directory, evidence.mode, file, rules=rules
                )
                listing.units.append(replace(unit, rotated=tuple(together.get(file, ()))))
        return listing

    def _found(self, evidence: Evidence) -> Iterator[tuple[RuleSet, list[EvidenceFile], list[Defect]]]:
        if self._corpora is not None:
            yield from self._corpora
            return
        for path in evidence.paths:
            files, left_out = find(path, "log files")
            if path != self._inbox:
                yield self._rules, files, left_out
                continue
            for form, chosen in forms().items():
                # No sender is to choose by what it wrote first how messages of others are read.
                rules = replace(
                    self._rules,
                    formats=(chosen,),
                    label=LabelRule("none"),
                    encoding="utf-8",
                    until=None,
                    guesses=False,
                    met=(),
                )
                yield rules, [file for file in files if form_of(file.path) == form], []

    def remember(self, forms: Sequence[dict[str, Any]]) -> None:
        """See `Reader.remember`."""
        self._rules = self._rules.remembering(forms)

    def receive(self, inbox: Path) -> bool:
        """See `Reader.receive`."""
        self._inbox = inbox
        return True

    def open(self, unit: LogUnit, *, resume: Position | None = None) -> LogStream | LogPart:
        """See `Reader.open`. Raises EvidenceError for a file that is no log of these formats."""
        labelled = self._corpora is not None
        if unit.stop is not None:
            return LogPart(unit)
        return LogStream(unit, labelled=labelled, resume=resume)

    def symbols(self) -> LogSymbols:
        """See `Reader.symbols`."""
        return LogSymbols()

    def kinds(self, texts: Sequence[str]) -> list[str]:
        """See `Reader.kinds`: the templates of messages."""
        from vestige.sources.logs.templates import Matcher, fit_templates

        templates = fit_templates(texts, [1] * len(texts))
        matched = Matcher(templates).match(texts).tolist()
        return [templates[at] if at >= 0 else text for at, text in zip(matched, texts, strict=True)]

    def slot(self, number: int, raw: str, called: str) -> str:
        """See `Reader.slot`: the value itself."""
        parts = self._slots.parts(raw[:TEXT_CHARACTERS], called)
        if number >= len(parts):
            return super().slot(number, raw, called)
        return f"`{parts[number]}`"

    @cached_property
    def _slots(self) -> SlotReader:
        """Finds the values of messages of any of the formats."""
        rules = [*self._rules.each(), *self._rules.guessed()]
        names = dict.fromkeys(name for each in rules for name, _ in each.format.resolved_masks)
        return SlotReader(list(names))

    def probe(self) -> list[StepBlock]:
        """The formats' own example lines, each as if they were a file."""
        blocks = []
        for rules in [*self._rules.each(), *self._rules.guessed()]:
            data = "\n".join(rules.format.example).encode(rules.encoding, errors="replace") + b"\n"
            messages = Parser(rules).parse(Block(data, 0, 1, final=True))
            clock = Clock(None if rules.format.has_year else rules.format.year or PROBE_YEAR)
            t_ns = clock.set(messages.t_ns)
            times = t_ns, clock.place(t_ns)
            info = RecordingInfo("probe")
            blocks.append(steps_of(messages, times, None, rules.format.name, info, "probe", ended=True))
        return blocks

    def labeller(self) -> Labeller | None:
        """See `Reader.labeller`."""
        kind = self._anomalies
        return None if kind == "point" else WindowLabeller(kind, self.schema.before, self.schema.ahead)

    def divide(self, unit: LogUnit, jobs: int) -> list[LogUnit]:
        """Parts of a large plain file. What a file of a rotated log needs to know of the others is found out
        here, once."""
        if unit.rotated and jobs > 1:
            head = self._head_of(unit)
            unit = replace(unit, year=None if head is None else head.year)
        size = unit.file.size
        if (
            jobs == 1
            or unit.rules is None
            or size is None
            or size < 2 * self.part_bytes
            or is_table(unit.file)
        ):
            return [unit]
        with unit.file.open() as file:
            if is_packed(file):
                return [unit]
        head = self._head_of(unit)
        # Whether a line begins a message must show in the line itself, for parts to be read apart.
        whole = head is None or head.rules.label.kind == "table" or head.rules.is_export
        if head is None or whole or head.rules.format.partial or head.rules.format.by_columns:
            return [unit]
        length = max(self.part_bytes, min(size // (jobs * ENOUGH_PARTS), 2 * self.part_bytes))
        # A block of the digest that reaches over a part's end would be read by two workers.
        length = length // BLOCK * BLOCK or length
        return [
            replace(unit, start=start, stop=min(start + length, size), head=head, size=None)
            for start in range(0, size, length)
        ]

    def is_small(self, listing: Listing[LogUnit]) -> bool:
        """See `Reader.is_small`: workers take a third of a second to start, in which the kernel reads many
        times what the plain reader does."""
        small, total = super().is_small(listing), listing.total
        if small or total is None or total >= FASTER * self.small:
            return small
        largest = max(listing.units, key=lambda unit: unit.size or 0)
        try:
            with largest.file.open() as file:
                unpacked = not is_packed(file)
            head = self._head_of(largest) if unpacked and not is_table(largest.file) else None
        except EvidenceError:
            return False  # whoever reads it says what is wrong
        return head is not None and has_kernel(head.settings)

    def _head_of(self, unit: LogUnit) -> Head | None:
        if unit.rules is None:
            return None
        content = next(contents(unit.file, unit.rules, unit.mode))
        try:
            return head_of(unit, content)
        finally:
            content.close()

    def join(self, first: LogUnit) -> Join:
        """See `Reader.join`."""
        return Join() if first.head is None else LogJoin(first, first.head)

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
        origins = [*self._origins, meaning(self._anomalies)]
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
        """Note which year nobody gave, and say of a type that it has no list of words."""
        wordless: dict[str, None] = {}
        for _, summary in account.units:
            for year in summary["years"].values():
                writer.notes.setdefault("assumed_year", year)
            wordless.update(dict.fromkeys(summary["wordless"]))
        for kind in wordless:
            log.warning("no list of words for the type %s: all its messages count as normal", kind)
        if wordless:
            writer.notes["types_without_words"] = list(wordless)


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
