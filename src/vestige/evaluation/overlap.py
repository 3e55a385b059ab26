"""What the sides of a split have in common: steps that two look at, copies across the cut, equal inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.results import CheckResult
from vestige.hashing import Hashes, row_hashes
from vestige.reading.encoding import EncodedWindows
from vestige.reading.times import tells_apart
from vestige.reading.windows import WindowSet
from vestige.splits import Parts, Split

CHUNK, INPUTS_CHUNK = 65_536, 4_096
"""Windows gathered at a time: of raw steps, and of a model's inputs, which are larger."""
MOST_COPIES = 0.01
"""A larger share of test windows that are raw copies of training windows is a leak."""
MOST_COPIED_STEPS = 0.25
"""The same where sides interleave, and only last steps with their times can be compared."""
MANY_REPEATED = 0.5
"""A larger share of test windows whose inputs training has is worth a warning."""


def shared_raw_interval(parts: Parts) -> CheckResult:
    """No step of the streams may be visible from two parts; a recording's leading padding does not count."""
    seen = {part: _visible(side) for part, side in parts.sides.items()}
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
    """Recordings with equal digests of their raw content.

    Fails where a test recording is a copy of a training or validation recording, and where the split draws
    single windows, so that copies lie on all sides. Any other copies (on one side; of a corpus cut by time
    or by group) are warned of: they count one piece of evidence twice. The figure counts the copies.
    """
    name = "duplicate_recordings"
    if split.unit == "recording":
        known = _digests(parts.train) | _digests(parts.validation)
        digests = _digests(parts.test)
        copied = [digest for digest in digests if digest and digest in known]
        if copied:
            such = f"{digests[copied[0]]} of {known[copied[0]]}"
            detail = f"{len(copied)} test recordings are copies of earlier ones, such as {such}"
            return CheckResult(name=name, status="fail", figure=float(len(copied)), detail=detail)
    pairs = _copies(parts)
    if not pairs:
        return CheckResult(name=name, status="pass", figure=0.0, detail="no recording is a copy of another")
    copy, original = pairs[0]
    across = split.unit == "window"
    detail = f"{len(pairs)} recordings are copies of others, such as {copy} of {original}: "
    if across:
        detail += "windows drawn singly put them on all sides"
        return CheckResult(name=name, status="fail", figure=float(len(pairs)), detail=detail)
    detail += "the same evidence counts twice"
    return CheckResult(name=name, status="warn", figure=float(len(pairs)), detail=detail)


def _copies(parts: Parts) -> list[tuple[str, str]]:
    """Each used recording with an earlier used one that it copies, `(copy, original)`."""
    used = np.unique(np.concatenate([side.present for side in parts.sides.values()]))
    rows = parts.train.recordings[used]
    first: dict[str, str] = {}
    pairs = []
    for digest, recording in zip(rows["digest"].to_list(), rows["id"].to_list(), strict=True):
        if digest and first.setdefault(digest, recording) != recording:
            pairs.append((recording, first[digest]))
    return pairs


def _digests(windows: WindowSet) -> dict[str, str]:
    """Recording id by digest."""
    rows = windows.recordings[windows.present]
    return dict(zip(rows["digest"].to_list(), rows["id"].to_list(), strict=True))


