"""Windows made while evidence is read, in flat memory: by the parser and with the numbers of `prepare`.

Each machine's last events are kept, of the `MACHINES` machines heard from last. Events are taken in the order
in which they come: one that is earlier than its machine's previous event is counted, and takes its place in
the context all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.evidence.files import STDIN
from vestige.schema import Schema
from vestige.sources.base import LiveBatch
from vestige.sources.events.columns import Events
from vestige.sources.events.feed import Feed
from vestige.sources.events.memory import MACHINES, Memory
from vestige.sources.events.parse import Parser, Rules
from vestige.sources.events.prepare import files_of
from vestige.sources.events.probe import layout_and_block
from vestige.sources.events.records import BLOCK_BYTES

MOST_STEPS = 1 << 17
"""Steps of a batch: windows times length."""

log = logging.getLogger(__name__)


def live(
    evidence: Iterable[Path], schema: Schema, *, size: int = BLOCK_BYTES, machines: int = MACHINES
) -> Iterator[LiveBatch]:
    """A window for every event of every file, in order. Raises EvidenceError as `prepare` does.

    Of several pieces of evidence, a file is called by its whole path as given.
    """
    rules = Rules.from_settings(schema.settings)
    windows = Windows(schema, machines)
    every = list(evidence)
    done = 0
    for path in every:
        files, skipped = files_of(path, rules)
        refused: list[EvidenceError] = []
        for one in skipped:
            log.info("%s was left out: %s", one.id, one.reason)
        for file in files:
            anomalous = schema.settings["anomalous_files"]
            feed = Feed(file, rules, anomalous_files=anomalous, size=size, eager=file.path == STDIN)
            try:
                feed.open()
            except EvidenceError as error:
                refused.append(error)
                if len(refused) == len(files):
                    raise refused[0] from None
                log.warning("%s was left out: %s", file.id, error.what)
                continue
            for batch in _over(feed, file.where if len(every) > 1 else file.id, rules, windows):
                yield replace(batch, taken=done + feed.taken)
            done += feed.taken
    if windows.out_of_order:
        log.warning("%d events came earlier than the one before on their machine", windows.out_of_order)
    if windows.memory.forgotten:
        log.warning("%d machines were forgotten to make room for others", windows.memory.forgotten)


def _over(feed: Feed, name: str, rules: Rules, windows: Windows) -> Iterator[LiveBatch]:
    parser = Parser(rules)
    bad, faults = 0, list(feed.faults)
    for layout, block in feed.blocks():
        events = parser.parse(layout, block)
        bad += events.bad
        faults += events.faults[: 1 - len(faults)]
        yield from windows.over(events, name)
    faults += feed.faults
    if bad + feed.bad:
        log.warning("%s: %d records were left out, one in row %d: %s", name, bad + feed.bad, *faults[0])
    for what in feed.defects:
        log.warning("%s: %s", name, what)


def probe(schema: Schema) -> LiveBatch:
    """A few records of the mapping's own fields, as if they were a file."""
    rules = Rules.from_settings(schema.settings)
    events = Parser(rules).parse(*layout_and_block(rules.mapping))
    return next(Windows(schema, MACHINES).over(events, "probe"))


@dataclass
class Windows:
    """The windows of the evidence, block by block."""

    schema: Schema
    machines: int
    out_of_order: int = 0
    memory: Memory = field(init=False)

    def __post_init__(self) -> None:
        self.memory = Memory(self.schema.length - 1, self.machines)

    def over(self, events: Events, file: str) -> Iterator[LiveBatch]:
        """The windows that end on the next events."""
        most = max(1, MOST_STEPS // self.schema.length)
        piece = len(events) if events.own else self.machines
        for begin in range(0, len(events), max(1, piece)):
            rows = slice(begin, min(begin + piece, len(events)))
            event, t_ns, end = self._lay_out(events, rows)
            symbols = pl.DataFrame({"text": self.memory.texts()}, schema={"text": pl.String()})
            for start in range(0, len(end), most):
                steps = end[start : start + most, None] + np.arange(1 - self.schema.length, 1)
                here = slice(rows.start + start, rows.start + start + len(steps))
                values = {"event": event[steps], "t_ns": t_ns[steps]}
                where, last = _place(events, here, file), values["t_ns"][:, -1]
                yield LiveBatch(values, symbols, where, unit="machine", t_ns=last)

    def _lay_out(
        self, events: Events, rows: slice
    ) -> tuple[NDArray[np.uint32], NDArray[np.int64], NDArray[np.int64]]:
        """Events and times of one machine after the other, each behind its last ones of before; and where
        in them the events at `rows` are."""
        lead = self.schema.length - 1
        self.memory.tidy()
        present, machine = np.unique(events.machine[rows], return_inverse=True)
        order = np.argsort(machine, kind="stable")
        sizes = np.bincount(machine, minlength=len(present))
        ends = np.cumsum(sizes + lead)
        before = (ends - sizes)[:, None] + np.arange(-lead, 0)
        end = np.empty(len(order), dtype=np.int64)
        end[order] = np.arange(len(order)) + lead * (machine[order] + 1)
        event = np.zeros(int(ends[-1]), dtype=np.uint32)
        t_ns = np.zeros(len(event), dtype=np.int64)
        event[end] = self.memory.symbols(events.texts)[events.event[rows]]
        t_ns[end] = events.t_ns[rows]
        if not events.own:
            slots = self.memory.slots([events.machines[code].id for code in present.tolist()])
            event[before], t_ns[before] = self.memory.recall(slots)
            last = ends[:, None] + np.arange(-lead, 0)
            self.memory.keep(slots, event[last], t_ns[last])
        self.out_of_order += int(((t_ns[end] < t_ns[end - 1]) & (event[end - 1] != 0)).sum())
        return event, t_ns, end


def _place(events: Events, rows: slice, file: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "file": [file] * (rows.stop - rows.start),
            "line": events.line[rows],
            "offset": events.offset[rows],
            "machine": [events.machines[code].id for code in events.machine[rows].tolist()],
            "text": [events.texts[code] for code in events.event[rows].tolist()],
        }
    )
