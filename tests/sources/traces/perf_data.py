"""A perf.data for tests, written after `perf.data-file-format.txt` and `perf_event.h`."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import zstandard

from tests.sources.traces.pt import PSB

MMAP, LOST, COMM, EXIT, FORK, MMAP2, AUX, ITRACE_START, SWITCH, SWITCH_CPU_WIDE = (
    1,
    2,
    3,
    4,
    7,
    10,
    11,
    12,
    14,
    15,
)
SAMPLE, ATTR, FINISHED_ROUND, INFO, AUXTRACE, COMPRESSED = 9, 64, 68, 70, 71, 81
TID, TIME, CPU, IDENTIFIER = 1 << 1, 1 << 2, 1 << 7, 1 << 16
INHERIT, SAMPLE_ID_ALL = 1 << 1, 1 << 18
OUT = 1 << 13
PMU = 8
NOBODY = 0xFFFFFFFF
SHIFT, MULT, ZERO = 10, 2048, 1_000_000
"""The clock: a TSC is two nanoseconds."""


@dataclass
class PerfData:
    """Records are appended by the methods; `bytes` is the file. `trailer`: records say who and when."""

    flags: int = INHERIT
    trailer: bool = True
    piped: bool = False
    records: list[bytes] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)
    """Of each buffer, how many bytes of its stream were written."""

    def record(self, kind: int, body: bytes = b"", misc: int = 0) -> None:
        """Any record, its body filled up to eight bytes."""
        body += bytes(-len(body) % 8)
        self.records.append(struct.pack("<IHH", kind, misc, 8 + len(body)) + body)

    def told(
        self, kind: int, body: bytes, who: tuple[int, int, int, int] = (0, 0, 0, 0), misc: int = 0
    ) -> None:
        """A record of the kernel's, with `(pid, tid, time, cpu)` at its end."""
        body += bytes(-len(body) % 8)
        pid, tid, time, cpu = who
        if self.trailer:
            body += struct.pack("<IIQIIQ", pid & NOBODY, tid & NOBODY, time, cpu, 0, 77)
        self.record(kind, body, misc)

    def comm(self, pid: int, name: str, tid: int = 0, time: int = 0) -> None:
        """The name of a task."""
        self.told(
            COMM, struct.pack("<II", pid, tid or pid) + name.encode() + b"\0", (pid, tid or pid, time, 0)
        )

    def fork(self, pid: int, parent: int, tid: int = 0, time: int = 0) -> None:
        """A new process, or, where both are one, a new thread of it."""
        body = struct.pack("<4IQ", pid, parent, tid or pid, parent, time)
        self.told(FORK, body, (parent, parent, time, 0))

    def map(self, pid: int, start: int, size: int, file: str, offset: int = 0, time: int = 0) -> None:
        """A file that is mapped to be run."""
        body = struct.pack("<II3QIIQQII", pid & NOBODY, pid & NOBODY, start, size, offset, 8, 1, 11, 0, 5, 2)
        self.told(MMAP2, body + file.encode() + b"\0", (pid, pid, time, 0))

    def old_map(self, pid: int, start: int, size: int, file: str, offset: int = 0) -> None:
        """The same in the older record."""
        body = struct.pack("<II3Q", pid & NOBODY, pid & NOBODY, start, size, offset)
        self.told(MMAP, body + file.encode() + b"\0", (pid, pid, 0, 0))

    def info(self, kind: int = 1, snapshot: int = 0) -> None:
        """What the AUX data are."""
        private = (PMU, SHIFT, MULT, ZERO, 1, 0, 0, 0, snapshot, 1)
        self.record(INFO, struct.pack("<II10Q", kind, 0, *private))

    def data(self, index: int, data: bytes, cpu: int = -1, tid: int = -1, *, size: int | None = None) -> int:
        """Data of the processor, filled up to eight bytes; where they begin in their stream."""
        place = self.places.get(index, 0)
        self.places[index] = place + len(data)
        data += bytes(-len(data) % 8)
        body = struct.pack(
            "<3Q4I", len(data) if size is None else size, place, 5, index, tid & NOBODY, cpu & NOBODY, 0
        )
        self.record(AUXTRACE, body)
        self.records[-1] += data
        return place

    def aux(self, place: int, size: int, who: tuple[int, int, int, int], flags: int = 0) -> None:
        """A stretch of a stream is over, and whose it was."""
        self.told(AUX, struct.pack("<3Q", place, size, flags), who)

    def attr(self) -> bytes:
        """The one event that was recorded."""
        flags = self.flags | SAMPLE_ID_ALL * self.trailer
        sample = (TID | TIME | CPU | IDENTIFIER) * self.trailer
        return struct.pack("<II5Q", PMU, 128, 0, 1, sample, 0, flags).ljust(128, b"\0")

    def packed(self) -> PerfData:
        """The same with all records but the processor's data in compressed ones, cut anywhere."""
        other = PerfData(self.flags, self.trailer, self.piped)
        packer = zstandard.ZstdCompressor().compressobj()
        for number, record in enumerate(self.records):
            if struct.unpack_from("<I", record)[0] in {AUXTRACE, ATTR}:
                other.records.append(record)
                continue
            cut = number % (len(record) + 1)
            for part in (record[:cut], record[cut:]):
                body = packer.compress(part) + packer.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)
                # A record's size is no multiple of eight here: the stream goes on at its very next byte.
                other.records.append(struct.pack("<IHH", COMPRESSED, 0, 8 + len(body)) + body)
        return other

    def bytes(self) -> bytes:
        """The file."""
        if self.piped:
            attr = struct.pack("<IHH", ATTR, 0, 8 + 128 + 8) + self.attr() + struct.pack("<Q", 77)
            return struct.pack("<8sQ", b"PERFILE2", 16) + attr + b"".join(self.records)
        ids_at, data_at = 104 + 144, 104 + 144 + 8
        data = b"".join(self.records)
        head = struct.pack("<8s8Q32x", b"PERFILE2", 104, 144, 104, 144, data_at, len(data), 0, 0)
        return head + self.attr() + struct.pack("<2Q", ids_at, 8) + struct.pack("<Q", 77) + data


def tsc(time: int) -> bytes:
    """A PSB with the TSC of a time, as at the beginning of decoding."""
    return PSB + b"\x19" + (((time - ZERO) << SHIFT) // MULT).to_bytes(7, "little") + b"\x02\x23"
