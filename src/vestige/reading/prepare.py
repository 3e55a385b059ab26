"""Evidence into a dataset: units are read by workers, and written here in their order.

Units travel to workers, not bytes: a file, a part of a large one, an episode, a recorded program run.
Whatever its size, memory is flat: large parts come home through files.
"""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.engine import LOCAL, Engine, LocalEngine
from vestige.errors import EvidenceError, VestigeError
from vestige.evidence.defects import FILE, Defect, LeftOut, counted_defects
from vestige.evidence.files import STDIN
from vestige.evidence.stream import closing_on_error
from vestige.log import get
from vestige.reading import sorting
from vestige.reading.dataset import DatasetWriter, occurrences
from vestige.reading.parts import BLOCK_STEPS, Task, read_task
from vestige.reading.steps import (
    NO_TIME,
    Evidence,
    Join,
    Listing,
    Progress,
    Reader,
    RecordingInfo,
    RecordingNames,
    StepBlock,
    Unit,
    repeated,
)
from vestige.reading.symbols import RowMap, SymbolTable
from vestige.reading.told import Told

CHUNK = 8
"""Isolated units that a worker gets at a time."""
MOST_WARNED = 20
"""Defects that are told one by one in the terminal; the notes hold more, and all are counted."""

FILES = "files"
"""The table of the files that steps of interleaved recordings come from."""
Digests = Callable[[], dict[str, str]]

log = get(__name__)


@dataclass
class Account:
    """What preparing came to: a reader makes the tables and notes of a dataset of it.

    `units` are those that were read, with the summary of each; `counts (rows,)` says how often each row of
    `symbols` came, `labels (classes,)` how many steps each class has. `told`: what units say of themselves.
    `labelled`: whether any of the evidence has labels. `repeated`: recordings that were called like one
    before them.
    """

    corpus: Path
    symbols: SymbolTable
    labels: NDArray[np.int64]
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    units: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    left_out: LeftOut = field(default_factory=LeftOut.nothing)
    told: Told = field(default_factory=Told)
    refused: VestigeError | None = None
    labelled: bool = False
    steps: int = 0
    out_of_order: int = 0
    repeated: int = 0

    def total(self, name: str) -> int:
        """The sum of a count of all summaries."""
        return sum(int(summary.get(name, 0)) for _, summary in self.units)

    def nothing(self, what: str) -> VestigeError:
        """The error of evidence in which there is nothing: that of the first unit that was refused, if one
        was."""
        return self.refused or EvidenceError(what, where=self.corpus)


def prepare(
    reader: Reader[Any],
    corpus: Path,
    out: Path,
    *,
    engine: Engine = LOCAL,
    overwrite: bool = False,
    progress: Progress | None = None,
    budget: int = sorting.BUDGET,
    fan_out: int = sorting.FAN_OUT,
) -> None:
    """Write the dataset of the evidence at `corpus`.

    What cannot be read of it is left out, counted, and told. Raises EvidenceError, UsageError or OutputError,
    and then leaves nothing behind. `budget`: how many steps are held in memory while interleaved ones are
    sorted, over at most `fan_out` open files.
    """
    listing = reader.units(Evidence((corpus,)))
    with DatasetWriter(out, reader.schema, overwrite=overwrite) as writer:
        scratch = writer.root / "scratch"
        scratch.mkdir()
        labels = np.zeros(len(reader.schema.classes), dtype=np.int64)
        account = Account(corpus, reader.symbols(), labels)
        account.left_out.add(listing.left_out)
        kind = _Spool if reader.interleaved else _Straight
        with closing(kind(reader, writer, account, scratch)) as sink:
            _read_all(reader, listing, sink, account, engine, progress)
            sink.finish(budget, fan_out)
        shutil.rmtree(scratch)
        reader.finish(account, writer)
        writer.notes.update(account.left_out.notes())
        warnings = account.told.notes(writer.notes)
        writer.notes["labelled"] = account.labelled
    for warning in warnings[:MOST_WARNED]:
        log.warning("%s", warning)
    if len(warnings) > MOST_WARNED:
        log.warning("%d more warnings: vestige inspect has them", len(warnings) - MOST_WARNED)
    if account.left_out.counts:
        log.warning("left out (vestige inspect names them): %s", counted_defects(account.left_out.counts))


def _read_all(
    reader: Reader[Any],
    listing: Listing[Any],
    sink: Sink,
    account: Account,
    engine: Engine,
    progress: Progress | None,
) -> None:
    """Read every unit into `sink`, and tell how far it has come."""
    done, total = 0, listing.total
    single = isinstance(engine, LocalEngine) and engine.workers == 1
    # To know how much there is to do takes a look at the largest unit; one process does it anyway.
    small = single or reader.is_small(listing)
    # One process of this machine writes what it reads at once; parts would take the way over the disk.
    alone = isinstance(engine, LocalEngine) and small
    # Standard input is this process's own: a worker would find nothing there.
    alone = alone or account.corpus == STDIN
    if alone and not reader.whole and not reader.isolate:
        read = _here(reader, listing.units, sink, account)
    else:
        read = _by_workers(reader, listing.units, sink, account, engine, small=small)
    for taken in read:
        done += taken
        if progress is not None:
            progress(done, total)


