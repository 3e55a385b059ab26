"""A whole source outside the package: a binary format of records `<time ns: i8> <code: u2> <label>`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

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

RECORD = np.dtype([("t_ns", "<i8"), ("code", "<u2"), ("label", "u1")])
STREAMS = (Stream("code", "uint32"), Stream("offset", "int64", unit="bytes"))


class ToyOptions(BaseModel):
    length: int = 6


class ToyReader(Reader[FileUnit]):
    symbol_stream = "code"

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def units(self, evidence: Evidence) -> Listing[FileUnit]:
        return file_units(evidence, "toy files")

    def open(self, unit: FileUnit, *, resume: Position | None = None) -> ToyStream:
        return ToyStream(unit, resume)

    def probe(self) -> list[StepBlock]:
        return [_block(np.arange(9, dtype="i8").astype(RECORD), 0, "probe", ended=True)]

    def finish(self, account: Account, writer: DatasetWriter) -> None:
        writer.table("codes", account.symbols.frame())


class ToyStream(FileStream):
    _left = b""

    def _begin(self) -> dict[str, Any]:
        return {"offset": self._offset}

    def _next(self) -> StepBlock | None:
        piece = self._read_bytes()
        if piece is None and not self._bytes.ended:
            return None
        data = self._left + (piece or b"")
        whole = len(data) - len(data) % RECORD.itemsize
        self._left, self._ended = data[whole:], self._bytes.ended
        if self._ended and self._left:
            self.defects.append(Defect(self._unit.id, None, REST, "the last record is cut off"))
        start, self._offset = self._offset, self._offset + whole
        return _block(np.frombuffer(data[:whole], RECORD), start, self._unit.name, ended=self._ended)


class ToySource(Source[ToyOptions]):
    name = "toy"
    options = ToyOptions

    def corpus_reader(self, corpus: Path, options: ToyOptions) -> ToyReader:  # noqa: ARG002
        return ToyReader(Schema("toy", 1, ("normal", "anomaly"), options.length, 1, STREAMS, INPUTS))

    def reader(self, schema: Schema) -> ToyReader:
        return ToyReader(schema)

    def fit_encoder(self, train: WindowSet) -> SymbolEncoder:
        return SymbolEncoder.fit(train, stream="code", symbols="codes")

    def load_encoder(self, state: dict[str, Any], schema: Schema) -> SymbolEncoder:  # noqa: ARG002
        return SymbolEncoder.from_dict(state)

    def place(self, windows: WindowSet, rows: NDArray[np.int64]) -> pl.DataFrame:
        step, names = windows.target_step[rows], windows.table("codes")["text"]
        return pl.DataFrame(
            {
                "file": windows.recordings["id"].gather(windows.recording[rows]),
                "offset": windows.streams.at("offset", step),
                "text": names.gather(windows.streams.at("code", step)),
            }
        )


def _block(records: NDArray[Any], start: int, name: str, *, ended: bool) -> StepBlock:
    codes, row = np.unique(records["code"], return_inverse=True)
    offset = start + np.arange(len(records), dtype=np.int64) * RECORD.itemsize
    return StepBlock(
        (RecordingInfo(name, host=name.partition("-")[0]),), np.zeros(len(records), np.uint32),
        {"code": (row + 1).astype(np.uint32), "offset": offset}, records["t_ns"].astype(np.int64),
        records["label"].copy(), TextSymbols([f"code {code}" for code in codes.tolist()]), name,
        {"offset": offset}, np.array([ended]),
    )  # fmt: skip
