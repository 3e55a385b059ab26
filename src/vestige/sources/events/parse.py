"""Blocks of records to events: times, machines, event names, labels, places, hashes. Runs in workers.

`Rules` is everything that decides about a number; it is built from a schema's settings alone.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.reading.values import NONE
from vestige.sources.events import fields
from vestige.sources.events.columns import (
    ANOMALOUS,
    UNEXPLAINED,
    UNLABELLED,
    Events,
    Gathering,
    Machine,
    hashes,
)
from vestige.sources.events.fields import TEXT_CHARACTERS, whole
from vestige.sources.events.json_lines import BadRecordError
from vestige.sources.events.kinds import KINDS
from vestige.sources.events.layout import Layout, begun_anew, header_of, split_row
from vestige.sources.events.mapping import AUTO, FIELDS, Mapping
from vestige.sources.events.options import LONGEST_RECORD
from vestige.sources.events.records import Block
from vestige.sources.events.times import BAD, TimeReader
from vestige.sources.events.where import Condition, condition
from vestige.sources.events.zeek import ZeekRows
from vestige.sources.logs.masks import Masker
from vestige.sources.logs.slots import N_SLOTS, NUMBER, value_of

Values = tuple[str, ...]
"""Time, machine, event and label of a record, as text."""
EMPTY: Values = ("", "", "", "")
UNWANTED: Values = ("", "", "", "\0")
"""Stands for a record that `where` leaves out."""
Take = Callable[[str], Values]


@dataclass(frozen=True)
class Rules:
    """How to read records: a mapping, and where a record is too long.

    `others`: mappings that a file may turn out to fit instead (`--mapping auto`), `mapping` being the first
    of all that are tried; empty where a person named one. `values`: whether those that the mapping names are
    kept. `met`: names of mappings by which evidence was read before, and how dates of numbers alone began
    there (with their day, their month, or nobody knows).
    """

    mapping: Mapping
    max_record: int = 1 << 20
    others: tuple[Mapping, ...] = ()
    values: bool = False
    met: tuple[tuple[str, bool | None], ...] = ()

    @property
    def choices(self) -> tuple[Mapping, ...]:
        """Every mapping that a file may be read by."""
        return (self.mapping, *self.others)

    def only(self, name: str) -> Rules:
        """The rules for a file that turned out to fit the mapping of that name."""
        mapping = next((choice for choice in self.choices if choice.name == name), self.mapping)
        return Rules(mapping, self.max_record, values=self.values, met=self.met)

    @property
    def day_first(self) -> bool | None:
        """How dates of numbers alone begin that show it nowhere; None where nobody knows."""
        return dict(self.met).get(self.mapping.name)

    def remembering(self, forms: Sequence[dict[str, Any]]) -> Self:
        """The same with mappings that were met before, as `Told.forms` has them. Raises ValueError, TypeError
        or KeyError for what is no such thing."""
        met = []
        for form in forms:
            day_first = form["settled"].get("day_first")
            if day_first is not None:
                checked.flag(day_first, "day_first")
            met.append((checked.text(form["form"]["name"], "the name of a mapping"), day_first))
        return replace(self, met=tuple(met))

    def settings(self) -> dict[str, Any]:
        """JSON-ready, for the schema."""
        settings: dict[str, Any] = {
            "format": self.mapping.settings(values=self.values),
            "caps": {"record_bytes": self.max_record, "text_characters": TEXT_CHARACTERS},
        }
        if self.others:
            # What a file is known by decides about numbers, too, where it is chosen.
            settings["auto"] = [
                choice.settings(values=self.values) | {"signs": choice.signs} for choice in self.choices
            ]
            settings["format"] = {"name": AUTO}
        if self.values:
            settings["values"] = True
        return settings

    @classmethod
    def from_settings(cls, plain: dict[str, Any]) -> Rules:
        """The rules that `settings` wrote down. Raises ValueError or KeyError for anything else."""
        mapping, *others = [Mapping.model_validate(choice) for choice in plain.get("auto", [plain["format"]])]
        caps = checked.mapping(plain["caps"], "caps")
        longest = checked.whole(caps["record_bytes"], "record_bytes", 1, LONGEST_RECORD)
        values = checked.flag(plain.get("values", False), "values")
        return cls(mapping, longest, tuple(others), values)


class Parser:
    """Rules made ready to run: of one mapping."""

    def __init__(self, rules: Rules) -> None:
        self._rules, self._mapping = rules, rules.mapping
        self._readers: dict[bool | None, TimeReader] = {}
        self._negatives = frozenset(rules.mapping.negatives)
        self._mask = Masker(rules.mapping.masks).mask if rules.mapping.masks else None
        self._wanted = condition(rules.mapping.where) if rules.mapping.where else None
        self._objects: dict[tuple[tuple[str, str], ...], list[fields.Pick]] = {}
        self.layout: Layout | None = None
        """Of the block that was read last: a log of Zeek, or another table, may have begun in it."""

    def times(self, layout: Layout) -> TimeReader:
        """Reads the times of files of that layout, and has counted what dates it met."""
        reader = self._readers.get(layout.day_first)
        if reader is None:
            mapping = self._mapping
            reader = TimeReader(mapping.time_unit, mapping.time_format, day_first=layout.day_first)
            self._readers[layout.day_first] = reader
        return reader

    def parse(self, layout: Layout, block: Block) -> Events:
        """The events of `block`, a piece of a file with that `layout`."""
        records, offsets, lines = cut(block)
        texts = decoded(block, records, offsets)
        gathering = Gathering(self._negatives, self._mask)
        self.layout = layout
        if (read := KINDS[layout.kind].read) is not None:
            events, self.layout = read(records, offsets, lines, layout, gathering)
            return events
        times = self.times(layout)
        take, rows = self._take(layout)
        values = self._values(layout, rows)
        numbers, slots = self._read(texts, take, gathering, lines, layout, times, values)
        if rows is not None:
            self.layout = rows.layout
        times.forget()
        rounded, times.rounded = times.rounded, 0
        events = _events(gathering, numbers, records, offsets, lines, undecodable(texts, records))
        if values is not None:
            events = replace(events, slots=np.array(slots, dtype=np.uint64).reshape(-1, N_SLOTS))
        if rounded:
            events.counts["rounded_times"] = rounded
        if (name := self._mapping.only_machine) and Machine(name, name) in events.machines:
            code = events.machines.index(Machine(name, name))
            events.counts["unnamed_machines"] = int((events.machine == code).sum())
        return events

    def _take(self, layout: Layout) -> tuple[Take, ZeekRows | None]:
        """What makes values of a record's text; of a log of Zeek, its rows."""
        rows = None
        if layout.kind == "csv":
            take = self._of_row(layout)
        elif layout.kind == "zeek":
            rows = ZeekRows(layout, self._mapping)
            take = self._of_zeek(rows)
        else:
            take = self._of_text(KINDS[layout.kind].record_of, layout)
        if self._mapping.machine_name:
            return self._named(take), rows
        return take, rows

    def _values(self, layout: Layout, rows: ZeekRows | None) -> Callable[[str], list[int]] | None:
        """What finds the values of a good record's text, `N_SLOTS` of them; None where none are kept."""
        if not self._rules.values:
            return None
        picks = [fields.of_object(alternatives) for alternatives in self._mapping.values]
        record_of, known = self._record_of(layout, rows), _ValueOf()
        missing = [NONE] * (N_SLOTS - len(picks))

        def values(text: str) -> list[int]:
            if not picks:
                return missing
            record = record_of(text)
            return [known[pick(record)] for pick in picks] + missing

        return values

    def _record_of(self, layout: Layout, rows: ZeekRows | None) -> Callable[[str], dict[str, Any]]:
        """What makes an object of a record's text, whatever it is."""
        if rows is not None:
            return lambda text: _as_record(rows.names, rows.cells(text))
        if layout.kind == "csv":
            names, delimiter = header_of(layout), layout.delimiter
            return lambda text: _as_record(names, split_row(text.rstrip("\r\n"), delimiter))
        return KINDS[layout.kind].record_of

    def _named(self, take: Take) -> Take:
        """With a name for the machine where a record has none."""
        name = self._mapping.machine_name

        def named(text: str) -> Values:
            values = take(text)
            if values[1] or not any(values) or values is UNWANTED:
                return values
            return (values[0], name, *values[2:])

        return named

    def _read(
        self,
        texts: Sequence[str],
        take: Take,
        gathering: Gathering,
        lines: NDArray[np.int64],
        layout: Layout,
        times: TimeReader,
        values: Callable[[str], list[int]] | None,
    ) -> tuple[list[int], array[int]]:
        """Number, machine, event, time and label of every good record, one after the other; and its values,
        where they are kept."""
        rows: list[int] = []
        slots = array("Q")
        read = times.read
        machines, events, labels = gathering.machines, gathering.texts, gathering.labels
        first = _first_row(layout, lines)
        for number, text in enumerate(texts[first:], first):
            unwanted = False
            try:
                when, machine, event, label = take(text)
            except BadRecordError as error:
                what = str(error)
            else:
                t_ns, machine_code, event_code = read(when), machines[machine], events[event]
                if t_ns != BAD and machine_code >= 0 and event_code >= 0:
                    rows += (number, machine_code, event_code, t_ns, labels[label])
                    if values is not None:
                        # While the layout is the one that this record was read by: it may change in a block.
                        slots.extend(values(text))
                    continue
                unwanted = label == UNWANTED[3]
                what = _lacking(text, layout, when, t_ns, has_machine=machine_code >= 0)
            if (anew := begun_anew(text, layout, self._mapping)) is not None:
                unwanted, what = False, "another header: the rows behind it are read by its columns"
                layout = self.layout = anew
                take, _ = self._take(layout)
                values = values and self._values(layout, None)
            if unwanted:
                gathering.unwanted += 1
            elif what:
                gathering.fault(int(lines[number]), what)
        return rows, slots

    def _of_text(self, record_of: Callable[[str], dict[str, Any]], layout: Layout) -> Take:
        """Of JSON, or of what is made a record first."""
        time, machine, event, label = self._picks(layout)
        wanted = self._wanted

        def take(text: str) -> Values:
            if not text or text.isspace():
                return EMPTY
            record = record_of(text)
            if wanted is not None and not wanted(record):
                return UNWANTED
            return time(record), machine(record), event(record), label(record)

        return take

    def _picks(self, layout: Layout) -> list[fields.Pick]:
        """What finds each of `mapping.FIELDS` in an object, or the key that a file has instead."""
        picks = self._objects.get(layout.renamed)
        if picks is None:
            renamed = dict(layout.renamed)
            picks = [
                fields.of_key(renamed[name])
                if name in renamed
                else fields.of_object(getattr(self._mapping, name))
                for name in FIELDS
            ]
            self._objects[layout.renamed] = picks
        return picks

    def _of_row(self, layout: Layout) -> Take:
        delimiter, n = layout.delimiter, layout.columns
        pick, wanted = fields.of_row(layout.places), self._wanted
        if wanted is not None:
            pick = _wanted_alone(pick, wanted, header_of(layout))

        def take(text: str) -> Values:
            cells = split_row(text.removesuffix("\n").removesuffix("\r"), delimiter)
            if len(cells) == n:
                return pick(cells)
            if not text.strip():
                return EMPTY
            raise BadRecordError(f"{len(cells)} cells, the header has {n}")

        return take

    def _of_zeek(self, rows: ZeekRows) -> Take:
        wanted = self._wanted
        if wanted is None:
            return rows.take

        def take(text: str) -> Values:
            cells = rows.cells(text)
            if not cells:
                return EMPTY
            if not wanted(_as_record(rows.names, cells)):
                return UNWANTED
            return rows.pick(cells)

        return take


