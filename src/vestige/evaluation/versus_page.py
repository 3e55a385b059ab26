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
    best = max(compared.contenders, key=lambda contender: contender.figure.estimate or 0.0)
    highest = best.figure.estimate or 0.0
    if len(compared.contenders) == 1:
        return (
            f"{best.name} has {compared.title} {highest:.3f}; there is no other detector to compare it with."
        )
    equal = [contender.name for contender in compared.contenders if contender.figure.estimate == highest]
    if len(equal) == len(compared.contenders):
        return f"All {len(equal)} have the same {compared.title}, {highest:.3f}."
    text = f"{best.name} has the highest {compared.title}, {highest:.3f}"
    if len(equal) > 1:
        text += f", as {', '.join(name for name in equal if name != best.name)} has"
    if not compared.clusters.trusted:
        return f"{text}; no difference can be shown: {compared.clusters.reason}."
    beaten = [
        pair.second if pair.first == best.name else pair.first
        for pair in significant(compared)
        if best.name in {pair.first, pair.second}
    ]
    others = len(compared.contenders) - 1
    if len(beaten) == others:
        return f"{text}, and is shown to be better than each of the other {others}."
    return f"{text}; it is shown to be better than {len(beaten)} of the other {others}."


def _standing(compared: Compared) -> plots.Figure:
    rows = [
        (contender.name, contender.figure.estimate or 0.0, contender.figure.low, contender.figure.high)
        for contender in compared.contenders
    ]
    return plots.intervals(rows, f"{compared.title} on the test part, 95% interval")


def _gaps(compared: Compared) -> plots.Figure:
    widest = sorted(compared.pairs, key=lambda pair: -abs(pair.gap.estimate or 0.0))[:MOST_DRAWN]
    rows = [
        (f"{pair.first} - {pair.second}", pair.gap.estimate or 0.0, pair.gap.low, pair.gap.high)
        for pair in widest
    ]
    return plots.intervals(rows, f"gap in {compared.title}, 95% interval", zero=True)
