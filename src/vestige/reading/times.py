"""Times of steps, of which some may have none: where these stand among others, and as text."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.reading.steps import NO_TIME

EARLY_NS = 631_152_000 * 10**9
"""1990-01-01: nothing that is read was written before (Unix ns)."""
TICKS_1970, FIRST_TICKS, LAST_TICKS = 621_355_968_000_000_000, 62 * 10**16, 66 * 10**16
"""Ticks of .NET: 100 ns since the year 1. As nanoseconds since 1970 these are of 1989 and 1990."""
HALF = r"[AaPp](?:\.[ \u00a0\u202f]?)?[Mm]\.?"
"""A half of the day, as an expression: `PM`, `p.m.`, `p. m.`, also with a blank that breaks no line (as Java
and browsers write Spanish)."""
OFFSET = r"[+\u2212-]\d\d(?::?\d\d)?"
"""How far a zone is from UTC, as an expression: `+02`, `+0200`, `-05:00`. ISO 8601 (2004, 3.4.1) lets the
minus be that of Unicode."""
UNITS = (("days", 2 * 86_400.0, 86_400.0), ("h", 3_600.0, 3_600.0), ("min", 60.0, 60.0), ("s", 1.0, 1.0))
"""Units of time, from how many seconds on each is used, and how many it has."""


def known(t_ns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of these times somebody knows `(n,)`."""
    return np.not_equal(t_ns, NO_TIME)


def rfc3339(t_ns: NDArray[np.int64]) -> list[str | None]:
    """Times (Unix ns) as RFC 3339 in UTC with nanoseconds; None where nobody knows the time."""
    texts: NDArray[Any] = np.datetime_as_string(t_ns.astype("datetime64[ns]"), unit="ns")
    told = zip(texts.tolist(), known(t_ns).tolist(), strict=True)
    return [f"{text}Z" if is_known else None for text, is_known in told]


def offset_seconds(text: str | None) -> int:
    """Seconds east of UTC of an `OFFSET`; of `Z`, of other names of UTC and of nothing 0."""
    if text is None or text[0] not in "+-\u2212":
        return 0
    minutes = int(text[-2:]) if len(text) > 3 else 0
    seconds = int(text[1:3]) * 3600 + minutes * 60
    return seconds if text[0] == "+" else -seconds


def duration(seconds: float) -> str:
    """A span of time in words, of two digits: `3 h`, `1.5 min`, `40 ms`."""
    if not math.isfinite(seconds):
        return "an unknown time"
    unit, size = next(((unit, size) for unit, least, size in UNITS if seconds >= least), ("ms", 1e-3))
    number = seconds / size
    digits = f"{number:,.0f}"
    if number < 9.95:
        digits = f"{number:.1f}".removesuffix(".0")
    return f"{digits} {unit}"


def placed(t_ns: NDArray[np.int64], recording: NDArray[Any]) -> NDArray[np.int64]:
    """Where steps stand in time, `(N,)`, Unix ns: a step without a time stands at the last known time before
    it in its recording, else at the next one after it. `NO_TIME` stays where a recording has no time at all.

    `recording (N,)` tells recordings apart; the steps of each stand in their order.
    """
    if not len(t_ns) or int(t_ns.min()) != NO_TIME or int(t_ns.max()) == NO_TIME:
        return t_ns
    has_time = t_ns != NO_TIME
    order = np.argsort(recording, kind="stable")
    has_time, sorted_ns, of = has_time[order], t_ns[order], recording[order]
    fresh = np.r_[True, of[1:] != of[:-1]]
    number = np.cumsum(fresh) - 1
    at = np.arange(len(order))
    before = np.maximum.accumulate(np.where(has_time | fresh, at, 0))
    # Backwards, the same once more for those that no known time of their recording comes before.
    last = np.r_[fresh[1:], True]
    after = np.minimum.accumulate(np.where(has_time | last, at, len(at))[::-1])[::-1]
    source = np.where(has_time[before], before, after)
    filled = np.where(number[source] == number, sorted_ns[source], NO_TIME)
    out = np.empty_like(t_ns)
    out[order] = filled
    return out


def span(t_ns: NDArray[np.int64]) -> tuple[int, int] | None:
    """The first and the last known time; None where none is known."""
    if not len(t_ns):
        return None
    first, last = int(t_ns.min()), int(t_ns.max())
    if last == NO_TIME:
        return None
    if first == NO_TIME:
        first = int(t_ns[t_ns != NO_TIME].min())
    return first, last


def tells_apart(t_ns: NDArray[np.int64]) -> bool:
    """Whether there are known times, and not all the same."""
    found = span(t_ns)
    return found is not None and found[0] < found[1]
