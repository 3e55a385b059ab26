"""The report: one self-contained HTML page for a run, or for one of its models.

Nothing is fetched: Plotly's own script, the style and the data stand in the page, and a strict
Content-Security-Policy forbids everything else (scripts by their SHA-256, no connection at all). Every
string is escaped by the template engine after invisible characters are spelt out.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.escaping import visible
from vestige.evaluation import plots
from vestige.evaluation.caveats import outdone, saturated, untested
from vestige.evaluation.groups import groupings
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.results import DetectorResults, RunResults
from vestige.evidence.defects import counted_defects
from vestige.reading.steps import NO_TIME
from vestige.storage import write_text

PAGE = Path(__file__).parent / "page"
PLOTLY = "plotly.min.js"
PAGE_TEXT = 2_000
"""Characters of any text that are shown; the text of a window is cut earlier."""
TOP = 25
"""Rows of the tables of alerts and misses, of a model and of the baseline that it has to beat."""
FEW = 5
"""Rows of these tables of another baseline: enough to see what it goes by."""
IN_FULL = 3
"""Models that are shown in full where each has a report of its own as well."""
LABEL = 60
"""Characters of a label that a figure shows."""
CLOSED = "–"


@dataclass(frozen=True)
class Details:
    """What a report shows beyond the results; each part may be missing.

    `tests`: the test predictions by detector. `history`: training histories by model (first column: the
    epoch or round). `place`: for row numbers of the test part, a table of where they lie and what stands
    there, a row each: any of the columns `file`, `line`, `offset`, `text`. `script`: where Plotly's script
    lies, as a path relative to the page; None puts its 4.8 MB into the page. `reports`: where the own report
    of a model lies, likewise, by model: what stands there need not stand here, too.
    """

    tests: Mapping[str, Predictions] = field(default_factory=dict)
    history: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    place: Callable[[NDArray[np.int64]], pl.DataFrame] | None = None
    script: str | None = None
    reports: Mapping[str, str] = field(default_factory=dict)


def write_script(folder: Path) -> Path:
    """Plotly's script as a file of `folder` that several reports share, written where it is not there yet."""
    path, text = folder / PLOTLY, plotly_script()
    if not path.is_file() or path.stat().st_size != len(text.encode()):
        write_text(path, text)
    return path


def write_report(path: Path, results: RunResults, details: Details | None = None) -> None:
    """Write `report.html` atomically. For one model's report, pass `results.only(name)`."""
    write_text(path, render(results, details or Details()))


def render(results: RunResults, details: Details) -> str:
    """The page as text."""
    figures: dict[str, plots.Figure] = {}
    best = _best_baselines(results)
    elsewhere = _shown_elsewhere(results, details)
    sections = []
    for number, detector in enumerate(results.detectors):
        if detector.name in elsewhere:
            sections.append(_elsewhere(number, detector, elsewhere[detector.name]))
            continue
        in_full = detector.kind == "model" or detector.name in best
        sections.append(_section(number, detector, details, figures, in_full=in_full))
    return compose(
        "report.html.j2",
        figures,
        results=results,
        sections=sections,
        groupings=groupings(results.detectors),
        best=best,
        elsewhere=elsewhere,
        in_full=[model.name for model in results.models if model.name not in elsewhere],
        few=FEW,
        overview=_overview(results, figures),
        outdone=outdone(results),
        untested=untested(results),
        saturated=saturated(results),
        plotly_at=details.script,
    )


