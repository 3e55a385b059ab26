"""The chunks of a Windows event log: where the records of each lie, whatever has happened to the file.

A file is a header of 4,096 bytes and chunks of 65,536 bytes, each complete in itself: a header of 512 bytes,
then records, which say their size at both ends (the layout as `libevtx` documents it, "Windows XML Event Log
(EVTX) format"). Numbers are little-endian.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

MAGIC = b"ElfFile\0"
CHUNK_MAGIC = b"ElfChnk\0"
RECORD_MAGIC = b"**\0\0"
CHUNK_BYTES = 1 << 16
HEADER_BYTES = 4096
DIRTY = 1
"""In the flags of a file: Windows had not closed it."""

_CHUNK_HEADER = 512
_SMALLEST = 28
"""Bytes of a record around its binary XML: magic, size, number, time, and the size once more."""
NO_RECORD = 1
"""The number of what fills a gap between records: none lies there."""
_FILE = struct.Struct("<8s3QIHHHH76xII")
_NUMBERS = struct.Struct("<4Q")
_ENDS = struct.Struct("<III")
_RECORD = struct.Struct("<4sIQ")
_SIZE = struct.Struct("<I")


@dataclass(frozen=True)
class FileHeader:
    """What the header of a file says. `begins`: the byte at which the first chunk begins; `chunks`: how many
    of them there should be, None where nobody knows."""

    begins: int
    chunks: int | None
    dirty: bool
    sound: bool


def file_header(data: bytes) -> FileHeader:
    """Read the first `HEADER_BYTES` of a file."""
    # The size of the header's block is one of its fields: were it believed, it could hide the first chunk.
    *_, chunks, flags, checksum = _FILE.unpack_from(data)
    sound = zlib.crc32(data[:120]) == checksum
    return FileHeader(HEADER_BYTES, chunks if sound else None, bool(flags & DIRTY), sound)


@dataclass(frozen=True)
class Record:
    """A record of a chunk: where in it, of how many bytes, and the number that Windows gave it."""

    at: int
    size: int
    number: int


@dataclass(frozen=True)
class Chunk:
    """What there is in a chunk. `gaps`: begin and length of what should be a record and is none, with the
    number of the record before it; `faults`: what else is wrong; `remains`: how many records lie in the part
    that is not used, left behind by an older state of the log."""

    records: tuple[Record, ...]
    gaps: tuple[tuple[int, int, int], ...] = ()
    faults: tuple[str, ...] = ()
    remains: int = 0


def read_chunk(data: bytes) -> Chunk:
    """Find the records of a chunk of `CHUNK_BYTES`.

    Beyond what the header calls used lies what an older round of the log left; records there count only
    while their numbers go on, as they do where Windows had no time to write the header. Where a record is
    damaged, the next one is looked for, not nearer than a record is long.
    """
    faults: list[str] = []
    *_, free, checksum = _ENDS.unpack_from(data, 44)
    sound = data.startswith(CHUNK_MAGIC) and _CHUNK_HEADER <= free <= CHUNK_BYTES
    sound = (
        sound
        and zlib.crc32(data[128:_CHUNK_HEADER], zlib.crc32(data[:120])) == _SIZE.unpack_from(data, 124)[0]
    )
    if not sound:
        if not any(data):
            return Chunk(())  # room that Windows had set aside
        faults.append("its header is damaged")
        free = _CHUNK_HEADER
    elif zlib.crc32(data[_CHUNK_HEADER:free]) != checksum:
        faults.append("the checksum of its records is another: some may have been changed or damaged")
    records: list[Record] = []
    gaps: list[tuple[int, int, int]] = []
    at, last = _CHUNK_HEADER, 0
    while at < CHUNK_BYTES:
        record = _record(data, at)
        if record is not None and (at < free or not records or _goes_on(record, last, exactly=sound)):
            records.append(record)
            at, last = at + record.size, record.number
            continue
        if record is not None or (at >= free and sound):
            break
        found = _next_record(data, at + _SMALLEST, CHUNK_BYTES if not sound else free)
        after = found.at if found is not None else 0
        if found is None or (not sound and records and not _goes_on(found, last, exactly=False)):
            if at < free:
                gaps.append((at, free - at, last))
            break
        gaps.append((at, after - at, last))
        at = after
    remains = 0
    left = _next_record(data, at, CHUNK_BYTES)
    while left is not None:
        remains += 1
        left = _next_record(data, left.at + left.size, CHUNK_BYTES)
    return Chunk(tuple(records), tuple(gaps), tuple(faults), remains)


def _goes_on(record: Record, last: int, *, exactly: bool) -> bool:
    """Whether a record beyond the used part of a chunk belongs behind the one of the number `last`."""
    if exactly:
        return record.number == last + 1
    return record.number > last


def _record(data: bytes, at: int) -> Record | None:
    """The record that begins at `at`, if one does."""
    if at + _SMALLEST > CHUNK_BYTES:
        return None
    magic, size, number = _RECORD.unpack_from(data, at)
    if magic != RECORD_MAGIC or not _SMALLEST <= size <= CHUNK_BYTES - at:
        return None
    if _SIZE.unpack_from(data, at + size - 4)[0] != size:
        return None
    return Record(at, size, number)


def _next_record(data: bytes, at: int, end: int) -> Record | None:
    """The first record from `at` on."""
    while (at := data.find(RECORD_MAGIC, at, end)) >= 0:
        record = _record(data, at)
        if record is not None:
            return record
        at += 1
    return None


def mended(data: bytes, records: tuple[Record, ...], skipped: frozenset[int] = frozenset()) -> bytes:
    """A file of one chunk with these records alone, each numbered by where in the chunk it lies: whatever
    was damaged or left over does not stand in a parser's way. Records in `skipped` are emptied; templates in
    them stay, as others may use them.

    The header's tables of names and templates are left out: they save time, and damaged ones lead astray.
    """
    chunk = bytearray(data)
    at = _CHUNK_HEADER
    for record in records:
        if record.at > at:
            _RECORD.pack_into(chunk, at, RECORD_MAGIC, record.at - at, NO_RECORD)
            chunk[at + 24] = 0
        struct.pack_into("<Q", chunk, record.at + 8, record.at)
        if record.at in skipped:
            chunk[record.at + 24] = 0
        at = record.at + record.size
    last = records[-1].at
    chunk[:_CHUNK_HEADER] = bytes(_CHUNK_HEADER)
    chunk[:8] = CHUNK_MAGIC
    _NUMBERS.pack_into(chunk, 8, 1, len(records), records[0].at, last)
    struct.pack_into("<III", chunk, 40, 128, last, at)
    return _HEADER + bytes(chunk)


_HEADER = _FILE.pack(MAGIC, 0, 0, 2, 128, 1, 3, HEADER_BYTES, 1, 0, 0).ljust(HEADER_BYTES, b"\0")
