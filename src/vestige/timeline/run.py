"""From a trained detector to the page of timelines: `vestige traces timeline`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vestige.checkpoint import load
from vestige.errors import UsageError
from vestige.reading.steps import Progress
from vestige.runs.directory import RunDirectory
from vestige.scoring.windows import check_device, judge
from vestige.storage import atomic_file, refuse_files, write_text
from vestige.timeline.clusters import clusters_of
from vestige.timeline.picture import page, write_places
from vestige.timeline.pieces import of_evidence, of_test_part
from vestige.timeline.timeline import Timeline

PAGE, PLACES = "timeline.html", "timeline.csv"


@dataclass(frozen=True)
class Outcome:
    """Recordings, the most surprising first, the cluster of each, the alert threshold, what was written."""

    timelines: list[Timeline]
    clusters: list[int | None]
    limit: float | None
    page: Path
    places: Path


def draw_timelines(
    run: Path,
    evidence: Sequence[Path] = (),
    out: Path | None = None,
    *,
    most: int = 24,
    eps: float = 0.5,
    min_samples: int = 2,
    overwrite: bool = False,
    device: str = "cpu",
    progress: Progress | None = None,
) -> Outcome:
    """Draw the test recordings of a run's detector, or raw `evidence`, into `out` (the detector's folder).

    Writes `timeline.html` with the `most` most surprising recordings drawn, and `timeline.csv`. Raises
    UsageError for a detector of another source, OutputError where there are such files already.
    """
    check_device(device)
    folder = RunDirectory.open(run).detector()
    if out is None:
        out = folder
    refuse_files(out / PAGE, out / PLACES, overwrite=overwrite, remedy="choose another folder (-o)")
    loaded = load(folder, device=device)
    if loaded.schema.source != "traces":
        raise UsageError(f"timelines are drawn of traces, not of {loaded.schema.source}", where=folder)
    if evidence:
        _, batches = judge(folder, evidence, device=device, every_step=True, progress=progress)
        pieces = of_evidence(batches)
    else:
        pieces = of_test_part(folder, loaded)
    found: dict[str, Timeline] = {}
    events = 0
    for piece in pieces:
        found.setdefault(piece.recording, Timeline(piece.recording)).add(piece)
        events += len(piece.event)
        if progress is not None and not evidence:
            progress(events, None)
    limit, unit = loaded.detector.alert_surprise, "surprise (nats)"
    if limit is None:
        # Of a detector that predicts no next token there is only the score.
        limit, unit = loaded.threshold, "score"
    ordered = sorted(found.values(), key=_strangeness)
    lowest = -np.inf if limit is None else limit
    grouped = clusters_of(ordered, lowest, eps=eps, min_samples=min_samples)
    title = f"{loaded.detector.name}: surprise along {len(ordered)} recordings"
    out.mkdir(parents=True, exist_ok=True)
    with atomic_file(out / PLACES) as places:
        write_places(places, ordered, grouped)
        write_text(out / PAGE, page(title, ordered, grouped, limit, unit, most))
    return Outcome(ordered, grouped, limit, out / PAGE, out / PLACES)


def _strangeness(timeline: Timeline) -> tuple[float, int, float, str]:
    """By this the strangest recording comes first."""
    return -timeline.highest, -timeline.times_left, -timeline.mean, timeline.recording
