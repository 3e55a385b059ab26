"""Reading a corpus of traces into a dataset: workers decode one recording each, merged here in order.

A worker leaves a recording's events in files of its own and brings home only its unique symbols, so memory
follows these, whatever the traces' size.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.engine import LOCAL, Engine, WorkerDiedError
from vestige.errors import EvidenceError
from vestige.evidence.files import Skipped
from vestige.evidence.simulated import is_simulated
from vestige.reading.dataset import DatasetWriter
from vestige.schema import Schema, Stream
from vestige.sources.base import Progress
from vestige.sources.traces.corpus import CLASSES, Recording, find_recordings
from vestige.sources.traces.encoder import INPUTS
from vestige.sources.traces.maps import SPECIAL, read_map
from vestige.sources.traces.options import MIB, TraceOptions
from vestige.sources.traces.reading import TraceReader
from vestige.sources.traces.regions import MOST_MODULES
from vestige.sources.traces.symbols import Symbols, Values, moved, shares, table

VERSION = 2
STREAMS = (Stream("symbol", "uint32"), Stream("offset", "int64", unit="bytes"))
SMALL = 4 << 20
"""Below so many bytes, starting worker processes costs more than it saves."""
MOST_NOTES = 1000
PIECE = 1 << 19
"""Events at a time on the way from a worker's files to the dataset's."""
MANY_WINDOWS = 200_000
"""Sliding windows in all from which on one is told what fewer would be."""
QUALITY = {
    "recording": pl.String(), "label": pl.String(), "bytes": pl.Int64(), "events": pl.Int64(),
    "targets": pl.Float64(), "unmapped": pl.Float64(), "no_file": pl.Float64(), "lost": pl.Float64(),
    "skipped_bytes": pl.Int64(), "errors": pl.Int64(), "overflows": pl.Int64(), "psbs": pl.Int64(),
    "map_lines_skipped": pl.Int64(),
}  # fmt: skip
"""The table of what each recording is worth: shares of its events that are targets, of targets that lie in no
module or in no file, of its bytes that could not be decoded; gaps that the processor reports."""

log = logging.getLogger(__name__)


def schema_for(options: TraceOptions) -> Schema:
    """The schema of a dataset read by `options`; its inputs are completed by the fitted encoder."""
    length = options.sequence_len
    settings = options.model_dump(include={"tip_only", "vocabulary", "own_code", "module_mib"})
    sliding = options.sliding_window
    return Schema(
        "traces", VERSION, CLASSES, length, 1 if sliding else length, STREAMS, INPUTS,
        target="recording", padded=sliding, settings=settings,
    )  # fmt: skip


@dataclass(frozen=True)
class Decoded:
    """What a worker found in a recording: its unique `values` by row, how often each came, names of its
    modules, the program, the digest of its bytes, figures of quality, and what was wrong with its files."""

    values: Values
    counts: NDArray[np.int64]
    names: tuple[str, ...]
    program: str
    digest: str
    quality: dict[str, Any]
    defects: list[str]


def decode(scratch: Path, tip_only: bool, module_bytes: int, item: tuple[int, Recording]) -> Decoded:
    """Decode a recording into `scratch/<number>.symbol` (own rows) and `.offset`. Raises EvidenceError."""
    number, recording = item
    memory = read_map(recording.map, module_bytes=module_bytes)
    reader = TraceReader(recording.trace, memory.regions, tip_only=tip_only)
    symbols = Symbols()
    counts = np.zeros(1, dtype=np.int64)
    names = [scratch / f"{number}.{one.name}" for one in STREAMS]
    with names[0].open("wb") as rows_file, names[1].open("wb") as offsets_file:
        for values, offsets in reader.events():
            rows = symbols.rows(values)
            counts = np.pad(counts, (0, len(symbols) - len(counts)))
            counts += np.bincount(rows, minlength=len(counts))
            rows_file.write(rows.data)
            offsets_file.write(offsets.data)
    if not counts.sum():
        raise EvidenceError("packets, but no event among them", where=recording.trace.where)
    found = reader.quality.to_dict()
    quality = {
        "recording": recording.id,
        "label": recording.label,
        "bytes": found["n_bytes"],
        "events": int(counts.sum()),
        **shares(counts, symbols.values),
        **{name: found[name] for name in ("lost", "errors", "overflows", "psbs")},
        "skipped_bytes": found["skipped"],
        "map_lines_skipped": memory.skipped,
    }
    defects = [*reader.defects, *recording.defects]
    return Decoded(symbols.values, counts, memory.names, memory.program, reader.digest, quality, defects)


def prepare(
    corpus: Path,
    out: Path,
    options: TraceOptions,
    *,
    engine: Engine = LOCAL,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the dataset. Raises EvidenceError, UsageError or OutputError and then leaves nothing behind."""
    recordings, skipped = find_recordings(corpus)
    labelled = [one for one in recordings if one.label is not None]
    skipped += [Skipped(one.id, one.unlabelled) for one in recordings if one.label is None]
    for one in skipped:
        log.warning("%s was left out: %s", one.id, one.reason)
    if not labelled:
        raise EvidenceError(
            "no recording has a label", where=corpus, remedy=f"line 2 of info.txt: {' or '.join(CLASSES)}"
        )
    total = sum(one.trace.size or 0 for one in labelled)
    with DatasetWriter(out, schema_for(options), overwrite=overwrite) as writer:
        scratch = writer.root / "scratch"
        scratch.mkdir()
        work = partial(decode, scratch, options.tip_only, options.module_mib * MIB)
        merge = Merge(writer, scratch)
        found = engine.map(work, enumerate(labelled), small=total < SMALL)
        done = 0
        for outcome in found:
            number, recording = outcome.item
            try:
                merge.add(number, recording, outcome.unwrap())
            except (EvidenceError, WorkerDiedError) as error:
                skipped.append(Skipped(recording.id, error.what))
                log.warning("%s was left out: %s", recording.id, error.what)
            done += recording.trace.size or 0
            if progress is not None:
                progress(done, total)
        shutil.rmtree(scratch)
        merge.finish(corpus, skipped)


