"""Checks of the raw evidence: no step is looked at from two sides, no copy lies across the cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.entities import sides
from vestige.evaluation.hashing import row_hashes
from vestige.evaluation.results import CheckResult
from vestige.splits import Parts, Split
from vestige.windows import WindowSet

CHUNK = 65_536
"""Windows gathered at a time."""
MOST_COPIES = 0.01
"""A larger share of test windows that are raw copies of training windows is a leak."""


def shared_raw_interval(parts: Parts) -> CheckResult:
    """No step of the streams may be visible from two parts; a recording's leading padding does not count."""
    seen = {part: _visible(one) for part, one in sides(parts).items()}
    shared = (seen["train"] & (seen["validation"] | seen["test"])) | (seen["validation"] & seen["test"])
    steps = int(shared.sum())
    if not steps:
        detail = "no step is looked at from two sides"
        return CheckResult(name="shared_raw_interval", status="pass", figure=0.0, detail=detail)
    where = parts.train.recordings["id"][_recording_of(parts.train, int(np.argmax(shared)))]
    return CheckResult(
        name="shared_raw_interval",
        status="fail",
        figure=float(steps),
        detail=f"{steps} steps are looked at from two sides, the first in {where}",
    )


def _visible(windows: WindowSet) -> NDArray[np.bool_]:
    """Which steps the windows look at, padding left out, `(n_steps,)`."""
    padding = windows.padding
    marks = np.zeros(len(padding), dtype=np.bool_)
    for start in range(0, len(windows), CHUNK):
        marks[windows.steps(slice(start, start + CHUNK)).ravel()] = True
    marks &= ~padding
    return marks


def _recording_of(windows: WindowSet, step: int) -> int:
    first = windows.recordings["first_step"].to_numpy()
    return int(np.searchsorted(first, step, side="right")) - 1


def duplicate_recordings(parts: Parts, split: Split) -> CheckResult:
    """A test recording may not be a copy (equal digest of the raw content) of a training recording."""
    name = "duplicate_recordings"
    if split.unit != "recording":
        detail = f"the {split.recipe} split cuts within recordings; copies are looked for window by window"
        return CheckResult(name=name, status="not_applicable", detail=detail)
    known = _digests(parts.train) | _digests(parts.validation)
    copies = {digest: one for digest, one in _digests(parts.test).items() if digest and digest in known}
    if not copies:
        detail = "no recording has a copy across the cut"
        return CheckResult(name=name, status="pass", figure=0.0, detail=detail)
    digest, one = next(iter(copies.items()))
    detail = f"{len(copies)} test recordings are copies of earlier ones, such as {one} of {known[digest]}"
    return CheckResult(name=name, status="fail", figure=float(len(copies)), detail=detail)


def _digests(windows: WindowSet) -> dict[str, str]:
    """Recording id by digest."""
    rows = windows.recordings[np.unique(windows.recording)]
    return dict(zip(rows["digest"].to_list(), rows["id"].to_list(), strict=True))


def duplicate_windows(parts: Parts, stream: str = "raw") -> CheckResult:
    """Test windows whose whole raw content (stream `raw`: hashes of the bytes, times included) is that of a
    training or validation window. Fails above 1% of the test windows."""
    name = "duplicate_windows"
    if stream not in parts.test.streams:
        return CheckResult(name=name, status="not_applicable", detail=f"the dataset has no stream {stream!r}")
    known = np.concatenate([_raw_hashes(parts.train, stream), _raw_hashes(parts.validation, stream)])
    copies = np.isin(_raw_hashes(parts.test, stream), known)
    share = float(copies.mean()) if len(copies) else 0.0
    if not copies.any():
        detail = "no test window is a raw copy of a training or validation window"
        return CheckResult(name=name, status="pass", figure=0.0, detail=detail)
    return CheckResult(
        name=name,
        status="fail" if share > MOST_COPIES else "warn",
        figure=share,
        detail=f"{int(copies.sum())} test windows ({share:.2%}) copy earlier windows, times included",
    )


def _raw_hashes(windows: WindowSet, stream: str) -> NDArray[np.uint64]:
    pieces: list[NDArray[Any]] = [np.empty(0, dtype=np.uint64)]
    for start in range(0, len(windows), CHUNK):
        steps = windows.gather(slice(start, start + CHUNK), (stream,))
        pieces.append(row_hashes(steps))
    return np.concatenate(pieces)
