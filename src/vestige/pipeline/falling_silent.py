"""What a watch would tell of silences in the part that a detector is checked on, as it is and where something
is made to stop."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation.bootstrap import exact_bounds
from vestige.evaluation.learnt import Silenced
from vestige.reading.looks import NormalEncoder
from vestige.reading.silence import LEAST_BY_CLOCK_S, Silences, in_order, logs_of, timed_kinds
from vestige.reading.windows import WindowSet

FloatArray = NDArray[np.float64]
Came = dict[tuple[str, int], FloatArray]

MOST_STOPS = 1_000
"""Events and logs that are made to stop, at most."""
WHOLE = -1
"""Stands for a log as a whole among its kinds."""


def silences_in(encoder: NormalEncoder, check: WindowSet, alpha: float, *, seed: int = 0) -> Silenced | None:
    """What would be told where the share `alpha` of steps alerts; None where nothing can be.

    Each steady kind of each log, and each log, is made to stop at a moment drawn with `seed`.
    """
    silences = encoder.silences
    if silences is None:
        return None
    bounds = silences.bounds_s(alpha)
    came, ends = _came(encoder, check, bounds)
    steady = {name: silences.bound_s(silences.of_log(name), alpha) for name in ends}
    spans = sorted([*bounds.values(), *(bound for bound in steady.values() if math.isfinite(bound))])
    stops, delays = _stopped(came, ends, bounds, steady, np.random.default_rng(seed))
    low = high = None
    if stops:
        low, high = exact_bounds(len(delays) / stops, stops)
    return Silenced(
        kinds=len(bounds),
        of_kinds=encoder.n_kinds,
        logs=sum(map(math.isfinite, steady.values())),
        of_logs=len(steady),
        told_after_s=[spans[0], float(np.median(spans)), spans[-1]] if spans else [],
        came=_told(came, bounds, steady, silences),
        stops=stops,
        found=len(delays),
        low=low,
        high=high,
        delay_s=float(np.median(delays)) if delays else None,
    )


def _came(
    encoder: NormalEncoder, check: WindowSet, bounds: dict[int, float]
) -> tuple[Came, dict[str, float]]:
    """When each steady kind came in each log, and each log's steps; and when each log ended."""
    kind, stream = encoder.kinds_of_symbols(check)
    came: dict[tuple[str, int], list[FloatArray]] = {}
    for name, pieces in logs_of(check):
        for rows in pieces:
            kinds, seconds = timed_kinds(check, rows, kind, stream)
            if not len(kinds):
                continue
            seconds = in_order(seconds)
            came.setdefault((name, WHOLE), []).append(seconds)
            for number in np.intersect1d(np.unique(kinds), list(bounds)).tolist():
                came.setdefault((name, int(number)), []).append(seconds[kinds == number])
    whole = {key: np.sort(np.concatenate(parts)) for key, parts in came.items()}
    return whole, {name: float(times[-1]) for (name, number), times in whole.items() if number == WHOLE}


def _told(came: Came, bounds: dict[int, float], steady: dict[str, float], silences: Silences) -> int:
    """Silences that would have been told while the log went on, in the time in which it was active, as a
    watch has it."""
    found = 0
    for (name, number), times in came.items():
        if number == WHOLE:
            continue
        steps = came[name, WHOLE]
        active_s = np.cumsum(silences.active_s(np.diff(steps, prepend=steps[0]), steady[name]))
        at = np.searchsorted(steps, times)
        # What ends a silence shows nothing of it: another step, before it, does.
        shown_s = np.append(active_s[np.maximum(at[1:] - 1, 0)], active_s[-1])
        found += int((shown_s - active_s[at] >= bounds[number]).sum())
    return found


def _stopped(
    came: Came,
    ends: dict[str, float],
    bounds: dict[int, float],
    steady: dict[str, float],
    random: np.random.Generator,
) -> tuple[int, list[float]]:
    """How many were made to stop, and after how long those were told of that were before all ended."""
    every = sorted(came)
    chosen = [every[at] for at in np.sort(random.permutation(len(every))[:MOST_STOPS]).tolist()]
    stops, delays = 0, []
    for name, number in chosen:
        times, end, bound = came[name, number], ends[name], bounds.get(number, math.inf)
        if number == WHOLE:
            # Nothing of the log says that time goes on: the clock does.
            end, bound = max(ends.values()), max(steady[name], LEAST_BY_CLOCK_S)
        if not math.isfinite(bound):
            continue
        stops += 1
        stop = random.uniform(times[0], max(end, times[0]))
        last = float(times[np.searchsorted(times, stop, side="right") - 1])
        if last + bound <= end:
            delays.append(max(last + bound - stop, 0.0))
    return stops, delays
