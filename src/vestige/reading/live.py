"""Raw evidence as windows, as it is read: scoring, replaying and probing read through here.

Streams are read one after the other; where one has nothing now (a pipe that is still being filled), it is
waited for. Memory is flat: a block of steps, and what the windower carries over.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from vestige.engine import HERE, Outcome
from vestige.errors import VestigeError
from vestige.log import get
from vestige.reading.parts import BLOCK_STEPS
from vestige.reading.steps import Evidence, Listing, Progress, Reader, StepBlock, StepStream, Unit
from vestige.reading.told import Said
from vestige.reading.windower import MOST_RECORDINGS, WindowBatch, Windower
from vestige.schema import Schema

IDLE_S = 2.0
"""So long after the last step, what is held back because more of it may follow is handed on."""

log = get(__name__)


def read_windows(
    reader: Reader[Any],
    evidence: Evidence,
    schema: Schema | None = None,
    *,
    most: int = BLOCK_STEPS,
    remembered: int = MOST_RECORDINGS,
    idle_s: float = IDLE_S,
    progress: Progress | None = None,
) -> Iterator[WindowBatch]:
    """The windows of every unit, in order: those of `schema`, by default as `scored` has them.

    Of a pipe, the steps that are held back because more of them may follow are judged after `idle_s` seconds
    without another one; should more of them follow, they are judged again, and that batch `corrects`. What is
    left out is told in the log. Raises EvidenceError where a person named what cannot be read, or where
    nothing of the evidence can.
    """
    yield from windows_of(
        reader,
        reader.units(evidence),
        schema,
        most=most,
        remembered=remembered,
        idle_s=idle_s,
        progress=progress,
    )


def windows_of(
    reader: Reader[Any],
    listing: Listing[Any],
    schema: Schema | None = None,
    *,
    most: int = BLOCK_STEPS,
    remembered: int = MOST_RECORDINGS,
    idle_s: float = IDLE_S,
    progress: Progress | None = None,
) -> Generator[WindowBatch, None, None]:
    """`read_windows` of units that are listed already."""
    chosen = scored(reader) if schema is None else schema
    windower = Windower(reader, chosen, most=remembered)
    for block, taken in read_blocks(reader, listing, most=most, idle_s=idle_s):
        for batch in windower.push(block):
            yield replace(batch, taken=taken)
        if progress is not None:
            progress(taken, listing.total)
    for batch in windower.flush():
        yield batch
    if reader.interleaved and windower.out_of_order:
        log.warning("%d events came earlier than the one before on their machine", windower.out_of_order)
    if windower.forgotten:
        log.warning("%d machines were forgotten to make room for others", windower.forgotten)


def scored(reader: Reader[Any]) -> Schema:
    """The schema by which evidence is scored: a window for every step, whatever a dataset's stride, but where
    windows are laid one after the other, so that the last one ends on the last step."""
    schema = reader.schema
    return schema if reader.aligned_to_end else replace(schema, stride=1)


def every_step(reader: Reader[Any]) -> Schema:
    """The reader's schema with a window for every step, whatever its stride."""
    schema = reader.schema
    return replace(schema, stride=1, padded=schema.padded or reader.aligned_to_end)


def probe_windows(reader: Reader[Any]) -> WindowBatch:
    """The reader's own fixed piece of evidence as windows, in one batch."""
    windower = Windower(reader, every_step(reader))
    batches = [batch for block in reader.probe() for batch in windower.push(block)]
    batches += windower.flush()
    return _joined(reader, batches)


def _joined(reader: Reader[Any], batches: list[WindowBatch]) -> WindowBatch:
    """Batches as one; the first row of every table is padding."""
    steps, shift = [], 0
    for batch in batches:
        values = dict(batch.steps)
        if reader.symbol_stream:
            symbol = values[reader.symbol_stream]
            values[reader.symbol_stream] = np.where(symbol, symbol + symbol.dtype.type(shift), symbol)
        steps.append(values)
        shift += len(batch.symbols) - 1
    tables = [batches[0].symbols, *(batch.symbols[1:] for batch in batches[1:])]
    texts = [text for batch in batches for text in batch.tell()]
    first = np.cumsum([0, *(len(batch.recordings) for batch in batches)])
    return replace(
        batches[0],
        steps={name: np.concatenate([values[name] for values in steps]) for name in steps[0]},
        symbols=pl.concat(tables),
        place=pl.concat([batch.place for batch in batches]),
        t_ns=np.concatenate([batch.t_ns for batch in batches]),
        tell=lambda: texts,
        recordings=tuple(name for batch in batches for name in batch.recordings),
        recording=np.concatenate(
            [batch.recording + start for batch, start in zip(batches, first.tolist(), strict=False)]
        ),
        raw=None,
    )


