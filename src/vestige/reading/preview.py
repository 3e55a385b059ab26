"""Evidence as it would be prepared, shown step by step, and what is to be said of all of it.

Nothing is written and nothing is learnt: units are opened and read as `prepare` does it, so what is shown is
what a dataset would hold. Memory is flat: a block of steps, and a bounded `Overview`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vestige.engine import HERE
from vestige.errors import EvidenceError, VestigeError
from vestige.evidence.defects import FILE, Defect
from vestige.reading.overview import Overview, present
from vestige.reading.steps import NO_TIME, Evidence, Progress, Reader, RecordingNames, StepBlock, Unit
from vestige.reading.times import rfc3339

BLOCK_STEPS = 1 << 14
"""Steps that are asked of a stream at a time: the first ones are shown soon."""
PIECE_STEPS = 1 << 10
"""Steps of a block that are rows at a time."""

Row = dict[str, Any]
"""A step as JSON values."""


@dataclass(frozen=True)
class Ending:
    """What a stream says when it is over."""

    defects: list[Defect]
    summary: dict[str, Any]


Read = tuple[StepBlock, int] | Ending
"""The next steps with the bytes of evidence read so far, or the end."""


@dataclass
class Preview:
    """The evidence at `corpus` as `reader` reads it.

    `named`: files are called by their whole path, because there is more evidence than this. `stopped_at`: the
    unit whose error ended it. `refused`: the first error of units that were left out.
    """

    reader: Reader[Any]
    corpus: Path
    overview: Overview
    named: bool = False
    stopped_at: Unit | None = field(default=None, init=False)
    refused: VestigeError | None = field(default=None, init=False)
    _names: RecordingNames = field(default_factory=RecordingNames, init=False)

    def rows(self, limit: int | None, progress: Progress | None = None) -> Iterator[Row]:
        """The first steps, `limit` of them (None: all); all the others are read, too, for the overview.

        Raises EvidenceError where there is nothing to read, and for what a person named and cannot be read.
        """
        listing = self.reader.units(Evidence((self.corpus,)))
        self._leave_out(listing.left_out)
        left, done = limit, 0
        for unit, pieces in self._units(listing.units):
            shown, taken = False, 0
            try:
                for piece in pieces:
                    if isinstance(piece, Ending):
                        self._end(unit, piece)
                        continue
                    block, taken = self._for_people(piece[0]), piece[1]
                    if progress is not None:
                        progress(done + taken, listing.total)
                    self.overview.add(block, self._name(block.file))
                    shown = shown or len(block) > 0
                    upto = len(block)
                    if left is not None:
                        upto = min(left, len(block))
                        left -= upto
                    yield from self._rows(block, upto)
            except VestigeError as error:
                if shown or unit.named or error.fatal:
                    self.stopped_at = unit
                    raise
                self.refused = self.refused or error
                self._leave_out([Defect(unit.id, error.row, FILE, error.reason)])
            done += taken

    def nothing(self) -> VestigeError:
        """The error of evidence in which there is no step: that of the first unit that was refused, if one
        was."""
        return self.refused or EvidenceError("nothing to read: it holds no step", where=self.corpus)

    def _units(self, units: list[Any]) -> Iterator[tuple[Any, Iterator[Read]]]:
        if not self.reader.isolate:
            for unit in units:
                yield unit, _read(self.reader, unit)
            return
        # A unit that may kill the process which reads it has one of its own.
        work = partial(_whole, self.reader)
        for outcome in HERE.map(work, units, isolate=True):
            yield outcome.item, _unwrapped(outcome)

    def _end(self, unit: Unit, ending: Ending) -> None:
        self._leave_out(ending.defects)
        self.overview.left_out.add([], more=ending.summary.get("more_defects"))
        self.overview.told.add(self._name(unit.id), ending.summary)

    def _leave_out(self, defects: list[Defect]) -> None:
        self.overview.left_out.add(replace(defect, file=self._name(defect.file)) for defect in defects)

    def _name(self, file: str) -> str:
        """What a file is called: as in a dataset, or, of several pieces of evidence, by its path."""
        if not self.named or file.startswith(str(self.corpus)):
            return file
        folder = self.corpus if self.corpus.is_dir() else self.corpus.parent
        return str(folder / file)

    def _for_people(self, block: StepBlock) -> StepBlock:
        """The block without what is no time, its recordings called as in a dataset."""
        if not self.reader.timed:
            block = replace(block, t_ns=np.full_like(block.t_ns, NO_TIME))
        if not self.reader.interleaved:
            return block
        infos = list(block.recordings)
        for at in present(block):
            infos[at] = replace(infos[at], id=self._names.of(infos[at]))
        for at in np.flatnonzero(block.ended).tolist():
            self._names.end(block.recordings[at])
        return replace(block, recordings=tuple(infos))

    def _rows(self, block: StepBlock, upto: int) -> Iterator[Row]:
        file = self._name(block.file)
        for start in range(0, upto, PIECE_STEPS):
            piece = block.slice(start, min(start + PIECE_STEPS, upto))
            yield from rows_of(self.reader, piece, file)


def rows_of(reader: Reader[Any], block: StepBlock, file: str) -> Iterator[Row]:
    """Steps as JSON values: `recording`, `host`, `time` (RFC 3339, None where nobody knows), `file`, `line`,
    `offset` and whatever else says where it stands, `text`, `label` (None: it has none), and `values` of a
    step that is numbers, by their channels."""
    if not len(block):
        return
    texts = reader.text(block.values, block.symbols)
    values = reader.numbers(block.values)
    times = rfc3339(block.t_ns)
    place = {name: column.tolist() for name, column in block.place.items()}
    classes = reader.schema.classes
    labels: list[str | None] = [None] * len(block)
    if block.label is not None:
        labels = [classes[code] for code in block.label.tolist()]
    for at, code in enumerate(block.recording.tolist()):
        info = block.recordings[code]
        row: Row = {
            "recording": info.id,
            "host": info.host or None,
            "time": times[at],
            "file": file,
            "line": None,
            "offset": None,
            **{name: column[at] for name, column in place.items()},
            "text": texts[at],
            "label": labels[at],
        }
        if values is not None:
            row["values"] = values[at]
        yield row


def _read(reader: Reader[Any], unit: Unit) -> Iterator[Read]:
    """The blocks of a unit, and how it ended."""
    stream = reader.open(unit)
    try:
        while not stream.ended:
            block = stream.read(BLOCK_STEPS)
            if block is not None:
                yield block, stream.taken
    finally:
        stream.close()
    yield Ending(stream.defects, stream.summary)


def _whole(reader: Reader[Any], unit: Unit) -> list[Read]:
    return list(_read(reader, unit))


def _unwrapped(outcome: Any) -> Iterator[Read]:
    yield from outcome.unwrap()
