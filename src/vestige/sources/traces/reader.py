"""Intel PT traces through the reading core: a recorded program run is a unit and a recording."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from vestige.errors import EvidenceError
from vestige.evidence.defects import DETAIL, FILE, Defect
from vestige.evidence.simulated import is_simulated
from vestige.evidence.stream import ByteStream
from vestige.log import get
from vestige.reading.files import BytesStream
from vestige.reading.steps import (
    NO_TIME,
    Evidence,
    Listing,
    Position,
    Reader,
    RecordingInfo,
    StepBlock,
    Unit,
    repeated,
)
from vestige.schema import Schema
from vestige.sources.traces.containers import refuse_container
from vestige.sources.traces.corpus import CLASSES, Recording, find_recordings
from vestige.sources.traces.listings import parse
from vestige.sources.traces.maps import SPECIAL, MemoryMap, Wanted, is_of, lay_out, read_map
from vestige.sources.traces.options import MIB, TraceOptions, options_of
from vestige.sources.traces.packets.kernel import MOST_SPACES
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.perf.aux import AuxFile
from vestige.sources.traces.probe import MAP, TRACE
from vestige.sources.traces.regions import MOST_MODULES
from vestige.sources.traces.schema import SYMBOL, schema_for
from vestige.sources.traces.symbols import TraceSymbols, shares
from vestige.sources.traces.tokens import Decoder, Offsets, Values, begins_at, events

if TYPE_CHECKING:
    from vestige.reading.dataset import DatasetWriter
    from vestige.reading.prepare import Account

MOST_SYMBOLS = 1 << 24
"""Symbols of a dataset."""
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

log = get(__name__)


@dataclass(frozen=True)
class TraceUnit(Unit):
    """A recorded program run."""

    found: Recording | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """See `Unit.paths`."""
        if self.found is None:
            return ()
        maps = () if self.found.map is None else (self.found.map,)
        return (self.found.trace.path, *maps)


class TraceReader(Reader[TraceUnit]):
    """Reads recorded program runs by the settings of a schema."""

    symbol_stream = SYMBOL
    timed = False
    whole = True
    aligned_to_end = True
    small = 4 << 20
    most_modules = MOST_MODULES
    many_windows = MANY_WINDOWS

    def __init__(self, schema: Schema, *, corpus: bool = False) -> None:
        """`corpus`: for a dataset, with labels."""
        self.schema = schema
        self._options = options_of(schema)
        self._corpus = corpus

    @classmethod
    def of_corpus(cls, options: TraceOptions) -> TraceReader:
        """For a corpus, as a person's options say."""
        return cls(schema_for(options), corpus=True)

    def units(self, evidence: Evidence) -> Listing[TraceUnit]:
        """The recorded runs of corpora, of one run's directory, or of its trace with the map beside it. Of a
        corpus in which some runs have a label, those without one are left out."""
        listing: Listing[TraceUnit] = Listing([])
        recordings: list[Recording] = []
        for path in evidence.paths:
            found, left_out = find_recordings(path)
            recordings += found
            listing.left_out += left_out
        if self._corpus and any(recording.label is not None for recording in recordings):
            for recording in recordings:
                if recording.label is None:
                    listing.left_out.append(Defect(recording.id, None, FILE, recording.unlabelled))
            recordings = [recording for recording in recordings if recording.label is not None]
        for recording in recordings:
            # A perf.data does not grow: what it holds was listed when it was opened.
            mode = "whole" if isinstance(recording.trace, AuxFile) else evidence.mode
            size = recording.trace.size
            listing.units.append(TraceUnit(recording.id, recording.id, size, False, mode, found=recording))
        return listing

    def open(self, unit: TraceUnit, *, resume: Position | None = None) -> TraceStream:
        """See `Reader.open`. Raises EvidenceError where map or trace cannot be read."""
        return TraceStream(unit, self.schema, self._options, corpus=self._corpus, resume=resume)

    def symbols(self) -> TraceSymbols:
        """See `Reader.symbols`."""
        return TraceSymbols(most=MOST_SYMBOLS, most_modules=self.most_modules)

    def probe(self) -> list[StepBlock]:
        """A few packets and a small map."""
        memory = lay_out(parse(MAP).rows)
        symbols = TraceSymbols(memory.names)
        tip_only = self._options.tip_only
        blocks, n = [], 0
        for values, offsets in events([TRACE], memory.regions, tip_only=tip_only):
            blocks.append(_block(symbols, values, offsets, n, None, RecordingInfo("probe")))
            n += len(values)
        return blocks

    def finish(self, account: Account, writer: DatasetWriter) -> None:
        """See `Reader.finish`. Raises EvidenceError where no recording could be decoded."""
        symbols = account.symbols
        if not account.units or not isinstance(symbols, TraceSymbols):
            left_out = account.left_out.first
            raise EvidenceError(
                f"no recording could be decoded ({account.left_out.counts.get(FILE, 0)} left out)",
                where=account.corpus,
                remedy=f"left out: {left_out[0].file} ({left_out[0].why})" if left_out else "",
            )
        quality = pl.DataFrame([summary["quality"] for _, summary in account.units], schema=QUALITY)
        writer.table("symbols", symbols.frame())
        writer.table("quality", quality)
        _tell_of_many(self.schema, quality, self.many_windows)
        origin = (
            "A recording's label is what its info.txt says: all of its windows carry it, the ordinary ones "
            "of a malicious recording too."
        )
        if not account.labelled:
            origin = "No recording has a label."
            log.warning("no recording has a label (line 2 of info.txt: %s)", " or ".join(CLASSES))
        labels = quality["label"].drop_nulls().value_counts(sort=True)
        if labels.height == 1:
            log.warning("every recording is %s", labels["label"][0])
        writer.notes.update(
            recordings=quality.height,
            labels=dict(labels.sort("label").iter_rows()),
            bytes=int(quality["bytes"].sum()),
            events=int(quality["events"].sum()),
            unique_symbols=len(symbols) - 1,
            modules=len(symbols.names) - len(SPECIAL),
            label_origin=origin,
            synthetic=is_simulated(account.corpus),
            decoding=_told(quality),
        )


