"""What a worker brings home of a unit: its steps as arrays, in memory where they are few, in files else."""

from __future__ import annotations

import math
import mmap
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vestige.evidence.defects import Defect
from vestige.reading.steps import Reader, RecordingInfo, StepBlock, StepStream, is_repeated, repeated
from vestige.reading.symbols import RowMap, SymbolTable
from vestige.schema import Schema

SPILL_BYTES = 4 << 20
"""A part of more bytes than this goes through files of its own: memory is then flat whatever a unit's size.
"""
BLOCK_STEPS = 1 << 17
"""Steps that are asked of a stream at a time."""
PIECE_STEPS = 1 << 15
"""Steps at a time on the way from a part's files to a dataset's: few enough for their columns to stay in a
processor's cache, and in memory that is used again."""

_RECORDING, _T_NS, _LABEL = "\0recording", "\0t_ns", "\0label"
"""Columns beside the streams; no stream is called so."""

Columns = dict[str, NDArray[Any]]


@dataclass
class Part:
    """A unit, or a part of one, wholly read. `columns` hold its n steps, or lie in `folder`, one file each:
    streams under their names, and what else is known of each step under names that no stream has. A column
    that is one number, `n` times, has no file: the number is in `same`."""

    n: int
    columns: Columns | None
    folder: Path | None
    same: dict[str, NDArray[Any]]
    dtypes: dict[str, tuple[str, tuple[int, ...]]]
    symbols: SymbolTable
    recordings: tuple[RecordingInfo, ...]
    ended: NDArray[np.bool_]
    file: str
    labelled: bool
    digests: dict[str, str]
    defects: list[Defect]
    summary: dict[str, Any]
    taken: int

    def blocks(self, schema: Schema) -> Iterator[StepBlock]:
        """Its steps in their order; at least one block. The part's files are used up."""
        start = 0
        for columns in self._pieces():
            n = len(columns[_T_NS])
            yield self._block(columns, last=start + n >= self.n)
            start += n
        if not self.n:
            yield self._block(_no_steps(schema), last=True)

    def discard(self) -> None:
        """Remove the files of a part that is not used."""
        if self.folder is not None and self.folder.is_dir():
            shutil.rmtree(self.folder)

    def _block(self, columns: Columns, *, last: bool) -> StepBlock:
        beside = (_RECORDING, _T_NS, _LABEL)
        own = {name: values for name, values in columns.items() if name not in beside}
        return StepBlock(
            recordings=self.recordings,
            recording=columns[_RECORDING],
            values=own,
            t_ns=columns[_T_NS],
            label=columns[_LABEL] if self.labelled else None,
            symbols=self.symbols,
            file=self.file,
            place={},
            ended=self.ended & last,
        )

    def _pieces(self) -> Iterator[Columns]:
        if self.folder is None:
            if self.n and self.columns is not None:
                yield self.columns
            return
        whole: Columns = {}
        for number, (name, (dtype, shape)) in enumerate(self.dtypes.items()):
            if name in self.same:
                whole[name] = repeated(self.same[name][0], self.n)
                continue
            if not math.prod(shape):  # nothing can be mapped
                whole[name] = np.empty((self.n, *shape), dtype=dtype)
                continue
            with (self.folder / _file_of(number)).open("rb") as file:
                # Mapped, not read: what is only written on is never copied.
                content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            whole[name] = np.frombuffer(content, dtype=dtype).reshape(self.n, *shape)
        for start in range(0, self.n, PIECE_STEPS):
            piece = slice(start, start + PIECE_STEPS)
            yield {name: column[piece] for name, column in whole.items()}
        self.discard()


@dataclass(frozen=True)
class Task:
    """A unit, or a part of it (`first`, `last` of them), on its way to a worker."""

    number: int
    unit: Any
    part: Any
    first: bool
    last: bool


def read_task(reader: Reader[Any], scratch: Path, task: Task) -> Part:
    """What a worker does.

    This module, and those of readers, import no library that starts threads: the server that forks workers
    has imported them already.
    """
    return read_part(reader, reader.open(task.part), scratch / str(task.number), most=BLOCK_STEPS)


def read_part(
    reader: Reader[Any], stream: StepStream, folder: Path, *, most: int, spill_bytes: int = SPILL_BYTES
) -> Part:
    """Read a stream to its end. `folder`, which must not be there yet, is made where the part has more than
    `spill_bytes`."""
    writer = _PartWriter(folder, reader.symbols(), reader.symbol_stream, spill_bytes)
    try:
        while not stream.ended:
            block = stream.read(most)
            if block is not None:
                writer.add(block)
    finally:
        stream.close()
        writer.close()
    return writer.part(stream)


