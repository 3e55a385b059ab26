"""A trace from disk as events: values, and the byte of the trace that each comes from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from vestige.errors import EvidenceError
from vestige.evidence.expand import Expander
from vestige.evidence.files import EvidenceFile
from vestige.sources.traces.packets.quality import Quality
from vestige.sources.traces.regions import Regions
from vestige.sources.traces.tokens import Offsets, Values, events

Events = tuple[Values, Offsets]


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
        yield from events(self._pieces(), self._regions, tip_only=self._tip_only, quality=self.quality)
        if not self.quality.psbs:
            what = f"no PSB in it: {self.defects[0] if self.defects else 'these are no Intel PT packets'}"
            raise EvidenceError(
                what,
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
