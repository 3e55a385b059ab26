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
    """Fill `out (T, C)` from rows `values (N, C)` stamped `t_ns (N,)`.

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
        for c in range(values.shape[1]):
            value = values[row, c]
            if counter[c]:
                rise = value - values[before, c] if 0 < dt <= gap_ns else np.nan
                value = rise / (dt / SECOND_NS) if rise >= 0 else np.nan
            if np.isfinite(np.float32(value)):
                out[step, c] = value


@compiled
def count_events(
    t_ns: Ints, amounts: Floats, flags: Flags, host: Ints, port: Ints, t_start_ns: int, out: Grid
) -> None:  # pragma: no cover - compiled
    """Fill `out (T, 12)` from connections in order of time.

    `t_ns`, `host`, `port` are `(N,)`, `amounts (N, 4)`, `flags (N, 3)`. The columns are those of `netflow`.
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
            total = amounts[first:end, c].sum()
            out[step, 1 + c] = total if np.isfinite(np.float32(total)) else np.nan
        out[step, 5], _ = distinct(host[first:end])
        out[step, 6], out[step, 10] = distinct(port[first:end])
        for c in range(3):
            out[step, 7 + c] = flags[first:end, c].sum()
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

    Sums are taken in float64, the variance around the mean, in one order whatever the batch.
    """
    length, channels = steps.shape[1], steps.shape[2]
    count = np.empty(channels)
    total = np.empty(channels)
    moment = np.empty(channels)
    for b in range(len(steps)):
        count[:] = 0
        total[:] = 0
        moment[:] = 0
        out[b, :, 2] = np.inf
        out[b, :, 3] = -np.inf
        out[b, :, 4] = np.nan
        for t in range(length):
            for c in range(channels):
                value = steps[b, t, c]
                if np.isfinite(value):
                    count[c] += 1
                    total[c] += value
                    moment[c] += t
                    out[b, c, 2] = min(out[b, c, 2], value)
                    out[b, c, 3] = max(out[b, c, 3], value)
                    out[b, c, 4] = value
        for c in range(channels):
            if count[c] == 0:
                out[b, c] = np.nan
                continue
            mean, middle = total[c] / count[c], moment[c] / count[c]
            squares = along = across = 0.0
            for t in range(length):
                value = steps[b, t, c]
                if np.isfinite(value):
                    off = value - mean
                    squares += off * off
                    along += (t - middle) * (t - middle)
                    across += (t - middle) * off
            out[b, c, 0] = mean
            out[b, c, 1] = np.sqrt(squares / count[c])
            out[b, c, 5] = across / along if along > 0 else np.nan