def _no_steps(schema: Schema) -> Columns:
    columns: Columns = {
        stream.name: np.empty((0, *stream.shape), dtype=stream.dtype) for stream in schema.streams
    }
    columns[_RECORDING] = np.empty(0, dtype=np.uint32)
    columns[_T_NS] = np.empty(0, dtype=np.int64)
    columns[_LABEL] = np.empty(0, dtype=np.uint8)
    return columns


def _file_of(number: int) -> str:
    """The file of a column: names of streams come from a source, and are no file names."""
    return f"{number}.column"


class _PartWriter:
    """Collects the blocks of a stream, under one table of symbols."""

    def __init__(self, folder: Path, symbols: SymbolTable, symbol_stream: str, spill_bytes: int) -> None:
        self._folder, self._symbols, self._stream = folder, symbols, symbol_stream
        self._spill_bytes = spill_bytes
        self._map = RowMap(symbols)
        self._kept: list[Columns] = []
        self._bytes = self._n = 0
        self._stack: ExitStack | None = None
        self._files: dict[str, BinaryIO] = {}
        self._same: Columns = {}
        self._written = 0
        self._dtypes: dict[str, tuple[str, tuple[int, ...]]] = {}
        self._recordings: dict[str, int] = {}
        self._infos: list[RecordingInfo] = []
        self._ended: set[int] = set()
        self._file, self._labelled = "", True

    def add(self, block: StepBlock) -> None:
        """The next steps."""
        codes = [self._code(info) for info in block.recordings]
        self._ended.update(codes[at] for at in np.flatnonzero(block.ended).tolist())
        self._file = block.file
        if not len(block):
            return
        columns: Columns = dict(block.values)
        if self._stream:
            columns[self._stream] = self._map.over(block.symbols, columns[self._stream])
        if len(codes) == 1:
            columns[_RECORDING] = repeated(np.uint32(codes[0]), len(block))
        else:
            columns[_RECORDING] = np.array(codes, dtype=np.uint32)[block.recording]
        columns[_T_NS] = block.t_ns
        label = block.label
        if label is None:
            # Of steps without labels there is a column all the same: nothing else needs to ask.
            label = repeated(np.uint8(0), len(block))
        columns[_LABEL] = label
        self._labelled &= block.label is not None
        if not self._dtypes:
            self._dtypes = {name: (str(column.dtype), column.shape[1:]) for name, column in columns.items()}
        self._n += len(block)
        self._kept.append(columns)
        self._bytes += sum(column.nbytes for column in columns.values())
        if self._bytes > self._spill_bytes:
            self._spill()

    def _code(self, info: RecordingInfo) -> int:
        code = self._recordings.setdefault(info.identity, len(self._infos))
        if code == len(self._infos):
            self._infos.append(info)
        return code

    def _spill(self) -> None:
        if self._stack is None:
            self._stack = ExitStack()
            # A worker that was given the same part before may have died with it half written.
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder.mkdir()
        for columns in self._kept:
            for name, column in columns.items():
                self._write(self._stack, name, column)
            self._written += len(columns[_T_NS])
        self._kept, self._bytes = [], 0

    def _write(self, stack: ExitStack, name: str, column: NDArray[Any]) -> None:
        """Append to the file of a column, which begins where the column is no longer one number."""
        if name not in self._files:
            if is_repeated(column) and column[0] == self._same.setdefault(name, column[:1])[0]:
                return
            number = list(self._dtypes).index(name)
            self._files[name] = stack.enter_context((self._folder / _file_of(number)).open("wb"))
            for start in range(0, self._written, PIECE_STEPS):
                self._files[name].write(
                    np.repeat(self._same[name], min(PIECE_STEPS, self._written - start)).data
                )
            self._same.pop(name, None)
        self._files[name].write(np.ascontiguousarray(column).data)

    def close(self) -> None:
        if self._stack is not None:
            self._spill()
            self._stack.close()

    def part(self, stream: StepStream) -> Part:
        columns = None
        if self._stack is None and self._kept:
            columns = {}
            for name in self._dtypes:
                columns[name] = np.concatenate([kept[name] for kept in self._kept])
        ended = np.isin(np.arange(len(self._infos)), list(self._ended))
        return Part(
            n=self._n,
            columns=columns,
            folder=None if self._stack is None else self._folder,
            same=self._same,
            dtypes=self._dtypes,
            symbols=self._symbols,
            recordings=tuple(self._infos),
            ended=ended,
            file=self._file,
            labelled=self._labelled,
            digests=stream.digests,
            defects=stream.defects,
            summary=stream.summary,
            taken=stream.taken,
        )
