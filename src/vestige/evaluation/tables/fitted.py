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
NEARBY = 0.1
"""How near samples' quartiles must be for all rows to be read."""
ROUNDED = 3e-4
"""The same where cells were rounded to two decimals."""
MANY, LACKING, FEW_ENDS, MOST_SORTED = 0.5, 0.1, 3, 2_000_000
"""Share of the columns that go to 1 where a scaler made them, share of these that do so in the test alone,
rows that reach an end at most; rows of which quartiles are taken."""
FEWEST_VALUES = 50
"""Values that differ in a column of quartiles: of few ones a quartile often is a round number."""
FEWEST_RANGES = 2
"""Columns of which both tables together fill 0..1 exactly, and training alone does not."""
SPARSE, DEAD, FEW_DEAD = 20, 0.01, 5
"""Sparse columns from which on they are taken for counts of words, and how many may be dead in training."""
MOST_STEPS, FEWEST_CODES, DENSE = 200_000, 10, 0.9
"""Different steps that are counted at most, and numbers that are taken for codes where they are so dense."""


def scaler(train: dict[str, Stats], test: dict[str, Stats], quartiled: Sequence[str]) -> Found:
    """Columns that have mean 0 and deviation 1 (or fill 0..1, go to 1, or are `quartiled`) over both
    tables, and not over training alone.

    A scaler that was fitted on training leaves these marks in the training table.
    """
    name = "scaler_fitted_on_all"
    both = [column for column in train if column in test]
    if not both:
        return not_applicable(name, "there are no columns of numbers")
    scalable = [c for c in both if not (train[c].whole and test[c].whole)]
    standard = [column for column in both if _standard_over(train[column], test[column], EXACT)]
    if not standard:
        # Cells that were rounded hold a mean less exactly, so that many columns must.
        standard = [column for column in scalable if _standard_over(train[column], test[column], ROUNDED)]
        standard = standard if len(standard) >= max(FEWEST_RANGES, MANY * len(scalable)) else []
    kinds = []
    if standard:
        kinds.append(f"{_listed(standard)} have mean 0 and deviation 1 over both tables together")
    ranged = _ranged(train, test, scalable)
    if ranged:
        kinds.append(f"{_listed(ranged)} go exactly to 1 (or 0) over both tables together")
    robust = [c for c in scalable if c in quartiled and train[c].distinct >= FEWEST_VALUES]
    if robust:
        kinds.append(f"{_listed(robust)} have median 0 and quartiles 1 apart over both tables together")
    if kinds:
        detail = "; ".join(kinds) + ", and not over training alone: the scaler saw the test rows"
        return Found(name, "fail", detail, float(len({*standard, *ranged, *robust})))
    scaled = sum(
        _is_standard(train[c].mean, train[c].variance, train[c].count) or _exact_range(train[c]) for c in both
    )
    detail = f"{scaled} of {len(both)} columns are scaled by training alone, none by both tables"
    return Found(name, "pass", detail, 0.0)


def _ranged(train: dict[str, Stats], test: dict[str, Stats], scalable: Sequence[str]) -> list[str]:
    """Columns of which both tables together fill 0..1, or reach 1 and nothing larger, and training does not:
    two of them at least, where most of the other columns go to 1, too."""
    if any(_to_one(train[c]) and max(abs(test[c].low), abs(test[c].high)) > 1 + EXACT for c in scalable):
        return []  # a scaler of training goes to 1 there, and the test beyond
    found = [c for c in scalable if _range_over(train[c], test[c]) or _reach_over(train[c], test[c])]
    reached = [c for c in scalable if c in found or _to_one(train[c])]
    enough = max(FEWEST_RANGES, LACKING * len(reached))
    return found if len(found) >= enough and len(reached) >= MANY * len(scalable) else []


def _to_one(stats: Stats) -> bool:
    return abs(max(abs(stats.low), abs(stats.high)) - 1) <= EXACT


def _reach_over(train: Stats, test: Stats) -> bool:
    """Whether the test reaches 1 (or -1) in few rows, the largest of both tables, and training does not."""
    if not _to_one(test) or _to_one(train) or max(abs(train.low), abs(train.high)) > 1:
        return False
    return (test.at_high if test.high >= -test.low else test.at_low) <= FEW_ENDS


def quartiled(
    train: Table, test: Table, samples: tuple[pl.DataFrame, pl.DataFrame], columns: Sequence[str]
) -> list[str]:
    """Columns with median 0 and quartiles 1 apart over both tables together, and not over training alone.
    Those of which samples come near to that are read whole."""
    found: list[str] = []
    if train.rows + test.rows > MOST_SORTED:
        return found
    for column in columns:
        if not _is_quartiled(np.concatenate([part[column].to_numpy() for part in samples]), NEARBY):
            continue
        ours, theirs = (
            np.concatenate([batch[column].to_numpy() for batch in table.batches([column])])
            for table in (train, test)
        )
        both = np.concatenate([ours, theirs])
        if _is_quartiled(both, EXACT) and not _is_quartiled(ours, EXACT * CLEARLY):
            found.append(column)
    return found


def _is_quartiled(values: NDArray[np.float64], tolerance: float) -> bool:
    kept = values[np.isfinite(values)]
    if len(kept) < 3:
        return False
    low, middle, high = np.percentile(kept, [25, 50, 75])
    return bool(low < -tolerance and abs(middle) <= tolerance and abs(high - low - 1) <= 2 * tolerance)


def _listed(columns: Sequence[str]) -> str:
    more = f" and {len(columns) - 3} more" if len(columns) > 3 else ""
    return f"{len(columns)} columns ({', '.join(columns[:3])}{more})"


def _is_standard(mean: float, variance: float, count: int, tolerance: float = EXACT) -> bool:
    """Mean 0 and deviation 1, counted with all rows or with one less."""
    if count < 3:
        return False
    either = min(abs(variance - 1), abs(variance * count / (count - 1) - 1))
    return abs(mean) <= tolerance and either <= 2 * tolerance


def _standard_over(train: Stats, test: Stats, tolerance: float) -> bool:
    if max(abs(value) for s in (train, test) for value in (s.low, s.high)) > LARGEST:
        return False  # nothing that is scaled is so large, and its square would be beyond all numbers
    n = train.count + test.count
    mean = (train.count * train.mean + test.count * test.mean) / n
    spread = sum(s.count * (s.variance + (s.mean - mean) ** 2) for s in (train, test)) / n
    alone = _is_standard(train.mean, train.variance, train.count, tolerance * CLEARLY)
    return _is_standard(mean, spread, n, tolerance) and not alone


def _exact_range(stats: Stats) -> bool:
    return bool(not stats.whole and abs(stats.low) <= EXACT and abs(stats.high - 1) <= EXACT)


def _range_over(train: Stats, test: Stats) -> bool:
    """Whether 0..1 (or -1..1) is filled by both together, and the ends that training lacks by few rows."""
    low, high = min(train.low, test.low), max(train.high, test.high)
    floor = -1.0 if low < -0.5 else 0.0
    if abs(low - floor) > EXACT or abs(high - 1) > EXACT:
        return False
    lacking = [test.at_low] if train.low > floor + EXACT else []
    lacking += [test.at_high] if train.high < 1 - EXACT else []
    return bool(lacking) and max(lacking) <= FEW_ENDS


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
