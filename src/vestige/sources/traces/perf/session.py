"""Who ran, what lay where in their memory, and which bytes of the processor's data are whose.

A buffer of a thread is that thread's. A buffer of a CPU holds whoever ran there: where a command was traced,
the kernel ends a stretch of data whenever it switches away from a traced thread, and an AUX record says which
thread that was; where a whole system was, SWITCH records say who ran when, and TSC packets when a byte was
written (`shares.py`). Who a byte belongs to is never guessed: what cannot be known is told.
"""

from __future__ import annotations

import struct
from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vestige.errors import EvidenceError
from vestige.sources.traces.listings import Row
from vestige.sources.traces.perf.records import OUT_OR_EXEC, Attr, Kind, Record, Records, number

INTEL_PT = 1
OTHER_TRACES = {
    2: "Intel BTS",
    3: "Arm CoreSight",
    4: "Arm SPE",
    5: "s390 CPU measurements",
    6: "HiSilicon PTT",
}
"""Kinds of AUX data by the number in AUXTRACE_INFO."""
MOST_REGIONS, MOST_NAME_BYTES = 200_000, 64 << 20
MOST_INHERITED = 1 << 20
"""Regions that children have of their parents, all of them together."""
MOST_TASKS, MOST_BUFFERS = 1 << 20, 1 << 16
MOST_STRETCHES = 1 << 21
TRUNCATED, OVERWRITE, PARTIAL, COLLISION = 1, 2, 4, 8
"""Flags of an AUX record."""
_MMAP, _MMAP_2, _FORK = struct.Struct("<II3Q"), struct.Struct("<II3Q24sII"), struct.Struct("<4I")
_AUX, _AUXTRACE = struct.Struct("<3Q"), struct.Struct("<3Q3I")
_VSYSCALL = Row(0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000, "[vsyscall]")
"""Where Linux has its page of system calls for old programs, in every process; perf says nothing of it."""


@dataclass
class Buffer:
    """The data of one CPU or thread: where each piece of it lies in the file, by its place in the stream."""

    index: int
    cpu: int | None
    tid: int | None
    places: array[int] = field(default_factory=lambda: array("q"))
    """Of each piece its place in the stream, its place in the file, and its size."""

    def add(self, offset: int, at: int, size: int) -> None:
        """The next piece. Pieces are filled up with zeros: where the stream goes on before, they are cut."""
        if len(self.places):
            over = self.places[-3] + self.places[-1] - offset
            if 0 < over < 8:
                self.places[-1] -= min(over, self.places[-1])
        self.places.extend((offset, at, size))

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(self.places[2::3])


@dataclass
class Stretches:
    """What AUX records say of the stream of one CPU: `(place, size, tid, time)` of each stretch, -1 where it
    is not said."""

    columns: array[int] = field(default_factory=lambda: array("q"))


@dataclass
class Switches:
    """Who ran on a CPU from when on: `(time, pid)`, -1 for nobody known."""

    columns: array[int] = field(default_factory=lambda: array("q"))


@dataclass
class Clock:
    """How TSC becomes the time of records: `zero + (tsc * mult >> shift)`, as the kernel documents it."""

    shift: int
    mult: int
    zero: int


@dataclass
class Process:
    """A process: its name, and what was mapped into its memory, the later of later."""

    pid: int
    name: str = ""
    rows: list[Row] = field(default_factory=list)


@dataclass
class Session:
    """All that the records of a perf.data say of Intel PT."""

    where: str
    processes: dict[int, Process] = field(default_factory=dict)
    process_of: dict[int, int] = field(default_factory=dict)
    """The process of each thread."""
    buffers: dict[int, Buffer] = field(default_factory=dict)
    stretches: dict[int, Stretches] = field(default_factory=dict)
    switches: dict[int, Switches] = field(default_factory=dict)
    started: set[int] = field(default_factory=set)
    """Processes that were traced, as ITRACE_START records say."""
    clock: Clock | None = None
    snapshot: bool = False
    inherits: bool = False
    defects: list[str] = field(default_factory=list)

    def process(self, pid: int) -> Process:
        """The process of this number."""
        if pid not in self.processes:
            if len(self.processes) >= MOST_TASKS:
                raise EvidenceError(f"more than {MOST_TASKS} processes", where=self.where)
            self.processes[pid] = Process(pid)
        return self.processes[pid]


def read_session(path: Path, *, most_inherited: int = MOST_INHERITED) -> Session:
    """What a perf.data says; all children together have `most_inherited` rows of their parents' maps at most.

    Raises EvidenceError where it is none, or has no Intel PT in it.
    """
    try:
        with path.open("rb") as file:
            return _Reading(Records(file, path.stat().st_size, str(path)), most_inherited).read()
    except OSError as error:
        remedy = "give a perf.data, or a trace_0 of Intel PT packets"
        raise EvidenceError(f"cannot be read: {error.strerror}", where=path, remedy=remedy) from error


