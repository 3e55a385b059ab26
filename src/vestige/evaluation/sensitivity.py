"""What the detection of plants means to an operator, in sentences: the lower end of an interval decides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from vestige.evaluation.planting import KINDS

MOSTLY = 0.5
"""A strength counts as caught where the interval of its share begins at half of the plants."""
HARDLY = 0.1
"""A share counts as hardly any where its interval ends there."""
WARNING = (
    "Found plants say how sensitive a detector is to each kind of change. They do not say which of two "
    "detectors finds more attacks: in an experiment with 23 detectors the mean share of plants found ranked "
    "them as true labels did with a correlation of -0.17 to +0.24 (Spearman): do not choose one by them."
)


def verdict(found: pl.DataFrame, kinds: Sequence[str]) -> str:
    """One sentence of a table of `plants.detected`; `kinds` are those of the `Plants`. Empty without rows."""
    caught, missed = [], []
    for name, rows in _by_kind(found):
        of = _plural(name, kinds)
        phrase = _caught(name, of, rows)
        if phrase:
            caught.append(phrase)
        else:
            missed.append(_missed(of, rows))
    parts = []
    if caught:
        parts.append(f"would catch {_listed(caught)}")
    if missed:
        parts.append(f"would miss {_listed(missed)}")
    if not parts:
        return ""
    return "; ".join(parts)


def _by_kind(found: pl.DataFrame) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in found.iter_rows(named=True):
        rows.setdefault(row["kind"], []).append(row)
    yield from rows.items()


def _plural(name: str, kinds: Sequence[str]) -> str:
    names = [kind.name for kind in KINDS]
    return kinds[names.index(name)]


def _caught(name: str, of: str, rows: list[dict[str, Any]]) -> str:
    """Of the weakest strength of which most are caught; empty where there is none."""
    for at, row in enumerate(rows):
        if row["low"] < MOSTLY:
            continue
        share = tenths(row["low"])
        if name == "silence":
            # A silence is said by its length, whatever its strength.
            shorter = [weaker for weaker in rows[:at] if weaker["high"] <= HARDLY]
            end = ", none of those shorter" if len(shorter) == at and at else ""
            return f"{share} {row['what'].replace('silence', 'silences', 1)}{end}"
        if at == 0:
            return f"{share} {of}"
        return f"{share} {of} where it is {row['what']}"
    return ""


def _missed(of: str, rows: list[dict[str, Any]]) -> str:
    strongest = rows[-1]
    if all(row["high"] <= HARDLY for row in rows):
        return f"nearly all {of}"
    if strongest["high"] < MOSTLY:
        return f"most {of}, even {strongest['what']} ({strongest['found']} of {strongest['of']} found)"
    return f"many {of} ({strongest['found']} of {strongest['of']} found of {strongest['what']})"


def tenths(low: float) -> str:
    """`at least 9 of 10`, rounded down; `nearly all` above 97%."""
    if low >= 0.97:
        return "nearly all"
    # A share of .7 exactly may be a little less in binary.
    return f"at least {math.floor(10 * low + 1e-9)} of 10"


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def left_out(why: Mapping[str, str]) -> list[str]:
    """What was not planted, a sentence each."""
    return [f"{what}: not planted, because {reason}" for what, reason in why.items()]
