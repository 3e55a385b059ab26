"""Looks at telemetry: what windows of channels are usually like, and how far a window is from that.

A window is described channel by channel, on a scale of the channel's own: the means of stretches that double
in length backwards from the last step (1, 2, 4, ... steps), and how much it moves from step to step. It is
then looked at in three ways. *Reconstruction*: what principal components leave over (Shyu et al.: A Novel
Anomaly Detection Scheme Based on Principal Component Classifier, 2003). *Neighbour*: how far each channel is
from the nearest known stretch, in the manner of a matrix profile (Yeh et al.: Matrix Profile I, 2016), but on
the channel's scale and not on the stretch's own, so that a level that never was is strange, too. *Level*: how
far the last step is beyond what each channel usually is.

Letters: B windows, C channels, T steps, S numbers that describe a channel, D = C S, K components, N windows
that were learnt from, R references.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
NarrowArray = NDArray[np.float32]
IntArray = NDArray[np.int64]

LOOKS = ("channels.reconstruction", "channels.neighbour", "channels.level")
"""What the columns of `Channels.strangeness` are called."""
WORST = 3
"""Channels that count for neighbour and level, and that are named as reasons: an attack may show in few."""
SAMPLE, PRINCIPAL, REFERENCES = 8_000, 4_000, 2_000
"""Windows that are learnt from, those of them that components are fitted to, and those kept as references."""
MOST_NUMBERS = 1 << 25
"""Numbers of the sample at most, float32: of wide windows there are fewer. Of the references a sixteenth."""
COMPONENTS, EXPLAINED = 32, 0.95
"""Components at most, and the share of the variance at which there are enough."""
CLIP, CLIP_LEVEL = 5.0, 10.0
"""Usual spreads beyond which descriptions, and last steps, are not told apart any more."""
LEAST_SPREAD, LEAST_SHARE, LEAST_MOVEMENT = 1e-6, 1e-3, 0.25
"""Spreads of a channel that hardly changes: this and a thousandth of what it is; of movement, a quarter."""
UNKNOWN_SPREAD = 1e12
"""Spread of a channel that never had a value: whatever it is, strange is only that it is there."""
LEAST_UNIT = 1e-6
"""Spread of a look that finds all windows alike."""
STILL = 1e-5
"""From here on movement is told from none at all."""
QUANTILES = (0.01, 0.10, 0.50, 0.90, 0.99)
FURTHEST = 200.0
"""Beyond the logarithm of any float32."""
MOST_STEPS = 1_000_000
BATCH = 256
"""Windows at a time: their distances from all references are in memory."""
BATCH_NUMBERS = 1 << 22
"""Numbers of those windows at most: of wide ones there are fewer."""


@dataclass(frozen=True)
class Explanation:
    """The worst channels of each window, the worst one first, in the channels' own units.

    `channel (B, W)` int64, W = 3 or as many as there are; `expected (B, W)` float64: what the components of
    what is normal make of the window at its last step; `actual (B, W)` float64: what it was there, NaN where
    it was missing.
    """

    channel: IntArray
    expected: FloatArray
    actual: FloatArray


@dataclass(frozen=True)
class Scales:
    """What each channel is usually like.

    `centre above below (3, C)` float64: of means, movement and last step, the median and the usual spread on
    either side of it. `missing (C,)` float64: in which share of windows the last step had no value.
    """

    centre: FloatArray
    above: FloatArray
    below: FloatArray
    missing: FloatArray

    @classmethod
    def fit(cls, described: NarrowArray) -> Self:
        """Of the descriptions `(N, C, S + 1)` of windows, see `describe`."""
        n, channels = described.shape[:2]
        found = np.empty((3, 3, channels))
        for channel in range(channels):
            columns = described[:, channel]
            for part, values in enumerate((columns[:, :-2], columns[:, -2], columns[:, -1])):
                found[:, part, channel] = _spreads(values[np.isfinite(values)])
        found[1:, 1] = np.maximum(found[1:, 1], LEAST_MOVEMENT)
        absent = np.isnan(described[:, :, -1]).sum(axis=0)
        # A window with it and one without are added: what never was is rare, and not impossible.
        return cls(found[0], found[1], found[2], (absent + 1.0) / (n + 2.0))

    def apply(self, described: NarrowArray) -> NarrowArray:
        """Descriptions `(B, C, S + 1)` in usual spreads, within `CLIP` (the last step `CLIP_LEVEL`)."""
        part = np.ones(described.shape[2], dtype=np.int64)
        part[:-2], part[-1] = 0, 2
        centre, above, below = (
            values.T[:, part].astype(np.float32) for values in (self.centre, self.above, self.below)
        )
        away = described - centre
        away /= np.where(away > 0, above, below)
        furthest = np.where(part == 2, CLIP_LEVEL, CLIP).astype(np.float32)
        scaled: NarrowArray = np.clip(away, -furthest, furthest, out=away)
        return scaled

    def level(self, last: NarrowArray) -> FloatArray:
        """How far the last step `(B, C)` is beyond the usual, in usual spreads; NaN is no value there.

        That a channel is missing, or there, in so many of the windows is as far from the usual as a value
        that comes as often, of a distribution whose chance falls by a factor of e a spread: -ln share.
        """
        absent = np.minimum(-np.log(self.missing), CLIP_LEVEL)
        there = np.minimum(-np.log1p(-self.missing), CLIP_LEVEL)
        missing = np.isnan(last)
        away = np.abs(np.where(missing, np.float32(0), last)).astype(np.float64)
        found: FloatArray = np.where(missing, absent, np.maximum(away, there))
        return found

    def mean_value(self, scaled: FloatArray) -> FloatArray:
        """A stretch's mean `(B, C)` in usual spreads as a value in the channel's own unit."""
        away = np.where(scaled > 0, scaled * self.above[0], scaled * self.below[0])
        # Of a channel that never had a value, the spread says nothing.
        away = np.where(self.above[0] < UNKNOWN_SPREAD, away, 0.0)
        logs = np.clip(self.centre[0] + away, -FURTHEST, FURTHEST)
        value: FloatArray = np.sign(logs) * np.expm1(np.abs(logs))
        return value


@dataclass(frozen=True)
class Channels:
    """What windows of C channels and T = `steps` steps are usually like, D = C S.

    `mean (D,)`, `components (K, D)` float64: the principal components. `references (R, C, S)` float32: known
    stretches. `unit (2, 3)` float64: usual value and spread of each look.
    """

    steps: int
    scales: Scales
    mean: FloatArray
    components: FloatArray
    references: NarrowArray
    unit: FloatArray

    @classmethod
    def fit(
        cls,
        train: Iterable[NDArray[Any]],
        seed: int,
        *,
        windows: int = SAMPLE,
        numbers: int = MOST_NUMBERS,
    ) -> Self:
        """Of batches of windows `(B, C, T)`, missing values NaN (an infinity is no value, either).

        Memory does not grow with their number: a sample of `windows` is learnt from, fewer where they would
        be more than `numbers`, drawn by `seed`, whatever the batches' sizes. Raises ValueError where there is
        no window, or windows are of several shapes.
        """
        sample, steps = _sample(train, np.random.default_rng(seed), windows, numbers)
        scales = Scales.fit(sample)
        known = scales.apply(sample)[:, :, :-1]
        mean, components = _principal(np.nan_to_num(known[: _rows(known, PRINCIPAL, numbers)]))
        references = np.nan_to_num(known[: _rows(known, REFERENCES, numbers)])
        # The sample is in no order: its first half is as good as any. The looks' units are measured on the
        # other half, since a window is no distance away from itself.
        half = max(len(sample) // 2, 1)
        usual = np.array([[0.0] * len(LOOKS), [1.0] * len(LOOKS)])
        learnt = cls(steps, scales, mean, components, references[:half], usual)
        other = sample[half:][:REFERENCES]
        if len(other):
            raw = np.concatenate([learnt._raw(other[batch]) for batch in _batches(other, BATCH_NUMBERS)])
            middle, high = np.quantile(raw, (0.5, 0.99), axis=0)
            usual = np.stack([middle, np.maximum((high - middle) / 2.33, LEAST_UNIT)])
        return cls(steps, scales, mean, components, references, usual)

    def strangeness(self, X: NDArray[Any], *, numbers: int = BATCH_NUMBERS) -> FloatArray:
        """How strange windows `(B, C, T)` are, `(B, 3)` as `LOOKS` has them: higher is stranger, 0 is usual,
        and 1 a usual spread from there. Finite, whatever comes in. `numbers` of the windows are looked at at
        a time. Raises ValueError for another shape."""
        self._check(X)
        raw = np.empty((len(X), len(LOOKS)))
        for batch in _batches(X, numbers):
            raw[batch] = self._raw(describe(X[batch]))
        # Products of matrices differ in their last digits by how many rows they have: a score must not.
        rounded = ((raw - self.unit[0]) / self.unit[1]).astype(np.float32)
        strange: FloatArray = rounded.astype(np.float64)
        return strange

    def explain(self, X: NDArray[Any]) -> Explanation:
        """Which channels of windows `(B, C, T)` are the strangest, and what was expected of them.

        Raises ValueError for another shape."""
        self._check(X)
        width = min(WORST, X.shape[1])
        channel = np.empty((len(X), width), dtype=np.int64)
        expected, actual = np.empty((len(X), width)), np.empty((len(X), width))
        for batch in _batches(X, BATCH_NUMBERS):
            scaled = self.scales.apply(describe(X[batch]))
            left, rebuilt = self._left_over(scaled[:, :, :-1])
            # All in usual spreads of the channel; the distance is one over all numbers that describe it.
            nearest = self._distance(scaled[:, :, :-1]) / np.sqrt(scaled.shape[2] - 1)
            blame = left.mean(axis=2) + nearest + self.scales.level(scaled[:, :, -1])
            worst = np.argsort(-blame.astype(np.float32), axis=1, kind="stable")[:, :width]
            # The last of the stretches is the last step.
            value = self.scales.mean_value(rebuilt[:, :, -2])
            last = _values(X[batch][:, :, -1]).astype(np.float64)
            channel[batch] = worst
            expected[batch] = np.take_along_axis(value, worst, axis=1)
            actual[batch] = np.take_along_axis(last, worst, axis=1)
        return Explanation(channel, expected, actual)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What `of` takes, for a file of arrays; finite, float64, and the references float32."""
        return {
            "steps": np.array([float(self.steps)]),
            "centre": self.scales.centre,
            "above": self.scales.above,
            "below": self.scales.below,
            "missing": self.scales.missing,
            "mean": self.mean,
            "components": self.components,
            "references": self.references,
            "unit": self.unit,
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """What `arrays` were taken from. Raises ValueError where they cannot be those of any."""
        steps = int(_checked(arrays, "steps", (1,), 1, MOST_STEPS)[0])
        (channels,) = _checked(arrays, "missing", (-1,), 1e-9, 1 - 1e-9).shape
        numbers = len(_edges(steps))  # a stretch less than edges, and the movement
        width = channels * numbers
        scales = Scales(
            _checked(arrays, "centre", (3, channels), -FURTHEST, FURTHEST),
            _checked(arrays, "above", (3, channels), LEAST_SPREAD, UNKNOWN_SPREAD),
            _checked(arrays, "below", (3, channels), LEAST_SPREAD, UNKNOWN_SPREAD),
            _checked(arrays, "missing", (channels,), 1e-9, 1 - 1e-9),
        )
        components = _checked(arrays, "components", (-1, width), -1.001, 1.001)
        references = _checked(arrays, "references", (-1, channels, numbers), -CLIP, CLIP, dtype=np.float32)
        if len(components) > COMPONENTS or not 1 <= len(references) <= REFERENCES:
            raise ValueError(f"{len(components)} components and {len(references)} references of channels")
        unit = _checked(arrays, "unit", (2, len(LOOKS)), 0, 1e6)
        if (unit[1] < LEAST_UNIT).any():
            raise ValueError("a look at channels has no spread")
        mean = _checked(arrays, "mean", (width,), -CLIP, CLIP)
        return cls(steps, scales, mean, components, references, unit)

    def _check(self, X: NDArray[Any]) -> None:
        learnt = (len(self.scales.missing), self.steps)
        if X.ndim != 3 or X.shape[1:] != learnt:
            raise ValueError(f"windows of {X.shape[1:]} channels and steps, learnt were {learnt}")

    def _raw(self, described: NarrowArray) -> FloatArray:
        """What the looks find, in units of their own, `(B, 3)`."""
        scaled = self.scales.apply(described)
        known = scaled[:, :, :-1]
        left, _ = self._left_over(known)
        present = np.isfinite(known).sum(axis=(1, 2))
        reconstruction = left.sum(axis=(1, 2)) / np.maximum(present, 1)
        neighbour, level = _worst(self._distance(known)), _worst(self.scales.level(scaled[:, :, -1]))
        return np.stack([reconstruction, neighbour, level], axis=1)

    def _left_over(self, known: NarrowArray) -> tuple[FloatArray, FloatArray]:
        """By how much the components miss descriptions `(B, C, S)`, 0 where they are absent, and what they
        make of them."""
        rows = known.reshape(len(known), -1).astype(np.float64) - self.mean
        absent = np.isnan(rows)
        # What is absent is first taken for usual, then for what this makes of it: a channel that was lost is
        # told by `level`, and shall not make the others strange.
        rows[absent] = 0.0
        rebuilt = (rows @ self.components.T) @ self.components
        if absent.any():
            rows[absent] = rebuilt[absent]
            rebuilt = (rows @ self.components.T) @ self.components
        left = np.abs(rows - rebuilt)
        left[absent] = 0.0
        return left.reshape(known.shape), (rebuilt + self.mean).reshape(known.shape)

    def _distance(self, known: NarrowArray) -> FloatArray:
        """How far each channel `(B, C)` is from the nearest reference; what is absent counts as usual."""
        x = np.ones((*known.shape[:2], known.shape[2] + 1), dtype=np.float32)
        x[:, :, :-1] = np.nan_to_num(known)
        nearest = np.empty(known.shape[:2], dtype=np.int64)
        for channel, turned in enumerate(self._turned):
            # |x - r|^2 is |x|^2 + |r|^2 - 2 x r, and |x|^2 does not matter for which r is the nearest.
            nearest[:, channel] = (x[:, channel] @ turned).argmin(axis=1)
        found = self.references[nearest, np.arange(known.shape[1])]
        distance: FloatArray = np.sqrt(np.square(x[:, :, :-1].astype(np.float64) - found).sum(axis=2))
        return distance

    @functools.cached_property
    def _turned(self) -> NarrowArray:
        """`(C, S + 1, R)`: -2 r and |r|^2, whose product with x and 1 orders the references by distance."""
        references = np.moveaxis(self.references, 0, 2)
        squares = np.square(references).sum(axis=1, keepdims=True)
        return np.ascontiguousarray(np.concatenate([-2 * references, squares], axis=1))


def describe(X: NDArray[Any]) -> NarrowArray:
    """Windows `(B, C, T)`, channel by channel, `(B, C, S + 1)` float32 on the scale of sign(x) ln(1 + |x|).

    Means of the stretches, the oldest first and the last step last; ln of the mean movement from step to
    step; the last step again. A stretch without a value has that of the one before, or after; all is NaN
    where there is no value in the window, and the last number is where the last step has none.
    """
    values = _values(X)
    logs = np.copysign(np.log1p(np.abs(values)), values)
    edges = _edges(X.shape[2])
    described = np.full((*X.shape[:2], len(edges) + 1), np.nan, dtype=np.float32)
    for at, (start, stop) in enumerate(pairwise(edges)):
        described[:, :, at] = _mean(logs[:, :, start:stop])
    stretches = described[:, :, :-2]
    for at in range(1, stretches.shape[2]):
        _fill(stretches[:, :, at], stretches[:, :, at - 1])
    for at in range(stretches.shape[2] - 2, -1, -1):
        _fill(stretches[:, :, at], stretches[:, :, at + 1])
    if X.shape[2] > 1:
        described[:, :, -2] = np.log(_mean(np.abs(np.diff(logs, axis=2))) + np.float32(STILL))
    described[:, :, -1] = logs[:, :, -1]
    return described


def _values(X: NDArray[Any]) -> NarrowArray:
    """As float32, NaN where there is no number."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = np.asarray(X, dtype=np.float32)
    return np.where(np.isfinite(narrow), narrow, np.float32(np.nan))


def _edges(steps: int) -> list[int]:
    """Where stretches of 1, 2, 4, ... steps begin and end, counted from the last step; the oldest is what is
    left."""
    edges, length = [steps], 1
    while edges[0] > 0:
        edges.insert(0, max(edges[0] - length, 0))
        length *= 2
    return edges


def _mean(values: NarrowArray) -> NarrowArray:
    """Over the last axis, of what is not NaN; NaN where there is nothing."""
    present = ~np.isnan(values)
    count = present.sum(axis=2, dtype=np.float32)
    total = np.where(present, values, np.float32(0)).sum(axis=2)
    with np.errstate(invalid="ignore"):
        mean: NarrowArray = total / count
    return mean


def _fill(values: NarrowArray, instead: NarrowArray) -> None:
    np.copyto(values, instead, where=np.isnan(values))


def _worst(of_channels: FloatArray) -> FloatArray:
    """Mean of the highest `WORST` of `(B, C)`."""
    most = min(WORST, of_channels.shape[1])
    mean: FloatArray = np.sort(of_channels, axis=1)[:, -most:].mean(axis=1)
    return mean


def _spreads(values: NarrowArray) -> tuple[float, float, float]:
    """Median, and the usual spread above and below it: what would be one deviation of a normal distribution
    with this 90% or 99% quantile, whichever is more."""
    if not values.size:
        return 0.0, UNKNOWN_SPREAD, UNKNOWN_SPREAD
    low, lower, centre, upper, high = np.quantile(values.astype(np.float64), QUANTILES).tolist()
    above = max((high - centre) / 2.33, (upper - centre) / 1.28)
    below = max((centre - low) / 2.33, (centre - lower) / 1.28)
    # Where one side has hardly any spread (a rate that is mostly 0), that of the other says what is little.
    least = max((above + below) / 8, LEAST_SPREAD + LEAST_SHARE * abs(centre))
    return centre, max(above, least), max(below, least)


def _rows(known: NarrowArray, most: int, numbers: int) -> int:
    """How many descriptions of this width to take at most, at least one."""
    fitting = int(numbers // 16 // known[0].size)
    return max(min(most, fitting), 1)


def _principal(known: NarrowArray) -> tuple[FloatArray, FloatArray]:
    """Mean and components of descriptions `(N, C, S)`."""
    rows = known.reshape(len(known), -1).astype(np.float64)
    mean = rows.mean(axis=0)
    _, singular, components = np.linalg.svd(rows - mean, full_matrices=False)
    explained = np.cumsum(np.square(singular))
    if explained[-1] <= 0:
        return mean, components[:0]
    enough = int(np.searchsorted(explained, EXPLAINED * explained[-1])) + 1
    return mean, np.ascontiguousarray(components[: min(enough, COMPONENTS)])


def _sample(
    train: Iterable[NDArray[Any]], random: np.random.Generator, windows: int, numbers: int = MOST_NUMBERS
) -> tuple[NarrowArray, int]:
    """Descriptions of windows drawn evenly from all (Vitter: Random Sampling with a Reservoir, 1985), in no
    order, and how many steps a window has."""
    shape: tuple[int, ...] | None = None
    kept = np.empty((0, 0, 0), dtype=np.float32)
    seen = 0
    for X in train:
        if not len(X):
            continue
        if X.ndim != 3 or 0 in X.shape or shape not in (None, X.shape[1:]):
            raise ValueError(f"windows of channels and steps are {X.shape[1:]}, and were {shape}")
        for batch in _batches(X, BATCH_NUMBERS):
            described = describe(X[batch])
            if shape is None:
                shape = X.shape[1:]
                room = max(min(windows, numbers // described[0].size), 1)
                kept = np.empty((room, *described.shape[1:]), dtype=np.float32)
            new = min(max(len(kept) - seen, 0), len(described))
            kept[seen : seen + new] = described[:new]
            late = described[new:]
            # A window is drawn with the chance len(kept) / seen so far, and takes the place of any of them.
            number = seen + new + np.arange(len(late))
            place = (random.random(len(late)) * (number + 1)).astype(np.int64)
            for source in np.flatnonzero(place < len(kept)):
                kept[place[source]] = late[source]
            seen += len(described)
    if shape is None:
        raise ValueError("there is no window to learn from")
    return kept[random.permutation(min(seen, len(kept)))], shape[1]


def _batches(X: NDArray[Any], numbers: int) -> Iterator[slice]:
    """Of windows `(B, C, T)`."""
    rows = max(min(BATCH, numbers // (X.shape[1] * X.shape[2])), 1)
    for start in range(0, len(X), rows):
        yield slice(start, start + rows)


def _checked(
    arrays: Mapping[str, NDArray[Any]],
    name: str,
    shape: tuple[int, ...],
    least: float,
    most: float,
    dtype: type[np.floating[Any]] = np.float64,
) -> NDArray[Any]:
    """An array of this shape (-1: any number) and within these bounds. Raises ValueError for another."""
    found = arrays.get(name)
    if found is None or found.dtype != dtype or found.ndim != len(shape):
        raise ValueError(f"{name} of channels is not there, or of another kind")
    if any(wanted not in (-1, size) for wanted, size in zip(shape, found.shape, strict=True)):
        raise ValueError(f"{name} of channels is {found.shape}, expected {shape}")
    # A NaN is within no bounds.
    if not ((found >= least) & (found <= most)).all():
        raise ValueError(f"{name} of channels holds a value that cannot be")
    return found
