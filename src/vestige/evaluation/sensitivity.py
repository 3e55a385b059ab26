"""What the detection of plants means to an operator, in sentences: the lower end of an interval decides."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import polars as pl
from pydantic import BaseModel, ConfigDict

from vestige.evaluation.plant_kinds import KINDS
from vestige.evaluation.trivial import Beside

MOSTLY = 0.5
"""A strength counts as caught where the interval of its share begins at half of the plants."""
LARGER = 10.0
"""So many times the budget is looked at besides: what would be found by who reads more."""
HARDLY = 0.1
"""A share counts as hardly any where its interval ends there."""
WARNING = (
    "Found plants say how sensitive a detector is to each kind of change. They do not say which of two "
    "detectors finds more attacks: in an experiment with 23 detectors the mean share of plants found ranked "
    "them as true labels did with a correlation of -0.17 to +0.24 (Spearman): do not choose one by them."
)


class Found(BaseModel):
    """Of the plants of a kind and strength, how many a detector finds: the `share` of them, bounded by `low`
    and `high` (95%, exact); `anyway` is the share of stretches that alert without a plant."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    found: int
    share: float
    low: float
    high: float
    anyway: float


class PlantedRow(BaseModel):
    """A kind of plants at a strength: `what` a plant is, how many there are (`of`), and what each detector
    finds, the one that was learnt first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    strength: int
    what: str
    of: int
    by: dict[str, Found]


class Trivially(BaseModel):
    """A trivial detector beside: `about` says what it finds strange; it alerts `times` as often on the
    calibration as the one that was learnt. More than once means that it cannot keep to the budget."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    times: float


class Sensitivity(BaseModel):
    """What is found of planted anomalies. `verdict`: of the detector that was learnt, in a sentence;
    `beside`: the trivial detectors; `left_out`: what was not planted, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rows: list[PlantedRow]
    verdict: str
    warning: str
    beside: dict[str, Trivially]
    left_out: dict[str, str]

    @classmethod
    def of(
        cls,
        name: str,
        own: pl.DataFrame,
        larger: pl.DataFrame,
        beside: Mapping[str, Beside],
        *,
        share: float,
        kinds: Sequence[str],
        left_out: Mapping[str, str],
    ) -> Self:
        """Of the `name` of what was learnt, its `own` table of `plants.detected`, the same with a budget that
        is `LARGER` times as large, and what trivial detectors find of the same plants; `share` of the windows
        of the calibration may alert. `kinds` and `left_out` are those of the `Plants`."""
        by_name = {name: own, f"{name}, {LARGER:g} times the budget": larger} | {
            each: other.found for each, other in beside.items()
        }
        rows = []
        for number, row in enumerate(own.iter_rows(named=True)):
            by = {each: table.row(number, named=True) for each, table in by_name.items()}
            found = {
                each: Found(**{field: row[field] for field in Found.model_fields}) for each, row in by.items()
            }
            rows.append(
                PlantedRow(
                    kind=row["kind"], strength=row["strength"], what=row["what"], of=row["of"], by=found
                )
            )
        return cls(
            rows=rows,
            verdict=verdict(own, kinds),
            warning=WARNING,
            beside={
                each: Trivially(about=other.about, times=other.spent / share)
                for each, other in beside.items()
            },
            left_out=dict(left_out),
        )


def verdict(found: pl.DataFrame, kinds: Sequence[str]) -> str:
    """One sentence of a table of `plants.detected`; `kinds` are those of the `Plants`. Empty without rows."""
    caught: list[str] = []
    missed: dict[str, list[str]] = {word: [] for word in ("nearly all", "most", "many")}
    for name, rows in _by_kind(found):
        of = _plural(name, kinds)
        phrase = _caught(name, of, rows)
        if phrase:
            caught.append(phrase)
        else:
            missed[_how_many_missed(rows)].append(of)
    parts = []
    if caught:
        parts.append(f"would catch {_listed(caught)}")
    told = [f"{word} {_listed(some)}" for word, some in missed.items() if some]
    if told:
        parts.append(f"would miss {'; '.join(told)}")
    anyway = float(found["anyway"].mean() or 0) if len(found) else 0.0  # type: ignore[arg-type]
    if anyway > HARDLY:
        parts.append(f"{anyway:.0%} of the stretches alert anyway, where no plant counts as found")
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
        often = share.replace(" of ", " times in ").replace("nearly all", "nearly always")
        return f"{row['what']} {often}"
    return ""


def _how_many_missed(rows: list[dict[str, Any]]) -> str:
    best = max(rows, key=lambda row: row["share"])
    if best["high"] <= HARDLY:
        return "nearly all"
    if best["high"] < MOSTLY:
        return "most"
    return "many"


def tenths(low: float) -> str:
    """`at least 9 of 10`, rounded down; `nearly all` from 95% on."""
    if low >= 0.95:
        return "nearly all"
    # A share of .7 exactly may be a little less in binary.
    return f"at least {math.floor(10 * low + 1e-9)} of 10"


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