class _ValueOf(dict[str, int]):
    """The values of a block's texts, each made once."""

    def __missing__(self, text: str) -> int:
        value = NONE
        if text:
            value = value_of(NUMBER, whole(text))
        self[text] = value
        return value


def _wanted_alone(
    pick: Callable[[Sequence[str]], Values], wanted: Condition, names: Sequence[str]
) -> Callable[[Sequence[str]], Values]:
    """Picks from the cells of rows that are wanted."""
    return lambda cells: pick(cells) if wanted(_as_record(names, cells)) else UNWANTED


def _as_record(names: Sequence[str], cells: Sequence[str]) -> dict[str, Any]:
    """A row as an object: an empty cell is a field that is not there."""
    return {name: cell for name, cell in zip(names, cells, strict=False) if cell}


def _first_row(layout: Layout, lines: NDArray[np.int64]) -> int:
    """The first record of a block that is not the header of a table, or before it."""
    if layout.kind != "csv" or not len(lines) or lines[0] > layout.preamble + 1:
        return 0
    return int(np.searchsorted(lines, layout.preamble + 1, side="right"))


def cut(block: Block) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.int64]]:
    """The records of a block; the file's byte and line at which each begins."""
    data = block.data
    if block.starts is None:
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
        begins = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        lines = np.arange(block.line, block.line + len(begins), dtype=np.int64)
        return _slices(data, begins, None), begins + block.offset, lines
    begins = np.array(block.starts, dtype=np.int64)
    records = _slices(data, begins, block.ends)
    if block.origins is not None:
        offsets, lines = np.array(block.origins, dtype=np.int64).T
        return records, offsets, lines
    before = np.searchsorted(np.flatnonzero(np.frombuffer(data, np.uint8) == 10), begins)
    return records, begins + block.offset, (before + block.line).astype(np.int64)