class TraceStream(BytesStream):
    """A trace as events, decoded as its bytes come."""

    def __init__(
        self,
        unit: TraceUnit,
        schema: Schema,
        options: TraceOptions,
        *,
        corpus: bool,
        resume: Position | None = None,
    ) -> None:
        """`corpus`: it is read for a dataset, with its label."""
        if unit.found is None:
            raise ValueError("a unit without a recorded run")
        self._unit, self._recording, self._schema = unit, unit.found, schema
        self._corpus = corpus
        self._labelled = corpus and unit.found.label is not None
        self._memory = _memory(unit.found, options.module_mib * MIB)
        self._tip_only = options.tip_only
        self._symbols = TraceSymbols(self._memory.names)
        state = {} if resume is None else resume["chunk"]
        self._n = int(state.get("events", 0))
        self._lead = int(state.get("lead", 0)) if state else self._find_lead()
        held = state.get("decoder")
        base = 0 if held is None else begins_at(held)
        # Only here is the trace opened: a map that cannot be read leaves no file open.
        super().__init__(unit, unit.found.trace, base, resume)
        self._decoder = Decoder(self._memory.regions, tip_only=self._tip_only, base=base, state=held)
        self._held: list[int] | None = held
        self._begun = bool(base)
        self._counts = np.zeros(1, dtype=np.int64)
        self._chunks: deque[tuple[Values, Offsets, list[int]]] = deque()
        self.quality = Quality()

    @property
    def summary(self) -> dict[str, Any]:
        """What the recording is worth: a row of the table `quality`."""
        found = self.quality.to_dict()
        quality = {
            "recording": self._recording.id,
            "label": self._recording.label,
            "bytes": found["n_bytes"],
            "events": int(self._counts.sum()),
            **shares(self._counts, self._symbols.values[: len(self._counts)]),
            **{name: found[name] for name in ("lost", "errors", "overflows", "psbs")},
            "skipped_bytes": found["skipped"],
            "map_lines_skipped": self._memory.skipped,
        }
        return {
            "quality": quality,
            "format": f"Intel PT, with a memory map read as {self._memory.form}",
            "warnings": [*self._recording.doubts, *self._memory.doubts, *self._several_spaces()],
        }

    def _several_spaces(self) -> list[str]:
        """That other processes, or the kernel's own threads, are in a trace whose map is of one process."""
        if self.quality.spaces < 2:
            return []
        count = str(self.quality.spaces)
        if self.quality.spaces > MOST_SPACES:
            count = f"more than {MOST_SPACES}"
        return [
            f"the packets go through {count} address spaces (PIP), and the map is of one process: what "
            "others ran is read by it, too"
        ]

    def _find_lead(self) -> int:
        """Events that are missing for a whole number of windows, where these do not overlap: where the first
        window ends follows from it. A trace that is prepared is read once, and padded then; decoding twice
        takes little beside scoring. A trace that still grows begins without padding."""
        overlapping = self._schema.padded or self._schema.stride == 1
        if overlapping or self._corpus or self._unit.mode == "follow":
            return 0
        decoder = Decoder(self._memory.regions, tip_only=self._tip_only)
        n = 0
        with closing(ByteStream(self._recording.trace)) as content:
            while not content.ended:
                n += sum(len(values) for values, _ in decoder.feed(content.read() or b""))
        n += sum(len(values) for values, _ in decoder.finish())
        return -n % self._schema.stride

    def _begin(self) -> dict[str, Any]:
        return {"events": self._n, "lead": self._lead, "decoder": self._held}

    def _next(self) -> StepBlock | None:
        while not self._chunks:
            if self._bytes.ended:
                if not self._ended:
                    self._finish()
                break
            piece = self._bytes.read()
            if piece is not None:
                if not self._begun:
                    refuse_container(piece, self._recording.trace.where)
                self._begun = True
                self._content.update(piece)
                self._keep_all(self._decoder.feed(piece))
            elif not self._bytes.ended:
                chunk = self._decoder.flush()
                if chunk is None:
                    return None
                self._keep(chunk)
        if not self._chunks:
            return None
        values, offsets, self._held = self._chunks.popleft()
        label = CLASSES.index(str(self._recording.label)) if self._labelled else None
        info = RecordingInfo(
            self._unit.id, sample=self._memory.program, profile=self._recording.profile, lead=self._lead
        )
        block = _block(self._symbols, values, offsets, self._n, label, info)
        rows = block.values[SYMBOL]
        self._counts = np.pad(self._counts, (0, len(self._symbols) - len(self._counts)))
        self._counts += np.bincount(rows, minlength=len(self._counts))
        self._n += len(block)
        return replace(block, ended=np.array([self._ended and not self._chunks]))

    def _keep_all(self, chunks: Any) -> None:
        for chunk in chunks:
            self._keep(chunk)

    def _keep(self, chunk: tuple[Values, Offsets]) -> None:
        # The decoder has stopped behind this chunk: its state is where the next one begins.
        self._chunks.append((*chunk, self._decoder.state))

    def _finish(self) -> None:
        self._keep_all(self._decoder.finish())
        self._ended = True
        self._decoder.tell(self.quality)
        where = self._recording.trace.where
        self.defects += [replace(defect, file=self._unit.id) for defect in self._bytes.defects]
        self.defects += [Defect(self._unit.id, None, DETAIL, why) for why in self._recording.defects]
        if not self.quality.psbs and self._from_start:
            why = self._bytes.defects[0].why if self._bytes.defects else "these are no Intel PT packets"
            raise EvidenceError(
                f"no PSB in it: {why}",
                where=where,
                remedy="give the raw packets of one logical processor, or a perf.data as it is",
            )
        if not self._n and not self._chunks:
            raise EvidenceError("packets, but no event among them", where=where)
        if self.quality.skipped:
            why = f"{self.quality.skipped} bytes could not be decoded, before the first PSB or after an error"
            self.defects.append(Defect(self._unit.id, None, DETAIL, why))


