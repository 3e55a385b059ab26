"""Evidence without labels in three parts, one after the other: to learn from, to calibrate with, to check."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.reading.steps import NO_TIME
from vestige.reading.times import tells_apart
from vestige.reading.windows import WindowSet

SHARES = (0.6, 0.2, 0.2)
LEAST = 200
"""Windows that learning needs at the least: of fewer, nothing can be said of what is rare."""
LEAST_OF_PART = LEAST // 10
"""Windows that each part needs."""
FEW_RECORDINGS = 12
"""Without times, so many recordings are parted whole; of fewer, each is cut in three."""

WHOLE = "by whole recordings: nothing has a time"


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
        windows, label=np.zeros(len(windows), dtype=np.uint8), notes={**windows.notes, "labelled": False}
    )
    if tells_apart(windows.t_ns):
        stages = _cut(blind, _by_time(blind), "by time")
    elif len(windows.present) >= FEW_RECORDINGS:
        stages = _cut(blind, _by_recording(blind, seed), WHOLE)
    else:
        stages = _cut(blind, _by_place(blind), "each recording in three: nothing has a time")
    _refuse_lopsided(stages, where)
    return stages


def needed(share: float | None) -> str:
    """How much evidence learning needs, for whoever is about to read it; `share` of the windows alert, if
    that is known before."""
    told = f"learning needs {LEAST:,} windows (steps that are judged) at the least; a few thousand are better"
    if share is None:
        return f"{told}, and for a budget by time a week says more than an hour"
    enough = round(1 / share / SHARES[1])
    return f"{told}, and {enough:,} show how rare one in {round(1 / share):,} is"


def _cut(windows: WindowSet, stage: NDArray[np.int8], how: str) -> Stages:
    learn, calibrate, check = (windows.select(np.flatnonzero(stage == number)) for number in range(3))
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


def _edges(n: int) -> NDArray[np.int64]:
    return (np.cumsum(SHARES)[:-1] * n).astype(np.int64)


def _by_time(windows: WindowSet) -> NDArray[np.int8]:
    placed = windows.placed_ns
    times = np.sort(placed[placed != NO_TIME])
    cuts = times[_edges(len(times))]
    # What has no time stands before everything.
    return np.searchsorted(cuts, placed, side="right").astype(np.int8)


def _by_recording(windows: WindowSet, seed: int) -> NDArray[np.int8]:
    present = windows.present
    drawn = np.random.default_rng(seed).permutation(len(present))
    of = np.zeros(windows.recordings.height, dtype=np.int8)
    of[present[drawn]] = np.searchsorted(_edges(len(present)), np.arange(len(present)), side="right")
    return of[windows.recording]


def _by_place(windows: WindowSet) -> NDArray[np.int8]:
    stage = np.empty(len(windows), dtype=np.int8)
    for recording in windows.present.tolist():
        rows = np.flatnonzero(windows.recording == recording)
        stage[rows] = np.searchsorted(_edges(len(rows)), np.arange(len(rows)), side="right")
    return stage