def read_blocks(
    reader: Reader[Any], listing: Listing[Any], *, most: int = BLOCK_STEPS, idle_s: float = IDLE_S
) -> Iterator[tuple[StepBlock, int]]:
    """Every block of every unit, with the bytes of evidence read so far. Raises as `read_windows` does."""
    for defect in listing.left_out:
        log.warning("%s was left out: %s", defect.file, defect.why)
    done, read, refused = 0, 0, None
    said = Said()
    streams = _isolated if reader.isolate and len(listing.units) > 1 else _here
    for unit, blocks in streams(reader, listing.units, most, idle_s, said):
        taken = 0
        try:
            for block, taken in blocks:
                yield block, done + taken
        except VestigeError as error:
            refused = refused or error
            if unit.named or error.fatal:
                raise
            log.warning("%s was left out: %s", unit.name, error.what)
        else:
            read += 1
        done += taken
    if refused is not None and not read:
        raise refused


Blocks = Iterator[tuple[StepBlock, int]]


def _here(
    reader: Reader[Any], units: list[Unit], most: int, idle_s: float, said: Said
) -> Iterator[tuple[Unit, Blocks]]:
    for unit in units:
        yield unit, _of_unit(reader, most, idle_s, said, unit)


def _isolated(
    reader: Reader[Any], units: list[Unit], most: int, idle_s: float, said: Said
) -> Iterator[tuple[Unit, Blocks]]:
    """Each unit is read in a process of its own, which it may kill."""
    work = partial(_whole, reader, most, idle_s, said)
    for unit, outcome in zip(units, HERE.map(work, units, isolate=True), strict=True):
        yield unit, _unwrapped(outcome)


def _unwrapped(outcome: Outcome[Unit, list[tuple[StepBlock, int]]]) -> Blocks:
    yield from outcome.unwrap()


def _whole(
    reader: Reader[Any], most: int, idle_s: float, said: Said, unit: Unit
) -> list[tuple[StepBlock, int]]:
    return list(_of_unit(reader, most, idle_s, said, unit))


def _of_unit(reader: Reader[Any], most: int, idle_s: float, said: Said, unit: Unit) -> Blocks:
    stream = reader.open(unit)
    told = 0
    try:
        for block, taken in _of_stream(stream, most, idle_s):
            told = _tell(stream, unit, told)
            # A small file is taken in whole before its stream ends.
            whole = stream.ended or (unit.mode == "whole" and taken >= (unit.size or math.inf))
            said.say(unit.name, stream.summary, whole=whole)
            yield block, taken
    finally:
        stream.close()
        _tell(stream, unit, told)
        said.say(unit.name, stream.summary, whole=stream.ended)
        for what, count in stream.summary.get("more_defects", {}).items():
            if count:
                log.warning("%s: left out besides: %s, %d times", unit.name, what, count)


def _tell(stream: StepStream, unit: Unit, told: int) -> int:
    """Say what was left out since `told` defects were said; a stream may never end. Returns how many were."""
    for defect in stream.defects[told:]:
        log.warning("%s", replace(defect, file=unit.name))
    return len(stream.defects)


def _of_stream(stream: StepStream, most: int, idle_s: float) -> Blocks:
    quiet_since = time.monotonic()
    while not stream.ended:
        block = stream.read(most)
        if block is not None:
            quiet_since = time.monotonic()
            yield block, stream.taken
            continue
        left = idle_s - (time.monotonic() - quiet_since)
        if left > 0:
            stream.wait(left)
            continue
        released = stream.release()
        if released is not None:
            yield released, stream.taken
            continue  # there may be more that was held back by it
        # There is nothing more to hand on: now only new bytes are waited for.
        while not stream.wait(idle_s):
            pass
        quiet_since = time.monotonic()
