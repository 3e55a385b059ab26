"""The page of a comparison: one table, the gaps of all pairs, and a figure of both."""

from __future__ import annotations

from pathlib import Path

from vestige.evaluation import plots
from vestige.evaluation.report import compose
from vestige.evaluation.versus import Compared, GapResult
from vestige.storage import write_text

MOST_DRAWN = 40
"""Pairs that the figure draws, the widest gaps first; the table has them all."""


def write_page(path: Path, compared: Compared) -> None:
    """Write the page atomically."""
    write_text(path, render(compared))


def render(compared: Compared) -> str:
    """The page as text."""
    figures = {"standing": _standing(compared)}
    if compared.pairs:
        figures["gaps"] = _gaps(compared)
    return compose("compare.html.j2", figures, compared=compared, sentence=sentence(compared))


def significant(compared: Compared) -> list[GapResult]:
    """Pairs whose adjusted p is below 5%."""
    return [pair for pair in compared.pairs if pair.p_adjusted is not None and pair.p_adjusted < 0.05]


def sentence(compared: Compared) -> str:
    """What came out, in a sentence."""
    figures = {
        row.name: row.figure.estimate for row in compared.contenders if row.figure.estimate is not None
    }
    without = [row.name for row in compared.contenders if row.name not in figures]
    said = [_best(compared, figures)] if figures else []
    if without:
        said.append(f"{', '.join(without)} {'has' if len(without) == 1 else 'have'} no {compared.title}")
    if len(compared.contenders) == 1:
        said.append("there is no other detector to compare it with")
    return "; ".join(said) + "."


def _best(compared: Compared, figures: dict[str, float]) -> str:
    """The best of the detectors that have a figure, and what it is shown to be better than."""
    best = max(figures, key=lambda name: figures[name])
    highest = f"{figures[best]:.3f}"
    others = len(figures) - 1
    if not others:
        return f"{best} has {compared.title} {highest}"
    beaten = {
        pair.second if pair.first == best else pair.first
        for pair in significant(compared)
        if best in {pair.first, pair.second}
    }
    # Equal is what looks equal, to three digits, and is not shown to differ.
    equal = [n for n in figures if n not in {best, *beaten} and f"{figures[n]:.3f}" == highest]
    if len(equal) == others:
        all_of_them = "Both" if others == 1 else f"All {others + 1}"
        if len(figures) < len(compared.contenders):
            all_of_them = ", ".join(figures)
        return f"{all_of_them} have the same {compared.title}, {highest}"
    text = f"{best} has the highest {compared.title}, {highest}"
    if equal:
        text += f", as {', '.join(equal)} {'has' if len(equal) == 1 else 'have'}"
    if not compared.clusters.trusted:
        return f"{text}; no difference can be shown: {compared.clusters.reason}"
    if others == 1:
        return f"{text}; it is {'shown' if beaten else 'not shown'} to be better than the other"
    if len(beaten) == others:
        return f"{text}, and is shown to be better than each of the other {others}"
    return f"{text}; it is shown to be better than {len(beaten)} of the other {others}"


def _standing(compared: Compared) -> plots.Figure:
    rows = [
        (contender.name, contender.figure.estimate, contender.figure.low, contender.figure.high)
        for contender in compared.contenders
        if contender.figure.estimate is not None
    ]
    return plots.intervals(rows, f"{compared.title} on the test part, 95% interval")


def _gaps(compared: Compared) -> plots.Figure:
    widest = sorted(compared.pairs, key=lambda pair: -abs(pair.gap.estimate or 0.0))[:MOST_DRAWN]
    rows = [
        (f"{pair.first} - {pair.second}", pair.gap.estimate or 0.0, pair.gap.low, pair.gap.high)
        for pair in widest
    ]
    return plots.intervals(rows, f"gap in {compared.title}, 95% interval", zero=True)
