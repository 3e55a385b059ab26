"""Files that hold Intel PT among other things, told by how they begin: no header is taken for packets."""

from __future__ import annotations

import struct
from pathlib import Path

from vestige.errors import EvidenceError
from vestige.sources.traces.perf.records import FIRST_VERSION, MAGIC, SWAPPED

_WINDOWS = struct.Struct("<HHI")
_WINDOWS_THREAD = struct.Struct("<Q5I")
"""Of what Windows' driver `ipt.sys` gives: version, validity and size of all; then of each thread its number,
timing, MTC and TSC settings, where its ring was at last, and the size of its data."""
_LATEST_WINDOWS_VERSION = 2
PERF = (MAGIC, SWAPPED, FIRST_VERSION)
LONGEST_HEADER = _WINDOWS.size + _WINDOWS_THREAD.size


def is_perf(path: Path) -> bool:
    """Whether a file begins as a perf.data of any kind does; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) in PERF
    except OSError:
        return False


def refuse_container(start: bytes, where: str) -> None:
    """Raises EvidenceError where the first bytes of what should be packets are those of something else."""
    if start.startswith(PERF):
        raise EvidenceError(
            "a perf.data, and no packets",
            where=where,
            remedy="give it unpacked to preview, prepare or score: they read the processes in it",
        )
    if len(start) < LONGEST_HEADER:
        return
    version, valid, size = _WINDOWS.unpack_from(start)
    *_, ring, data = _WINDOWS_THREAD.unpack_from(start, _WINDOWS.size)
    within = _WINDOWS_THREAD.size + data <= size and ring <= data
    if 1 <= version <= _LATEST_WINDOWS_VERSION and valid <= 1 and data and within:
        raise EvidenceError(
            "a trace of WinIPT (Windows' ipt.sys): headers and a ring for each thread, and no packets",
            where=where,
            remedy="write each thread's data to a trace_0 of its own, from its RingBufferOffset to the end, "
            "then from the beginning to there",
        )