class _Reading:
    """Goes through the records once."""

    def __init__(self, records: Records, most_inherited: int) -> None:
        self.most_inherited = most_inherited
        self.records = records
        self.session = Session(records.where)
        self.kind: int | None = None
        self.pmu: int | None = None
        self.counts: Counter[str] = Counter()
        self.names: dict[str, str] = {}
        self.name_bytes = 0
        self.events: list[tuple[int, int, int, Record]] = []
        """What changes processes: COMM, FORK and MMAP, with their times and their order."""
        self.samples_aux = False

    def read(self) -> Session:
        handlers: dict[int, Callable[[Record], None]] = {
            Kind.MMAP: self._later, Kind.MMAP2: self._later, Kind.COMM: self._later, Kind.FORK: self._later,
            Kind.AUX: self._aux, Kind.AUXTRACE: self._auxtrace, Kind.AUXTRACE_INFO: self._info,
            Kind.ITRACE_START: self._started, Kind.SWITCH: self._switch, Kind.SWITCH_CPU_WIDE: self._switch,
            Kind.LOST: self._lost, Kind.LOST_SAMPLES: self._lost, Kind.AUXTRACE_ERROR: self._error,
            Kind.TIME_CONV: self._time,
        }  # fmt: skip
        for record in self.records:
            handle = handlers.get(record.kind)
            if handle is not None:
                handle(record)
        self._check()
        # Records of several CPUs come in the order of their buffers: a thread may be seen before its process.
        for _, _, _, record in sorted(self.events, key=lambda event: event[:2]):
            self._change(record)
        self._settle()
        return self.session

    def _later(self, record: Record) -> None:
        if len(self.events) >= MOST_REGIONS:
            raise EvidenceError(f"more than {MOST_REGIONS} maps and tasks", where=self.records.where)
        self.name_bytes += len(record.body)
        if self.name_bytes > MOST_NAME_BYTES:
            raise EvidenceError(f"names of more than {MOST_NAME_BYTES >> 20} MiB", where=self.records.where)
        time = self.records.trailer(record.body).time or 0
        self.events.append((time, len(self.events), record.kind, record))

    def _change(self, record: Record) -> None:
        body = self.records.content(record.body)
        if record.kind == Kind.FORK:
            self._fork(body)
        elif record.kind == Kind.COMM and len(body) >= 8:
            pid, tid = struct.unpack_from("<iI", body)
            self._belongs(tid, pid)
            if pid > 0 and pid == tid:
                self.session.process(pid).name = _text(body[8:])
        elif record.kind in {Kind.MMAP, Kind.MMAP2}:
            self._map(record.kind, body)

    def _fork(self, body: bytes) -> None:
        if len(body) < _FORK.size:
            return
        pid, parent, tid, _ = _FORK.unpack_from(body)
        self._belongs(tid, pid)
        if pid != parent and pid < 1 << 31 and parent in self.session.processes:
            child, of = self.session.process(pid), self.session.processes[parent]
            child.name = child.name or of.name
            self.counts["inherited"] += len(of.rows)
            if self.counts["inherited"] <= self.most_inherited:
                child.rows += of.rows

    def _map(self, kind: int, body: bytes) -> None:
        layout = _MMAP if kind == Kind.MMAP else _MMAP_2
        if len(body) < layout.size:
            return
        pid, tid, start, size, offset = layout.unpack_from(body)[:5]
        if number(pid) is None or not 0 < pid < 1 << 31 or not size:
            return  # of the kernel, whose addresses are told by where they lie
        self._belongs(tid, pid)
        name = _text(body[layout.size :])
        name = self.names.setdefault(name, name)
        rows = self.session.process(pid).rows
        if len(rows) < MOST_REGIONS:
            rows.append(Row(start, min(start + size, (1 << 64) - 1), name, offset=offset, pid=pid))

    def _belongs(self, tid: int, pid: int) -> None:
        if len(self.session.process_of) < MOST_TASKS and 0 < pid < 1 << 31:
            self.session.process_of[tid] = pid

    def _info(self, record: Record) -> None:
        if len(record.body) < 8:
            return
        self.kind = struct.unpack_from("<I", record.body)[0]
        private = [value for (value,) in struct.iter_unpack("<Q", record.body[8 : len(record.body) // 8 * 8])]
        if self.kind == INTEL_PT and len(private) >= 9:
            self.pmu = private[0]
            if private[4] & 1:
                self._set_clock(*private[1:4])
            self.session.snapshot = bool(private[8])

    def _time(self, record: Record) -> None:
        if len(record.body) >= 24 and self.session.clock is None:
            self._set_clock(*struct.unpack_from("<3Q", record.body))

    def _set_clock(self, shift: int, mult: int, zero: int) -> None:
        if shift < 64:
            self.session.clock = Clock(shift, mult, zero)

    def _auxtrace(self, record: Record) -> None:
        if len(record.body) < _AUXTRACE.size:
            return
        size, offset, _, index, tid, cpu = _AUXTRACE.unpack_from(record.body)
        there = max(0, min(size, self.records.size - record.after))
        buffers = self.session.buffers
        if index not in buffers:
            if len(buffers) >= MOST_BUFFERS:
                raise EvidenceError(f"more than {MOST_BUFFERS} buffers", where=self.records.where)
            buffers[index] = Buffer(index, number(cpu), number(tid))
        if there and offset < 1 << 62:
            buffers[index].add(offset, record.after, there)
            self._count_stretch()

    def _count_stretch(self) -> None:
        self.counts["stretches"] += 1
        if self.counts["stretches"] > MOST_STRETCHES:
            raise EvidenceError(
                f"more than {MOST_STRETCHES} stretches of data and switches",
                where=self.records.where,
                remedy="record a shorter time, or by thread (--per-thread)",
            )

    def _aux(self, record: Record) -> None:
        if len(record.body) < _AUX.size:
            return
        offset, size, flags = _AUX.unpack_from(record.body)
        self.counts["truncated"] += bool(flags & TRUNCATED)
        self.counts["partial"] += bool(flags & PARTIAL)
        self.counts["collision"] += bool(flags & COLLISION)
        if flags & OVERWRITE:
            self.session.snapshot = True
        who = self.records.trailer(record.body)
        if who.pid is not None and who.tid is not None:
            self._belongs(who.tid, who.pid)
        if size and offset < 1 << 62 and size < 1 << 62 and who.cpu is not None:
            columns = self.session.stretches.setdefault(who.cpu, Stretches()).columns
            columns.extend((offset, size, _or(who.tid), _or(who.time)))
            self._count_stretch()

    def _started(self, record: Record) -> None:
        if len(record.body) >= 8:
            pid, tid = struct.unpack_from("<II", record.body)
            self._belongs(tid, pid)
            if 0 < pid < 1 << 31 and len(self.session.started) < MOST_TASKS:
                self.session.started.add(pid)

    def _switch(self, record: Record) -> None:
        who = self.records.trailer(record.body)
        if who.cpu is None or who.time is None:
            return
        pid = _or(who.pid)
        if record.misc & OUT_OR_EXEC:
            pid = -1
            if record.kind == Kind.SWITCH_CPU_WIDE and len(record.body) >= 8:
                pid = _or(number(struct.unpack_from("<I", record.body)[0]))
        self._count_stretch()
        self.session.switches.setdefault(who.cpu, Switches()).columns.extend((who.time & (1 << 62) - 1, pid))

    def _lost(self, record: Record) -> None:
        at = 8 if record.kind == Kind.LOST else 0
        if len(record.body) >= at + 8:
            self.counts["lost"] += struct.unpack_from("<Q", record.body, at)[0]

    def _error(self, _record: Record) -> None:
        self.counts["errors"] += 1

    def _check(self) -> None:
        """Raises EvidenceError where there is no Intel PT in it."""
        remedy = "record it with: perf record -e intel_pt//u -- PROGRAM"
        if self.kind is not None and self.kind != INTEL_PT:
            other = OTHER_TRACES.get(self.kind, f"data of kind {self.kind}")
            raise EvidenceError(
                f"no Intel PT in this perf.data: it holds {other}", where=self.records.where, remedy=remedy
            )
        if any(buffer.size for buffer in self.session.buffers.values()):
            return
        why = f"its {self.records.count} records are of other events"
        if any(attr.sample_type & Attr.AUX for attr in self.records.attrs):
            why = "it has samples of it alone (--aux-sample), which are not read"
        elif self.kind == INTEL_PT or self.session.buffers:
            why = "the event was recorded, but the processor wrote nothing"
        if self.records.defects:
            why += f"; {self.records.defects[0]}"
        raise EvidenceError(f"no Intel PT in this perf.data: {why}", where=self.records.where, remedy=remedy)

    def _settle(self) -> None:
        """What is known only at the end."""
        session, counts = self.session, self.counts
        attrs = [attr for attr in self.records.attrs if self.pmu is None or attr.type == self.pmu]
        session.inherits = any(attr.flags & Attr.INHERIT for attr in attrs)
        if any(attr.flags & Attr.USE_CLOCKID for attr in attrs):
            session.clock = None  # times are of another clock
        session.defects += self.records.defects
        told = {
            "truncated": "the buffer was full, what ran then is missing (AUX records that are truncated)",
            "partial": "the processor's data have gaps (AUX records that are partial)",
            "collision": "another user of the unit got in the way (AUX records with a collision)",
            "lost": "records of perf itself were lost, maps or switches may be missing",
            "errors": "perf reports errors of decoding (AUXTRACE_ERROR records)",
        }
        session.defects += [f"{why}: {counts[what]}" for what, why in told.items() if counts[what]]
        if counts["inherited"] > self.most_inherited:
            session.defects.append(
                "some processes lack what was mapped before they were forked: there are too many"
            )
        if session.snapshot and any(len(buffer.places) > 3 for buffer in session.buffers.values()):
            session.defects.append("several snapshots: what lies in two of them is read twice")
        for process in session.processes.values():
            process.rows = [row._replace(process=process.name) for row in process.rows]
            if process.rows:
                process.rows.append(_VSYSCALL)


def _or(value: int | None) -> int:
    """-1 for what is not said; times have 62 bits."""
    return -1 if value is None else value & (1 << 62) - 1


def _text(raw: bytes) -> str:
    """A name up to its zero byte."""
    return raw.partition(b"\0")[0].decode("utf-8", errors="backslashreplace")
