"""A Windows event log in blocks of JSON records: streaming, chunk by chunk, however damaged it is."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from vestige.evidence.defects import DETAIL, REST
from vestige.sources.events.evtx.chunks import (
    CHUNK_BYTES,
    CHUNK_MAGIC,
    HEADER_BYTES,
    MAGIC,
    Chunk,
    FileHeader,
    file_header,
    read_chunk,
)
from vestige.sources.events.evtx.decoder import parse
from vestige.sources.events.records import MOST_FAULTS, Block, Cutter

MOST_KILLED = 10
"""Records of a file that may kill the parser; then what follows is not tried any more."""
MOST_TOLD = 100
"""Defects of a file beyond its records that are told."""

ENOUGH = HEADER_BYTES + CHUNK_BYTES
"""Bytes that show what a file's first records are like."""

_TIME = re.compile(rb'"SystemTime":"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)\.(\d{6})Z"')
_UNIX_1601 = 11_644_473_600
_EPOCH = date(1970, 1, 1).toordinal()


def is_evtx(sample: bytes) -> bool:
    """Whether a file that begins like this is a Windows event log, or chunks of one, with a damaged header or
    without any."""
    return sample.startswith((MAGIC, CHUNK_MAGIC)) or sample.startswith(CHUNK_MAGIC, HEADER_BYTES)


@dataclass
class EvtxReader(Cutter):
    """Cuts a file's content into blocks of JSON lines, a chunk each. A record's line is its number in the
    log."""

    _header: FileHeader | None = None
    _chunks: int = 0
    _killed: int = 0
    _n_told: int = 0
    _remains: int = 0

    @property
    def state(self) -> dict[str, Any]:
        """See `Cutter.state`."""
        header = None
        if self._header is not None:
            header = [self._header.begins, self._header.chunks, self._header.dirty, self._header.sound]
        return {"offset": self._offset, "header": header, "chunks": self._chunks, "killed": self._killed}

    def state_at(self, block: Block) -> dict[str, Any]:
        """See `Cutter.state_at`."""
        return block.before or self.state

    def resume(self, state: dict[str, Any]) -> None:
        """See `Cutter.resume`."""
        self._offset, self._chunks, self._killed = state["offset"], state["chunks"], state["killed"]
        if state["header"] is not None:
            self._header = FileHeader(*state["header"])

    @property
    def warnings(self) -> list[str]:
        """See `Cutter.warnings`."""
        found = []
        if self._header is not None and self._header.dirty:
            found.append(
                "A log was copied while Windows wrote to it (it is marked dirty): its end may be missing."
            )
        if self._remains:
            found.append(
                f"Records of an older state lie in the unused part of a log: {self._remains:,} of them "
                "are not read."
            )
        return found

    def take(self, *, now: bool = False) -> Iterator[Block]:  # noqa: ARG002 - a chunk is whole, or no chunk
        """A block for each chunk that is there."""
        if self._header is None:
            if len(self._buffer) < HEADER_BYTES:
                return
            self._header = file_header(bytes(self._buffer[:HEADER_BYTES]))
            if self._buffer.startswith(CHUNK_MAGIC):
                self._header = FileHeader(0, None, dirty=False, sound=True)
            if not self._header.sound:
                self._tell(DETAIL, "the header of the file is damaged")
        if self._offset < self._header.begins:
            self._drop(min(len(self._buffer), self._header.begins - self._offset))
        while len(self._buffer) >= CHUNK_BYTES and self._offset >= self._header.begins:
            yield from self._chunk(bytes(self._buffer[:CHUNK_BYTES]), CHUNK_BYTES)

    def finish(self) -> Iterator[Block]:
        """The last blocks: the file is over."""
        yield from self.take()
        if self._header is None:
            self._tell(REST, f"the file is cut off within its header, after {len(self._buffer)} bytes")
            return
        rest = len(self._buffer)
        if any(self._buffer):
            self._tell(
                REST,
                f"the file is cut off within chunk {self._chunks + 1}, after {rest} of {CHUNK_BYTES} bytes",
            )
            yield from self._chunk(bytes(self._buffer).ljust(CHUNK_BYTES, b"\0"), rest, whole=False)
        named = self._header.chunks
        if named is not None and not self._header.dirty and self._chunks < named:
            self._tell(REST, f"the header names {named} chunks, {self._chunks} are there")

    def _chunk(self, data: bytes, size: int, *, whole: bool = True) -> Iterator[Block]:
        before, offset = self.state, self._offset
        self._chunks += 1
        self._drop(size)
        chunk = read_chunk(data)
        self._remains += chunk.remains
        if whole:
            for why in chunk.faults:
                self._tell(DETAIL, f"chunk {self._chunks}, at byte {offset}: {why}")
        lines, origins = self._records(data, chunk, offset)
        for at, length, number in chunk.gaps:
            self._fault(number + 1, f"{length} bytes at byte {offset + at} hold no record that can be read")
        if lines:
            starts = [0]
            for line in lines[:-1]:
                starts.append(starts[-1] + len(line))
            yield Block(b"".join(lines), offset, 0, tuple(starts), None, tuple(origins), before)

    def _records(self, data: bytes, chunk: Chunk, offset: int) -> tuple[list[bytes], list[tuple[int, int]]]:
        """A chunk's records as lines of JSON, and of each the byte of the file and the number."""
        parsed = parse(data, chunk.records, self.max_record, MOST_KILLED - self._killed)
        self._killed += parsed.killed
        lines: list[bytes] = []
        origins: list[tuple[int, int]] = []
        for record in chunk.records:
            # The number has 64 bits without a sign; one that no log can have reached is none.
            number = record.number if record.number < 1 << 63 else 0
            text = parsed.texts.get(record.at)
            if text is None:
                why = parsed.wrong[record.at]
                self._fault(number, f"the record at byte {offset + record.at} cannot be read: {why}")
                continue
            lines.append(exact(text, data[record.at + 24 : record.at + record.size]) + b"\n")
            origins.append((offset + record.at, number))
        return lines, origins

    def _drop(self, n: int) -> None:
        del self._buffer[:n]
        self._offset += n

    def _fault(self, number: int, what: str) -> None:
        self.bad += 1
        if len(self.faults) < MOST_FAULTS:
            self.faults.append((number, what))

    def _tell(self, what: str, why: str) -> None:
        self._n_told += 1
        if self._n_told <= MOST_TOLD:
            self.told.append((what, why))


def exact(text: bytes, body: bytes) -> bytes:
    """The JSON of a record with the time as exact as the record has it.

    The parser cuts times of 100 ns to microseconds. The digit that is missing is that of the number among
    the record's bytes that the time was read from.
    """
    found = _TIME.search(text)
    if found is None:
        return text
    year, month, day, hour, minute, second, microsecond = map(int, found.groups())
    days = date(year, month, day).toordinal() - _EPOCH
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second + _UNIX_1601
    ticks = (seconds * 10**6 + microsecond) * 10
    for digit in range(10):
        if struct.pack("<Q", ticks + digit) in body:
            return b"%s%d%s" % (text[: found.end(7)], digit, text[found.end(7) :])
    return text
