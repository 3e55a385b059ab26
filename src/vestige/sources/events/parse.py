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
from vestige.sources.events.columns import Events, Gathering, Machine, hashes
from vestige.sources.events.fields import TEXT_CHARACTERS
from vestige.sources.events.json_lines import BadRecordError, decode
from vestige.sources.events.layout import Layout, split_row
from vestige.sources.events.mapping import FIELDS, Mapping
from vestige.sources.events.records import Block
from vestige.sources.events.sessions import read_sessions
from vestige.sources.events.times import BAD, TimeReader

Values = tuple[str, str, str, str]
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
        if layout.kind == "sessions":
            return read_sessions(records, begins + block.offset, lines, layout, self._negatives)
        take = self._of_row(layout) if layout.kind == "csv" else self._of_line
        gathering = Gathering()
        rows: list[tuple[int, int, int, int, int]] = []
        labelled = undecodable = 0
        for number, record in enumerate(records):
            text = record.decode("utf-8", errors="replace")
            if "\ufffd" in text:
                undecodable += b"\xef\xbf\xbd" not in record
            try:
                when, machine, event, label = take(text)
            except BadRecordError as error:
                gathering.fault(int(lines[number]), str(error))
                continue
            t_ns = self._times.read(when)
            if t_ns == BAD or not machine or not event:
                if what := _lacking(text, layout, when, machine, t_ns):
                    gathering.fault(int(lines[number]), what)
                continue
            labelled += label != ""
            rows.append(
                (
                    number,
                    gathering.machines.setdefault(machine, len(gathering.machines)),
                    gathering.texts.setdefault(event, len(gathering.texts)),
                    t_ns,
                    label.casefold() not in self._negatives,
                )
            )
        self._times.forget()
        return _events(
            gathering, rows, records, begins + block.offset, lines,
            {"labelled": labelled, "undecodable_records": undecodable},
        )  # fmt: skip

    def _of_line(self, text: str) -> Values:
        if not text or text.isspace():
            return EMPTY
        record = decode(text)
        time, machine, event, label = self._objects
        return time(record), machine(record), event(record), label(record)

    def _of_row(self, layout: Layout) -> Callable[[str], Values]:
        time, machine, event = (fields.of_row(places) for places in layout.places[:3])
        label: fields.Pick = fields.of_row(layout.places[3]) if layout.places[3] else lambda _: ""
        delimiter, n = layout.delimiter, layout.columns

        def take(text: str) -> Values:
            cells = split_row(text.removesuffix("\n").removesuffix("\r"), delimiter)
            if len(cells) != n:
                if not text.strip():
                    return EMPTY
                raise BadRecordError(f"{len(cells)} cells, the header has {n}")
            return time(cells), machine(cells), event(cells), label(cells)

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


def _slices(data: bytes, begins: NDArray[np.int64]) -> list[bytes]:
    places = begins.tolist()
    return [data[a:b] for a, b in zip(places, [*places[1:], len(data)], strict=True)]


def _events(
    gathering: Gathering,
    rows: Sequence[tuple[int, int, int, int, int]],
    records: Sequence[bytes],
    offsets: NDArray[np.int64],
    lines: NDArray[np.int64],
    counts: dict[str, int],
) -> Events:
    number, machine, event, t_ns, label = np.array(rows, dtype=np.int64).reshape(-1, 5).T
    return Events(
        machine=machine.astype(np.uint32),
        event=event.astype(np.uint32),
        t_ns=np.ascontiguousarray(t_ns),
        line=lines[number],
        offset=offsets[number],
        raw=hashes([records[row] for row in number.tolist()]),
        label=label.astype(np.uint8),
        machines=[Machine(name, name) for name in gathering.machines],
        texts=list(gathering.texts),
        bad=gathering.bad,
        faults=tuple(gathering.faults),
        counts=counts,
    )


def _lacking(text: str, layout: Layout, when: str, machine: str, t_ns: int) -> str:
    """What a record lacks; empty for a blank line and for the header itself, once more."""
    plain = text.strip().removeprefix("\ufeff")
    if not plain or (layout.kind == "csv" and plain == layout.header.strip()):
        return ""
    if not when:
        return "no time"
    if not machine:
        return "no machine"
    return f"{when[:60]!r} is no time" if t_ns == BAD else "no event"