class Merge:
    """Decoded recordings, in order, into a dataset."""

    def __init__(self, writer: DatasetWriter, scratch: Path) -> None:
        self._writer, self._scratch = writer, scratch
        self._symbols = Symbols(1 << 24)
        self._modules: dict[str, int] = {name: at for at, name in enumerate(SPECIAL)}
        self._quality: list[dict[str, Any]] = []
        self._defects: list[dict[str, str]] = []

    def add(self, number: int, recording: Recording, decoded: Decoded) -> None:
        """The next recording. Raises EvidenceError, before anything of it is written, for more than fits."""
        if len(self._modules.keys() | decoded.names) > MOST_MODULES:
            raise EvidenceError(f"with it, maps name more than {MOST_MODULES} modules", where=recording.id)
        modules = [self._modules.setdefault(name, len(self._modules)) for name in decoded.names]
        values = moved(decoded.values, np.array(modules, dtype=np.uint64))
        values[0] = 0
        rows = self._symbols.rows(values)
        writer = self._writer
        writer.begin(id=recording.id, host="", sample=decoded.program, profile=recording.profile)
        for symbol, offset in self._pieces(number, decoded.quality["events"]):
            steps: dict[str, NDArray[Any]] = {"symbol": rows[symbol], "offset": offset}
            label = np.full(len(symbol), CLASSES.index(str(recording.label)), dtype=np.uint8)
            writer.extend(steps, t_ns=np.zeros(len(symbol), dtype=np.int64), label=label)
        writer.close_recording(decoded.digest)
        self._quality.append(decoded.quality)
        for what in decoded.defects:
            log.warning("%s: %s", recording.id, what)
            self._defects.append({"file": recording.id, "what": what})

    def _pieces(self, number: int, events: int) -> Iterator[tuple[NDArray[np.uint32], NDArray[np.int64]]]:
        """A recording's events, from its worker's files; where windows do not overlap, behind as much padding
        as makes the last window end on the last event, so that none is left out."""
        length = self._writer.schema.length
        lead = 0 if self._writer.schema.padded else -events % length
        if lead and events:
            yield np.zeros(lead, dtype=np.uint32), np.zeros(lead, dtype=np.int64)
        paths = [self._scratch / f"{number}.{one.name}" for one in STREAMS]
        with paths[0].open("rb") as symbols, paths[1].open("rb") as offsets:
            while len(symbol := np.fromfile(symbols, dtype=np.uint32, count=PIECE)):
                yield symbol, np.fromfile(offsets, dtype=np.int64, count=PIECE)
        for path in paths:
            path.unlink()

    def finish(self, corpus: Path, skipped: list[Skipped]) -> None:
        """Tables and notes. Raises EvidenceError where no recording could be decoded."""
        if not self._quality:
            raise EvidenceError(
                f"no recording could be decoded ({len(skipped)} left out)",
                where=corpus,
                remedy=f"left out: {skipped[0].id} ({skipped[0].reason})" if skipped else "",
            )
        quality = pl.DataFrame(self._quality, schema=QUALITY)
        self._writer.table("symbols", table(self._symbols.values, list(self._modules)))
        self._writer.table("quality", quality)
        _tell_of_many(self._writer.schema, quality)
        labels = quality["label"].value_counts(sort=True)
        if labels.height < len(CLASSES):
            log.warning("every recording is %s", labels["label"][0])
        self._writer.notes.update(
            recordings=quality.height,
            labels=dict(labels.sort("label").iter_rows()),
            bytes=int(quality["bytes"].sum()),
            events=int(quality["events"].sum()),
            unique_symbols=len(self._symbols) - 1,
            modules=len(self._modules) - len(SPECIAL),
            label_origin="A recording's label is what its info.txt says: all of its windows carry it, the "
            "ordinary ones of a malicious recording too.",
            synthetic=is_simulated(corpus),
            decoding=_told(quality),
            skipped=[{"file": one.id, "reason": one.reason} for one in skipped[:MOST_NOTES]],
            skipped_files=len(skipped),
            defects=self._defects[:MOST_NOTES],
        )


def _tell_of_many(schema: Schema, quality: pl.DataFrame) -> None:
    """Warn, before anything is trained, of a window for every event: an epoch goes over all of them."""
    n = int(quality["events"].sum())
    if schema.stride > 1 or n < MANY_WINDOWS:
        return
    less = f"--no-sliding-window makes about {n // schema.length:,}"
    if not schema.settings["tip_only"]:
        targets = int((quality["events"] * quality["targets"]).sum())
        less += f", --tip-only {targets:,}, both {targets // schema.length:,}"
    log.warning("%s windows, one for every event: training may take hours; %s", f"{n:,}", less)


def _told(quality: pl.DataFrame) -> str:
    """What was lost on the way, in a sentence."""
    skipped, size = int(quality["skipped_bytes"].sum()), int(quality["bytes"].sum())
    lossy = quality.filter((pl.col("lost") > 0) | (pl.col("overflows") > 0)).height
    return (
        f"{skipped:,} of {size:,} bytes could not be decoded ({skipped / max(1, size):.2%}), after "
        f"{int(quality['errors'].sum()):,} errors; {int(quality['overflows'].sum()):,} overflows reported by "
        f"the processor; {lossy} of {quality.height} recordings lost anything"
    )
