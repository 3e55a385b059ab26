"""The page with all timelines, and the table of places as CSV."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from vestige.escaping import visible
from vestige.evaluation.plots import ANOMALY_COLOUR, BASELINE_COLOUR, MODEL_COLOURS, Figure
from vestige.evaluation.report import compose
from vestige.sources.traces.maps import SPECIAL
from vestige.timeline.timeline import Timeline
from vestige.triage.spreadsheet import defused

HEADER = ("recording", "truth", "cluster", "what", "event", "offset", "left", "to", "module", "surprise")
TOP = 10
"""Surprising places of a recording that are listed."""


def figure(timeline: Timeline, limit: float | None, unit: str) -> Figure:
    """Surprise along a recording, coloured by module; with the alert threshold, and departures as crosses."""
    places = [timeline.best[one] for one in sorted(timeline.best)]
    often = [name for name, _ in Counter(one.module for one in places).most_common() if name not in SPECIAL]
    traces: list[dict[str, Any]] = []
    for number, name in enumerate([*SPECIAL, *often]):
        mine = [one for one in places if one.module == name]
        colour = MODEL_COLOURS[(number - len(SPECIAL)) % len(MODEL_COLOURS)]
        if mine:
            traces.append(
                {
                    "type": "bar", "name": name, "x": [one.event for one in mine], "width": timeline.width,
                    "y": [round(one.surprise, 3) for one in mine], "hoverinfo": "x+y+text",
                    "text": [f"{one.text} at byte {one.offset}" for one in mine], "textposition": "none",
                    "marker": {"color": ANOMALY_COLOUR if name in SPECIAL else colour, "line": {"width": 0}},
                }
            )  # fmt: skip
    if timeline.departures:
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": "left all modules",
                "x": [one.event for one in timeline.departures], "hoverinfo": "x+text",
                "y": [1.04 * max(timeline.highest, limit or 0)] * len(timeline.departures),
                "text": [f"{one.left} to {one.to}" for one in timeline.departures],
                "marker": {"color": ANOMALY_COLOUR, "size": 9, "symbol": "x"},
            }
        )  # fmt: skip
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": "event of the recording"}, "range": [0, timeline.events + 1]},
        "yaxis": {"title": {"text": unit}, "rangemode": "tozero"},
        "barmode": "overlay",
        "bargap": 0,
        "legend": {"orientation": "h", "y": -0.3},
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
            for one in timeline.top(TOP):
                how = f"{one.surprise:.4f}" if isfinite(one.surprise) else ""
                told = [one.event, one.offset, "", _cell(one.text), _cell(one.module), how]
                out.writerow([*head, "surprise", *told])


def _cell(text: str) -> str:
    return defused(visible(text))
