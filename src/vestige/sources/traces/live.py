"""Windows made while a trace is read, in flat memory: with the numbers of `prepare`."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
from numpy.lib.stride_tricks import sliding_window_view

from vestige.errors import EvidenceError
from vestige.schema import Schema
from vestige.sources.base import LiveBatch
from vestige.sources.traces.corpus import Recording, find_recordings
from vestige.sources.traces.maps import MemoryMap, read_map
from vestige.sources.traces.options import MIB
from vestige.sources.traces.reading import Events, TraceReader
from vestige.sources.traces.symbols import table

MOST_STEPS = 1 << 17
"""Steps of a batch: windows times length."""

log = logging.getLogger(__name__)


def live(evidence: Iterable[Path], schema: Schema) -> Iterator[LiveBatch]:
    """The windows of every recording, labelled or not, as `prepare` lays them: one for every event, or one
    after the other, the last of them on the last event. Evidence is a corpus, a recording's directory, or its
    trace, with the map beside it. What cannot be read is warned of; EvidenceError where nothing can.
    """
    settings, done, refused = schema.settings, 0, None
    for path in evidence:
        recordings, skipped = find_recordings(path)
        for one in skipped:
            log.warning("%s was left out: %s", one.id, one.reason)
        read = 0
        for recording in recordings:
            try:
                memory = read_map(recording.map, module_bytes=settings["module_mib"] * MIB)
                reader = TraceReader(recording.trace, memory.regions, tip_only=settings["tip_only"])
                ends = 0 if schema.stride == 1 else _count(recording, memory, schema)
                for batch in over(reader.events(), memory, schema, recording, ends=ends):
                    yield LiveBatch(batch.steps, batch.symbols, batch.place, done + reader.taken)
            except EvidenceError as error:
                refused = error
                log.warning("%s was left out: %s", recording.id, error.what)
                continue
            read += 1
            done += recording.trace.size or 0
            for what in (*reader.defects, *recording.defects):
                log.warning("%s: %s", recording.id, what)
        if not read and refused is not None:
            raise refused


def _count(recording: Recording, memory: MemoryMap, schema: Schema) -> int:
    """Events of a recording. Where windows do not overlap, where the first one ends follows from it; decoding
    twice takes little beside scoring."""
    reader = TraceReader(recording.trace, memory.regions, tip_only=schema.settings["tip_only"])
    return sum(len(values) for values, _ in reader.events())


def over(
    events: Iterable[Events], memory: MemoryMap, schema: Schema, recording: Recording | None, *, ends: int = 0
) -> Iterator[LiveBatch]:
    """The windows of one recording that end on event number `ends` (from 1) or any number of strides from it;
    the last `length - 1` events are carried from chunk to chunk."""
    lead, stride = schema.length - 1, schema.stride
    held, held_at = np.zeros(lead, dtype=np.uint64), np.zeros(lead, dtype=np.int64)
    name, number = "probe" if recording is None else recording.id, 1
    most = max(1, MOST_STEPS // schema.length)
    for fresh, fresh_at in events:
        values, offsets = np.concatenate([held, fresh]), np.concatenate([held_at, fresh_at])
        held, held_at = values[-lead:], offsets[-lead:]
        unique, rows = np.unique(np.append(values, np.uint64(0)), return_inverse=True)
        rows = rows.reshape(-1)[:-1].astype(np.uint32)
        symbols = table(unique, memory.names)
        windows = sliding_window_view(rows, schema.length)
        texts = symbols["text"]
        for start in range((ends - number) % stride, len(windows), most * stride):
            here = slice(start, min(start + most * stride, len(windows)), stride)
            ending = slice(here.start + lead, here.stop + lead, stride)
            event = np.arange(number + here.start, number + here.stop, stride)
            place = pl.DataFrame(
                {
                    "file": [name] * len(event),
                    "event": event,
                    "offset": offsets[ending],
                    "text": texts.gather(rows[ending]),
                }
            )
            steps = {"symbol": windows[here], "offset": sliding_window_view(offsets, schema.length)[here]}
            yield LiveBatch(steps, symbols, place)
        number += len(windows)
