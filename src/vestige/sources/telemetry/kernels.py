"""The loops of the telemetry source, compiled.

Letters: N rows, T steps, C channels, B windows, S statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.compiling import compiled

SECOND_NS = 10**9
OUT_OF_NOTHING = 100.0
"""How many times as fast as ever after a counter rises from a first zero that was none."""
FEW = 32
"""Values so few that insertion sorts them soonest."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Grid = NDArray[np.float32]
Flags = NDArray[np.bool_]


@compiled
def sample(
    t_ns: Ints,
    values: Floats,
    counter: Flags,
    t_start_ns: int,
    step_ns: int,
    stale_ns: int,
    gap_ns: int,
    out: Grid,
) -> None:  # pragma: no cover - compiled
    """Fill `out (T, C)` from rows `values (C, N)` stamped `t_ns (N,)`.

    See `grid`: the last row before each step is over, counters as rates.
    """
    row, head, before, reached = -1, -1, -1, 0
    for step in range(len(out)):
        over = t_start_ns + (step + 1) * step_ns
        while row + 1 < len(t_ns) and t_ns[row + 1] <= over:
            row += 1
            if row == 0 or t_ns[row] > t_ns[row - 1]:
                # Of rows with one stamp, the first is a counter's: nobody knows when the others were.
                before, head = head, row
        since = before
        if step_ns > SECOND_NS and reached < head:
            since = reached
        reached = max(head, 0)
        if row < 0 or over - t_ns[row] > stale_ns:
            continue
        dt = t_ns[head] - t_ns[since] if since >= 0 else 0
        for c in range(len(values)):
            value = values[c, row]
            if counter[c]:
                value = np.nan
                if 0 < dt <= gap_ns and not falls(values[c, since : head + 1]):
                    value = (values[c, head] - values[c, since]) / (dt / SECOND_NS)
            if np.isfinite(np.float32(value)):
                out[step, c] = value


@compiled
def falls(value: Floats) -> bool:  # pragma: no cover - compiled
    """Whether a counter's readings `(N,)` fall anywhere; those that are NaN are passed over."""
    last = value[0]
    for reading in value[1:]:
        if reading < last:
            return True
        if not np.isnan(reading):
            last = reading
    return False


@compiled
def forget_false(t_ns: Ints, values: Floats, counter: Flags) -> Ints:  # pragma: no cover - compiled
    """Make NaN of readings in `values (C, N)` that no counter can have had: see `grid`. How many, `(C,)`."""
    forgotten = np.zeros(len(values), dtype=np.int64)
    for c in range(len(values)):
        if counter[c]:
            unread = missing(values[c])
            for row in range(len(t_ns)):
                if values[c, row] < 0:
                    values[c, row] = np.nan
            most = fastest(t_ns, values[c])
            forget_peaks(t_ns, values[c], most)
            forget_returns(t_ns, values[c], most)
            forgotten[c] = missing(values[c]) - unread
    return forgotten


@compiled
def missing(value: Floats) -> int:  # pragma: no cover - compiled
    """How many of the readings `(N,)` are NaN."""
    count = 0
    for reading in value:
        count += np.isnan(reading)
    return count


@compiled
def fastest(t_ns: Ints, value: Floats) -> float:  # pragma: no cover - compiled
    """By how much a second the counter `value (N,)` rises at most, apart from rises that are undone at once,
    from those that bring it back to the level that it had before a fall, and from a first one from zero."""
    most, level, last = 0.0, 0.0, -1
    for row in range(len(t_ns)):
        if np.isnan(value[row]):
            continue
        if last >= 0:
            if value[row] < value[last]:
                level = max(level, value[last])
            regained = value[last] < level <= value[row]
            first = last == 0 and value[0] == 0
            span = t_ns[row] - t_ns[last]
            undone = value[last] <= following(value, row) < value[row]
            if span > 0 and not regained and not undone and not first:
                most = max(most, (value[row] - value[last]) / (span / SECOND_NS))
            if value[row] >= level:
                level = 0.0
        last = row
    return most


@compiled
def following(value: Floats, row: int) -> float:  # pragma: no cover - compiled
    """The next reading after `row` that is not NaN, and NaN where there is none."""
    for reading in value[row + 1 :]:
        if not np.isnan(reading):
            return float(reading)
    return np.nan


@compiled
def forget_peaks(t_ns: Ints, value: Floats, most: float) -> None:  # pragma: no cover - compiled
    """Forget single readings far above both neighbours. `most`: the counter's fastest rise, a second."""
    last = -1
    for row in range(len(t_ns)):
        if np.isnan(value[row]):
            continue
        if last >= 0:
            after = following(value, row)
            above = value[row] - after
            if value[last] <= after and above > most * ((t_ns[row] - t_ns[last]) / SECOND_NS) and above > 0:
                value[row] = np.nan
                continue
        last = row


@compiled
def forget_returns(t_ns: Ints, value: Floats, most: float) -> None:  # pragma: no cover - compiled
    """Forget what was read while a counter was not: see `grid`. `most`: its fastest rise, a second."""
    level, low, last = 0.0, -1, -1
    for row in range(len(t_ns)):
        if np.isnan(value[row]):
            continue
        if last >= 0 and value[row] < value[last] and value[last] >= level:
            level, low = value[last], row
        elif low >= 0 and value[row] >= level:
            if level - value[low] > most * ((t_ns[row] - t_ns[low]) / SECOND_NS):
                for read in range(low, row):
                    if value[read] == 0:
                        value[read] = np.nan
                value[last] = np.nan
            level, low = 0.0, -1
        elif last == 0 and value[0] == 0:
            span = (t_ns[row] - t_ns[0]) / SECOND_NS
            if most > 0 and value[row] > OUT_OF_NOTHING * most * span:
                value[0] = np.nan
        last = row


