"""The records of a perf.data file, one after the other; what is not wanted is skipped by its size.

After `tools/perf/Documentation/perf.data-file-format.txt` and `include/uapi/linux/perf_event.h` of Linux. A
file is evidence: sizes and offsets in it may be wrong or hostile, so nothing is read beyond its end, a record
is at most 64 KiB, and whatever ends reading early stands in `Records.defects`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import BinaryIO, NamedTuple

import zstandard

from vestige.errors import EvidenceError

MAGIC, SWAPPED, FIRST_VERSION = b"PERFILE2", b"2ELIFREP", b"PERFFILE"
HEADER, PIPE_HEADER = struct.Struct("<8s2Q6Q"), struct.Struct("<8sQ")
RECORD = struct.Struct("<IHH")
ATTR = struct.Struct("<II5Q")
"""Of `perf_event_attr`: type, size, config, period, sample_type, read_format, flags."""
SECTION = struct.Struct("<2Q")
MOST_ATTRS, MOST_IDS = 4096, 1 << 20
MOST_UNPACKED_RATIO, UNPACKED_ANYWAY = 1000, 1 << 28
"""Compressed records that unpack to more than both are refused, as a bomb is."""
MOST_WINDOW = 1 << 27
_UNPACK_STEP = 1 << 10
OUT_OR_EXEC = 1 << 13
"""Of `misc`: a SWITCH is one away from the task, a COMM comes of an exec."""
NO_NUMBER = 0xFFFFFFFF


class Kind(IntEnum):
    """The records that say something of Intel PT, or of who ran where."""

    MMAP = 1
    LOST = 2
    COMM = 3
    FORK = 7
    MMAP2 = 10
    AUX = 11
    ITRACE_START = 12
    LOST_SAMPLES = 13
    SWITCH = 14
    SWITCH_CPU_WIDE = 15
    HEADER_ATTR = 64
    TRACING_DATA = 66
    AUXTRACE_INFO = 70
    AUXTRACE = 71
    AUXTRACE_ERROR = 72
    TIME_CONV = 79
    COMPRESSED = 81
    COMPRESSED_2 = 83


_WANTED = frozenset(kind.value for kind in Kind)


class Record(NamedTuple):
    """A record without its header. `after`: where in the file the bytes behind it begin."""

    kind: int
    misc: int
    body: bytes
    after: int


class Trailer(NamedTuple):
    """Who and when, as most records say at their end; None where this one does not."""

    pid: int | None = None
    tid: int | None = None
    time: int | None = None
    cpu: int | None = None


NO_TRAILER = Trailer()
_TASK, _TIME, _CPU = struct.Struct("<II"), struct.Struct("<Q"), struct.Struct("<I")


@dataclass(frozen=True)
class Attr:
    """What was recorded, as far as it matters here."""

    type: int
    sample_type: int
    flags: int

    TID, TIME, ID, CPU, STREAM_ID, IDENTIFIER, AUX = (1 << bit for bit in (1, 2, 6, 7, 9, 16, 20))
    INHERIT, SAMPLE_ID_ALL, USE_CLOCKID = (1 << bit for bit in (1, 18, 25))

    @classmethod
    def of(cls, raw: bytes) -> Attr:
        """From the bytes of a `perf_event_attr`, which older versions of perf write shorter."""
        kind, _, _, _, sample_type, _, flags = ATTR.unpack(raw[: ATTR.size].ljust(ATTR.size, b"\0"))
        return cls(kind, sample_type, flags)

    @cached_property
    def trailer_bytes(self) -> int:
        """How long the trailer of a record is."""
        return 8 * len(self._parts)

    @cached_property
    def _parts(self) -> tuple[int, ...]:
        """What a trailer consists of, in its order: eight bytes each."""
        if not self.flags & self.SAMPLE_ID_ALL:
            return ()
        parts = (self.TID, self.TIME, self.ID, self.STREAM_ID, self.CPU, self.IDENTIFIER)
        return tuple(part for part in parts if self.sample_type & part)

    @cached_property
    def _places(self) -> tuple[int, int, int]:
        """Where in the trailer task, time and CPU stand; -1 for nowhere."""
        task, time, cpu = (
            8 * self._parts.index(part) if part in self._parts else -1
            for part in (self.TID, self.TIME, self.CPU)
        )
        return task, time, cpu

    def trailer(self, body: bytes) -> Trailer:
        """The trailer of a record with this body."""
        start = len(body) - self.trailer_bytes
        if start < 0 or start == len(body):
            return NO_TRAILER
        at_task, at_time, at_cpu = self._places
        pid, tid, time, cpu = NO_TRAILER
        if at_task >= 0:
            pid, tid = map(number, _TASK.unpack_from(body, start + at_task))
        if at_time >= 0:
            (time,) = _TIME.unpack_from(body, start + at_time)
        if at_cpu >= 0:
            cpu = number(_CPU.unpack_from(body, start + at_cpu)[0])
        return Trailer(pid, tid, time, cpu)


def number(value: int) -> int | None:
    """A number that may be -1, which says that there is none."""
    return None if value == NO_NUMBER else value


@dataclass
class Records:
    """The records of an open file of `size` bytes. Iterate once; attributes are known from the beginning in
    the form with a whole header, and as they come in the piped one."""

    file: BinaryIO
    size: int
    where: str
    attrs: list[Attr] = field(default_factory=list)
    defects: list[str] = field(default_factory=list)
    count: int = 0
    _by_id: dict[int, Attr] = field(default_factory=dict)
    _end: int = 0
    _packed: int = 0
    _unpacked: int = 0
    _rest: bytes = b""
    _unpacker: zstandard.ZstdDecompressionObj | None = None

    def __iter__(self) -> Iterator[Record]:
        """Records of the kinds in `Kind`. Raises EvidenceError where the file is no perf.data of today."""
        at = self._begin()
        while at < self._end:
            self.file.seek(at)
            head = self.file.read(RECORD.size)
            if len(head) < RECORD.size:
                self.defects.append(f"its last record, at byte {at}, is cut off")
                return
            kind, misc, size = RECORD.unpack(head)
            if size < RECORD.size:
                self.defects.append(f"a record of {size} bytes at byte {at}: what comes after it is not read")
                return
            if at + size > self._end:
                self.defects.append(f"the record at byte {at} is cut off")
                return
            self.count += 1
            at += size
            if kind not in _WANTED:
                continue
            body = self.file.read(size - RECORD.size)
            if kind in {Kind.COMPRESSED, Kind.COMPRESSED_2}:
                yield from self._unpack(kind, body)
            else:
                yield self._known(Record(kind, misc, body, at))
            at += self._payload(kind, body, at)

    def trailer(self, body: bytes) -> Trailer:
        """Who and when, of a record that the kernel wrote."""
        attr = self._attr(body)
        return attr.trailer(body) if attr is not None else NO_TRAILER

    def content(self, body: bytes) -> bytes:
        """The body without its trailer."""
        attr = self._attr(body)
        return body[: len(body) - attr.trailer_bytes] if attr is not None else body

    def _attr(self, body: bytes) -> Attr | None:
        """Which event's layout a record has: with several of them their id is the record's last number."""
        if not self.attrs:
            return None
        if len(self.attrs) > 1 and self.attrs[0].sample_type & Attr.IDENTIFIER and len(body) >= 8:
            return self._by_id.get(struct.unpack_from("<Q", body, len(body) - 8)[0], self.attrs[0])
        return self.attrs[0]

    def _begin(self) -> int:
        """Read the header; where the records begin."""
        self.file.seek(0)
        start = self.file.read(HEADER.size)
        if start.startswith(SWAPPED):
            raise EvidenceError(
                "a perf.data of a big-endian machine: Intel PT is of little-endian ones", where=self.where
            )
        if start.startswith(FIRST_VERSION) or not start.startswith(MAGIC) or len(start) < PIPE_HEADER.size:
            raise EvidenceError(
                "no perf.data of today: it does not begin with PERFILE2 and a header",
                where=self.where,
                remedy="record it with a perf of Linux 3.4 or later",
            )
        _, size = PIPE_HEADER.unpack_from(start)
        if size == PIPE_HEADER.size:
            self._end = self.size
            return PIPE_HEADER.size
        if size < HEADER.size or len(start) < HEADER.size:
            raise EvidenceError(f"its header has {min(size, len(start))} bytes", where=self.where)
        attr_size, attrs_at, attrs_size, data_at, data_size = map(int, HEADER.unpack(start)[2:7])
        self._read_attrs(attr_size, attrs_at, attrs_size)
        self._end = min(data_at + data_size, self.size)
        if data_size == 0:
            self._end = self.size
            self.defects.append("perf was ended before it had finished the file")
        elif data_at + data_size > self.size:
            self.defects.append(f"it is cut off: {data_at + data_size - self.size} bytes are missing")
        return data_at

    def _read_attrs(self, attr_size: int, at: int, size: int) -> None:
        if attr_size < ATTR.size + SECTION.size or at + size > self.size:
            self.defects.append("what was recorded is not said where the header says it")
            return
        for number_of in range(min(size // attr_size, MOST_ATTRS)):
            self.file.seek(at + number_of * attr_size)
            raw = self.file.read(attr_size)
            if len(raw) < attr_size:
                return
            ids_at, ids_size = SECTION.unpack(raw[-SECTION.size :])
            ids = b""
            if ids_at + ids_size <= self.size:
                self.file.seek(ids_at)
                ids = self.file.read(min(ids_size, 8 * MOST_IDS))
            self._add(raw[: -SECTION.size], ids)

    def _add(self, raw: bytes, ids: bytes) -> None:
        """One more event that was recorded, with the ids under which its records come."""
        attr = Attr.of(raw)
        if len(self.attrs) < MOST_ATTRS:
            self.attrs.append(attr)
        for (identity,) in struct.iter_unpack("<Q", ids[: len(ids) // 8 * 8]):
            if len(self._by_id) < MOST_IDS:
                self._by_id[identity] = attr

    def _known(self, record: Record) -> Record:
        """The record; what it says of the records themselves is kept."""
        if record.kind == Kind.HEADER_ATTR and len(record.body) >= ATTR.size:
            size = struct.unpack_from("<I", record.body, 4)[0]
            if not ATTR.size <= size <= len(record.body):
                size = len(record.body)
            self._add(record.body[:size], record.body[size:])
        return record

    def _payload(self, kind: int, body: bytes, at: int) -> int:
        """How many bytes that are no records come after this record."""
        size = 0
        if kind == Kind.AUXTRACE and len(body) >= 8:
            size = struct.unpack_from("<Q", body)[0]
        elif kind == Kind.TRACING_DATA and len(body) >= 4:
            size = -(-struct.unpack_from("<I", body)[0] // 8) * 8
        if size > self._end - at:
            self.defects.append(f"the {size} bytes of data at byte {at} are cut off")
        return min(size, self._end - at)

    def _unpack(self, kind: int, body: bytes) -> Iterator[Record]:
        """The records in a compressed one: one stream goes on through all of these, and records in it go on
        through their borders."""
        if kind == Kind.COMPRESSED_2 and len(body) >= 8:
            body = body[8 : 8 + struct.unpack_from("<Q", body)[0]]
        if self._unpacker is None:
            self._unpacker = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).decompressobj()
        for start in range(0, len(body), _UNPACK_STEP):
            step = body[start : start + _UNPACK_STEP]
            try:
                piece = self._unpacker.decompress(step)
            except zstandard.ZstdError as error:
                if not self.defects or not self.defects[-1].startswith("damaged compressed"):
                    self.defects.append(f"damaged compressed records ({error})")
                return
            self._packed, self._unpacked = self._packed + len(step), self._unpacked + len(piece)
            if self._unpacked > UNPACKED_ANYWAY and self._unpacked > MOST_UNPACKED_RATIO * self._packed:
                raise EvidenceError("refused as a decompression bomb", where=self.where)
            yield from self._split(self._rest + piece)

    def _split(self, data: bytes) -> Iterator[Record]:
        at = 0
        while at + RECORD.size <= len(data):
            kind, misc, size = RECORD.unpack_from(data, at)
            if size < RECORD.size:
                self.defects.append(f"a record of {size} bytes among compressed ones")
                at = len(data)
                break
            if at + size > len(data):
                break
            self.count += 1
            # Data of the processor stand behind their record in the file itself, and are never packed so.
            if kind in _WANTED - {Kind.AUXTRACE, Kind.COMPRESSED, Kind.COMPRESSED_2, Kind.TRACING_DATA}:
                yield self._known(Record(kind, misc, data[at + RECORD.size : at + size], -1))
            at += size
        self._rest = data[at:]