def _here(reader: Reader[Any], units: list[Unit], sink: Sink, account: Account) -> Iterator[int]:
    """Read one unit after the other in this process; yields bytes of evidence as they are read."""
    for unit in units:
        taken = 0
        try:
            stream = reader.open(unit)
            with closing_on_error(stream):
                block = stream.read(BLOCK_STEPS)
        except VestigeError as error:
            _refuse(account, unit, error)
            continue
        try:
            sink.begin_unit(unit, partial(getattr, stream, "digests"))
            while block is not None or not stream.ended:
                if block is None:
                    block = stream.read(BLOCK_STEPS)
                    continue
                sink.add(block)
                yield stream.taken - taken
                taken = stream.taken
                block = stream.read(BLOCK_STEPS)
            sink.end_unit()
        finally:
            stream.close()
        summary = stream.summary
        account.units.append((unit, summary))
        account.told.add(unit.id, summary)
        _tell(account, stream.defects, summary)


def _by_workers(
    reader: Reader[Any],
    units: list[Unit],
    sink: Sink,
    account: Account,
    engine: Engine,
    *,
    small: bool,
) -> Iterator[int]:
    """Units, or parts of them, are read by workers; their steps are put together again here."""
    work = partial(read_task, reader, sink.scratch)
    chunk = CHUNK if reader.isolate else 1
    join, digests = Join(), dict[str, str]()
    left_out = False
    tasks = _tasks(reader, units, account, engine.workers)
    outcomes = engine.map(
        work,
        tasks,
        chunk=chunk,
        isolate=reader.isolate,
        small=small,
        reads=_paths,
        writes=sink.scratch,
    )
    for outcome in outcomes:
        task = outcome.item
        if left_out and not task.first:
            continue  # the other parts of a unit that was refused
        left_out = False
        part = outcome.value
        try:
            if part is None:
                raise _as_ours(outcome.error, task.unit)
            if task.first:
                join, digests = reader.join(task.part), {}
                sink.begin_unit(task.unit, partial(_all_digests, digests, join), part.n)
            digests |= part.digests
            for block in part.blocks(reader.schema):
                sink.add(join.over(block))
        except VestigeError as error:
            if not task.first:
                raise  # steps of the unit are written already
            _refuse(account, task.unit, error)
            left_out = True
            if part is not None:
                part.discard()
            continue
        summary = join.end_part(part.summary)
        _tell(account, part.defects, part.summary)
        if task.last:
            sink.end_unit()
            account.units.append((task.unit, summary))
            account.told.add(task.unit.id, summary)
            defects, more = join.defects()
            _tell(account, defects, {"more_defects": more})
        yield part.taken


def _tasks(reader: Reader[Any], units: list[Unit], account: Account, workers: int) -> Iterator[Task]:
    numbers = count()
    for unit in units:
        try:
            parts = reader.divide(unit, workers)
        except VestigeError as error:
            _refuse(account, unit, error)
            continue
        for at, part in enumerate(parts):
            yield Task(next(numbers), unit, part, at == 0, at == len(parts) - 1)


def _paths(task: Task) -> tuple[Path, ...]:
    paths: tuple[Path, ...] = task.part.paths
    return paths


def _as_ours(error: VestigeError | OSError | None, unit: Unit) -> VestigeError:
    if isinstance(error, VestigeError):
        return error
    if error is not None and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        raise error  # it is not the evidence that is at fault
    return EvidenceError(f"cannot be read: {error}", where=unit.name)


def _all_digests(known: dict[str, str], join: Join) -> dict[str, str]:
    return known | join.digests()


def _refuse(account: Account, unit: Unit, error: VestigeError) -> None:
    """Leave out a unit that cannot be read; one that a person named is an error."""
    if unit.named or error.fatal:
        raise error
    account.refused = account.refused or error
    _leave_out(account, Defect(unit.id, error.row, FILE, error.reason))


def _leave_out(account: Account, defect: Defect) -> None:
    account.left_out.add([defect])
    if len(account.left_out.first) <= MOST_WARNED:
        log.warning("%s was left out: %s", defect.file, defect.why)


def _tell(account: Account, defects: list[Defect], summary: dict[str, Any]) -> None:
    for defect in defects:
        if len(account.left_out.first) < MOST_WARNED:
            log.warning("%s", defect)
        account.left_out.add([defect])
    account.left_out.add([], more=summary.get("more_defects"))


