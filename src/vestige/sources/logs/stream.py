"""A file of logs as messages, as they come."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.evidence.defects import FILE, Defect
from vestige.evidence.stream import closing_on_error
from vestige.reading.files import place_in
from vestige.reading.steps import (
    ChunkStream,
    Position,
    RecordingInfo,
    StepBlock,
)
from vestige.sources.logs.beside import OVER_LONG, Beside, defects
from vestige.sources.logs.blocks import COLUMNS, FOLLOWED_BYTES, Block, BlockReader
from vestige.sources.logs.clock import Clock, Untimed
from vestige.sources.logs.head import Head, LogUnit, head_of
from vestige.sources.logs.parse import Messages
from vestige.sources.logs.parsing import WORTH_S, BlockParser
from vestige.sources.logs.schema import MESSAGE, SLOTS
from vestige.sources.logs.symbols import LogSymbols
from vestige.sources.logs.table import Content, TableError, contents
from vestige.sources.logs.w3c import FIELDS, columns_of

MOST_CHANGES = 4
"""Changes of columns that are named."""
MOST_FOLLOWED = 1000
"""Changes of columns of a file that are followed: a program changes them when somebody sets it up anew."""


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
        self._offset, self._line = place_in(state, "offset"), place_in(state, "line", 1)
        self._head = Head(**state["head"]) if state.get("head") else None
        self._clock = Clock(**state["clock"]) if state.get("clock") else None
        self._released: int | None = state.get("released")
        self._complete = not self._offset
        self._contents = contents(unit.file, rules, unit.mode, number=self._number, offset=self._offset)
        self._content: Content | None = None
        self._reader: BlockReader | None = None
        self._parser: BlockParser | None = None
        self._digests: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._formats: Counter[str] = Counter()
        self._years: dict[str, int] = {}
        self._wordless: list[str] = []
        self._told: dict[str, Any] = {}
        self._untimed = Untimed()
        self._beside = Beside()
        self._changed: list[str] = []
        self._changes = 0
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
            "counts": {**self._counts, "bad_times": self._untimed.count},
            "formats": dict(self._formats),
            "years": self._years,
            "wordless": self._wordless,
            **self._told,
            "more_defects": Counter(self._untimed.more) + Counter(self._beside.more),
            "warnings": [*self._told.get("warnings", []), *self._changes_told, *self._beside.warnings],
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
        self._contents.close()

    def release(self) -> StepBlock | None:
        """The last message, in whole lines, although more of it may follow."""
        if self._reader is None or self._chunk is not None or self._clock is None or self._parser is None:
            return None
        pending = self._reader.pending()
        if pending is None:
            return None
        messages = self._parser.parse(pending)
        if not len(messages) or int(messages.raw[0]) == self._released:
            return None
        corrects = self._released is not None
        self._released = int(messages.raw[0])
        clock = replace(self._clock)
        t_ns = clock.set(messages.t_ns)
        block = self._steps(messages, (t_ns, clock.place(t_ns)), ended=False)
        return replace(block, corrects=corrects, raw=self._parser.raw(pending, messages))

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
        self._parser = self._parser_of(head)
        goes_on = rules.goes_on_from if rules.format.partial else None
        if self._complete:
            self._reader = BlockReader(rules.is_start, max_line=rules.max_line, goes_on=goes_on)
        else:
            self._reader = BlockReader.at(
                rules.is_start,
                max_line=rules.max_line,
                offset=self._offset,
                line=self._line,
                goes_on=goes_on,
            )
        self._reader.inside = rules.inside
        if rules.format.by_columns:
            self._reader.columns = b""
        if self._unit.mode == "follow":
            self._reader.size = FOLLOWED_BYTES
        if self._clock is None:
            self._clock = Clock(head.year, head.first_ns)
        self._formats[rules.format.name] += 1
        self._told = self._told or head.told
        if head.year is not None and head.assumed:
            self._years[rules.format.name] = head.year
        if rules.label.kind == "words" and not rules.label.values and head.kind not in self._wordless:
            self._wordless.append(head.kind)

    def _parser_of(self, head: Head) -> BlockParser:
        return BlockParser(
            head.settings,
            self._unit.file.size,
            worth_s=0.0 if self._grows else WORTH_S,
            waits=self._unit.mode == "whole",
        )

    def _change_columns(self, block: Block) -> None:
        """Read on by the columns that the first line of a block names."""
        head, reader = self._head, self._reader
        if head is None or reader is None or reader.columns is None or not block.data.startswith(COLUMNS):
            return
        columns = columns_of(self._rules.text(block.data.partition(b"\n")[0]).rstrip())
        if columns.format.header == self._rules.format.header:
            return
        if self._changes == MOST_FOLLOWED:
            reader.columns = None
            self._changed.append(
                f"changes of columns are followed no longer from line {block.line} on: "
                f"there are {MOST_FOLLOWED:,}"
            )
            return
        self._changes += 1
        if self._changes <= MOST_CHANGES:
            lacking = f"; {columns.told}" * bool(columns.told)
            self._changed.append(f"from line {block.line} on it has other columns ({FIELDS[:-1]}){lacking}")
        self._rules = replace(self._rules, format=columns.format)
        self._head = replace(head, settings=json.dumps(self._rules.settings()))
        self._parser = self._parser_of(self._head)

    @property
    def _changes_told(self) -> list[str]:
        more = self._changes - MOST_CHANGES
        return [*self._changed, *([f"its columns change {more:,} more times"] if more > 0 else [])]

    @property
    def _grows(self) -> bool:
        """Whether the file is followed for as long as it grows, not up to where it reaches now."""
        return self._unit.mode == "follow" and self._unit.file.upto is None

    def _chunk_of(self, block: Block) -> StepBlock | None:
        """The messages of a block; None where it holds none that is new."""
        self._change_columns(block)
        content = self._content
        parser = self._parser
        if parser is None or self._clock is None or content is None:
            raise ValueError("nothing was chosen yet")
        messages = parser.parse(block)
        self._counts.update(messages.counts)
        self.defects += defects(content.file.id, self._beside.note(self._rules, block, messages))
        t_ns = self._clock.set(messages.t_ns)
        if self._rules.format.timed:
            self.defects += self._untimed.note(content.file.id, messages.t_ns, t_ns, messages.line)
        times = t_ns, self._clock.place(t_ns)
        corrects = False
        if self._released is not None and len(messages):
            corrects = int(messages.raw[0]) != self._released
            self._released = None
            if not corrects:
                # It was handed on as it is: only the clock had to be told of it.
                n = messages.n_first
                messages, times = messages.without_first(), (times[0][n:], times[1][n:])
        chunk = self._steps(messages, times, ended=block.final)
        if block.final:
            self._end_content()
        if not len(chunk) and not chunk.ended.any():
            return None
        return replace(chunk, corrects=corrects, raw=parser.raw(block, messages))

    def _steps(
        self, messages: Messages, times: tuple[NDArray[np.int64], NDArray[np.int64]], *, ended: bool
    ) -> StepBlock:
        head, content = self._head, self._content
        if head is None or content is None:
            raise ValueError("nothing was chosen yet")
        label: NDArray[np.uint8] | None = None
        if self._wants_labels and self._rules.label.kind == "table":
            label = content.labels(messages.line)
        elif self._wants_labels and self._rules.label.kind != "none":
            label = messages.label
        file = content.file.id if content.in_table else self._unit.name
        info = RecordingInfo(file, host=head.host, profile=head.profile)
        return steps_of(messages, times, label, head.kind, info, file, ended=ended)

    def _end_content(self) -> None:
        content, reader = self._content, self._reader
        if content is None:
            return
        if reader is not None:
            self._counts.update(files=1, bytes=reader.n_bytes, over_long=reader.over_long)
            self._beside.counts[OVER_LONG] += reader.over_long
            if self._complete:
                self._digests[content.file.id] = reader.digest
        self.defects += [replace(defect, file=content.file.id) for defect in content.defects]
        self._leave()

    def _leave(self) -> None:
        if self._content is not None:
            self._taken = self._content.taken
            self._content.close()
        self._head = self._clock = self._reader = self._parser = self._released = None
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


def steps_of(
    messages: Messages,
    times: tuple[NDArray[np.int64], NDArray[np.int64]],
    label: NDArray[np.uint8] | None,
    kind: str,
    info: RecordingInfo,
    file: str,
    *,
    ended: bool,
) -> StepBlock:
    """Messages of one recording as steps; row 0 of the table of symbols is padding. `times`: when each was
    written, and where it stands in time (see `Clock.place`)."""
    t_ns, placed_ns = times
    kept = {} if messages.slots is None else {SLOTS: messages.slots}
    return StepBlock(
        recordings=(info,),
        recording=np.zeros(len(messages), dtype=np.uint32),
        values={
            MESSAGE: messages.text + np.uint32(1),
            "t_ns": placed_ns,
            "line": messages.line,
            "offset": messages.offset,
            "raw": messages.raw,
            **kept,
        },
        t_ns=t_ns,
        label=label,
        symbols=LogSymbols(messages.texts, kind),
        file=file,
        place={"line": messages.line, "offset": messages.offset},
        ended=np.array([ended]),
    )
