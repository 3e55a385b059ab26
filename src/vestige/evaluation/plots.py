"""The report's figures as plain Plotly data: traces and layout, coloured by role in the page's own script.

Long rows of numbers from 0 to 1 are arrays, on a grid of `GRID` parts: the page holds them in 16 bits each.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from vestige.evaluation.figures import Curve
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import DetectorResults
from vestige.reading.steps import NO_TIME

Figure = dict[str, Any]
MODEL_COLOURS = ("#3b7dd8", "#d9622b", "#2a9d7c", "#9a5fd0", "#b58900", "#c2477f")
BASELINE_COLOUR = "#8a929e"
ANOMALY_COLOUR, NORMAL_COLOUR = "#d6453d", "#8a929e"
DASHES = ("dot", "dash", "dashdot", "longdash", "longdashdot", "solid")
MOST_POINTS = 800
"""Points along time at most: a figure is hardly wider in pixels, and they are most of a page."""
HOURS_NS = 3 * 3_600_000_000_000
"""Times that span as much are drawn by the second: a figure is some thousand pixels wide at most."""
UNIT = [-0.02, 1.02]
LEGEND = {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
"""Above the plot: how far below it the title of the axis ends depends on its height."""
DIGITS = 5
"""Of what is drawn: a hundredth of a pixel."""
GRID = 50_000
"""Parts of the way from 0 to 1 that arrays are rounded to: 16 bits hold each, and all have 5 digits."""
PRECISION = 0.5 / GRID
"""How far rounding moves a point at most, along either axis."""


def styles(detectors: Sequence[DetectorResults]) -> dict[str, dict[str, Any]]:
    """A line for each detector: models in colour, baselines grey and dashed. A run of two views has each
    model twice in its colour, dotted where it sees everything."""
    chosen: dict[str, dict[str, Any]] = {}
    for kind in ("model", "baseline"):
        members = [d for d in detectors if d.kind == kind]
        bare = list(dict.fromkeys(detector.bare_name for detector in members))
        for detector in members:
            number = bare.index(detector.bare_name)
            if kind == "baseline":
                dash = DASHES[number % len(DASHES)]
                chosen[detector.name] = {"color": BASELINE_COLOUR, "dash": dash, "width": 1.2}
                continue
            dash = "dot" if detector.view == "oracle" else "solid"
            colour = MODEL_COLOURS[number % len(MODEL_COLOURS)]
            chosen[detector.name] = {"color": colour, "dash": dash, "width": 2.5}
    return chosen


def standing(detectors: Sequence[DetectorResults]) -> Figure:
    """Macro F1 of every detector with its interval, a row each."""
    traces = []
    looks = styles(detectors)
    for detector in detectors:
        found = detector.macro_f1
        middle = found.estimate or 0.0
        low, high = middle, middle
        if found.low is not None and found.high is not None:
            low, high = found.low, found.high
        colour = looks[detector.name]["color"]
        symbol = {"model": "circle", "baseline": "diamond"}[detector.kind]
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": detector.name, "showlegend": False,
                "x": _rounded([middle]), "y": [detector.name], "hoverinfo": "x+y",
                "marker": {"color": colour, "size": 11, "symbol": symbol},
                "error_x": {
                    "type": "data", "symmetric": False, "color": colour, "thickness": 2.5, "width": 6,
                    "array": _rounded([max(0.0, high - middle)]),
                    "arrayminus": _rounded([max(0.0, middle - low)]),
                },
            }
        )  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "macro F1 on the test part, 95% interval"}, "range": UNIT},
        "yaxis": {"type": "category", "autorange": "reversed", "automargin": True},
    }
    return _figure(traces, layout, 90 + 34 * len(detectors))


def intervals(
    rows: Sequence[tuple[str, float, float | None, float | None]], title: str, *, zero: bool = False
) -> Figure:
    """Figures with their intervals, `(name, middle, low, high)`, a row each; around `zero` where asked."""
    middles = [middle for _, middle, _, _ in rows]
    above = [0.0 if high is None else max(0.0, high - middle) for _, middle, _, high in rows]
    below = [0.0 if low is None else max(0.0, middle - low) for _, middle, low, _ in rows]
    trace = {
        "type": "scatter", "mode": "markers", "showlegend": False, "hoverinfo": "x+y",
        "x": _rounded(middles), "y": [name for name, *_ in rows],
        "marker": {"color": MODEL_COLOURS[0], "size": 10},
        "error_x": {
            "type": "data", "symmetric": False, "color": MODEL_COLOURS[0], "thickness": 2.5, "width": 6,
            "array": _rounded(above), "arrayminus": _rounded(below),
        },
    }  # fmt: skip
    axis: dict[str, Any] = {"title": {"text": title}}
    if zero:
        axis |= {"zeroline": True, "zerolinecolor": BASELINE_COLOUR, "zerolinewidth": 2}
    layout = {"xaxis": axis, "yaxis": {"type": "category", "autorange": "reversed", "automargin": True}}
    return _figure([trace], layout, 90 + 26 * len(rows))


def precision_recall(detectors: Sequence[DetectorResults]) -> Figure:
    """Precision over recall of the anomaly score, all detectors."""
    return _curves(detectors, {"recall": "recall", "precision": "precision"}, ("AP", "average_precision"))


def roc(detectors: Sequence[DetectorResults]) -> Figure:
    """True- over false-positive rate of the anomaly score, all detectors."""
    axes = {"fpr": "false-positive rate", "tpr": "recall (true-positive rate)"}
    return _curves(detectors, axes, ("AUC", "roc_auc"))


def _curves(detectors: Sequence[DetectorResults], axes: dict[str, str], area: tuple[str, str]) -> Figure:
    """`axes`: title by attribute of the curve, horizontal first; `area`: its name and attribute."""
    (x, x_title), (y, y_title) = axes.items()
    looks = styles(detectors)
    traces = []
    for detector in detectors:
        curve: Curve = detector.curves[0]
        number = getattr(curve, area[1])
        told = "none" if number is None else f"{number:.3f}"
        across, up = _corners(getattr(curve, x), getattr(curve, y))
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": f"{detector.name} ({area[0]} {told})",
                "x": across, "y": up, "line": looks[detector.name], "hoverinfo": "x+y+name",
            }
        )  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": x_title}, "range": UNIT},
        "yaxis": {"title": {"text": y_title}, "range": UNIT},
        "legend": LEGEND,
    }
    # The legend may have a row for each detector, and takes half of the height at most.
    return _figure(traces, layout, max(420, 42 * len(detectors)))


def class_curves(detector: DetectorResults) -> Figure | None:
    """Precision over recall of each class against the rest; None with two classes."""
    if len(detector.curves) < 2:
        return None
    traces = []
    for k, curve in enumerate(detector.curves[1:]):
        recall, precision = _corners(curve.recall, curve.precision)
        traces.append(
            {
                "type": "scatter", "mode": "lines", "name": curve.name, "x": recall, "y": precision,
                "hoverinfo": "x+y+name", "line": {"color": MODEL_COLOURS[k % len(MODEL_COLOURS)], "width": 2},
            }
        )  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "recall"}, "range": UNIT},
        "yaxis": {"title": {"text": "precision, class against the rest"}, "range": UNIT},
    }
    return _figure(traces, layout, 360)


def reliability(detector: DetectorResults) -> Figure:
    """Share of anomalies over mean score, bin by bin: on the diagonal the score means what it says."""
    found = detector.calibration
    biggest = max(found.count, default=1)
    sizes = [6 + 16 * (count / biggest) ** 0.5 for count in found.count]
    traces = [
        {
            "type": "scatter", "mode": "lines", "x": [0, 1], "y": [0, 1], "hoverinfo": "skip",
            "line": {"color": BASELINE_COLOUR, "dash": "dot", "width": 1}, "showlegend": False,
        },
        {
            "type": "scatter", "mode": "lines+markers",
            "x": _rounded(found.score), "y": _rounded(found.share),
            "text": [f"{count} windows" for count in found.count], "hoverinfo": "x+y+text",
            "marker": {"size": sizes}, "line": {"color": MODEL_COLOURS[0]}, "showlegend": False,
        },
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "mean anomaly score of the bin"}, "range": UNIT},
        "yaxis": {"title": {"text": "share of anomalies"}, "range": UNIT},
    }
    return _figure(traces, layout, 340)


def along_time(test: Predictions, threshold: float) -> Figure:
    """The anomaly score along time (or along the corpus), true anomalies in red, the threshold as a line.

    Thinned: the highest scores and an even sample of the rest. Windows without a time are not drawn along
    time. Times are written as `steps`, see `_steps`.
    """
    anomalous = "anomalous"
    if len(test.classes) == 2:
        anomalous = test.classes[-1]
    axis = {"title": {"text": "step"}, "type": "linear"}
    if test.has_times:
        axis = {"title": {"text": "time (UTC)"}, "type": "date"}
    groups = (
        (~test.positive, test.classes[0], NORMAL_COLOUR, 4),
        (test.positive, anomalous, ANOMALY_COLOUR, 6),
    )
    traces = []
    for members, name, colour, size in groups:
        if test.has_times:
            kept = _thinned(np.flatnonzero(members & (test.t_ns != NO_TIME)), test.score)
            kept = kept[np.argsort(test.t_ns[kept], kind="stable")]
            along: dict[str, Any] = _steps(test.t_ns[kept])
        else:
            kept = _thinned(np.flatnonzero(members), test.score)
            along = {"x": test.position[kept].tolist()}
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": name, "hoverinfo": "x+y+name",
                **along, "y": _on_grid(test.score[kept]),
                "marker": {"color": colour, "size": size, "opacity": 0.75},
            }
        )  # fmt: skip
    line = {"color": MODEL_COLOURS[0], "width": 1.5, "dash": "dash"}
    shape = {
        "type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": threshold, "y1": threshold, "line": line,
    }  # fmt: skip
    layout = {
        "xaxis": axis,
        "yaxis": {"title": {"text": "anomaly score"}, "range": UNIT},
        "shapes": [shape],
        "legend": LEGEND,
    }
    return _figure(traces, layout, 360)


def trust(detectors: Sequence[DetectorResults]) -> Figure | None:
    """Mean probability of the true class over seconds since an attack began, the interval as a band; None
    where nobody knows when attacks began."""
    traces: list[dict[str, Any]] = []
    looks = styles(detectors)
    for detector in detectors:
        if detector.onset is None or not detector.onset.trust:
            continue
        points = detector.onset.trust
        seconds = [point.seconds for point in points]
        band = [point for point in points if point.low is not None and point.high is not None]
        edge = [*(point.high or 0 for point in band), *(point.low or 0 for point in band[::-1])]
        around = [point.seconds for point in (*band, *band[::-1])]
        look = looks[detector.name]
        traces += [
            {
                "type": "scatter", "mode": "lines", "x": around, "y": _rounded(edge), "fill": "toself",
                "fillcolor": look["color"], "opacity": 0.12, "line": {"width": 0}, "hoverinfo": "skip",
                "showlegend": False, "legendgroup": detector.name,
            },
            {
                "type": "scatter", "mode": "lines", "name": detector.name, "x": seconds, "line": look,
                "y": _rounded([point.mean for point in points]), "hoverinfo": "x+y+name",
                "legendgroup": detector.name,
            },
        ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": "seconds since the attack began"}},
        "yaxis": {"title": {"text": "probability of the true class"}, "range": UNIT},
        "legend": LEGEND,
    }
    return _figure(traces, layout, 420) if traces else None


def history(frame: pl.DataFrame) -> Figure | None:
    """Every numeric column of a training history over its first column; losses left, the rest right."""
    numeric = [name for name in frame.columns if frame[name].dtype.is_numeric()]
    if len(numeric) < 2 or frame.height < 2:
        return None
    along, *others = numeric
    shown = [name for name in others if any(word in name for word in ("loss", "f1", "logloss"))] or others
    traces = [
        {
            "type": "scatter", "mode": "lines+markers", "name": name, "x": frame[along].to_list(),
            "y": [_significant(value) for value in frame[name].to_list()],
            "yaxis": "y" if "loss" in name else "y2", "hoverinfo": "x+y+name", "marker": {"size": 5},
            "line": {"color": MODEL_COLOURS[k % len(MODEL_COLOURS)], "width": 2},
        }
        for k, name in enumerate(shown)
    ]  # fmt: skip
    layout = {
        "xaxis": {"title": {"text": along}},
        "yaxis": {"title": {"text": "loss"}},
        "yaxis2": {"overlaying": "y", "side": "right", "range": UNIT, "showgrid": False, "tickmode": "auto"},
        "legend": LEGEND,
    }
    return _figure(traces, layout, 340)


def _figure(traces: list[dict[str, Any]], layout: dict[str, Any], height: int) -> Figure:
    return {"traces": traces, "layout": {**layout, "height": height}}


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(float(value), DIGITS) for value in values]


def _on_grid(values: ArrayLike) -> NDArray[np.float64]:
    """Numbers from 0 to 1, `(N,)`, each moved by `PRECISION` at most."""
    return np.rint(np.asarray(values, dtype=np.float64) * GRID) / GRID


def packed(values: NDArray[np.float64]) -> str:
    """Numbers from 0 to 1, `(N,)`, as the base64 of their `GRID`ths, 16 bits each, the low byte first.

    That is a third as long as decimals; the page's own script reads it. Raises ValueError where a number lies
    outside.
    """
    parts = np.rint(values * GRID)
    if not ((parts >= 0) & (parts <= GRID)).all():
        raise ValueError("only numbers within 0..1 are packed")
    return base64.b64encode(parts.astype("<u2").tobytes()).decode("ascii")


def _significant(value: float | None) -> float | None:
    """A number of any size to as many digits as a figure can show; None where there is none."""
    if value is None or not np.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")


def _corners(x: Sequence[float], y: Sequence[float]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A curve without the points on the straight line between others, which are most of a stepped one
    (Ramer, Douglas and Peucker): it looks the same, and is a third as long. No number may be NaN."""
    points = np.column_stack([_on_grid(x), _on_grid(y)])
    kept = np.ones(len(points), dtype=bool)
    spans = [(0, len(points) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        (run, rise), off = points[last] - points[first], points[first + 1 : last] - points[first]
        length = np.hypot(run, rise)
        # Of a span that ends where it began there is no line, but a point.
        away = np.abs(off[:, 0] * rise - off[:, 1] * run) / length if length else np.hypot(*off.T)
        furthest = first + 1 + int(away.argmax())
        if away.max() > PRECISION:
            spans += [(first, furthest), (furthest, last)]
        else:
            kept[first + 1 : last] = False
    return points[kept, 0], points[kept, 1]


def _steps(t_ns: NDArray[np.int64]) -> dict[str, Any]:
    """Ascending times as steps, each from the one before and the first from 1970: a fifth as long as dates. A
    step is of `step_ms` milliseconds, a second where the times span hours, of which a pixel has several. The
    page's own script adds them up."""
    step_ms = 1
    if len(t_ns) and int(t_ns[-1]) - int(t_ns[0]) >= HOURS_NS:
        step_ms = 1_000
    return {"steps": np.diff(t_ns // (step_ms * 1_000_000), prepend=0).tolist(), "step_ms": step_ms}


def _thinned(rows: NDArray[np.int64], score: NDArray[np.float64]) -> NDArray[np.int64]:
    if len(rows) <= MOST_POINTS:
        return rows
    half = MOST_POINTS // 2
    top = rows[np.argsort(-score[rows], kind="stable")[:half]]
    even = rows[np.linspace(0, len(rows) - 1, half).astype(np.int64)]
    return np.union1d(top, even)
