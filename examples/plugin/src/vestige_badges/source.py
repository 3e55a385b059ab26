"""A source: logs of badge readers, records of `<time ns: i8> <door: u2> <label: u1>`, a file a reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from vestige.evidence.defects import REST, Defect
from vestige.reading.dataset import DatasetWriter
from vestige.reading.files import FileStream, FileUnit, file_units
from vestige.reading.prepare import Account
from vestige.reading.steps import Evidence, Listing, Position, Reader, RecordingInfo, StepBlock
from vestige.reading.symbol_encoder import INPUTS, SymbolEncoder
from vestige.reading.symbols import TextSymbols
from vestige.reading.windows import WindowSet
from vestige.schema import Schema, Stream
from vestige.sources.base import Source

RECORD = np.dtype([("t_ns", "<i8"), ("door", "<u2"), ("label", "u1")])
STREAMS = (Stream("door", "uint32"), Stream("offset", "int64", unit="bytes"))


class BadgeOptions(BaseModel):
    """Every field becomes an option of `vestige run badges` and `vestige prepare badges`."""

    length: int = Field(6, ge=1, description="openings in a window, the one that is judged included")


class BadgeReader(Reader[FileUnit]):
    """Which files there are, and how one is opened."""

    symbol_stream = "door"

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def units(self, evidence: Evidence) -> Listing[FileUnit]:
        """One unit a file, in a fixed order."""
        return file_units(evidence, "logs of badge readers")

    def open(self, unit: FileUnit, *, resume: Position | None = None) -> BadgeStream:
        """Begin a file, or go on where a stream of it stood."""
        return BadgeStream(unit, resume)

    def probe(self) -> list[StepBlock]:
        """A made-up recording: a checkpoint keeps what is made of it, and is refused if that changes."""
        return [_block(np.arange(9, dtype="i8").astype(RECORD), 0, "probe", ended=True)]

    def finish(self, account: Account, writer: DatasetWriter) -> None:
        """Write the table of symbols: the encoder reads it after the split."""
        writer.table("doors", account.symbols.frame())


class BadgeStream(FileStream):
    """One file being read, in pieces of any size; a record that is cut in two waits for its rest."""

    _left = b""

    def _begin(self) -> dict[str, Any]:
        return {"offset": self._offset}  # where the next piece begins: all that going on needs

    def _next(self) -> StepBlock | None:
        piece = self._read_bytes()
        if piece is None and not self._bytes.ended:
            return None  # nothing now: the file may still grow
        data = self._left + (piece or b"")
        whole = len(data) - len(data) % RECORD.itemsize
        self._left, self._ended = data[whole:], self._bytes.ended
        if self._ended and self._left:
            self.defects.append(Defect(self._unit.id, None, REST, "the last record is cut off"))
        start, self._offset = self._offset, self._offset + whole
        return _block(np.frombuffer(data[:whole], RECORD), start, self._unit.name, ended=self._ended)


class BadgeSource(Source[BadgeOptions]):
    """What ties the reader to the stock encoder of symbols."""

    name = "badges"
    options = BadgeOptions

    def corpus_reader(self, corpus: Path, options: BadgeOptions) -> BadgeReader:  # noqa: ARG002
        """The reader of a corpus, with the schema that follows from the options."""
        return BadgeReader(Schema("badges", 1, ("normal", "anomaly"), options.length, 1, STREAMS, INPUTS))

    def reader(self, schema: Schema) -> BadgeReader:
        """The reader that a checkpoint's schema asks for."""
        return BadgeReader(schema)

    def fit_encoder(self, train: WindowSet) -> SymbolEncoder:
        """Learn the vocabulary, from training windows alone."""
        return SymbolEncoder.fit(train, stream="door", symbols="doors")

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> SymbolEncoder:  # noqa: ARG002
        """The encoder that a checkpoint keeps."""
        return SymbolEncoder.from_dict(state)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        """Where windows stand in the evidence, for whoever reads an alert."""
        step, names = windows.target_step[rows], windows.table("doors")["text"]
        return pl.DataFrame(
            {
                "file": windows.recordings["id"].gather(windows.recording[rows]),
                "offset": windows.streams.at("offset", step),
                "text": names.gather(windows.streams.at("door", step)),
            }
        )


def _block(records: NDArray[Any], start: int, name: str, *, ended: bool) -> StepBlock:
    """Records as steps. Row 0 of every table of symbols is padding: hence the 1 that is added."""
    doors, row = np.unique(records["door"], return_inverse=True)
    offset = start + np.arange(len(records), dtype=np.int64) * RECORD.itemsize
    return StepBlock(
        (RecordingInfo(name, host=name.partition("-")[0]),),
        np.zeros(len(records), np.uint32),
        {"door": (row + 1).astype(np.uint32), "offset": offset},
        records["t_ns"].astype(np.int64),
        records["label"].copy(),
        TextSymbols([f"door {door}" for door in doors.tolist()]),
        name,
        {"offset": offset},
        np.array([ended]),
    )
