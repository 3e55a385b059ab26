"""What was fitted on the test part, too: scalers, projections and vocabularies leave marks in the tables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.tables.reading import Stats, Table
from vestige.evaluation.tables.record import Found, not_applicable
from vestige.evaluation.tables.sides import Side
from vestige.evaluation.tables.windows import Windows

LARGEST = 1e100
EXACT, CLEARLY = 1e-5, 10.0
"""How near a mean is to 0 (a deviation to 1) that was made so, and how many times farther off the training
table's must be."""
FEWEST_RANGES = 2
"""Columns of which both tables together fill 0..1 exactly, and training alone does not."""
SPARSE, DEAD, FEW_DEAD = 20, 0.01, 5
"""Sparse columns from which on they are taken for counts of words, and how many may be dead in training."""
MOST_STEPS, FEWEST_CODES, DENSE = 200_000, 10, 0.9
"""Different steps that are counted at most, and numbers that are taken for codes where they are so dense."""


def scaler(train: dict[str, Stats], test: dict[str, Stats]) -> Found:
    """Columns that have mean 0 and deviation 1 (or fill 0..1) over both tables, and not over training alone.

    A scaler that was fitted on training leaves these marks in the training table.
    """
    name = "scaler_fitted_on_all"
    both = [column for column in train if column in test]
    if not both:
        return not_applicable(name, "there are no columns of numbers")
    standard = [column for column in both if _standard_over(train[column], test[column])]
    ranged = [column for column in both if _range_over(train[column], test[column])]
    beyond = any(_exact_range(train[c]) and (test[c].high > 1 or test[c].low < 0) for c in both)
    kinds = []
    if standard:
        kinds.append(f"{_listed(standard)} have mean 0 and deviation 1 over both tables together")
    if len(ranged) >= FEWEST_RANGES and not beyond:
        kinds.append(f"{_listed(ranged)} fill 0 to 1 exactly over both tables together")
    if kinds:
        detail = "; ".join(kinds) + ", and not over training alone: the scaler saw the test rows"
        return Found(name, "fail", detail, float(len(standard) + len(ranged)))
    scaled = sum(
        _is_standard(train[c].mean, train[c].variance, train[c].count) or _exact_range(train[c]) for c in both
    )
    detail = f"{scaled} of {len(both)} columns are scaled by training alone, none by both tables"
    return Found(name, "pass", detail, 0.0)