class Sink(Protocol):
    """Where the steps of units go, in their order."""

    scratch: Path

    def begin_unit(self, unit: Unit, digests: Digests, n: int | None = None) -> None:
        """The steps of the next unit come, `n` of them, where that is known already. `digests` gives, by
        identity, those of its recordings that have ended."""

    def add(self, block: StepBlock) -> None:
        """The next steps of the unit. Raises EvidenceError, before anything of the unit is kept, for more
        symbols than fit."""

    def end_unit(self) -> None:
        """The unit is over."""

    def finish(self, budget: int, fan_out: int) -> None:
        """All units are over: everything is in the dataset then."""

    def close(self) -> None:
        """Let go of files, however it ended."""


class _Sink:
    """What both kinds of sinks do: symbols in rows of the dataset's table, and counts."""

    def __init__(self, reader: Reader[Any], writer: DatasetWriter, account: Account, scratch: Path) -> None:
        self._reader, self._writer, self._account = reader, writer, account
        self.scratch = scratch
        self._map = RowMap(account.symbols)

    def _values(self, block: StepBlock) -> dict[str, NDArray[Any]]:
        """Stream values with rows of the dataset's table of symbols, which are counted."""
        stream, account = self._reader.symbol_stream, self._account
        account.steps += len(block)
        account.labelled |= block.label is not None and len(block) > 0
        if not stream:
            return dict(block.values)
        rows = self._map.over(block.symbols, block.values[stream])
        if len(account.symbols) > len(account.counts):
            room = np.zeros(max(len(account.symbols), 2 * len(account.counts)), dtype=np.int64)
            room[: len(account.counts)] = account.counts
            account.counts = room
        account.counts += np.bincount(rows, minlength=len(account.counts))
        return {**block.values, stream: rows}


class _Straight(_Sink):
    """Recordings come whole, one after the other: they go straight into the dataset."""

    def __init__(self, reader: Reader[Any], writer: DatasetWriter, account: Account, scratch: Path) -> None:
        super().__init__(reader, writer, account, scratch)
        self._current = ""
        self._steps = 0

    def begin_unit(self, unit: Unit, digests: Digests, n: int | None = None) -> None:  # noqa: ARG002
        """See `Sink.begin_unit`."""
        self._digests, self._steps = digests, n or 0

    def add(self, block: StepBlock) -> None:
        """See `Sink.add`."""
        values = self._values(block)
        starts = [0]
        if len(block.recordings) > 1:
            starts += (np.flatnonzero(np.diff(block.recording)) + 1).tolist()
        for start, stop in zip(starts, [*starts[1:], len(block)], strict=True):
            code = int(block.recording[start]) if len(block) else 0
            rows = slice(start, stop)
            self._add(
                block,
                block.recordings[code],
                rows,
                values,
                final=bool(block.ended[code]) and stop == len(block),
            )

    def _add(
        self,
        block: StepBlock,
        info: RecordingInfo,
        rows: slice,
        values: dict[str, NDArray[Any]],
        *,
        final: bool,
    ) -> None:
        if self._current != info.identity:
            self._begin(info)
        t_ns = block.t_ns[rows]
        label = repeated(np.uint8(0), len(t_ns)) if block.label is None else block.label[rows]
        steps = {name: column[rows] for name, column in values.items()}
        if self._labeller is not None:
            steps, t_ns, label = self._labeller.add(steps, t_ns, label, final=final)
        self._writer.extend(steps, t_ns=t_ns, label=label)
        self._account.labels += occurrences(label, len(self._account.labels))

    def _begin(self, info: RecordingInfo) -> None:
        self._close()
        self._current = info.identity
        self._labeller = self._reader.labeller()
        self._writer.begin(id=info.id, host=info.host, sample=info.sample, profile=info.profile)
        schema = self._writer.schema
        if self._reader.aligned_to_end and not schema.padded:
            self._writer.pad(-self._steps % schema.stride)

    def _close(self) -> None:
        if self._current:
            self._writer.close_recording(self._digests()[self._current])
        self._current = ""

    def end_unit(self) -> None:
        """See `Sink.end_unit`."""
        self._close()

    def finish(self, budget: int, fan_out: int) -> None:
        """See `Sink.finish`: everything is there already."""

    def close(self) -> None:
        """See `Sink.close`."""


