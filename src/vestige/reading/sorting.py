"""Steps of all recordings, in the order in which they were read, to one recording after the other by time.

External: steps lie in files of packed records. What exceeds `budget` steps is distributed, by ranges of
recordings whose sizes are known, over at most `fan_out` files, and those again where they are still too
large; a single recording that is too large is sorted by its times alone (16 bytes a step), its records stay
on disk. Stable: steps of one recording and time stay in the order in which they were read. A step without
a time stands where it was read: at the last known time before it in its recording, else at the next one
after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vestige.reading.times import placed

BUDGET = 1 << 17
"""Steps held in memory at a time: 6 MB of records, and as much again while they are sorted."""
FAN_OUT = 64

Records = NDArray[Any]
"""Steps as packed records with a field `recording` and a field `t_ns`, `(n,)`."""


def by_recording(
    file: Path,
    dtype: np.dtype[Any],
    recordings: NDArray[np.int64],
    counts: NDArray[np.int64],
    *,
    budget: int = BUDGET,
    fan_out: int = FAN_OUT,
) -> Iterator[tuple[int, Iterator[Records]]]:
    """Each of `recordings` in that order, with its steps by time, in pieces.

    `file` holds the records of exactly these recordings, `counts[i]` of `recordings[i]`; it is used up.
    Pieces must be taken before the next recording is asked for.
    """
    total = int(counts.sum())
    if total <= budget:
        yield from _in_memory(file, dtype, recordings)
    elif len(recordings) == 1:
        yield int(recordings[0]), _too_large(file, dtype, budget)
    else:
        for part, (low, high) in _distribute(file, dtype, recordings, _ranges(counts, budget, fan_out)):
            yield from by_recording(
                part, dtype, recordings[low:high], counts[low:high], budget=budget, fan_out=fan_out
            )
    file.unlink(missing_ok=True)


def _in_memory(
    file: Path, dtype: np.dtype[Any], recordings: NDArray[np.int64]
) -> Iterator[tuple[int, Iterator[Records]]]:
    records = np.fromfile(file, dtype=dtype)
    rank = _ranks(recordings)[records["recording"]]
    order = np.lexsort((placed(records["t_ns"], rank), rank))
    records, rank = records[order], rank[order]
    bounds = np.searchsorted(rank, np.arange(len(recordings) + 1))
    for at, recording in enumerate(recordings.tolist()):
        yield recording, iter([records[bounds[at] : bounds[at + 1]]])


def _too_large(file: Path, dtype: np.dtype[Any], budget: int) -> Iterator[Records]:
    """One recording's steps: times in memory, records picked from the mapped file in their order."""
    records = np.memmap(file, dtype=dtype, mode="r")
    times = np.array(records["t_ns"])
    order = np.argsort(placed(times, np.zeros(len(times), dtype=np.uint8)), kind="stable")
    for start in range(0, len(order), budget):
        yield records[order[start : start + budget]]


def _ranges(counts: NDArray[np.int64], budget: int, fan_out: int) -> list[tuple[int, int]]:
    """Ranges of recordings: each small enough or a single recording; of too many, neighbours are joined."""
    starts = [0]
    held = 0
    for at, count in enumerate(counts.tolist()):
        if held and held + count > budget:
            starts.append(at)
            held = 0
        held += count
    step = -(-len(starts) // fan_out)
    starts = starts[::step]
    return list(zip(starts, [*starts[1:], len(counts)], strict=True))


def _distribute(
    file: Path, dtype: np.dtype[Any], recordings: NDArray[np.int64], ranges: list[tuple[int, int]]
) -> list[tuple[Path, tuple[int, int]]]:
    """The records of `file` in one file a range, in the order in which they lie; `file` is removed."""
    part_of = np.repeat(np.arange(len(ranges)), [high - low for low, high in ranges])
    rank = _ranks(recordings)
    parts = [file.with_name(f"{file.name}.{number}") for number in range(len(ranges))]
    with ExitStack() as stack:
        source = stack.enter_context(file.open("rb"))
        targets: list[BinaryIO] = [stack.enter_context(part.open("wb")) for part in parts]
        while len(records := np.fromfile(source, dtype=dtype, count=BUDGET)):
            part = part_of[rank[records["recording"]]]
            order = np.argsort(part, kind="stable")
            bounds = np.searchsorted(part[order], np.arange(len(parts) + 1))
            records = records[order]
            for at, target in enumerate(targets):
                target.write(records[bounds[at] : bounds[at + 1]].tobytes())
    file.unlink()
    return list(zip(parts, ranges, strict=True))


def _ranks(recordings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place of every recording in the order wanted, by its number."""
    size = 0
    if len(recordings):
        size = int(recordings.max()) + 1
    rank = np.zeros(size, dtype=np.int64)
    rank[recordings] = np.arange(len(recordings))
    return rank
