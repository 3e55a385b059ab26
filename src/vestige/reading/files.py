"""Units that are files: what sources share whose evidence lies in files of records."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vestige import checked
from vestige.evidence.files import EvidenceFile, find, stdin
from vestige.evidence.stream import ByteStream
from vestige.reading.digests import MOST_BYTES, BlockHasher
from vestige.reading.steps import ChunkStream, Evidence, Listing, Position, Unit


@dataclass(frozen=True)
class FileUnit(Unit):
    """A file of evidence."""

    file: EvidenceFile = field(default_factory=stdin)

    @property
    def paths(self) -> tuple[Path, ...]:
        """See `Unit.paths`."""
        return (self.file.path,)


def name_of(file: EvidenceFile, evidence: Evidence) -> str:
    """What a file is called where people read: of several pieces of evidence, by its whole path as given."""
    return file.id if len(evidence.paths) == 1 else file.where


def file_units(evidence: Evidence, what: str) -> Listing[FileUnit]:
    """Every file, in order; `what` they are called where there is none. Raises EvidenceError then."""
    listing: Listing[FileUnit] = Listing([])
    for path in evidence.paths:
        files, left_out = find(path, what)
        listing.left_out += left_out
        for file in files:
            unit = FileUnit(
                file.id, name_of(file, evidence), file.size, not file.in_directory, evidence.mode, file
            )
            listing.units.append(unit)
    return listing


def first_lines(file: EvidenceFile, most: int) -> list[str]:
    """The first lines of a file as they lie there, for a person to look at: none of standard input, which
    gives what it holds but once."""
    if file.size is None:
        return []
    with closing(ByteStream(file)) as content:
        sample, _ = content.sample()
    return sample.decode("utf-8", errors="replace").split("\n")[:most]


def place_in(state: dict[str, Any], name: str, low: int = 0) -> int:
    """The byte or the line of a file that a position says; `low` where it says none. Raises ValueError for
    what no file has."""
    return checked.whole(state.get(name, low), name, low, MOST_BYTES)


class BytesStream(ChunkStream):
    """Abstract. A stream over the decoded bytes of one file, from the byte `offset` on."""

    def __init__(self, unit: Unit, file: EvidenceFile, offset: int, resume: Position | None) -> None:
        super().__init__(resume)
        self._bytes = ByteStream(file, unit.mode, offset=offset)
        self._id = unit.id
        self._content = BlockHasher()
        self._from_start = not offset

    @property
    def taken(self) -> int:
        """See `StepStream.taken`."""
        return self._bytes.taken

    @property
    def digests(self) -> dict[str, str]:
        """See `StepStream.digests`: of the unpacked bytes; the file is a recording."""
        return {self._id: self._content.hexdigest()} if self._from_start else {}

    def wait(self, seconds: float) -> bool:
        """See `StepStream.wait`."""
        return self._bytes.wait(seconds)

    def stop(self) -> None:
        """See `StepStream.stop`."""
        self._bytes.stop()

    def close(self) -> None:
        """See `StepStream.close`."""
        self._bytes.close()


class FileStream(BytesStream):
    """Abstract. A stream over the decoded bytes of one file: `_read_bytes` gives the next ones.

    The state that `_begin` gives must hold `offset`, the decoded byte at which the next chunk begins.
    """

    hashes = True
    """Whether the file is a recording, whose digest is that of its content."""

    def __init__(self, unit: FileUnit, resume: Position | None = None) -> None:
        self._offset = place_in(resume["chunk"], "offset") if resume else 0
        super().__init__(unit, unit.file, self._offset, resume)
        self._unit = unit
        self._over = False

    def _read_bytes(self) -> bytes | None:
        """The next bytes; None where there are none now, or none any more: then what was wrong with the
        file's packing is among the defects."""
        piece = self._bytes.read()
        if piece is None and self._bytes.ended and not self._over:
            self._over = True
            self.defects += self._bytes.defects
        if piece is not None and self.hashes:
            self._content.update(piece)
        return piece