def compose(
    template: str, figures: Mapping[str, plots.Figure], *, plotly_at: str | None = None, **shown: Any
) -> str:
    """A page from a template of `page/`, with its figures by name and whatever it shows; one without figures
    has no scripts. It is self-contained unless `plotly_at` says where Plotly's script lies."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(PAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=_number,
        address=_address,
        formatted=_formatted,
        interval=_interval,
        percent=_percent,
        count=_count,
        left_out=counted_defects,
    )
    scripts, sources = [], []
    if figures:
        scripts = [(PAGE / "report.js").read_text(encoding="utf-8")]
        if plotly_at is None:
            scripts.insert(0, plotly_script())
        else:
            # No digest: browsers check those of files by a rule that pages opened from a disk never pass.
            sources = ["'self'"]
    allowed = " ".join([*sources, *(_digest(script) for script in scripts)]) or "'none'"
    page = environment.get_template(template).render(
        **shown,
        csp="; ".join(
            [
                "default-src 'none'",
                f"script-src {allowed}",
                "style-src 'unsafe-inline'",
                "img-src data: blob:",
                "base-uri 'none'",
                "form-action 'none'",
            ]
        ),
        css=Markup((PAGE / "report.css").read_text(encoding="utf-8")),  # noqa: S704 - our own files
        plotly_at=plotly_at if figures else None,
        scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files and Plotly's
        figures=Markup(script_json({name: plotly_text(figure) for name, figure in figures.items()})),  # noqa: S704
    )
    return page.encode("utf-8", "backslashreplace").decode("utf-8")


def plotly_text(value: Any) -> Any:
    """A figure with all of its strings made literal: Plotly reads `<b>`, `<a>` and entities in labels. Arrays
    are packed."""
    if isinstance(value, str):
        return visible(value, LABEL).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if isinstance(value, np.ndarray):
        return {"packed": plots.packed(value), "grid": plots.GRID}
    if isinstance(value, dict):
        return {key: plotly_text(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plotly_text(item) for item in value]
    return value


def script_json(value: Any) -> str:
    """JSON that cannot end the script element it stands in."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _finalize(value: Any) -> Any:
    """Every string that the template shows, except what is markup already."""
    return visible(value, PAGE_TEXT) if type(value) is str else value


def plotly_script() -> str:
    """Plotly's own script: beside the page, where building the package puts it; in a checkout that was never
    built, from the package plotly, which is not imported."""
    file = PAGE / PLOTLY
    spec = find_spec("plotly")
    if not file.is_file() and spec is not None and spec.submodule_search_locations:
        file = Path(spec.submodule_search_locations[0]) / "package_data" / PLOTLY
    text = file.read_text("utf-8")
    return text.replace("</script", "<\\/script")


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _overview(results: RunResults, figures: dict[str, plots.Figure]) -> dict[str, str]:
    """Ids of the figures that show all detectors together, models first."""
    detectors = results.models + results.baselines
    return {
        name: _add(figures, f"all-{name}", figure)
        for name, figure in (
            ("standing", plots.standing(detectors)),
            ("precision_recall", plots.precision_recall(detectors)),
            ("roc", plots.roc(detectors)),
            ("trust", plots.trust(results.models)),
        )
        if figure is not None
    }


def _best_baselines(results: RunResults) -> list[str]:
    """The baselines that models are compared with, one for each view: those that were best on validation."""
    compared = dict.fromkeys(comparison.baseline for comparison in results.comparisons)
    return [detector.name for detector in results.baselines if detector.name in compared]


def _shown_elsewhere(results: RunResults, details: Details) -> dict[str, str]:
    """Where models are shown that are not shown in full here: all that have a report of their own, but those
    of the headline and the next best ones on validation."""
    best = [detector.name for detector in results.ranked if detector.kind == "model"]
    if results.headline is not None:
        best.insert(0, results.headline.model)
    in_full = list(dict.fromkeys(best))[:IN_FULL]
    return {name: path for name, path in details.reports.items() if name in best and name not in in_full}


def _elsewhere(number: int, detector: DetectorResults, path: str) -> dict[str, Any]:
    """What the template needs of a model that is shown in full at `path` alone."""
    return {"id": f"detector-{number}", "detector": detector, "in_full": False, "elsewhere": path}


