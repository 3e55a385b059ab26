"""The page of a search: history, importance, parallel coordinates and the table; one self-contained file.

Plotly's own parallel coordinates compile code while they run, which the page's policy forbids; here they are
lines of a plain figure.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from vestige.evaluation.plots import ANOMALY_COLOUR, BASELINE_COLOUR, LEGEND, MODEL_COLOURS, Figure
from vestige.evaluation.report import compose
from vestige.models.space import Choice, Parameter, Value
from vestige.storage import write_text
from vestige.tuning.findings import Findings, Row

SHOWN = 500
"""Trials of the table and of the parallel coordinates at most; the best of them."""
SHADES = ("#c6d5ea", "#93b5de", "#5c93d3", "#2a6fc0")
"""From the worst quarter of the trials to the best."""


def write_page(path: Path, found: Findings) -> None:
    """Write the page atomically."""
    write_text(path, render(found))


def render(found: Findings) -> str:
    """The page as text."""
    figures: dict[str, Figure] = {}
    if any(row.value is not None for row in found.rows):
        figures["history"] = history(found)
        figures["coordinates"] = coordinates(found)
    if found.importance:
        figures["importance"] = importance(found)
    return compose(
        "tuning.html.j2",
        figures,
        found=found,
        shown=found.ranked[:SHOWN],
        more=max(0, len(found.rows) - SHOWN),
        names=list(found.space),
        written={name: str(parameter) for name, parameter in found.space.items()},
        told=_told,
        drawn=sorted(figures),
    )


def history(found: Findings) -> Figure:
    """The figure of each trial in their order, and the best so far."""
    kinds = (
        ("COMPLETE", "complete", MODEL_COLOURS[0], "circle"),
        ("PRUNED", "ended early", BASELINE_COLOUR, "triangle-down"),
    )
    traces: list[dict[str, Any]] = []
    for state, name, colour, symbol in kinds:
        rows = [row for row in found.rows if row.state == state and row.value is not None]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": name, "x": [row.number for row in rows],
                "y": [_rounded(row.value) for row in rows], "text": [_told_of(row) for row in rows],
                "hoverinfo": "x+y+text", "marker": {"color": colour, "symbol": symbol, "size": 8},
            }
        )  # fmt: skip
    ended = [row for row in found.rows if row.state == "COMPLETE" and row.value is not None]
    best = np.maximum.accumulate([_rounded(row.value) for row in ended]).tolist() if ended else []
    traces.append(
        {
            "type": "scatter", "mode": "lines", "name": "best so far", "x": [row.number for row in ended],
            "y": best, "hoverinfo": "skip", "line": {"color": ANOMALY_COLOUR, "width": 2, "shape": "hv"},
        }
    )  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "trial"}},
        "yaxis": {"title": {"text": found.figure}},
        "legend": LEGEND,
        "height": 380,
    }
    return {"traces": traces, "layout": layout}


def importance(found: Findings) -> Figure:
    """A bar for each parameter."""
    names = list(found.importance)
    traces = [
        {
            "type": "bar", "orientation": "h", "y": names, "x": [found.importance[name] for name in names],
            "marker": {"color": MODEL_COLOURS[0]}, "hoverinfo": "x+y",
        }
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "share of the variance that it explains"}, "range": [0, 1]},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
        "height": 110 + 28 * len(names),
    }
    return {"traces": traces, "layout": layout}


def coordinates(found: Findings) -> Figure:
    """A line a trial over its parameters and what it reached; the darker, the better."""
    rows = [row for row in found.ranked if row.value is not None][:SHOWN]
    values = sorted(row.value for row in rows if row.value is not None)
    low, high = values[0], values[-1]
    names = [*found.space, found.figure]
    traces: list[dict[str, Any]] = []
    # The best last, so that they lie on top.
    for row in rows[::-1]:
        share = 1.0 if high == low else ((row.value or 0.0) - low) / (high - low)
        heights: list[float | None] = [
            _height(parameter, row.settings.get(name)) for name, parameter in found.space.items()
        ]
        texts = [f"{name}: {_told(row.settings.get(name))}" for name in found.space]
        is_best = found.best is not None and row.number == found.best.number
        colour = ANOMALY_COLOUR if is_best else SHADES[min(int(share * len(SHADES)), len(SHADES) - 1)]
        traces.append(
            {
                "type": "scatter", "mode": "lines+markers", "x": names, "y": [*heights, round(share, 4)],
                "text": [*texts, f"{row.value:.4f}"], "hoverinfo": "text+name", "name": f"trial {row.number}",
                "showlegend": False, "connectgaps": True, "marker": {"size": 4},
                "line": {"color": colour, "width": 2.5 if is_best else 1},
            }
        )  # fmt: skip
    layout = {
        "xaxis": {"type": "category", "title": {"text": "each from its lowest value to its highest"}},
        "yaxis": {"range": [-0.05, 1.05], "showticklabels": False, "title": {"text": ""}},
        "height": 420,
    }
    return {"traces": traces, "layout": layout}


def _height(parameter: Parameter, value: Value | None) -> float | None:
    """Where a value lies between the lowest (0) and the highest (1); None where there is none."""
    if value is None:
        return None
    if isinstance(parameter, Choice):
        at = parameter.values.index(value) if value in parameter.values else 0
        return round(at / max(1, len(parameter.values) - 1), 4)
    low, high, at_value = float(parameter.low), float(parameter.high), float(value)
    if parameter.log:
        low, high, at_value = math.log(low), math.log(high), math.log(at_value)
    return round(min(1.0, max(0.0, (at_value - low) / (high - low))), 4)


def _told(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _told_of(row: Row) -> str:
    return ", ".join(f"{name}={_told(value)}" for name, value in row.settings.items())


def _rounded(value: float | None) -> float:
    return round(float(value or 0.0), 5)
