"""The page with all timelines, and the table of places as CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from vestige.escaping import visible
from vestige.evaluation.plots import ANOMALY_COLOUR, BASELINE_COLOUR, LEGEND, MODEL_COLOURS, Figure
from vestige.evaluation.report import compose
from vestige.sources.traces.maps import OUTSIDE
from vestige.timeline.timeline import Timeline
from vestige.triage.spreadsheet import defused

HEADER = ("recording", "truth", "cluster", "what", "event", "offset", "left", "to", "module", "surprise")
TOP = 10
"""Surprising places of a recording that are listed."""


def figure(timeline: Timeline, limit: float | None, unit: str) -> Figure:
    """Surprise along a recording, coloured by module; with the alert threshold, and departures as crosses."""
    places = [timeline.best[number] for number in sorted(timeline.best)]
    counted = Counter(place.module for place in places)
    often = [name for name, _ in counted.most_common() if name not in OUTSIDE]
    traces: list[dict[str, Any]] = []
    for number, name in enumerate([*OUTSIDE, *often]):
        mine = [place for place in places if place.module == name]
        colour = MODEL_COLOURS[(number - len(OUTSIDE)) % len(MODEL_COLOURS)]
        if name in OUTSIDE:
            colour = ANOMALY_COLOUR
        if mine:
            traces.append(
                {
                    "type": "bar", "name": name, "x": [place.event for place in mine],
                    "width": timeline.width, "y": [round(place.surprise, 3) for place in mine],
                    "text": [f"{place.text} at byte {place.offset}" for place in mine],
                    "hoverinfo": "x+y+text", "textposition": "none",
                    "marker": {"color": colour, "line": {"width": 0}},
                }
            )  # fmt: skip
    if timeline.departures:
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": "left all modules",
                "x": [gone.event for gone in timeline.departures], "hoverinfo": "x+text",
                "y": [1.04 * max(timeline.highest, limit or 0)] * len(timeline.departures),
                "text": [f"{gone.left} to {gone.to}" for gone in timeline.departures],
                "marker": {"color": ANOMALY_COLOUR, "size": 9, "symbol": "x"},
            }
        )  # fmt: skip
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "event of the recording"}, "range": [0, timeline.events + 1]},
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "barmode": "overlay",
        "bargap": 0,
        "legend": LEGEND,
        "height": 300,
    }
    if limit is not None:
        line = {"color": BASELINE_COLOUR, "width": 1.5, "dash": "dash"}
        layout["shapes"] = [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": limit, "y1": limit, "line": line}
        ]
    return {"traces": traces, "layout": layout}


def page(
    title: str,
    timelines: Sequence[Timeline],
    clusters: Sequence[int | None],
    limit: float | None,
    unit: str,
    most: int,
) -> str:
    """The page: a table of all recordings, then the timelines of the first `most`."""
    drawn: dict[str, Figure] = {}
    rows: list[dict[str, Any]] = []
    for number, (timeline, cluster) in enumerate(zip(timelines, clusters, strict=True)):
        name = None
        if number < most:
            name = f"timeline-{number}"
            drawn[name] = figure(timeline, limit, unit)
        rows.append({"timeline": timeline, "cluster": cluster, "figure": name, "places": timeline.top(TOP)})
    return compose("timeline.html.j2", drawn, title=title, rows=rows, limit=limit, unit=unit)


def write_places(path: Path, timelines: Sequence[Timeline], clusters: Sequence[int | None]) -> None:
    """A row for each departure and each of the most surprising places; made harmless for spreadsheets."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(HEADER)
        for timeline, cluster in zip(timelines, clusters, strict=True):
            head = [_cell(timeline.recording), timeline.truth, "" if cluster is None else cluster]
            for gone in timeline.departures:
                cells = [*head, "left", gone.event, gone.offset, _cell(gone.left), _cell(gone.to), "", ""]
                out.writerow(cells)
            for place in timeline.top(TOP):
                how = ""
                if isfinite(place.surprise):
                    how = f"{place.surprise:.4f}"
                told = [place.event, place.offset, "", _cell(place.text), _cell(place.module), how]
                out.writerow([*head, "surprise", *told])


def _cell(text: str) -> str:
    return defused(visible(text))