@compiled
def count_events(
    t_ns: Ints,
    amounts: Floats,
    flags: Flags,
    host: Ints,
    port: Ints,
    t_start_ns: int,
    step_ns: int,
    out: Grid,
) -> None:  # pragma: no cover - compiled
    """Fill `out (T, 12)` from connections in order of time.

    `t_ns`, `host`, `port` are `(N,)`, `flags (3, N)`, `amounts (4, N)` with NaN for an unknown one, which
    adds nothing. The columns are those of `netflow`.
    """
    out[:, :10] = 0
    scratch = np.empty(FEW, dtype=np.int64)
    first = 0
    while first < len(t_ns) and t_ns[first] < t_start_ns:
        first += 1
    while first < len(t_ns):
        step = (t_ns[first] - t_start_ns) // step_ns
        if step >= len(out):
            break
        over = t_start_ns + (step + 1) * step_ns
        end = first + 1
        while end < len(t_ns) and t_ns[end] < over:
            end += 1
        count = end - first
        out[step, 0] = count
        for c in range(4):
            total = 0.0
            for amount in amounts[c, first:end]:
                total += 0.0 if np.isnan(amount) else amount
            out[step, 1 + c] = total if np.isfinite(np.float32(total)) else np.nan
        out[step, 5], _ = distinct(host[first:end], scratch)
        out[step, 6], out[step, 10] = distinct(port[first:end], scratch)
        for c in range(3):
            out[step, 7 + c] = flags[c, first:end].sum()
        if count > 1:
            out[step, 11] = (t_ns[end - 1] - t_ns[first]) / SECOND_NS / (count - 1)
        first = end


@compiled
def distinct(values: Ints, scratch: Ints) -> tuple[int, float]:  # pragma: no cover - compiled
    """How many different values there are, and their Shannon entropy in bits."""
    ordered = ranked(values, scratch)
    kinds, entropy, start = 0, 0.0, 0
    for at in range(1, len(ordered) + 1):
        if at == len(ordered) or ordered[at] != ordered[start]:
            share = (at - start) / len(ordered)
            entropy -= share * np.log2(share)
            kinds, start = kinds + 1, at
    return kinds, entropy


@compiled
def ranked(values: Ints, scratch: Ints) -> Ints:  # pragma: no cover - compiled
    """`values` sorted: the few of an ordinary second in `scratch (FEW,)`, which takes a tenth of the time."""
    if len(values) > FEW:
        return np.sort(values)
    for at, value in enumerate(values):
        to = at
        while to > 0 and scratch[to - 1] > value:
            scratch[to] = scratch[to - 1]
            to -= 1
        scratch[to] = value
    return scratch[: len(values)]


@compiled
def summarise(steps: NDArray[Any], out: NDArray[np.float32]) -> None:  # pragma: no cover - compiled
    """Fill `out (B, C, S)` with the statistics of windows `steps (B, T, C)`: see `summaries.STATISTICS`.

    Sums are taken in float64, the variance around the mean, in one order whatever the batch. All channels
    are taken at once, in innermost loops without branches, which are vectorised; those that then turn out to
    miss a value (few do) are done again, each by itself.
    """
    length, channels = steps.shape[1], steps.shape[2]
    middle = (length - 1) / 2
    along = 0.0
    for t in range(length):
        along += (t - middle) * (t - middle)
    sums = np.empty((3, channels))
    mean, squares, across = sums
    low = np.empty(channels, dtype=np.float32)
    high = np.empty_like(low)
    for b in range(len(steps)):
        sums[:] = 0
        low[:], high[:] = np.inf, -np.inf
        for t in range(length):
            for c in range(channels):
                value = steps[b, t, c]
                mean[c] += value
                low[c] = min(low[c], value)
                high[c] = max(high[c], value)
        for c in range(channels):
            mean[c] /= length
        for t in range(length):
            for c in range(channels):
                off = steps[b, t, c] - mean[c]
                squares[c] += off * off
                across[c] += (t - middle) * off
        for c in range(channels):
            squares[c] = np.sqrt(squares[c] / length)
            across[c] /= along
        for c in range(channels):
            if mean[c] - mean[c] != 0:
                summarise_known(steps[b, :, c], out[b, c])
                continue
            out[b, c, 0], out[b, c, 1] = mean[c], squares[c]
            out[b, c, 2], out[b, c, 3] = low[c], high[c]
            out[b, c, 4], out[b, c, 5] = steps[b, length - 1, c], across[c]


@compiled
def summarise_known(values: NDArray[Any], out: NDArray[np.float32]) -> None:  # pragma: no cover - compiled
    """Fill `out (S,)` with the statistics of those of `values (T,)` that are finite, NaN where none is."""
    count, mean, middle = 0, 0.0, 0.0
    low, high, last = np.float32(np.inf), np.float32(-np.inf), np.float32(np.nan)
    for t, value in enumerate(values):
        if np.isfinite(value):
            count, mean, middle, last = count + 1, mean + value, middle + t, value
            low = min(low, value)
            high = max(high, value)
    if not count:
        out[:] = np.nan
        return
    mean, middle = mean / count, middle / count
    squares = along = across = 0.0
    for t, value in enumerate(values):
        if np.isfinite(value):
            squares += (value - mean) ** 2
            along += (t - middle) ** 2
            across += (t - middle) * (value - mean)
    out[0], out[1], out[2] = mean, np.sqrt(squares / count), low
    out[3], out[4], out[5] = high, last, across / along