class _Spool(_Sink):
    """Recordings are interleaved, and steps may be late: they are written to disk, and sorted."""

    def __init__(self, reader: Reader[Any], writer: DatasetWriter, account: Account, scratch: Path) -> None:
        super().__init__(reader, writer, account, scratch)
        fields = [(stream.name, stream.dtype, stream.shape) for stream in writer.schema.streams]
        if "t_ns" not in {name for name, _, _ in fields}:
            fields.append(("t_ns", "int64", ()))
        self._dtype = np.dtype([*fields, ("\0label", "u1"), ("recording", "u4")])
        self._path = scratch / "steps"
        self._file: BinaryIO = self._path.open("wb")
        self._infos: list[RecordingInfo] = []
        self._rows: dict[str, int] = {}
        self._names = RecordingNames()
        self._files: list[str] = []
        self._counts, self._labelled = _Growing("int64", 0), _Growing("uint8", 0)
        self._last_ns = _Growing("int64", NO_TIME)

    def begin_unit(self, unit: Unit, digests: Digests, n: int | None = None) -> None:  # noqa: ARG002
        """See `Sink.begin_unit`."""
        self._files.append(unit.id)

    def add(self, block: StepBlock) -> None:
        """See `Sink.add`."""
        values = self._values(block)
        if not len(block):
            return
        records = np.zeros(len(block), dtype=self._dtype)
        for name, column in values.items():
            records[name] = column
        records["t_ns"] = block.t_ns
        if self._reader.file_stream:
            records[self._reader.file_stream] = len(self._files) - 1
        if block.label is not None:
            records["\0label"] = block.label
        rows = np.array([self._row(info) for info in block.recordings], dtype=np.uint32)
        records["recording"] = rows[block.recording]
        self._count(records)
        self._file.write(records.tobytes())
        for at in np.flatnonzero(block.ended).tolist():
            self._rows.pop(block.recordings[at].identity, None)
            self._names.end(block.recordings[at])

    def end_unit(self) -> None:
        """See `Sink.end_unit`."""

    def finish(self, budget: int, fan_out: int) -> None:
        """See `Sink.finish`: a recording in the order of their names, its steps by time."""
        self._file.close()
        counts = self._counts.upto(len(self._infos))
        order = np.array(sorted(range(len(counts)), key=lambda row: self._infos[row].id), dtype=np.int64)
        pieces = sorting.by_recording(
            self._path, self._dtype, order, counts[order], budget=budget, fan_out=fan_out
        )
        for row, records in pieces:
            self._write(row, records)
        if self._reader.file_stream:
            files = pl.DataFrame({"file": self._files}, schema={"file": pl.String()})
            self._writer.table(FILES, files)

    def close(self) -> None:
        """See `Sink.close`."""
        self._file.close()

    def _write(self, row: int, pieces: Iterator[NDArray[Any]]) -> None:
        info, schema = self._infos[row], self._writer.schema
        self._writer.begin(id=info.id, host=info.host, sample=info.sample, profile=info.profile)
        content = hashlib.sha256()
        for records in pieces:
            steps = {stream.name: records[stream.name] for stream in schema.streams}
            label = records["\0label"]
            if schema.target == "recording":
                label = np.full(len(records), self._labelled.upto(len(self._infos))[row])
            self._writer.extend(steps, t_ns=records["t_ns"], label=label)
            content.update(np.ascontiguousarray(records[self._reader.digest_stream]).tobytes())
            self._account.labels += np.bincount(label, minlength=len(self._account.labels))
        self._writer.close_recording(content.hexdigest())

    def _row(self, info: RecordingInfo) -> int:
        """The number of a recording."""
        row = self._rows.get(info.identity)
        if row is None:
            row = self._rows[info.identity] = len(self._infos)
            self._infos.append(replace(info, id=self._names.of(info)))
            self._account.repeated = self._names.repeated
        return row

    def _count(self, records: NDArray[Any]) -> None:
        recording, t_ns = records["recording"], records["t_ns"]
        n = len(self._infos)
        np.add.at(self._counts.upto(n), recording, 1)
        np.maximum.at(self._labelled.upto(n), recording, records["\0label"])
        order = np.argsort(recording, kind="stable")
        recording, t_ns = recording[order], t_ns[order]
        first = np.r_[True, recording[1:] != recording[:-1]]
        last_ns = self._last_ns.upto(n)
        before = np.where(first, last_ns[recording], np.r_[0, t_ns[:-1]])
        self._account.out_of_order += int(((t_ns != NO_TIME) & (t_ns < before)).sum())
        last = np.r_[first[1:], True]
        last_ns[recording[last]] = t_ns[last]


class _Growing:
    """An array by number of something, as long as the largest number asked for."""

    def __init__(self, dtype: str, fill: int) -> None:
        self._values = np.full(1024, fill, dtype=dtype)
        self._fill = fill

    def upto(self, n: int) -> NDArray[Any]:
        """The values of the first n, to be changed in place."""
        while len(self._values) < n:
            more = np.full(len(self._values), self._fill, dtype=self._values.dtype)
            self._values = np.concatenate([self._values, more])
        return self._values[:n]
