"""The page of a detector that was learnt without labels: what to expect of it, and what to be careful about.

One self-contained file without scripts: tables alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vestige.evaluation.learnt import Learnt, Silenced, WholeRecordings
from vestige.evaluation.parts import AlertRate
from vestige.evaluation.report import CLOSED, compose
from vestige.reading.times import duration
from vestige.storage import write_text

PAGE_FILE = "report.html"
SHOWN_WARNINGS = 100
"""Warnings that are shown at most; the others are counted."""


def write_page(path: Path, learnt: Learnt) -> None:
    """Write the page atomically."""
    write_text(path, render(learnt))


def render(learnt: Learnt) -> str:
    """The page as text."""
    rows: list[dict[str, Any]] = []
    detectors: list[str] = []
    if learnt.sensitivity is not None:
        found = learnt.sensitivity
        detectors = list(found.rows[0].by) if found.rows else []
        rows = [
            {"what": row.what, "of": row.of, "by": [row.by[name] for name in detectors]} for row in found.rows
        ]
    return compose(
        "learnt.html.j2",
        {},
        learnt=learnt,
        sentences=sentences(learnt),
        rows=rows,
        detectors=detectors,
        times=times,
        short=short,
        warnings=learnt.warnings[:SHOWN_WARNINGS],
        more_warnings=max(0, len(learnt.warnings) - SHOWN_WARNINGS),
    )


def sentences(learnt: Learnt) -> list[str]:
    """What to expect, for an operator."""
    came = learnt.came
    sentences = [
        f"About {amount(came)} alerts a {came.unit} came on the check part, {bounds(came)}; no more than "
        f"{amount(learnt.promised)} were promised."
    ]
    if not learnt.kept:
        sentences.append(
            "The promise was not kept there: the evidence changes, or some of it is an attack. Look at the "
            "strangest stretches."
        )
    elif learnt.drift is not None:
        sentences.append(
            f"The evidence changes: {learnt.drift:.1f} times as many windows as before are rare; the "
            "threshold follows, as it will when new evidence is scored."
        )
    if learnt.stretches is not None and learnt.stretches.alerts < came.alerts:
        many = learnt.stretches
        sentences.append(
            f"Alerts that share steps counted as one, these were {amount(many)} stretches a {many.unit}, "
            f"{bounds(many)}."
        )
    if learnt.whole is not None:
        sentences.append(whole_sentence(learnt.whole))
    if learnt.sensitivity is not None and learnt.sensitivity.verdict:
        sentences.append(f"Of planted anomalies, it {learnt.sensitivity.verdict}.")
    if learnt.silences is not None:
        sentences.append(silence_sentence(learnt.silences))
    if learnt.again is not None:
        sentences += learnt.again.sentences()
    return sentences


def whole_sentence(whole: WholeRecordings) -> str:
    """What is to be expected of whole recordings."""
    told = (
        f"Whole recordings (score --by-recording) are judged by {whole.learnt:,} of them: of the "
        f"{whole.checked:,} in the check part {whole.alerts:,} were as rare as an alert, {whole.alpha:.2%} "
        "being promised"
    )
    if whole.low is not None and whole.low > whole.alpha:
        told += ", which is more than chance explains: the promise does not hold"
    return (
        f"{told}. It is a promise about recordings like those that were learnt from: where what is scored is "
        "of another kind, the strangest alert, as many as chance explains, and the others are held back."
    )


def silence_sentence(found: Silenced) -> str:
    """What is to be expected of what falls silent."""
    if not found.told_after_s:
        return (
            f"None of {found.of_kinds:,} kinds of events and {found.of_logs:,} logs came so steadily that a "
            "watch could say that one of them fell silent."
        )
    shortest, middle, longest = (duration(seconds) for seconds in found.told_after_s)
    told = (
        f"{found.kinds:,} of {found.of_kinds:,} kinds of events and {found.logs:,} of {found.of_logs:,} logs "
        f"came steadily: a watch tells of their silence after {shortest} to {longest} ({middle} in the "
        f"middle). In the check part {found.came:,} silences would have been told"
    )
    if not found.stops or found.delay_s is None:
        return f"{told}."
    return (
        f"{told}; where one was made to stop, it was found before that part ended {found.found:,} of "
        f"{found.stops:,} times, {duration(found.delay_s)} after it had stopped (median)."
    )


def amount(rate: AlertRate) -> str:
    """A rate with three digits."""
    return f"{float(f'{rate.rate:.3g}'):,g}"


def times(factor: float) -> str:
    """A factor with two digits: `2.5`, `410`."""
    return f"{float(f'{factor:.2g}'):,g}"


def short(time: str | None) -> str:
    """A time (RFC 3339) to the second."""
    if time is None:
        return CLOSED
    return f"{time[:19]}Z"


def bounds(rate: AlertRate) -> str:
    """Between which rates the true one lies."""
    if rate.low is None or rate.high is None:
        return "without bounds"
    low, high = (f"{float(f'{end:.3g}'):,g}" for end in (rate.low, rate.high))
    return f"between {low} and {high} (95%, exact where alerts do not depend on one another)"
