"""Parts of a large file of logs, which several workers read, and how they are put together again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from vestige.evidence.defects import Defect
from vestige.evidence.stream import ByteStream
from vestige.reading.digests import BLOCK, BlockHasher, content_digest
from vestige.reading.steps import (
    ChunkStream,
    Join,
    RecordingInfo,
    StepBlock,
    repeated,
)
from vestige.sources.logs.beside import Beside, defects
from vestige.sources.logs.blocks import Block, BlockReader
from vestige.sources.logs.clock import Clock, Untimed
from vestige.sources.logs.head import Head, LogUnit
from vestige.sources.logs.parsing import BlockParser
from vestige.sources.logs.stream import steps_of

STEP_BYTES = 1 << 13
"""Bytes at a time behind the end of a part, until its last message is whole."""
LONGEST_STEP = 1 << 18
"""The steps grow up to this, where that message is long."""


class LogPart(ChunkStream):
    """A part of a large file. Its lines count from its first message, and its times are as they were read:
    `LogJoin` knows what came before it."""

    def __init__(self, unit: LogUnit) -> None:
        super().__init__()
        if unit.head is None or unit.stop is None:
            raise ValueError("a part needs to know how it is read, and where it stops")
        self._unit, self._head, self._stop = unit, unit.head, unit.stop
        self._rules = rules = unit.head.rules
        # One byte earlier: whether a line begins at `start` shows in the byte before it.
        begin = max(0, unit.start - 1)
        self._content = ByteStream(unit.file, offset=begin)
        self._parser = BlockParser(unit.head.settings, unit.file.size)
        self._reader = BlockReader.at(rules.is_start, max_line=rules.max_line, offset=begin, line=1)
        self._has_labels = rules.label.kind != "none"
        # The blocks of the file that begin in this part, for its digest.
        self._hasher, self._read_to = BlockHasher(), begin
        self._first, self._last = (-(-at // BLOCK) * BLOCK for at in (unit.start, unit.stop))
        self._fed = begin
        self._waiting = b""
        self._step = STEP_BYTES
        self._lines = 0
        self._counts: Counter[str] = Counter()
        self._beside = Beside()
        self._blocks = self._read_blocks()

    @property
    def taken(self) -> int:
        """See `StepStream.taken`."""
        return self._stop - self._unit.start

    @property
    def digests(self) -> dict[str, str]:
        """See `StepStream.digests`: a part knows none, but those of blocks."""
        return {}

    @property
    def summary(self) -> dict[str, Any]:
        """Counts, how many lines the part has, and the digests of the blocks that begin in it."""
        beside = {"unread": self._beside.unread, "changed": self._beside.changed}
        return {"counts": dict(self._counts), "lines": self._lines, "blocks": self._hasher.blocks, **beside}

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
            while self._read_to < self._last and self._read():
                pass  # a block that begins here ends behind what the part's last message needed
            self.defects += self._content.defects
            block = Block(b"", self._reader.place[0], 1)
        messages = self._parser.parse(block)
        if block.data:
            self._counts.update(messages.counts, over_long=len(block.gaps))
            self._beside.note(self._rules, block, messages)
        label = messages.label if self._has_labels else None
        info = RecordingInfo(self._unit.id, host=self._head.host, profile=self._head.profile)
        last = self._ended and self._stop == self._unit.file.size
        # Where they stand in time shows only behind what came before: no column goes home for it.
        times = messages.t_ns, repeated(np.int64(0), len(messages))
        return steps_of(messages, times, label, self._head.kind, info, self._unit.id, ended=last)

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
        whole = reader.take(now=True)
        if whole is not None:
            yield whole
        # What is left is the part's last message, which may go on behind its stop.
        at = reader.mark()
        while (last := reader.take_to_start_from(at)) is None:
            at = reader.look_further(at)
            self._step = min(2 * self._step, LONGEST_STEP)
            if not self._feed():
                last = reader.finish()
                break
        if last is not None:
            yield last

    def _feed(self) -> bool:
        """Feed the reader up to the part's stop, or behind it a little at a time; False at the file's end."""
        if not self._waiting:
            self._waiting = self._read()
        room = self._stop - self._fed if self._fed < self._stop else self._step
        piece, self._waiting = self._waiting[:room], self._waiting[room:]
        self._reader.feed(piece)
        self._fed += len(piece)
        return bool(piece)

    def _read(self) -> bytes:
        """The next bytes of the file."""
        piece = self._content.read() or b""
        first, last = (max(0, at - self._read_to) for at in (self._first, self._last))
        self._hasher.update(memoryview(piece)[first:last])
        self._read_to += len(piece)
        return piece


class LogJoin(Join):
    """Parts of a file in their order: the lines and the run of time that came before each are known here."""

    def __init__(self, unit: LogUnit, head: Head) -> None:
        self._unit, self._head = unit, head
        self._line = 0
        self._clock = Clock(head.year, head.first_ns)
        self._untimed = Untimed()
        self._beside = Beside()
        self._defects: list[Defect] = []
        self._rules = head.rules
        self._timed = self._rules.format.timed
        self._counts: Counter[str] = Counter()
        self._blocks: list[str] = []

    def over(self, block: StepBlock) -> StepBlock:
        """Times and lines as a stream over the whole file would give them."""
        line = block.values["line"] + self._line
        t_ns = self._clock.set(block.t_ns)
        if self._timed:
            self._defects += self._untimed.note(self._unit.id, block.t_ns, t_ns, line)
        return replace(
            block, t_ns=t_ns, values={**block.values, "t_ns": self._clock.place(t_ns), "line": line}
        )

    def end_part(self, summary: dict[str, Any]) -> dict[str, Any]:
        """See `Join.end_part`: the summary of the file up to here."""
        unread = [(row + self._line, why) for row, why in summary["unread"]]
        self._defects += defects(self._unit.id, self._beside.add(unread, summary["counts"]))
        if summary["changed"] is not None and self._beside.changed is None:
            row, name = summary["changed"]
            self._beside.changed = row + self._line, name
        self._line += summary["lines"]
        self._blocks += summary["blocks"]
        self._counts.update(summary["counts"])
        name, assumed = self._rules.format.name, {}
        if self._head.year is not None and self._head.assumed:
            assumed[name] = self._head.year
        counts = {"files": 1, "bytes": self._unit.file.size, "bad_times": self._untimed.count}
        label = self._rules.label
        wordless = [self._head.kind] if label.kind == "words" and not label.values else []
        return {
            "counts": dict(self._counts) | counts,
            "formats": {name: 1},
            "years": assumed,
            "wordless": wordless,
            **self._head.told,
            "warnings": [*self._head.told["warnings"], *self._beside.warnings],
        }

    def defects(self) -> tuple[list[Defect], dict[str, int]]:
        """See `Join.defects`."""
        return self._defects, Counter(self._untimed.more) + Counter(self._beside.more)

    def digests(self) -> dict[str, str]:
        """See `Join.digests`."""
        return {self._unit.id: content_digest(self._blocks)}
