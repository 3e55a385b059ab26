"""Putting a detector to work: raw evidence in, one JSON object a window out, in flat memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vestige.checkpoint import load
from vestige.sources import registry


def score(run: Path, evidence: Iterable[Path], *, device: str = "cpu") -> Iterator[dict[str, Any]]:
    """Score evidence with the detector in the directory `run`, a dict for each window of stride 1.

    Keys: where the window ends (for logs `file`, `line`, `offset`: 1-based line, byte offset), `score`
    (1 - P(first class)), `class` (the most probable), and `alert` (score at or above the run's threshold;
    null for a detector that has none). A path `-` is standard input. Raises CheckpointError when the run
    cannot be trusted, EvidenceError when the evidence is not what the detector was trained to read.
    """
    loaded = load(run, device=device)
    source = registry.get(loaded.schema.source)
    names = loaded.detector.input_names
    for batch in source.live(evidence, loaded.schema):
        inputs = loaded.encoder.bind(batch.symbols).encode(batch.steps, names)
        proba = loaded.detector.predict_proba(inputs)
        best = proba.argmax(axis=1).tolist()
        suspicion = (1.0 - proba[:, 0]).tolist()
        for place, value, winner in zip(batch.place.iter_rows(named=True), suspicion, best, strict=True):
            alert = None if loaded.threshold is None else value >= loaded.threshold
            yield {**place, "score": round(value, 6), "class": loaded.schema.classes[winner], "alert": alert}


def json_line(row: dict[str, Any]) -> str:
    """One line of JSON: ASCII only, so whatever a file name holds cannot disturb a terminal."""
    return json.dumps(row, separators=(",", ":"))
