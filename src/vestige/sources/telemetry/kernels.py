"""The loops of the telemetry source, compiled.

Letters: N rows, T steps, C channels, B windows, S statistics.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.compiling import compiled

SECOND_NS = 10**9

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Grid = NDArray[np.float32]
Flags = NDArray[np.bool_]


@compiled
def sample(
    t_ns: Ints, values: Floats, counter: Flags, t_start_ns: int, stale_ns: int, gap_ns: int, out: Grid
) -> None:  # pragma: no cover - compiled
    """Fill `out (T, C)` from rows `values (C, N)` stamped `t_ns (N,)`.

    See `grid`: the last row before each second is over, counters as rates.
    """
    row, before = -1, -1
    for step in range(len(out)):
        over = t_start_ns + (step + 1) * SECOND_NS
        while row + 1 < len(t_ns) and t_ns[row + 1] <= over:
            row += 1
            if before < 0 or t_ns[row] > t_ns[row - 1]:
                before = row - 1
        if row < 0 or over - t_ns[row] > stale_ns:
            continue
        dt = t_ns[row] - t_ns[before] if before >= 0 else 0
        for c in range(len(values)):
            value = values[c, row]
            if counter[c]:
                rise = value - values[c, before] if 0 < dt <= gap_ns else np.nan
                value = rise / (dt / SECOND_NS) if rise >= 0 else np.nan
            if np.isfinite(np.float32(value)):
                out[step, c] = value


@compiled
def count_events(
    t_ns: Ints, amounts: Floats, flags: Flags, host: Ints, port: Ints, t_start_ns: int, out: Grid
) -> None:  # pragma: no cover - compiled
    """Fill `out (T, 12)` from connections in order of time.

    `t_ns`, `host`, `port` are `(N,)`, `flags (3, N)`, `amounts (4, N)` with NaN for an unknown one, which
    adds nothing. The columns are those of `netflow`.
    """
    out[:, :10] = 0
    first = 0
    while first < len(t_ns) and t_ns[first] < t_start_ns:
        first += 1
    while first < len(t_ns):
        step = (t_ns[first] - t_start_ns) // SECOND_NS
        if step >= len(out):
            break
        end = first + 1
        while end < len(t_ns) and (t_ns[end] - t_start_ns) // SECOND_NS == step:
            end += 1
        count = end - first
        out[step, 0] = count
        for c in range(4):
            total = 0.0
            for amount in amounts[c, first:end]:
                total += 0.0 if np.isnan(amount) else amount
            out[step, 1 + c] = total if np.isfinite(np.float32(total)) else np.nan
        out[step, 5], _ = distinct(host[first:end])
        out[step, 6], out[step, 10] = distinct(port[first:end])
        for c in range(3):
            out[step, 7 + c] = flags[c, first:end].sum()
        if count > 1:
            out[step, 11] = (t_ns[end - 1] - t_ns[first]) / SECOND_NS / (count - 1)
        first = end


@compiled
def distinct(values: Ints) -> tuple[int, float]:  # pragma: no cover - compiled
    """How many different values there are, and their Shannon entropy in bits."""
    ranked = np.sort(values)
    kinds, entropy, start = 0, 0.0, 0
    for at in range(1, len(ranked) + 1):
        if at == len(ranked) or ranked[at] != ranked[start]:
            share = (at - start) / len(ranked)
            entropy -= share * np.log2(share)
            kinds, start = kinds + 1, at
    return kinds, entropy


@compiled
def summarise(steps: NDArray[Any], out: NDArray[np.float32]) -> None:  # pragma: no cover - compiled
    """Fill `out (B, C, S)` with the statistics of windows `steps (B, T, C)`: see `summaries.STATISTICS`.

    Sums are taken in float64, the variance around the mean, in one order whatever the batch. The innermost
    loops run over channels, without branches: they are vectorised.
    """
    length, channels = steps.shape[1], steps.shape[2]
    sums = np.empty((6, channels))
    count, total, moment, squares, along, across = sums
    low = np.empty(channels, dtype=np.float32)
    high, last = np.empty_like(low), np.empty_like(low)
    for b in range(len(steps)):
        sums[:] = 0
        low[:], high[:], last[:] = np.inf, -np.inf, np.nan
        for t in range(length):
            for c in range(channels):
                value = steps[b, t, c]
                there = value - value == 0
                count[c] += 1.0 if there else 0.0
                total[c] += value if there else 0.0
                moment[c] += t if there else 0.0
                low[c] = value if there and value < low[c] else low[c]
                high[c] = value if there and value > high[c] else high[c]
                last[c] = value if there else last[c]
        for c in range(channels):
            total[c] /= count[c]
            moment[c] /= count[c]
        for t in range(length):
            for c in range(channels):
                value = steps[b, t, c]
                there = value - value == 0
                off = value - total[c] if there else 0.0
                when = t - moment[c] if there else 0.0
                squares[c] += off * off
                along[c] += when * when
                across[c] += when * off
        for c in range(channels):
            none = count[c] == 0
            out[b, c, 0] = total[c]
            out[b, c, 1] = np.sqrt(squares[c] / count[c])
            out[b, c, 2] = np.nan if none else low[c]
            out[b, c, 3] = np.nan if none else high[c]
            out[b, c, 4] = last[c]
            out[b, c, 5] = across[c] / along[c]