def _listed(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
    return f"{len(columns)} columns ({', '.join(columns[:3])}{more})"


def _is_standard(mean: float, variance: float, count: int, tolerance: float = EXACT) -> bool:
    """Mean 0 and deviation 1, counted with all rows or with one less."""
    if count < 3:
        return False
    either = min(abs(variance - 1), abs(variance * count / (count - 1) - 1))
    return abs(mean) <= tolerance and either <= 2 * tolerance


def _standard_over(train: Stats, test: Stats) -> bool:
    if max(abs(value) for s in (train, test) for value in (s.low, s.high)) > LARGEST:
        return False  # nothing that is scaled is so large, and its square would be beyond all numbers
    n = train.count + test.count
    mean = (train.count * train.mean + test.count * test.mean) / n
    spread = sum(s.count * (s.variance + (s.mean - mean) ** 2) for s in (train, test)) / n
    alone = _is_standard(train.mean, train.variance, train.count, EXACT * CLEARLY)
    return _is_standard(mean, spread, n) and not alone


def _exact_range(stats: Stats) -> bool:
    return bool(not stats.whole and abs(stats.low) <= EXACT and abs(stats.high - 1) <= EXACT)


def _range_over(train: Stats, test: Stats) -> bool:
    """Whether 0..1 is filled by both together, each end by few rows, and not by training alone."""
    low, high = min(train.low, test.low), max(train.high, test.high)
    filled = abs(low) <= EXACT and abs(high - 1) <= EXACT and not (train.whole and test.whole)
    if not filled or _exact_range(train):
        return False
    ends = [s.at_high for s in (train, test) if s.high == high] + [
        s.at_low for s in (train, test) if s.low == low
    ]
    return max(ends) <= 3


def vocabulary(
    train: Side, test: Side, windows: Windows | None, stats: tuple[dict[str, Stats], dict[str, Stats]]
) -> Found:
    """Codes or columns of words that only the test has: a vocabulary of training has no code for them.

    Steps that are whole numbers count as codes where nearly every number up to the highest occurs. Columns
    that are nothing but zero in training, of many sparse ones, are words that training never saw.
    """
    name = "vocabulary_fitted_on_all"
    told = _dead_columns(*stats)
    of_steps = _new_codes(name, train, test, windows) if windows is not None else None
    if of_steps is not None:
        return of_steps
    if told is not None:
        return told
    return not_applicable(
        name, "no steps are codes, and there are no columns of words: strings are not fitted"
    )


def _new_codes(name: str, train: Side, test: Side, windows: Windows) -> Found | None:
    ours, theirs = _codes(train, windows), _codes(test, windows)
    if ours is None or theirs is None:
        return None
    new, every = theirs[0] - ours[0], ours[0] | theirs[0]
    low, high = min(every), max(every)
    filled = len(every) / (high - low + 1)
    if filled < DENSE or len(every) < FEWEST_CODES:
        return None
    if not new or (len(new) == 1 and max(new) < max(ours[0])):
        return Found(name, "pass", f"all codes of steps ({len(every)}) occur in training", 0.0)
    rows: NDArray[np.bool_] | None = None
    if len(theirs[1]) == len(test):
        rows = np.asarray(np.isin(theirs[1], np.array(sorted(new))).any(axis=1), dtype=np.bool_)
    named = ", ".join(map(str, sorted(new)[:5]))
    detail = (
        f"{len(new)} codes of steps ({named}) occur in the test alone, and the codes {low} to {high} of both "
        f"tables are filled by {filled:.0%}: the vocabulary was made of both"
    )
    return Found(name, "fail", detail, float(len(new)), rows)


def _dead_columns(train: dict[str, Stats], test: dict[str, Stats]) -> Found | None:
    sparse = [
        column
        for column, found in train.items()
        if column in test and found.low >= 0 and test[column].low >= 0
        and test[column].zeros + found.zeros >= 0.5 * (test[column].count + found.count)
    ]  # fmt: skip
    if len(sparse) < SPARSE:
        return None
    name = "vocabulary_fitted_on_all"
    dead = [column for column in sparse if train[column].high == 0 and test[column].high > 0]
    if not dead:
        return Found(name, "pass", f"all {len(sparse)} sparse columns occur in training", 0.0)
    detail = (
        f"of {len(sparse)} sparse columns {_listed(dead)} are nothing but 0 in training, and not in the test"
    )
    many = len(dead) >= FEW_DEAD and len(dead) > DEAD * len(sparse)
    if many:
        return Found(name, "fail", f"{detail}: the words were collected from both tables", float(len(dead)))
    return Found(
        name, "warn", f"{detail}: words that training never saw, or a list made by hand", float(len(dead))
    )


def _codes(side: Side, windows: Windows) -> tuple[set[int], NDArray[np.int32]] | None:
    """The different steps, and all rows' steps where they are few enough; None where some are no numbers."""
    found: set[int] = set()
    kept: list[NDArray[np.int32]] = []
    for batch in side.table.batches(windows.columns):
        steps = _numbers(batch, windows, side.table)
        if steps is None:
            return None
        found |= set(np.unique(steps).tolist())
        if len(found) > MOST_STEPS:
            return None
        kept.append(steps.astype(np.int32))
    return found, np.concatenate(kept)


def _numbers(batch: pl.DataFrame, windows: Windows, table: Table) -> NDArray[np.int64] | None:
    if windows.parting:
        cells = windows.cells(batch)
        cells = cells.filter(cells.list.len() == windows.length)
        flat = cells.explode().cast(pl.Int32, strict=False)
        if not len(flat) or flat.null_count():
            return None
        return flat.to_numpy().astype(np.int64).reshape(-1, windows.length)
    if len(windows.columns) > windows.length:
        return None
    if any(table.kinds[name] != "number" for name in windows.columns):
        return None
    values = batch.select(windows.columns).to_numpy()
    whole = (
        np.isfinite(values).all() and (values == np.round(values)).all() and (np.abs(values) < 2**31).all()
    )
    return values.astype(np.int64) if whole else None
