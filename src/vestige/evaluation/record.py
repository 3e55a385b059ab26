"""What every record of `metrics.json` is made of."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError


def _null_for_nan(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number = Annotated[float | None, BeforeValidator(_null_for_nan)]
"""A float, or null where a measure has no value."""


class Record(BaseModel):
    """Frozen, and refuses fields it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class IntervalResult(Record):
    """An estimate with its 95% interval; `void` of the `resamples` lacked a class.

    `method`: percentiles of the `bootstrap`; `exact` binomial bounds on the number of clusters, for a rate
    that resampling cannot move; `none` (and no bounds) where all resamples are equal; `point` where no
    interval was asked for. `note` says why.
    """

    estimate: Number
    low: Number
    high: Number
    resamples: int
    void: int = 0
    method: Literal["bootstrap", "exact", "none", "point"] = "bootstrap"
    note: str = ""

    @classmethod
    def point(cls, estimate: float | None) -> Self:
        """A figure without an interval."""
        return cls(estimate=estimate, low=None, high=None, resamples=0, method="point")


def complaint(error: OSError | ValueError, known: str) -> str:
    """Why a file of records cannot be read, in a line: that its `format` is another than the one `known`, or
    the first of everything that is wrong."""
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    if not isinstance(error, ValidationError):
        return f"holds no results that can be read ({error})"
    found = error.errors(include_url=False, include_context=False)
    for flaw in found:
        if flaw["loc"] == ("format",):
            return f"is of format {str(flaw['input'])[:40]!r}; this version reads {known!r}"
    told = [".".join(map(str, found[0]["loc"])), found[0]["msg"]]
    return f"holds no results that can be read ({': '.join(filter(None, told))})"
