"""Which pieces of the processor's data are whose: a recording for each process."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vestige.errors import EvidenceError
from vestige.sources.traces.listings import Row
from vestige.sources.traces.packets.columns import packets
from vestige.sources.traces.packets.kinds import Kind
from vestige.sources.traces.perf.aux import AuxFile, Pieces
from vestige.sources.traces.perf.session import Buffer, Clock, Session

MOST_NAMED = 5
MOST_ROWS = 10_000_000
"""Of the maps of all buffers that are nobody's: each has those of all processes."""
_TSC_BITS = (1 << 56) - 1


@dataclass
class Share:
    """What one process did, or, where that cannot be known, what ran on one CPU. `name`: of the process, or
    of the CPU; `pid`: None for a CPU."""

    name: str
    pid: int | None
    pieces: Pieces
    rows: list[Row]
    doubts: list[str] = field(default_factory=list)


class Owned(NamedTuple):
    """A piece of a thread's: when it ended, as far as that is said; the buffer, and its bytes in the file."""

    pid: int
    tid: int
    time: int
    buffer: int
    at: int
    size: int


def shares(session: Session, path: Path, *, most_rows: int = MOST_ROWS) -> list[Share]:
    """The processes of a perf.data, in the order of their numbers, then what is nobody's for certain.

    Raises EvidenceError where maps of all who may have run would come to more than `most_rows`.
    """
    owned: dict[int, list[Owned]] = {}
    nobodys: list[Buffer] = []
    named = frozenset(pid for pid, process in session.processes.items() if process.rows) | session.started
    for number in sorted(session.buffers):
        buffer = session.buffers[number]
        if _whole_system(session, buffer):
            pieces = _by_switches(session, buffer, path) or _by_name(session, buffer, named)
        else:
            pieces = _by_aux(session, buffer) or _by_name(session, buffer, named)
            pieces = pieces or _by_switches(session, buffer, path)
        if not pieces:
            nobodys.append(buffer)
            continue
        for piece in pieces:
            owned.setdefault(piece.pid, []).append(piece)
    found = []
    for pid in sorted(owned):
        process = session.process(pid)
        found.append(Share(process.name or str(pid), pid, _ordered(owned[pid]), process.rows))
    return found + _nobodys(session, nobodys, most_rows)


def _pieces(buffer: Buffer) -> list[tuple[int, int, int]]:
    """Place in the stream, place in the file, and size of each piece."""
    columns = buffer.places.tolist()
    return list(zip(columns[::3], columns[1::3], columns[2::3], strict=True))


def _in_file(buffer: Buffer) -> Pieces:
    """Place in the file, and size of each piece."""
    return np.array(buffer.places, np.int64).reshape(-1, 3)[:, 1:]


def _whole_system(session: Session, buffer: Buffer) -> bool:
    """Whether a buffer holds whoever ran on its CPU, traced or not."""
    return buffer.cpu is not None and buffer.tid is None and not session.inherits


def _by_name(session: Session, buffer: Buffer, named: frozenset[int]) -> list[Owned]:
    """All of a buffer, where it can be of one process only; else nothing. `named`: the processes that records
    speak of."""
    tid = buffer.tid or 0
    if buffer.tid is not None:
        own = frozenset([session.process_of.get(tid, tid)])
        # In a CPU's buffer may be others whom the traced one started.
        named = own if buffer.cpu is None or not named else named
        if named != own:
            return []
    if len(named) != 1:
        return []
    (pid,) = named
    return [Owned(pid, tid, 0, buffer.index, at, size) for _, at, size in _pieces(buffer)]


def _by_aux(session: Session, buffer: Buffer) -> list[Owned]:
    """Pieces by the thread that each AUX record names. What no record covers, and what one of nobody covers,
    goes on with whoever ran there before."""
    if session.snapshot or buffer.cpu not in session.stretches:
        return []
    columns = session.stretches[buffer.cpu].columns.tolist()
    marks = sorted(zip(columns[::4], columns[1::4], columns[2::4], columns[3::4], strict=True))
    if all(tid < 0 for _, _, tid, _ in marks):
        return []
    found: list[Owned] = []
    tid = next(tid for _, _, tid, _ in marks if tid >= 0)
    mark = 0
    for offset, at, size in sorted(_pieces(buffer)):
        done = 0
        while done < size:
            while mark < len(marks) and marks[mark][0] + marks[mark][1] <= offset + done:
                mark += 1
            until, time = size, marks[min(mark, len(marks) - 1)][3]
            if mark < len(marks):
                begins, length, who, _ = marks[mark]
                if begins > offset + done:
                    until = min(size, begins - offset)
                else:
                    until = min(size, begins + length - offset)
                    if who in session.process_of:
                        tid = who
            elif size - done < 8:
                break  # zeros that perf filled the piece up with
            pid = session.process_of.get(tid, tid)
            found.append(Owned(pid, tid, time, buffer.index, at + done, until - done))
            done = until
    return found


