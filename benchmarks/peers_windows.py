"""Statistics of sliding windows by the usual libraries; imports nothing of this program, so that they can run
in an environment of their own. Each function takes a grid `(T, C)` and gives back the work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

LENGTH, STRIDE = 10, 5
Grid = np.ndarray


def by_pandas(grid: Grid) -> Callable[[], object]:
    import pandas as pd

    frame = pd.DataFrame(grid.astype(np.float64))
    t = pd.Series(np.arange(len(grid), dtype=np.float64))

    def work() -> object:
        rolling = frame.rolling(LENGTH, step=STRIDE, min_periods=1)
        found = [getattr(rolling, name)() for name in ("mean", "min", "max")]
        along = frame.rolling(LENGTH, min_periods=1).cov(t)  # has no step
        slope = along.div(t.rolling(LENGTH, min_periods=1).var(), axis=0).iloc[::STRIDE]
        last = frame.ffill().iloc[::STRIDE]
        return pd.concat([*found, rolling.std(ddof=0), last, slope], axis=1)

    return work


def by_polars(grid: Grid) -> Callable[[], object]:
    import polars as pl

    names = [f"c{number}" for number in range(grid.shape[1])]
    frame = pl.DataFrame(grid, schema=names).fill_nan(None).with_row_index("t").cast({"t": pl.Int64})
    columns = pl.col(names)
    statistics_of = [
        columns.mean().name.suffix(":mean"), columns.std(ddof=0).name.suffix(":std"),
        columns.min().name.suffix(":min"), columns.max().name.suffix(":max"),
        columns.drop_nulls().last().name.suffix(":last"),
        *((pl.cov("t", name) / pl.col("t").var()).alias(f"{name}:slope") for name in names),
    ]  # fmt: skip
    return lambda: frame.group_by_dynamic("t", every=f"{STRIDE}i", period=f"{LENGTH}i").agg(statistics_of)


def by_tsfresh(grid: Grid) -> Callable[[], object]:
    import pandas as pd
    from tsfresh.feature_extraction import MinimalFCParameters, extract_features

    starts = np.arange(0, len(grid) - LENGTH + 1, STRIDE)
    steps = np.nan_to_num(grid[starts[:, None] + np.arange(LENGTH)]).reshape(-1, grid.shape[1])
    frame = pd.DataFrame(steps.astype(np.float64))
    frame["window"] = np.repeat(np.arange(len(starts)), LENGTH)
    return lambda: extract_features(
        frame,
        column_id="window",
        default_fc_parameters=MinimalFCParameters(),
        n_jobs=0,
        disable_progressbar=True,
    )
