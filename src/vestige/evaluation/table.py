"""The results as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige.evaluation.caveats import audit_lines, outdone
from vestige.evaluation.escaping import visible
from vestige.evaluation.results import DetectorResults, IntervalResult, RunResults

if TYPE_CHECKING:
    from rich.table import Table


LONGEST = 2_000
"""Characters of a sentence that the caption shows."""
METHODS = {
    "exact": "A rate that no resample can move has exact bounds on the number of clusters concerned.",
    "none": "No interval: every resample gives the same figure, which is not certainty.",
}
"""What the caption says of intervals that are not percentiles, by method."""


def results_table(results: RunResults) -> Table:
    """Models and baselines side by side, the 95% interval under each figure; recall and FPR at the chosen
    threshold, macro F1 on windows whose inputs training never saw.

    The title says when the split is in-distribution or leakage was allowed, the caption holds the headline
    and every check of the audit that failed or warns.
    """
    from rich.table import Table
    from rich.text import Text

    policy = results.detectors[0].threshold.policy if results.detectors else ""
    table = Table(title=Text(_title(results)), caption=Text(_caption(results)), caption_justify="left")
    table.add_column("detector", overflow="fold")
    for name in ("macro F1", "AP", f"recall at\n{policy}", f"FPR at\n{policy}", "never\nseen"):
        table.add_column(name, justify="right", no_wrap=True)
    for number, one in enumerate(results.models + results.baselines):
        last_model = number == len(results.models) - 1
        style = "bold" if one.kind == "model" else "dim"
        table.add_row(*(Text(cell) for cell in _row(one)), style=style, end_section=last_model)
    return table


def _title(results: RunResults) -> str:
    title = f"{visible(results.title)}: split by {results.split.recipe}"
    if results.split.in_distribution:
        title += " (IN-DISTRIBUTION: says nothing about new hosts or later days)"
    if results.leakage_allowed:
        title += " (LEAKAGE ALLOWED: no figure is a result)"
    if results.synthetic:
        title += " (synthetic corpus)"
    return title


def _caption(results: RunResults) -> str:
    lines = [one.sentence for one in results.comparisons]
    lines.append(outdone(results))
    lines.append(f"95% intervals: bootstrap over {results.clusters.description}.")
    if not results.clusters.trusted and not results.comparisons:
        lines.append(f"They cannot be trusted: {results.clusters.reason}.")
    methods = {one.method for detector in results.detectors for one in _measures(detector)}
    lines += [told for method, told in METHODS.items() if method in methods]
    if results.symbols is not None:
        lines.append(results.symbols.sentence)
    return "\n".join([*(visible(one, LONGEST) for one in lines if one), *audit_lines(results)])


def _measures(one: DetectorResults) -> tuple[IntervalResult, ...]:
    alerting = one.alerting
    return one.macro_f1, one.average_precision, alerting.recall_interval, alerting.fpr_interval


def _row(one: DetectorResults) -> list[str]:
    novel = None if one.novel is None else one.novel.macro_f1
    name = visible(one.name) + ("\n(baseline)" if one.kind == "baseline" else "")
    return [name, *map(_cell, _measures(one)), "-" if novel is None else f"{novel:.3f}"]


def _cell(found: IntervalResult) -> str:
    if found.estimate is None:
        return "-"
    if found.method == "none":
        return f"{found.estimate:.3f}\nno interval"
    if found.low is None or found.high is None:
        return f"{found.estimate:.3f}"
    return f"{found.estimate:.3f}\n{found.low:.3f}-{found.high:.3f}"