def _by_switches(session: Session, buffer: Buffer, path: Path) -> list[Owned]:
    """Pieces of a CPU's buffer by who ran there when; none where records and packets do not say that.

    Between two TSC packets with a switch between them, it is nobody's: it is left out, and told.
    """
    if buffer.cpu not in session.switches or session.clock is None or session.snapshot:
        return []
    switches = session.switches[buffer.cpu]
    columns = switches.columns.tolist()
    ran = sorted(zip(columns[::2], columns[1::2], strict=True), key=lambda switch: switch[0])
    begins, times, starts = _marks(buffer, path, session.clock)
    if not len(begins):
        return []
    switched = np.array([time for time, _ in ran], np.int64)
    last = np.searchsorted(switched, times, side="right")
    found: list[Owned] = []
    known = 0
    in_file = _in_file(buffer)
    behind = np.cumsum(in_file[:, 1])
    at, size = 0, int(behind[-1])
    while at < len(begins):
        before = int(last[at])
        after = at + 1
        while after < len(begins) and last[after] == before:
            after += 1
        # The last of these marks is followed by a switch, unless the data end first.
        end, stop = after - 1, int(begins[after - 1])
        if after == len(begins) and before == len(ran):
            end, stop = after, size
        pid = -1
        if before:
            pid = ran[before - 1][1]
        first = next((mark for mark in range(at, end) if starts[mark]), None)
        if pid >= 0 and first is not None and begins[first] < stop:
            known += stop - int(begins[first])
            for place, length in _cut(in_file, behind, int(begins[first]), stop):
                if pid > 0:
                    found.append(Owned(pid, 0, int(times[first]), buffer.index, place, length))
        at = after
    if found and known < size:
        session.defects.append(
            f"{size - known} of {size} bytes of CPU {buffer.cpu} lie around switches, and are nobody's"
        )
    return found


def _marks(
    buffer: Buffer, path: Path, clock: Clock
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Where in a buffer a time is told, that time, and whether decoding can begin there: at a PSB."""
    begins: list[int] = []
    times: list[int] = []
    starts: list[bool] = []
    psb = -1
    with AuxFile(path, "", None, pieces=_in_file(buffer)).open() as file:
        for run in packets(iter(lambda: file.read(1 << 18), b"")):
            which = np.isin(run.kind, [Kind.PSB, Kind.TSC, Kind.PSBEND])
            rows = zip(
                run.kind[which].tolist(), run.offset[which].tolist(), run.value[which].tolist(), strict=True
            )
            for kind, offset, value in rows:
                if kind == Kind.PSB:
                    psb = offset
                elif kind == Kind.PSBEND:
                    psb = -1
                else:
                    tsc = value & _TSC_BITS
                    begins.append(psb if psb >= 0 else offset)
                    times.append((clock.zero + (tsc * clock.mult >> clock.shift)) & (1 << 62) - 1)
                    starts.append(psb >= 0)
                    psb = -1
    # A clock that went back (a damaged packet) would put bytes before a switch that came after it.
    order = np.maximum.accumulate(np.array(times, np.int64))
    return np.array(begins, np.int64), order, np.array(starts, np.bool_)


def _cut(in_file: Pieces, behind: NDArray[np.int64], start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The bytes from `start` to `stop` of pieces as places and sizes in the file; `behind`: bytes up to each
    piece's end."""
    piece = int(np.searchsorted(behind, start, side="right"))
    while start < stop:
        at, size = in_file[piece].tolist()
        end = int(behind[piece])
        last = min(stop, end)
        if start < last:
            yield at + size - (end - start), last - start
            start = last
        piece += 1


def _nobodys(session: Session, buffers: list[Buffer], most_rows: int) -> list[Share]:
    """Buffers of which it is not known who ran when, with the maps of all who may have."""
    known = [process for process in session.processes.values() if process.rows]
    rows = [row for process in known for row in process.rows]
    if len(buffers) * len(rows) > most_rows:
        raise EvidenceError(
            f"no record says who ran when on {len(buffers)} CPUs, and there are {len(known)} processes",
            where=session.where,
            remedy="record switches (--switch-events), or by thread (--per-thread)",
        )
    told = ", ".join(f"{process.name} {process.pid}" for process in known[:MOST_NAMED])
    if len(known) > MOST_NAMED:
        told += f" and {len(known) - MOST_NAMED} more"
    doubt = (
        f"no record says which process ran when ({told or 'none has a map'}): what ran there is one recording"
    )
    found = []
    for buffer in buffers:
        name = f"cpu{buffer.cpu}"
        if buffer.cpu is None:
            name = f"thread{buffer.tid}"
        found.append(Share(name, None, _in_file(buffer), rows, [doubt]))
    return found


def _ordered(pieces: list[Owned]) -> Pieces:
    """A process's pieces: thread by thread, in each by time, and pieces that touch as one."""
    began: dict[int, int] = {}
    for piece in pieces:
        began[piece.tid] = min(piece.time, began.get(piece.tid, piece.time))
    joined: list[list[int]] = []
    for piece in sorted(pieces, key=lambda piece: (began[piece.tid], *piece)):
        if joined and joined[-1][0] + joined[-1][1] == piece.at:
            joined[-1][1] += piece.size
        else:
            joined.append([piece.at, piece.size])
    return np.array(joined, np.int64).reshape(-1, 2)
