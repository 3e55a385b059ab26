"""A trace from disk as events: values, and the byte of the trace that each comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.sources.corpus import EvidenceFile
from vestige.sources.expand import Expander
from vestige.sources.traces.packets.columns import Packets, packets
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.regions import Regions
from vestige.sources.traces.symbols import Values
from vestige.sources.traces.tokens import values

Events = tuple[Values, NDArray[np.int64]]
_TARGETS = np.array([Kind.TIP, Kind.TIP_PGE, Kind.TIP_PGD], dtype=np.uint8)
_COMPRESSION = np.uint64(5)


class TraceReader:
    """One trace file, `.gz` and `.zst` included, read in pieces. `quality`, `digest` and `defects` are known
    after the last event."""

    def __init__(self, file: EvidenceFile, regions: Regions, *, tip_only: bool) -> None:
        self.file, self._regions, self._tip_only = file, regions, tip_only
        self.quality = Quality()
        self.defects: list[str] = []
        self.taken = 0
        self._content = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 of the unpacked bytes."""
        return self._content.hexdigest()

    def events(self) -> Iterator[Events]:
        """Values and byte offsets `(n,)`, chunk by chunk. Raises EvidenceError for a file that cannot be
        read, a decompression bomb, and what holds no packet at all."""
        offsets = _Queue(self._offsets())
        empty = True
        for chunk in values(self._pieces(), self._regions, tip_only=self._tip_only, quality=self.quality):
            empty = False
            yield chunk, offsets.take(len(chunk))
        if empty and not self.quality.psbs:
            raise EvidenceError(
                "no PSB in it: these are no Intel PT packets",
                where=self.file.where,
                remedy="give the raw packets of one logical processor (perf's AUX data, not perf.data)",
            )

    def _pieces(self) -> Iterator[bytes]:
        with self.file.open() as handle:
            expander = Expander(handle, self.file.where)
            for piece in expander.pieces():
                self._content.update(piece)
                self.taken = expander.taken
                yield piece
            self.defects = expander.defects

    def _offsets(self) -> Iterator[NDArray[np.int64]]:
        """The byte at which each event's packet begins: a second pass over the file, beside the first."""
        with self.file.open() as handle:
            for run in packets(Expander(handle, self.file.where).pieces()):
                yield event_offsets(run, tip_only=self._tip_only)


def event_offsets(run: Packets, *, tip_only: bool) -> NDArray[np.int64]:
    """The packet's offset for each event of a run of packets, `(n,)`: as many as `values` gives."""
    target = np.isin(run.kind, _TARGETS) & (run.bits >> _COMPRESSION != 0)
    branches = np.zeros(len(run), np.int64) if tip_only else run.n_bits.astype(np.int64)
    repeated: NDArray[np.int64] = np.repeat(run.offset.astype(np.int64), np.where(target, 1, branches))
    return repeated


class _Queue:
    """Arrays that come in some sizes, taken in others."""

    def __init__(self, source: Iterator[NDArray[Any]]) -> None:
        self._source = source
        self._held: NDArray[Any] = np.empty(0, dtype=np.int64)

    def take(self, n: int) -> NDArray[Any]:
        """The next `n`."""
        parts, have = [self._held], len(self._held)
        while have < n:
            parts.append(next(self._source))
            have += len(parts[-1])
        joined = np.concatenate(parts)
        self._held = joined[n:]
        return joined[:n]