def duplicate_windows(parts: Parts, split: Split, stream: str = "raw") -> CheckResult:
    """Test windows whose raw content (stream `raw`: hashes of the bytes, times included) is that of a
    training or validation window.

    The whole window is compared where sides are whole stretches: fails above 1% of the test windows. Where
    sides interleave (single windows, groups) no window can match whole, and the last step is compared with
    its time: fails above 25%, since a busy log does repeat a line within one tick of its clock; without
    times it only warns. Any copy is a warning.
    """
    name = "duplicate_windows"
    if stream not in parts.test.streams:
        return CheckResult(name=name, status="not_applicable", detail=f"the dataset has no stream {stream!r}")
    if split.unit in {"window", "group"}:
        hashes, limit, timed = _last_hashes, MOST_COPIED_STEPS, _has_times(parts)
        singular, plural = "last step of a test window", "last steps of test windows"
    else:
        hashes, limit, timed = _raw_hashes, MOST_COPIES, True
        singular, plural = "test window", "test windows"
    known = np.concatenate([hashes(parts.train, stream), hashes(parts.validation, stream)])
    copies = np.isin(hashes(parts.test, stream), known)
    if not copies.any():
        detail = f"no {singular} is a raw copy of another side's"
        return CheckResult(name=name, status="pass", figure=0.0, detail=detail)
    share = float(copies.mean())
    detail = f"{int(copies.sum())} {plural} ({share:.2%}) copy other sides'"
    if timed:
        detail += ", times included"
    else:
        detail += "; nothing has a time that could tell copies from repetitions"
    failed = timed and share > limit
    return CheckResult(name=name, status="fail" if failed else "warn", figure=share, detail=detail)


def _has_times(parts: Parts) -> bool:
    return tells_apart(parts.train.t_ns)


def _last_hashes(windows: WindowSet, stream: str) -> NDArray[np.uint64]:
    """A hash of each window's last step and its time, `(N,)`."""
    return row_hashes({"raw": windows.streams.at(stream, windows.target_step), "t": windows.t_ns})


def _raw_hashes(windows: WindowSet, stream: str) -> NDArray[np.uint64]:
    """A hash of each whole window, `(N,)`."""
    pieces: list[NDArray[Any]] = [np.empty(0, dtype=np.uint64)]
    for start in range(0, len(windows), CHUNK):
        steps = windows.gather(slice(start, start + CHUNK), (stream,))
        pieces.append(row_hashes(steps))
    return np.concatenate(pieces)


def never_seen(
    train: EncodedWindows, test: EncodedWindows, names: tuple[str, ...] | None = None
) -> NDArray[np.bool_]:
    """Which test windows `(N,)` have inputs (all, or those called `names`) that no training window has."""
    return ~np.isin(input_hashes(test, names), input_hashes(train, names))


def input_hashes(part: EncodedWindows, names: tuple[str, ...] | None = None) -> Hashes:
    """A hash of each window's model inputs, `(N,)`; of vectors, which are many numbers, one of the symbols
    that they stand for."""
    specs = [spec for spec in part.encoder.inputs if names is None or spec.name in names]
    symbols = part.bound.streams(tuple(spec.name for spec in specs if spec.kind == "vectors"))
    others = tuple(spec.name for spec in specs if spec.kind != "vectors")
    looked_up = len(others) < len(specs)
    pieces = [np.empty(0, dtype=np.uint64)]
    for start in range(0, len(part), INPUTS_CHUNK):
        rows = slice(start, start + INPUTS_CHUNK)
        batch = part.batch(rows, others) if others else {}
        if looked_up:
            steps = part.windows.gather(rows, symbols)
            batch |= {f"step:{name}": values for name, values in steps.items()}
        pieces.append(row_hashes(batch))
    return np.concatenate(pieces)


def repeated_inputs(parts: Parts, encoded: EncodedWindows | None) -> CheckResult:
    """The share of test windows whose inputs occur identically in training: never a failure, since logs do
    repeat themselves, but a warning above one half. The figure is that of the most repetitive input."""
    name = "repeated_inputs"
    if encoded is None:
        return CheckResult(name=name, status="not_applicable", detail="no encoded windows were given")
    train, test = encoded.over(parts.train), encoded.over(parts.test)
    shares = {
        spec.name: 1 - float(never_seen(train, test, (spec.name,)).mean()) if len(test) else 0.0
        for spec in encoded.encoder.inputs
    }
    most = max(shares.values(), default=0.0)
    told = ", ".join(f"{share:.1%} by {model_input}" for model_input, share in shares.items())
    return CheckResult(
        name=name,
        status="warn" if most > MANY_REPEATED else "pass",
        figure=most,
        detail=f"test windows whose inputs occur identically in training: {told}",
    )