def decoded(block: Block, records: Sequence[bytes], offsets: NDArray[np.int64]) -> list[str]:
    """The records as text, whatever bytes they hold."""
    if block.ends is not None or block.origins is not None or not block.data.isascii():
        return [record.decode("utf-8", errors="replace") for record in records]
    # In ASCII a byte is a character: the block is decoded once, and its records are cut from the text.
    text, places = block.data.decode("ascii"), (offsets - block.offset).tolist()
    return [text[a:b] for a, b in zip(places, [*places[1:], len(text)], strict=True)]


def undecodable(texts: Sequence[str], records: Sequence[bytes]) -> int:
    """In how many records bytes had to be replaced."""
    marked = [at for at, text in enumerate(texts) if "\ufffd" in text]
    return sum(b"\xef\xbf\xbd" not in records[at] for at in marked)


def _slices(data: bytes, begins: NDArray[np.int64], ends: Sequence[int] | None) -> list[bytes]:
    places = begins.tolist()
    if ends is None:
        ends = [*places[1:], len(data)]
    return [data[a:b] for a, b in zip(places, ends, strict=True)]


def _events(
    gathering: Gathering,
    rows: Sequence[int],
    records: Sequence[bytes],
    offsets: NDArray[np.int64],
    lines: NDArray[np.int64],
    undecodable_records: int,
) -> Events:
    number, machine, event, t_ns, label = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    # bad records may have named some that no good one has
    machines, machine = np.unique(machine, return_inverse=True)
    texts, event = np.unique(event, return_inverse=True)
    names = [gathering.machines.texts[code] for code in machines.tolist()]
    return Events(
        machine=machine.astype(np.uint32),
        event=event.astype(np.uint32),
        t_ns=np.ascontiguousarray(t_ns),
        line=lines[number],
        offset=offsets[number],
        raw=hashes([records[row] for row in number.tolist()]),
        label=(label >= ANOMALOUS).astype(np.uint8),
        machines=[Machine(name, name) for name in names],
        texts=[gathering.texts.texts[code] for code in texts.tolist()],
        bad=gathering.bad,
        faults=tuple(gathering.faults),
        counts={
            "labelled": int((label != UNLABELLED).sum()),
            "unlabelled": int((label == UNLABELLED).sum()),
            "undecodable_records": undecodable_records,
            "unwanted_records": gathering.unwanted,
            "unexplained_labels": int((label == UNEXPLAINED).sum()),
        },
        unexplained=tuple(gathering.labels.unexplained),
    )


def _lacking(text: str, layout: Layout, when: str, t_ns: int, *, has_machine: bool) -> str:
    """What a record lacks; empty for a blank line, for the header itself, once more, and for a comment."""
    plain = text.strip().removeprefix("\ufeff")
    if not plain or (layout.kind == "csv" and plain == layout.header.strip()):
        return ""
    if layout.kind == "zeek" and plain.startswith("#"):
        return ""
    if not when.strip():
        return "no time"
    if not has_machine:
        return "no machine"
    if t_ns == BAD:
        return f"{when[:60]!r} is no time"
    return "no event"