def _memory(found: Recording, module_bytes: int) -> MemoryMap:
    """The memory of a recorded run, from the map beside it, or from what was recorded with it."""
    if found.map is not None:
        return read_map(found.map, wanted=Wanted(found.title, found.pid), module_bytes=module_bytes)
    rows, program = list(found.rows), found.title
    process = next((row.process for row in rows if row.process), "")
    if process and not is_of(process, program):
        # What info.txt names is the run's program: this process of it is of another one.
        program = process
    return lay_out(rows, program=program, module_bytes=module_bytes, form="perf.data's own records")


def _block(
    symbols: TraceSymbols,
    values: Values,
    offsets: Offsets,
    before: int,
    label: int | None,
    info: RecordingInfo,
) -> StepBlock:
    """Events number `before` + 1 and on (from 1) of a recording as steps."""
    n = len(values)
    return StepBlock(
        recordings=(info,),
        recording=repeated(np.uint32(0), n),
        values={SYMBOL: symbols.rows(values), "offset": offsets},
        t_ns=repeated(np.int64(NO_TIME), n),
        label=None if label is None else repeated(np.uint8(label), n),
        symbols=symbols,
        file=info.id,
        place={"event": np.arange(before + 1, before + n + 1, dtype=np.int64), "offset": offsets},
        ended=np.array([False]),
    )


def _tell_of_many(schema: Schema, quality: pl.DataFrame, many: int) -> None:
    """Warn, before anything is trained, of a window for every event: an epoch goes over all of them."""
    n = int(quality["events"].sum())
    if schema.stride > 1 or n < many:
        return
    less = f"--no-sliding-window makes about {n // schema.length:,}"
    if not options_of(schema).tip_only:
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
