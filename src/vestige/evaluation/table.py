"""The results as a table for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige.escaping import visible
from vestige.evaluation.caveats import audit_lines, outdone, saturated, untested
from vestige.evaluation.record import IntervalResult
from vestige.evaluation.results import DetectorResults, RunResults

if TYPE_CHECKING:
    from rich.table import Table


LONGEST = 2_000
"""Characters of a sentence that the caption shows."""
METHODS = {
    "exact": "A rate that no resample can move has exact bounds on the number of clusters concerned.",
    "none": "No interval: every resample gives the same figure, which is not certainty.",
}
"""What the caption says of intervals that are not percentiles, by method."""

ONSET = (
    "An alert here: the attack's classes together reach a threshold of their own. FPR: of windows without "
    "attack. Already alarmed: an alert came before the attack in the same recording, and detects nothing. "
    "Delay: of the other attacks; never: more than half of them were missed."
)


def results_table(results: RunResults) -> Table:
    """Models and baselines side by side, a column a metric, the 95% interval under each figure.

    The title says when the split is in-distribution or leakage was allowed, the caption holds the headline
    and every check of the audit that failed or warns.
    """
    from rich.table import Table
    from rich.text import Text

    metrics = results.columns("terminal")
    table = Table(title=Text(_title(results)), caption=Text(_caption(results)), caption_justify="left")
    table.add_column("detector", overflow="fold")
    for metric in metrics:
        head = metric.short
        if metric.at_threshold:
            head = f"{head} at\n{results.policy}"
        table.add_column(Text(head), justify="right", no_wrap=True)
    for number, detector in enumerate(results.models + results.baselines):
        last_model = number == len(results.models) - 1
        style = "bold" if detector.kind == "model" else "dim"
        cells = [_name(detector), *(_cell(detector.metrics[metric.name], metric.form) for metric in metrics)]
        table.add_row(*map(Text, cells), style=style, end_section=last_model)
    return table


def pairs_table(results: RunResults) -> Table:
    """Every two models of a view and every model in its two views: the gap in macro F1, paired."""
    from rich.table import Table
    from rich.text import Text

    caption = "Paired on the same resamples; p two-sided, by Holm's method over all pairs."
    if not results.clusters.trusted:
        caption = f"Paired on the same resamples; no p: {results.clusters.reason}."
    table = Table(title=Text("model against model"), caption=Text(caption), caption_justify="left")
    table.add_column("pair", overflow="fold")
    for name in ("gap in macro F1", "95% interval", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for pair in results.pairs:
        gap = pair.gap
        between = "-" if gap.low is None or gap.high is None else f"{gap.low:+.3f} to {gap.high:+.3f}"
        names = f"{visible(pair.first)} - {visible(pair.second)}"
        cells = (names, _plain(gap.estimate, "+.3f"), between, _plain(pair.p_adjusted, ".4f"))
        table.add_row(*(Text(cell) for cell in cells))
    return table


def onset_table(results: RunResults, rate: float = 0.01) -> Table:
    """How late each model alerts after an attack began, at the threshold of a fixed false-positive rate."""
    from rich.table import Table
    from rich.text import Text

    attacks = next((model.onset.attacks for model in results.models if model.onset is not None), 0)
    title = f"first alert in {attacks:,} attacks, at a wanted FPR of {rate:.0%}"
    table = Table(title=Text(title), caption=Text(ONSET), caption_justify="left")
    table.add_column("detector", overflow="fold")
    for name in (
        "its FPR\non test",
        "already\nalarmed",
        "attacks\ndetected",
        "median\ndelay, s",
        "within\n60 s",
    ):
        table.add_column(name, justify="right", no_wrap=True)
    for model in results.models:
        for late in model.onset.delays if model.onset is not None else ():
            if late.fpr != rate:
                continue
            cells = (
                visible(model.name),
                _plain(late.reached_fpr, ".2%"),
                _cell(late.already, ".0%"),
                _cell(late.detected, ".0%"),
                "-" if late.median_s is None else _cell(late.median_s, ".0f", "never"),
                f"{late.within['60']:.0%}",
            )
            table.add_row(*(Text(cell) for cell in cells))
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
    lines = [comparison.sentence for comparison in results.comparisons]
    lines += [results.label_origin, untested(results), outdone(results), saturated(results)]
    lines.append(f"95% intervals: bootstrap over {results.clusters.description}.")
    if not results.clusters.trusted and not results.comparisons:
        lines.append(f"They cannot be trusted: {results.clusters.reason}.")
    methods = {
        detector.metrics[metric.name].method
        for detector in results.detectors
        for metric in results.columns("terminal")
    }
    lines += [told for method, told in METHODS.items() if method in methods]
    if results.symbols is not None:
        lines.append(results.symbols.sentence)
    return "\n".join([*(visible(line, LONGEST) for line in lines if line), *audit_lines(results)])


def _name(detector: DetectorResults) -> str:
    name = visible(detector.name).replace("/", "/\n")
    if detector.is_baseline:
        name += f"\n({detector.role})"
    return name


def _plain(value: float | None, form: str, otherwise: str = "-") -> str:
    return otherwise if value is None else format(value, form)


def _cell(found: IntervalResult, form: str = ".3f", otherwise: str = "-") -> str:
    middle = _plain(found.estimate, form, otherwise)
    if found.estimate is not None and found.method == "none":
        return f"{middle}\nno interval"
    if found.low is None or (found.high is None and otherwise == "-"):
        return middle
    return f"{middle}\n{found.low:{form}}-{_plain(found.high, form, otherwise)}"
