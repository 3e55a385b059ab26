"""Passes over all windows of a dataset, a piece at a time: what a split asks of more of them than fit into
memory. Nothing here grows with the windows; with the recordings, a number for each of them does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from vestige.reading.steps import NO_TIME
from vestige.reading.times import span
from vestige.reading.windows import WindowSet

PIECE = 1 << 18
"""Windows at a time: what is made of them on the way takes about 20 MB."""
DIGIT = 16
"""Bits of a value that a pass finds."""

Ints = NDArray[np.int64]
Placed = Iterator[tuple[WindowSet, Ints]]
"""Windows, piece by piece, and where each stands in time."""


def in_order(windows: WindowSet) -> bool:
    """Whether recordings come one after the other, and the windows of each in their order, as a dataset has
    them; windows that somebody picked may lie otherwise."""
    recording = position = -1
    for piece in windows.pieces(PIECE):
        of = np.r_[recording, piece.recording.astype(np.int64)]
        at = np.r_[position, piece.position]
        later = np.diff(of)
        if ((later < 0) | ((later == 0) & (np.diff(at) < 0))).any():
            return False
        recording, position = int(of[-1]), int(at[-1])
    return True


def tells_apart(windows: WindowSet) -> bool:
    """Whether there are known times, and not all the same: `times.tells_apart`."""
    spans = [found for piece in windows.pieces(PIECE) if (found := span(piece.t_ns)) is not None]
    return bool(spans) and min(first for first, _ in spans) < max(last for _, last in spans)


def sorted_windows(windows: WindowSet) -> WindowSet:
    """The windows in the order that `in_order` asks for."""
    if in_order(windows):
        return windows
    return windows.select(np.lexsort((windows.position, windows.recording)))


def placed(windows: WindowSet) -> Placed:
    """`WindowSet.placed_ns` of windows that lie in order, a piece at a time."""
    if not _some_have_times(windows):
        for piece in windows.pieces(PIECE):
            yield piece, piece.t_ns
        return
    first = _first_known(windows)
    recording, last = -1, NO_TIME
    for piece in windows.pieces(PIECE):
        of, t_ns = piece.recording.astype(np.int64), piece.t_ns
        fresh = np.diff(of, prepend=recording) != 0
        known = t_ns != NO_TIME
        # What no known time of its recording comes before stands at the first one that comes at all.
        own = np.where(known, t_ns, first[of])
        source = np.maximum.accumulate(np.where(known | fresh, np.arange(len(of)), -1))
        filled = np.where(source < 0, last, own[source])
        yield piece, filled
        recording, last = int(of[-1]), int(filled[-1])


def _some_have_times(windows: WindowSet) -> bool:
    """Whether some windows have a time, and others have none."""
    known = sum(int(np.count_nonzero(piece.t_ns != NO_TIME)) for piece in windows.pieces(PIECE))
    return 0 < known < len(windows)


def _first_known(windows: WindowSet) -> Ints:
    """The first time that anybody knows of each recording, `(recordings,)`; `NO_TIME` where there is none."""
    # Asked for first, because it refuses windows of recordings that there are none of.
    first = np.full(len(windows.counts), NO_TIME, dtype=np.int64)
    for piece in windows.pieces(PIECE):
        known = np.flatnonzero(piece.t_ns != NO_TIME)
        of, at = np.unique(piece.recording[known], return_index=True)
        missing = first[of] == NO_TIME
        first[of[missing]] = piece.t_ns[known[at[missing]]]
    return first


def known_times(windows: WindowSet) -> Callable[[], Iterator[Ints]]:
    """What gives the times of windows, piece by piece, as often as it is called; those of recordings without
    any are left out."""

    def pieces() -> Iterator[Ints]:
        return (times[times != NO_TIME] for _, times in placed(windows))

    return pieces


def at_ranks(pieces: Callable[[], Iterable[Ints]], ranks: Iterable[int]) -> dict[int, int]:
    """The values that would stand at `ranks` (0: the smallest) if all of them were sorted, by rank.

    They are not: each pass over `pieces()` counts the next 16 bits of those values that begin as the one at a
    rank does (a radix selection), so that four passes find it in half a megabyte for each rank.
    """
    begins = dict.fromkeys(ranks, 0)
    below = dict.fromkeys(begins, 0)
    for shift in range(64 - DIGIT, -1, -DIGIT):
        counts = {begin: np.zeros(1 << DIGIT, dtype=np.int64) for begin in begins.values()}
        for values in pieces():
            # With the sign's bit turned, unsigned numbers have the order that the signed ones had.
            keys = (values.view(np.uint64) ^ np.uint64(1 << 63)) >> np.uint64(shift)
            digit = (keys & np.uint64((1 << DIGIT) - 1)).astype(np.int64)
            keys >>= np.uint64(DIGIT)
            for begin in counts:
                counts[begin] += np.bincount(digit[keys == np.uint64(begin)], minlength=1 << DIGIT)
        for rank, begin in begins.items():
            upto = np.cumsum(counts[begin])
            found = int(np.searchsorted(upto, rank - below[rank], side="right"))
            below[rank] += int(upto[found] - counts[begin][found])
            begins[rank] = begin << DIGIT | found
    return {rank: value - (1 << 63) for rank, value in begins.items()}
