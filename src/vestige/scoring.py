"""Putting a detector to work: raw evidence in, one JSON object a window out, in flat memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vestige.checkpoint import HEADER, Loaded, load
from vestige.errors import UsageError
from vestige.sources import registry
from vestige.sources.base import Progress
from vestige.sources.corpus import find, total_size


def score(
    run: Path, evidence: Sequence[Path], *, device: str = "cpu", progress: Progress | None = None
) -> Iterator[dict[str, Any]]:
    """Score evidence with the detector in the directory `run`, a dict for each window of stride 1.

    Keys: where the window ends (for logs `file`, `line`, `offset`: 1-based line, byte offset), `score`
    (1 - P(first class)), `class` (the most probable), and `alert` (score at or above the run's threshold;
    null for a detector that has none). A path `-` is standard input; of several paths, `file` is the path as
    given. Raises, before the first dict where it can: UsageError for a device that is not there,
    CheckpointError when the run cannot be trusted, EvidenceError when the evidence is not there or not what
    the detector was trained to read.
    """
    check_device(device)
    files = [file for path in evidence for file in find(path)[0]]
    total = total_size(files)
    return _rows(load(detector_in(run), device=device), evidence, total, progress)


def detector_in(run: Path) -> Path:
    """The directory of the detector that is meant: `run`, or in a run of one detector that one.

    Raises UsageError where there are several.
    """
    if (run / HEADER).exists() or not run.is_dir():
        return run
    found = sorted(one.parent for one in run.glob(f"*/{HEADER}"))
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise UsageError(
            f"a run of several detectors ({names})", where=run, remedy=f"name one of them: {found[0]}"
        )
    return found[0] if found else run


def check_device(name: str) -> None:
    """Raise UsageError for a device that there is not."""
    if name == "cpu":
        return
    if not re.fullmatch(r"cuda(:\d{1,3})?", name):
        raise UsageError(f"unknown device {name!r}", remedy="cpu, cuda, or one of several GPUs: cuda:1")
    import torch

    number = int(name.partition(":")[2] or 0)
    if not torch.cuda.is_available() or number >= torch.cuda.device_count():
        raise UsageError(
            f"there is no device {name}: torch sees {torch.cuda.device_count()} GPUs",
            remedy="--device cpu; vestige doctor says what there is",
        )


def _rows(
    loaded: Loaded, evidence: Sequence[Path], total: int | None, progress: Progress | None
) -> Iterator[dict[str, Any]]:
    source = registry.get(loaded.schema.source)
    names = loaded.detector.input_names
    symbols = None
    for batch in source.live(evidence, loaded.schema):
        if batch.symbols is not symbols:
            symbols = batch.symbols
            bound = loaded.encoder.bind(symbols)
        inputs = bound.encode(batch.steps, names)
        proba = loaded.detector.predict_proba(inputs)
        best = proba.argmax(axis=1).tolist()
        suspicion = (1.0 - proba[:, 0]).tolist()
        for place, value, winner in zip(batch.place.iter_rows(named=True), suspicion, best, strict=True):
            alert = None if loaded.threshold is None else value >= loaded.threshold
            yield {**place, "score": round(value, 6), "class": loaded.schema.classes[winner], "alert": alert}
        if progress is not None:
            progress(batch.taken, total)


def json_line(row: dict[str, Any]) -> str:
    """One line of JSON: ASCII only, so whatever a file name holds cannot disturb a terminal."""
    return json.dumps(row, separators=(",", ":"))
