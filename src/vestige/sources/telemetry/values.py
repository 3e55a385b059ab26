"""Can a raw table's values be what they are said to be?"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import polars as pl

from vestige.sources.telemetry.faults import Fault
from vestige.sources.telemetry.fields import FIELDS, OPTIONAL, SAMPLED, CollectorName

FINITE = sys.float_info.max
HIGHEST = {"id.orig_p": 65_535, "id.resp_p": 65_535}


def faults(table: pl.DataFrame, collector: CollectorName, gate: float) -> list[Fault]:
    """`values`: negative, infinite, or no port; `missing_values`: a sampled column with values in less than
    the share `gate` of the rows. Of each kind the first column is named.
    """
    found: dict[str, Fault] = {}
    for name, field in FIELDS[collector].items():
        if field.dtype is pl.String or name not in table.columns:
            continue
        column = table[name]
        low: Any = column.min()
        bounded = name in HIGHEST or field.dtype is pl.Float64
        high: Any = column.max() if bounded else None
        if low is not None and (low < 0 or (bounded and high > HIGHEST.get(name, FINITE))):
            what = f"{name}: {low!r}"
            if bounded:
                what = f"{name}: {low!r} to {high!r}"
            found.setdefault("values", Fault("values", collector, what))
        if collector in SAMPLED and name not in OPTIONAL:
            missing = column.null_count()
            if field.dtype is pl.Float64:
                missing = int(np.isnan(column.to_numpy()).sum())
            if len(column) - missing < gate * len(column):
                what = f"{name}: {missing:,} of {len(column):,} missing"
                found.setdefault("missing_values", Fault("missing_values", collector, what))
    return list(found.values())
