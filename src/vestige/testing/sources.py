# ruff: noqa: S101 - assertions are what this file is for
"""The contract of a source."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from pydantic import BaseModel

from vestige.reading.encoding import Batch, Encoder
from vestige.reading.live import probe_windows, read_windows
from vestige.reading.overview import Overview
from vestige.reading.preview import Preview
from vestige.reading.steps import NO_TIME, Evidence, Reader, StepBlock, StepStream, Unit
from vestige.reading.times import rfc3339
from vestige.reading.windower import WindowBatch, Windower
from vestige.reading.windows import WindowSet
from vestige.sources import registry
from vestige.sources.base import Source

Step = tuple[Any, ...]
"""What is known of a step: recording, file, place, time, label, text, and the values of plain streams."""
Window = tuple[Any, ...]
"""What is known of a window: place, time, text, and the values of its streams, symbols by their content."""


def check_source(
    source: Source[Any] | str,
    corpus: Path,
    directory: Path,
    *,
    options: BaseModel | None = None,
    evidence: Sequence[Path] | None = None,
    part: Path | None = None,
) -> None:
    """Assert that a source (or the registered one of that name) keeps the contract on `corpus`.

    Preparing twice must give equal bytes. Windows read from raw `evidence` (the corpus itself, if not
    given) must equal those of the dataset: inputs, times, places and texts. A preview must show the steps of
    the dataset. Every unit must give the same steps and windows in blocks of any size, and when it is stopped
    and taken up again from its position. An encoder fitted on some recordings must not depend on the others,
    and come back equal from its JSON; the probe must be stable. `part` is a corpus with some of the
    recordings, unchanged (a copy of the first half of the files, if not given). Raises AssertionError that
    says what fails. Datasets go under `directory`.
    """
    chosen = registry.get(source) if isinstance(source, str) else source
    settings = chosen.options() if options is None else options
    windows = chosen.prepare(corpus, directory / "first", settings)
    chosen.prepare(corpus, directory / "second", settings)
    assert len(windows), f"{chosen.name}: the corpus gave no window"
    _check_bytes(chosen, directory / "first", directory / "second")
    some = _first_half(corpus, directory / "half") if part is None else part
    encoder = _check_sealed(chosen, windows, chosen.prepare(some, directory / "third", settings))
    _check_preview(chosen, windows, corpus, settings)
    _check_round_trip(chosen, encoder, windows)
    _check_probe(chosen, encoder, windows)
    files = [corpus] if evidence is None else evidence
    _check_live(chosen, encoder, windows, files)
    check_reader(chosen.reader(windows.schema), files)


def check_reader(reader: Reader[Any], evidence: Sequence[Path], *, cuts: Sequence[int] = (1, 7, 64)) -> None:
    """Assert that every unit of `evidence` gives the same steps and the same windows read at once, in blocks
    of `cuts` steps in turn, and stopped after each of these and taken up again, from JSON alone."""
    for unit in reader.units(Evidence(tuple(evidence))).units:
        whole = list(_steps_of(reader, _blocks_of(reader, unit, [1 << 30])))
        assert whole, f"{unit.name} gave no step"
        in_blocks = list(_steps_of(reader, _blocks_of(reader, unit, cuts)))
        assert in_blocks == whole, f"{unit.name}: other steps in blocks of {list(cuts)}"
        resumed = list(_steps_of(reader, _blocks_of(reader, unit, cuts, resume=True)))
        assert resumed == whole, f"{unit.name}: other steps where it is taken up again"
        wanted = _windows_of(reader, _blocks_of(reader, unit, [1 << 30]))
        found = _windows_of(reader, _blocks_of(reader, unit, cuts, resume=True))
        _assert_same_windows(wanted, found, f"{unit.name}, taken up again")


def check_followed(
    reader: Reader[Any],
    content: bytes,
    file: Path,
    *,
    arrivals: Sequence[int],
    cuts: Sequence[int] = (1, 7, 64),
    stops: Sequence[int] = (1, 3),
    release: bool = False,
) -> None:
    """Assert that a file that grows gives the same steps and the same windows as all of it read at once.

    `file` is written: `content` arrives by so many bytes in turn (`arrivals`), is read in blocks of `cuts`
    steps after each arrival, and the stream is taken up again, from JSON alone, after so many reads in turn
    (`stops`). `release`: what is held back is asked for after each arrival, and may be corrected later.
    """
    file.write_bytes(content)
    (whole,) = reader.units(Evidence((file,))).units
    (unit,) = reader.units(Evidence((file,), "follow")).units
    steps = list(_steps_of(reader, _blocks_of(reader, whole, [1 << 30])))
    windows = _windows_of(reader, _blocks_of(reader, whole, [1 << 30]))
    for wanted, is_steps in ((steps, True), (windows, False)):
        growing = _Growing(reader, unit, content, file, arrivals, cuts, stops, release)
        if is_steps:
            found = list(_steps_of(reader, growing.blocks()))
            assert found == wanted, f"{file.name}: other steps where it is followed"
        else:
            _assert_same_windows(wanted, _windows_of(reader, growing.blocks()), f"{file.name}, followed")


def _assert_same_windows(wanted: list[Window], found: list[Window], where: str) -> None:
    assert len(found) == len(wanted), f"{where}: {len(found)} windows, {len(wanted)} at once"
    for number, (ours, theirs) in enumerate(zip(wanted, found, strict=True)):
        assert ours == theirs, f"{where}: window {number} is another than at once"


Moves = Iterator[tuple[StepBlock | None, bool]]
"""The blocks of a unit, None where there was nothing, each with whether the stream was taken up again after
it."""


def _blocks_of(reader: Reader[Any], unit: Unit, cuts: Sequence[int], *, resume: bool = False) -> Moves:
    stream, turn = reader.open(unit), 0
    while not stream.ended:
        block = stream.read(cuts[turn % len(cuts)])
        turn += 1
        if block is None:
            continue
        again = resume and not stream.ended
        if again:
            stream = _taken_up_again(reader, unit, stream)
        yield block, again
    stream.close()


def _taken_up_again(reader: Reader[Any], unit: Unit, stream: StepStream) -> StepStream:
    position = json.loads(json.dumps(stream.position, allow_nan=False))
    stream.close()
    return reader.open(unit, resume=position)


@dataclass
class _Growing:
    """A file that grows while it is read: see `check_followed`."""

    reader: Reader[Any]
    unit: Unit
    content: bytes
    file: Path
    arrivals: Sequence[int]
    cuts: Sequence[int]
    stops: Sequence[int]
    release: bool

    def blocks(self) -> Moves:
        """The blocks as the file grows, and at last those after its end was said to be the end."""
        self.file.write_bytes(b"")
        self._cuts, self._until_stop = cycle(self.cuts), self._pauses()
        self._stream = self.reader.open(self.unit)
        arrivals, at = cycle(self.arrivals), 0
        while at < len(self.content):
            piece = self.content[at : at + next(arrivals)]
            at += len(piece)
            with self.file.open("ab") as growing:
                growing.write(piece)
            yield from self._read()
            if self.release:
                yield self._stream.release(), False
        self._stream.stop()
        while not self._stream.ended:
            yield self._stream.read(next(self._cuts)), False
        self._stream.close()

    def _pauses(self) -> Iterator[bool]:
        """Before which reads the stream is stopped."""
        for stop in cycle(self.stops):
            yield from repeat(False, stop - 1)
            yield True

    def _read(self) -> Moves:
        """Everything that there is now."""
        block: StepBlock | None
        while True:
            block = self._stream.read(next(self._cuts))
            again = next(self._until_stop)
            if again:
                self._stream = _taken_up_again(self.reader, self.unit, self._stream)
            yield block, again
            if block is None:
                return


def _steps_of(reader: Reader[Any], blocks: Moves) -> Iterator[Step]:
    """The steps in their order; one that is corrected comes as it is at last."""
    last: Step | None = None
    for block, _ in blocks:
        if block is None:
            continue
        if block.corrects:
            last = None
        texts: list[str] = []
        if len(block):
            texts = reader.text(block.values, block.symbols)
        plain = [name for name in block.values if name != reader.symbol_stream]
        for row, text in enumerate(texts):
            label = None
            if block.label is not None:
                label = int(block.label[row])
            place = tuple(int(column[row]) for column in block.place.values())
            values = tuple(block.values[name][row].tobytes() for name in plain)
            info = block.recordings[int(block.recording[row])]
            if last is not None:
                yield last
            last = info, block.file, place, int(block.t_ns[row]), label, text, values
    if last is not None:
        yield last


def _windows_of(reader: Reader[Any], blocks: Moves) -> list[Window]:
    """The windows in their order; one that is corrected is there as it is at last."""
    windower = Windower(reader)
    found: list[Window] = []
    for block, again in blocks:
        for batch in () if block is None else windower.push(block):
            if batch.corrects:
                found.pop()
            found += _rows_of(reader, batch)
        if again:
            state = json.loads(json.dumps(windower.state(), allow_nan=False))
            windower = Windower(reader)
            windower.restore(state)
    for batch in windower.flush():
        found += _rows_of(reader, batch)
    return found


def _rows_of(reader: Reader[Any], batch: WindowBatch) -> Iterator[Window]:
    symbols = batch.symbols.drop([name for name in ("count", "group") if name in batch.symbols.columns])
    for row in range(len(batch)):
        values = []
        for name, steps in batch.steps.items():
            if name == reader.symbol_stream:
                values.append(symbols[steps[row].astype(np.int64)].rows())
            else:
                values.append(np.ascontiguousarray(steps[row]).tobytes())
        yield batch.place.row(row), int(batch.t_ns[row]), batch.text[row], *values


def _check_bytes(source: Source[Any], first: Path, second: Path) -> None:
    ours, theirs = _digests(first), _digests(second)
    assert ours.keys() == theirs.keys(), f"{source.name}: preparing twice gave other files"
    for name, digest in ours.items():
        assert digest == theirs[name], f"{source.name}: preparing twice gave another {name}"


def _check_preview(source: Source[Any], windows: WindowSet, corpus: Path, options: BaseModel) -> None:
    """Every step that a window of the dataset judges must be shown as it is there: place, recording, time,
    text and, where windows have the labels of their steps, label."""
    reader = source.corpus_reader(corpus, options)
    overview = Overview(reader)
    rows = list(Preview(reader, corpus, overview).rows(None))
    assert len(rows) == overview.steps, (
        f"{source.name}: a preview shows {len(rows)} steps of {overview.steps}"
    )
    place = source.place(windows, np.arange(len(windows)))
    names = ["file", *(name for name in place.columns if place.schema[name].is_integer()), "text"]
    recording = windows.recordings["id"].gather(windows.recording).to_list()
    time = rfc3339(windows.t_ns if reader.timed else np.full_like(windows.t_ns, NO_TIME))
    label = [windows.schema.classes[code] for code in windows.label.tolist()]
    own_labels = reader.labeller() is None and windows.schema.target != "recording"
    shown = Counter(_told(row, names, row["label"] if own_labels else None) for row in rows)
    for at, window in enumerate(place.iter_rows(named=True)):
        told = window | {"recording": recording[at], "time": time[at]}
        keys = [_told(told, names, label[at] if own_labels else None), _told(told, names, None)]
        key = next((key for key in keys if shown[key]), None)
        assert key is not None, f"{source.name}: a preview does not show {keys[0]} as the dataset has it"
        shown[key] -= 1


def _told(row: dict[str, Any], names: Sequence[str], label: str | None) -> tuple[Any, ...]:
    return (*(row.get(name) for name in names), row["recording"], row["time"], label)


def _first_half(corpus: Path, place: Path) -> Path:
    files = sorted(file for file in corpus.rglob("*") if file.is_file())
    assert len(files) > 1, f"{corpus} needs at least two files"
    for file in files[: len(files) // 2]:
        target = place / file.relative_to(corpus)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    return place


def _check_sealed(source: Source[Any], windows: WindowSet, part: WindowSet) -> Encoder:
    """Fitted on some recordings, with the others in the dataset or without, it must be the same."""
    mine = windows.recordings["id"].is_in(part.recordings["id"].to_list()).to_numpy()
    training = windows.select(mine[windows.recording])
    assert len(training) == len(part), f"{source.name}: a recording gives other windows among others"
    encoder = source.fit_encoder(training)
    assert source.fit_encoder(part).to_dict() == encoder.to_dict(), (
        f"{source.name}: the encoder depends on recordings that it was not fitted on"
    )
    return encoder


def _check_round_trip(source: Source[Any], encoder: Encoder, windows: WindowSet) -> None:
    state = json.loads(json.dumps(encoder.to_dict(), allow_nan=False))
    back = source.load_encoder(state, windows.schema)
    assert back.to_dict() == encoder.to_dict(), f"{source.name}: the encoder's state does not survive JSON"
    assert back.inputs == encoder.inputs, f"{source.name}: the loaded encoder produces other inputs"
    rows = np.arange(min(len(windows), 256))
    ours, theirs = (_encode(chosen, windows, rows) for chosen in (encoder, back))
    _assert_equal(ours, theirs, f"{source.name}: the loaded encoder gives another")


def _check_probe(source: Source[Any], encoder: Encoder, windows: WindowSet) -> None:
    schema = windows.schema.fitted(encoder.inputs)
    first, second = (_live_inputs(encoder, probe_windows(source.reader(schema))) for _ in range(2))
    assert first, f"{source.name}: the probe has no input"
    for name, X in first.items():
        assert len(X), f"{source.name}: the probe has no window of {name}"
    _assert_equal(first, second, f"{source.name}: the probe is not stable in")


def _check_live(source: Source[Any], encoder: Encoder, windows: WindowSet, files: Sequence[Path]) -> None:
    """Windows read live, in the order of a dataset, in which recordings stand one after the other."""
    reader = source.reader(windows.schema.fitted(encoder.inputs))
    batches = list(read_windows(reader, Evidence(tuple(files)), reader.schema))
    n = sum(map(len, batches))
    assert n == len(windows), f"{source.name}: {n} windows read live, {len(windows)} in the dataset"
    place = pl.concat([batch.place.with_columns(text=batch.text) for batch in batches])
    prepared = source.place(windows, np.arange(n))
    told = f"{source.name}: windows read live have another"
    inputs = [_live_inputs(encoder, batch) for batch in batches]
    ours, theirs = _in_order(_named_alike(place, prepared)), _in_order(prepared)
    live = {name: np.concatenate([batch[name] for batch in inputs])[ours] for name in inputs[0]}
    _assert_equal(_encode(encoder, windows, theirs), live, told)
    t_ns = np.concatenate([batch.t_ns for batch in batches])
    assert np.array_equal(windows.t_ns[theirs], t_ns[ours]), f"{told} time"
    for name in prepared.columns:
        if name in place.columns and name != "file":
            same = prepared[name][theirs].to_list() == place[name][ours].to_list()
            assert same, f"{told} {name}"


def _named_alike(place: pl.DataFrame, prepared: pl.DataFrame) -> pl.DataFrame:
    """Of several pieces of evidence files are called by their whole path: by the end of it in a dataset."""
    known = sorted(prepared["file"].unique().to_list(), key=len, reverse=True)
    names = {
        path: next((name for name in known if path.endswith(name)), path)
        for path in place["file"].unique().to_list()
    }
    return place.with_columns(pl.col("file").replace(names))


def _in_order(place: pl.DataFrame) -> NDArray[np.int64]:
    """Rows by file and by where in it they stand; equal ones in the order in which they came."""
    where = [name for name in place.columns if place.schema[name].is_integer()]
    rows = place.with_row_index("\0row").sort(["file", *where], maintain_order=True)["\0row"]
    return rows.to_numpy().astype(np.int64)


def _encode(encoder: Encoder, windows: WindowSet, rows: NDArray[np.int64]) -> Batch:
    bound = encoder.bind(windows.table(encoder.symbols))
    return bound.encode(windows.gather(rows), _names(encoder))


def _live_inputs(encoder: Encoder, batch: WindowBatch) -> Batch:
    return encoder.bind(batch.symbols).encode(batch.steps, _names(encoder))


def _names(encoder: Encoder) -> tuple[str, ...]:
    return tuple(spec.name for spec in encoder.inputs)


def _assert_equal(ours: Batch, theirs: Batch, what: str) -> None:
    for name, values in ours.items():
        same = np.array_equal(values, theirs[name], equal_nan=values.dtype.kind == "f")
        assert same, f"{what} {name}"


def _digests(root: Path) -> dict[str, str]:
    files = sorted(file for file in root.rglob("*") if file.is_file())
    return {str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