def _section(
    number: int,
    detector: DetectorResults,
    details: Details,
    figures: dict[str, plots.Figure],
    *,
    in_full: bool,
) -> dict[str, Any]:
    """What the template needs of one detector: figures by name, tables of alerts and misses, shorter ones
    where it is not shown `in_full`."""
    most = TOP if in_full else FEW
    test, trained = details.tests.get(detector.name), details.history.get(detector.name)
    drawn: dict[str, plots.Figure | None] = {}
    if detector.kind == "model":
        drawn = {
            "along_time": None if test is None else plots.along_time(test, detector.threshold.value),
            "reliability": plots.reliability(detector),
            "history": None if trained is None else plots.history(trained),
            "class_curves": plots.class_curves(detector),
        }
    return {
        "id": f"detector-{number}",
        "detector": detector,
        "in_full": in_full,
        "elsewhere": None,
        "figures": {
            name: _add(figures, f"{number}-{name}", figure)
            for name, figure in drawn.items()
            if figure is not None
        },
        "alerts": _alerts(detector, test, most, details),
        "misses": _listed(test, _misses(test, detector.threshold.value)[:most], details),
    }


def _add(figures: dict[str, plots.Figure], name: str, figure: plots.Figure) -> str:
    figures[name] = figure
    return name


def _top_alerts(test: Predictions | None, threshold: float) -> NDArray[np.int64]:
    """Windows that alert, the highest scores first."""
    if test is None:
        return np.empty(0, dtype=np.int64)
    rows = np.flatnonzero(test.score >= threshold)
    return rows[np.argsort(-test.score[rows], kind="stable")]


def _misses(test: Predictions | None, threshold: float) -> NDArray[np.int64]:
    """Anomalies below the threshold, those furthest below first."""
    if test is None:
        return np.empty(0, dtype=np.int64)
    rows = np.flatnonzero(test.positive & (test.score < threshold))
    return rows[np.argsort(test.score[rows], kind="stable")]


def _listed(test: Predictions | None, rows: NDArray[np.int64], details: Details) -> list[dict[str, Any]]:
    """A row for each window: when, where, what it is and what was said of it, and its text."""
    if test is None or not len(rows):
        return []
    places = [{} for _ in rows] if details.place is None else details.place(rows).to_dicts()
    names = test.recordings["id"].to_list()
    return [
        {
            "score": float(test.score[row]),
            "truth": test.classes[test.label[row]],
            "most_probable_class": test.classes[test.predicted[row]],
            "right": bool(test.positive[row]),
            "time": _time(int(test.t_ns[row])) if test.has_times else "",
            "file": str(place.get("file") or names[test.recording[row]]),
            "line": place.get("line", place.get("event")),
            "offset": place.get("offset"),
            "text": visible(str(place.get("text") or "")),
        }
        for row, place in zip(rows.tolist(), places, strict=True)
    ]


def _alerts(
    detector: DetectorResults, test: Predictions | None, most: int, details: Details
) -> list[dict[str, Any]]:
    """Rows of the first alerts, each with the reasons of its window where those are known."""
    if test is None:
        return []
    rows = _top_alerts(test, detector.threshold.value)[:most]
    known = {window.position: window.reasons for window in detector.reasons}
    return [
        {**row, "reasons": known.get(at, [])}
        for row, at in zip(_listed(test, rows, details), test.position[rows].tolist(), strict=True)
    ]


def _time(t_ns: int) -> str:
    if t_ns == NO_TIME:
        return ""
    return datetime.fromtimestamp(t_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _address(path: str) -> str:
    """A relative path as an address that leads nowhere else: a colon in it names no scheme."""
    return f"./{quote(path)}"


def _number(value: float | None, digits: int = 3) -> str:
    return CLOSED if value is None else f"{value:.{digits}f}"


def _formatted(value: float | None, form: str) -> str:
    return CLOSED if value is None else format(value, form)


def _percent(value: float | None, digits: int = 1) -> str:
    return CLOSED if value is None else f"{value:.{digits}%}"


def _count(value: int) -> str:
    return f"{value:,}"


def _interval(found: IntervalResult, form: str = ".3f") -> str:
    if found.method == "none":
        return "no interval"
    if found.low is None or found.high is None:
        return ""
    return f"{found.low:{form}} to {found.high:{form}}"
