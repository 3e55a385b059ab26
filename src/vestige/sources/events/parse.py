"""Blocks of records to events: times, machines, event names, labels, places, hashes. Runs in workers.

`Rules` is everything that decides about a number; it is built from a schema's settings alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.sources.events import fields
from vestige.sources.events.columns import ANOMALOUS, UNLABELLED, Events, Gathering, Machine, hashes
from vestige.sources.events.fields import TEXT_CHARACTERS
from vestige.sources.events.json_lines import BadRecordError, decode
from vestige.sources.events.layout import Layout, split_row
from vestige.sources.events.mapping import FIELDS, Mapping
from vestige.sources.events.records import Block
from vestige.sources.events.sessions import read_sessions
from vestige.sources.events.times import BAD, TimeReader

Values = tuple[str, ...]
"""Time, machine, event and label of a record, as text."""
EMPTY: Values = ("", "", "", "")


@dataclass(frozen=True)
class Rules:
    """How to read records: a mapping, and where a record is too long."""

    mapping: Mapping
    max_record: int = 1 << 20

    def settings(self) -> dict[str, Any]:
        """JSON-ready, for the schema."""
        return {
            "format": self.mapping.settings(),
            "caps": {"record_bytes": self.max_record, "text_characters": TEXT_CHARACTERS},
        }

    @classmethod
    def from_settings(cls, plain: dict[str, Any]) -> Rules:
        """The rules that `settings` wrote down."""
        return cls(Mapping.model_validate(plain["format"]), plain["caps"]["record_bytes"])


def parse(settings: str, work: tuple[Layout, Block]) -> Events:
    """The events of a block, by rules given as JSON: what a worker process is sent."""
    return _parser(settings).parse(*work)


@lru_cache(maxsize=8)
def _parser(settings: str) -> Parser:
    return Parser(Rules.from_settings(json.loads(settings)))


class Parser:
    """Rules made ready to run."""

    def __init__(self, rules: Rules) -> None:
        self._mapping = rules.mapping
        self._times = TimeReader(rules.mapping.time_unit)
        self._negatives = frozenset([*rules.mapping.negatives, ""])
        self._objects = [fields.of_object(getattr(rules.mapping, name)) for name in FIELDS]

    def parse(self, layout: Layout, block: Block) -> Events:
        """The events of `block`, a piece of a file with that `layout`."""
        records, begins, lines = cut(block)
        texts = decoded(block.data, begins, records)
        if layout.kind == "sessions":
            return read_sessions(records, begins + block.offset, lines, layout, self._negatives)
        if layout.kind == "csv":
            take = self._of_row(layout)
        else:
            take = self._of_line
        gathering = Gathering(self._negatives)
        rows = self._read(texts, take, gathering, lines, layout)
        self._times.forget()
        return _events(gathering, rows, records, begins + block.offset, lines, undecodable(texts, records))

    def _read(
        self,
        texts: Sequence[str],
        take: Callable[[str], Values],
        gathering: Gathering,
        lines: NDArray[np.int64],
        layout: Layout,
    ) -> list[int]:
        """Number, machine, event, time and label of every good record, one after the other."""
        rows: list[int] = []
        read = self._times.read
        machines, events, labels = gathering.machines, gathering.texts, gathering.labels
        for number, text in enumerate(texts):
            try:
                when, machine, event, label = take(text)
            except BadRecordError as error:
                gathering.fault(int(lines[number]), str(error))
                continue
            t_ns, machine_code, event_code = read(when), machines[machine], events[event]
            if t_ns == BAD or machine_code < 0 or event_code < 0:
                if what := _lacking(text, layout, when, t_ns, has_machine=machine_code >= 0):
                    gathering.fault(int(lines[number]), what)
                continue
            rows += (number, machine_code, event_code, t_ns, labels[label])
        return rows

    def _of_line(self, text: str) -> Values:
        if not text or text.isspace():
            return EMPTY
        record = decode(text)
        time, machine, event, label = self._objects
        return time(record), machine(record), event(record), label(record)

    def _of_row(self, layout: Layout) -> Callable[[str], Values]:
        delimiter, n = layout.delimiter, layout.columns
        pick = fields.of_row(layout.places)

        def take(text: str) -> Values:
            cells = split_row(text.removesuffix("\n").removesuffix("\r"), delimiter)
            if len(cells) == n:
                return pick(cells)
            if not text.strip():
                return EMPTY
            raise BadRecordError(f"{len(cells)} cells, the header has {n}")

        return take


def cut(block: Block) -> tuple[list[bytes], NDArray[np.int64], NDArray[np.int64]]:
    """The records of a block; where in it each begins; the file's line that each begins in."""
    data = block.data
    if block.starts is None:
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == 10) + 1
        begins = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        return _slices(data, begins), begins, np.arange(block.line, block.line + len(begins), dtype=np.int64)
    begins = np.array(block.starts, dtype=np.int64)
    before = np.searchsorted(np.flatnonzero(np.frombuffer(data, np.uint8) == 10), begins)
    return _slices(data, begins), begins, (before + block.line).astype(np.int64)


def decoded(data: bytes, begins: NDArray[np.int64], records: Sequence[bytes]) -> list[str]:
    """The records as text, whatever bytes they hold."""
    if not data.isascii():
        return [record.decode("utf-8", errors="replace") for record in records]
    # In ASCII a byte is a character: the block is decoded once, and its records are cut from the text.
    text, places = data.decode("ascii"), begins.tolist()
    return [text[a:b] for a, b in zip(places, [*places[1:], len(text)], strict=True)]


def undecodable(texts: Sequence[str], records: Sequence[bytes]) -> int:
    """In how many records bytes had to be replaced."""
    marked = [at for at, text in enumerate(texts) if "\ufffd" in text]
    return sum(b"\xef\xbf\xbd" not in records[at] for at in marked)


def _slices(data: bytes, begins: NDArray[np.int64]) -> list[bytes]:
    places = begins.tolist()
    return [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]


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
        label=(label == ANOMALOUS).astype(np.uint8),
        machines=[Machine(name, name) for name in names],
        texts=[gathering.texts.texts[code] for code in texts.tolist()],
        bad=gathering.bad,
        faults=tuple(gathering.faults),
        counts={
            "labelled": int((label != UNLABELLED).sum()),
            "undecodable_records": undecodable_records,
        },
    )


def _lacking(text: str, layout: Layout, when: str, t_ns: int, *, has_machine: bool) -> str:
    """What a record lacks; empty for a blank line and for the header itself, once more."""
    plain = text.strip().removeprefix("\ufeff")
    if not plain or (layout.kind == "csv" and plain == layout.header.strip()):
        return ""
    if not when.strip():
        return "no time"
    if not has_machine:
        return "no machine"
    if t_ns == BAD:
        return f"{when[:60]!r} is no time"
    return "no event"
