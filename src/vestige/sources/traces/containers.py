"""Files that hold Intel PT among other things, told by how they begin: no header is taken for packets."""

from __future__ import annotations

import struct
from pathlib import Path

from vestige.errors import EvidenceError
from vestige.sources.traces.perf.records import FIRST_VERSION, MAGIC, SWAPPED

_WINDOWS = struct.Struct("<HHI")
_WINDOWS_THREAD = struct.Struct("<Q5I")
"""Of what Windows' driver `ipt.sys` gives: version, validity and size of all, which WinIPT's `ipttool` does
not write to its files; then of each thread its number, settings of timing, MTC and TSC, where its ring was at
last, and the size of its data."""
_LATEST_WINDOWS_VERSION = 2
_MOST_TIMING, _MOST_MTC, _MOST_DATA = 3, 15, 1 << 30
_PSB = b"\x02\x82" * 8
PERF = (MAGIC, SWAPPED, FIRST_VERSION)


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
    if _is_windows(start):
        raise EvidenceError(
            "a trace of WinIPT (Windows' ipt.sys): headers and a ring for each thread, and no packets",
            where=where,
            remedy="write each thread's data to a trace_0 of its own, from its RingBufferOffset to the end, "
            "then from the beginning to there",
        )


def _is_windows(start: bytes) -> bool:
    """Whether a file begins with the header of a thread's data, by itself or behind that of the whole."""
    if len(start) >= _WINDOWS.size:
        version, valid, _ = _WINDOWS.unpack_from(start)
        whole = 1 <= version <= _LATEST_WINDOWS_VERSION and valid <= 1
        if whole and _is_thread(start[_WINDOWS.size :]):
            return True
    return _is_thread(start)


def _is_thread(start: bytes) -> bool:
    if len(start) < _WINDOWS_THREAD.size or _PSB in start[: _WINDOWS_THREAD.size + 1]:
        return False
    thread, timing, mtc, _, ring, data = _WINDOWS_THREAD.unpack_from(start)
    settings = timing <= _MOST_TIMING and mtc <= _MOST_MTC
    return bool(settings and 0 < thread < 1 << 32 and ring <= data and 0 < data <= _MOST_DATA)
