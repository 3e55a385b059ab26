"""Evidence without labels in three parts, one after the other: to learn from, to calibrate with, to check."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.reading.collecting import Collector
from vestige.reading.steps import repeated
from vestige.reading.windows import WindowSet
from vestige.splits import passes

SHARES = (0.6, 0.2, 0.2)
LEAST = 200
"""Windows that learning needs at the least: of fewer, nothing can be said of what is rare."""
LEAST_OF_PART = LEAST // 10
"""Windows that each part needs."""
FEW_RECORDINGS = 12
"""Without times, so many recordings are parted whole; of fewer, each is cut in three."""

WHOLE = "by whole recordings: nothing has a time"

Coded = Callable[[], Iterator[tuple[WindowSet, NDArray[np.int8]]]]
"""Gives windows piece by piece, and the number of the stage of each, as often as it is called."""


@dataclass(frozen=True)
class Stages:
    """Windows without labels; `how` says by what they were parted."""

    learn: WindowSet
    calibrate: WindowSet
    check: WindowSet
    how: str

    @property
    def by_recording(self) -> bool:
        """Whether each part has whole recordings, drawn by chance."""
        return self.how == WHOLE


def part(windows: WindowSet, *, seed: int = 0, where: Path | None = None) -> Stages:
    """Part windows by time; where nothing has a time, by recordings, drawn with `seed`; of few recordings
    without times, by where in its recording a window lies.

    Raises SplitError where there is too little; `where` is what the windows were read from.
    """
    if len(windows) < LEAST:
        raise SplitError(
            f"there are {len(windows):,} windows (recordings: {len(windows.present):,}), and learning what "
            f"is normal needs {LEAST:,} windows at the least (a few thousand are better)",
            where=where,
            remedy="give more evidence: more files, or a longer time",
        )
    blind = replace(
        passes.sorted_windows(windows),
        label=repeated(np.uint8(0), len(windows)),
        notes={**windows.notes, "labelled": False},
    )
    if passes.tells_apart(blind):
        stages = _cut(blind, _by_time(blind), "by time")
    elif len(blind.present) >= FEW_RECORDINGS:
        stages = _cut(blind, _by_recording(blind, seed), WHOLE)
    else:
        stages = _cut(blind, _by_place(blind), "each recording in three: nothing has a time")
    _refuse_lopsided(stages, where)
    return stages


def needed(share: float | None) -> str:
    """How much evidence learning needs, for whoever is about to read it; `share` of the windows alert, if
    that is known before."""
    told = f"Learning needs at least {LEAST:,} windows (judged steps), and a few thousand are better."
    if share is None:
        return f"{told} A week of evidence says more about a budget by time than an hour does."
    enough = round(1 / share / SHARES[1])
    return f"{told} How rare one in {round(1 / share):,} is can be seen in {enough:,}."


def _cut(windows: WindowSet, coded: Coded, how: str) -> Stages:
    """The windows of each stage: views where they lie together, as those of a single file do, else copies, of
    many windows in files (`Collector`)."""
    count, first, end = ([0] * len(SHARES) for _ in range(3))
    at = 0
    for _, codes in coded():
        for stage in range(len(SHARES)):
            rows = np.flatnonzero(codes == stage)
            if len(rows):
                first[stage] = first[stage] if count[stage] else at + int(rows[0])
                end[stage] = at + int(rows[-1]) + 1
                count[stage] += len(rows)
        at += len(codes)
    together = [end[stage] - first[stage] == count[stage] for stage in range(len(SHARES))]
    sides = [windows.select(slice(first[stage], end[stage])) for stage in range(len(SHARES))]
    apart = {stage: Collector(windows, count[stage]) for stage in range(len(SHARES)) if not together[stage]}
    if apart:
        for piece, codes in coded():
            for stage, collector in apart.items():
                collector.add(piece.select(codes == stage))
    for stage, collector in apart.items():
        sides[stage] = collector.finish()
    learn, calibrate, check = sides
    return Stages(learn, calibrate, check, how)


def _refuse_lopsided(stages: Stages, where: Path | None) -> None:
    """Raise SplitError where a part has hardly any windows."""
    parts = (
        (stages.learn, "learn from"),
        (stages.calibrate, "calibrate with"),
        (stages.check, "check with"),
    )
    for windows, purpose in parts:
        if len(windows) < LEAST_OF_PART:
            raise SplitError(
                f"parted {stages.how.partition(':')[0]}, there are {len(windows):,} windows to {purpose}, "
                f"and {LEAST_OF_PART:,} are needed: nearly all have one time, or are of one recording",
                where=where,
                remedy="give evidence of a longer time, or of more recordings that are about as long",
            )


def _edges(n: NDArray[np.int64] | int) -> NDArray[np.int64]:
    """Of `n` windows one after the other, the first of the second stage and of the third; of several `n (R,)`
    as `(R, 2)`."""
    edges: NDArray[np.int64] = (np.multiply.outer(n, np.cumsum(SHARES)[:-1])).astype(np.int64)
    return edges


def _by_time(windows: WindowSet) -> Coded:
    times = passes.known_times(windows)
    ranks = _edges(sum(map(len, times()))).tolist()
    found = passes.at_ranks(times, ranks)
    cuts = [found[rank] for rank in ranks]

    def coded() -> Iterator[tuple[WindowSet, NDArray[np.int8]]]:
        for piece, placed in passes.placed(windows):
            # What has no time stands before everything.
            yield piece, np.searchsorted(cuts, placed, side="right").astype(np.int8)

    return coded


def _by_recording(windows: WindowSet, seed: int) -> Coded:
    present = windows.present
    drawn = np.random.default_rng(seed).permutation(len(present))
    of = np.zeros(windows.recordings.height, dtype=np.int8)
    of[present[drawn]] = np.searchsorted(_edges(len(present)), np.arange(len(present)), side="right")
    return lambda: ((piece, of[piece.recording]) for piece in windows.pieces(passes.PIECE))


def _by_place(windows: WindowSet) -> Coded:
    many = windows.counts.sum(axis=1)
    first, edges = np.cumsum(many) - many, _edges(many)

    def coded() -> Iterator[tuple[WindowSet, NDArray[np.int8]]]:
        at = 0
        for piece in windows.pieces(passes.PIECE):
            place = np.arange(at, at + len(piece)) - first[piece.recording]
            yield piece, (place[:, None] >= edges[piece.recording]).sum(axis=1).astype(np.int8)
            at += len(piece)

    return coded
