"""Training windows of balanced classes: rows left out, repeated, or made up between real ones.

Only training windows are ever resampled: validation, which chooses epochs and thresholds, and test stay as
the evidence has them. Chawla, Bowyer, Hall, Kegelmeyer: SMOTE. JAIR 16, 2002; He, Bai, Garcia, Li: ADASYN.
IJCNN 2008; Tomek: Two Modifications of CNN. IEEE SMC 6, 1976.

Letters: N windows, M made up, D numbers of a window.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.errors import UsageError
from vestige.log import get
from vestige.models.base import Detector, StandardizeStats
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import Input
from vestige.training.config import Resample

MAKING = ("smote", "adasyn")
"""Those that make up windows, in the space of what a detector reads."""
MOST_VALUES = 100_000_000
"""Numbers in which neighbours are looked for at most: 400 MB."""
NEIGHBOURS = 5
CHUNK = 4096

log = get(__name__)


@dataclass(frozen=True)
class WithMade(EncodedWindows):
    """Windows, the last of which are made up: their inputs lie in `made`, by input name, `(M, ...)`. What
    stands in the place of each is a real window of its class."""

    made: Batch

    def batch(self, rows: NDArray[Any] | slice = slice(None), names: tuple[str, ...] | None = None) -> Batch:
        """See `EncodedWindows.batch`."""
        index = np.arange(len(self))[rows]
        inputs = super().batch(index, names)
        first = len(self) - len(next(iter(self.made.values())))
        for name, values in inputs.items():
            if name in self.made:
                values[index >= first] = self.made[name][index[index >= first] - first]
        return inputs


def resample(detector: Detector, train: EncodedWindows, how: Resample, seed: int) -> EncodedWindows:
    """The training windows that `detector` learns from instead; the same `seed` gives the same.

    Raises UsageError where the detector's inputs or the classes do not allow it.
    """
    if how == "none":
        return train
    refuse(type(detector), how)
    before = np.bincount(train.label, minlength=detector.n_classes)
    if how in MAKING:
        made = _made(detector, train, how, seed)
    else:
        made = train.over(train.windows.select(_chosen(detector, train, how, seed)))
    after = np.bincount(made.label, minlength=detector.n_classes)
    log.info("%s: training windows a class %s, by %s %s", detector.name, before, how, after)
    return made


def refuse(kind: type[Detector], how: Resample) -> None:
    """Raise UsageError where a detector can never be resampled so, whatever the dataset offers."""
    if how != "none" and kind.task == "next":
        raise UsageError(
            f"--resample {how}: {kind.name} learns from one class", remedy="leave --resample out"
        )
    if how in MAKING and all(
        any(wanted.startswith("tokens") for wanted in combination) for combination in kind.accepts
    ):
        raise _no_numbers(kind, how)


def _no_numbers(kind: type[Detector], how: Resample) -> UsageError:
    return UsageError(
        f"--resample {how} makes up numbers between windows, but {kind.name} reads token ids",
        remedy="--resample over, under or tomek, which choose real windows; or class weights alone",
    )


def _chosen(detector: Detector, train: EncodedWindows, how: Resample, seed: int) -> NDArray[np.int64]:
    """Which real windows, in order."""
    from imblearn.over_sampling import RandomOverSampler
    from imblearn.under_sampling import RandomUnderSampler, TomekLinks

    space: NDArray[Any]
    if how == "tomek":
        sampler, space = TomekLinks(), Space.of(_with_neighbours(detector, train), train, how).values
    else:
        kind = RandomOverSampler if how == "over" else RandomUnderSampler
        sampler = kind(random_state=seed)
        space = np.arange(len(train))[:, None]
    sampler.fit_resample(space, train.label)
    return np.sort(np.asarray(sampler.sample_indices_, dtype=np.int64))


def _made(detector: Detector, train: EncodedWindows, how: Resample, seed: int) -> EncodedWindows:
    if any(spec.kind == "tokens" for spec in detector.inputs):
        raise _no_numbers(type(detector), how)
    space = Space.of(detector.inputs, train, how)
    sampler, n = _sampler(train, how, seed), len(train)
    try:
        found, label = sampler.fit_resample(space.values, train.label)
    except (ValueError, RuntimeError) as error:  # adasyn, where no window has a neighbour of another class
        raise UsageError(
            f"--resample {how} makes nothing of these windows ({str(error).partition('.')[0]})",
            remedy="another --resample, or class weights alone",
        ) from error
    standing = np.zeros(detector.n_classes, dtype=np.int64)
    standing[train.label] = np.arange(n)
    windows = train.windows.select(np.concatenate([np.arange(n), standing[label[n:]]]))
    return WithMade(windows, train.encoder, train.bound, space.inputs(found[n:]))


def _sampler(train: EncodedWindows, how: Resample, seed: int) -> Any:
    from imblearn.over_sampling import ADASYN, SMOTE

    counts = np.bincount(train.label)
    fewest = int(counts[counts > 0].min())
    if fewest < 2:
        raise UsageError(
            f"--resample {how}: a class has one training window, and two make a line",
            remedy="--resample over, or class weights alone",
        )
    neighbours = min(NEIGHBOURS, fewest - 1)
    if how == "smote":
        return SMOTE(k_neighbors=neighbours, random_state=seed)
    return ADASYN(n_neighbors=neighbours, random_state=seed)


@dataclass(frozen=True)
class Space:
    """Where windows have neighbours: all numbers of some inputs, imputed, standardised, `(N, D)` float32."""

    specs: tuple[Input, ...]
    shapes: tuple[tuple[int, ...], ...]
    stats: StandardizeStats
    values: NDArray[np.float32]

    @classmethod
    def of(cls, specs: tuple[Input, ...], train: EncodedWindows, how: Resample) -> Space:
        """Raises UsageError where the numbers would not fit into memory."""
        names = tuple(spec.name for spec in specs)
        first = train.batch(np.arange(min(1, len(train))), names)
        shapes = tuple(first[name].shape[1:] for name in names)
        width = sum(int(np.prod(shape)) for shape in shapes)
        if width * len(train) > MOST_VALUES:
            raise UsageError(
                f"--resample {how}: {len(train)} windows of {width} numbers are too many to compare",
                remedy="--resample over or under, or class weights alone",
            )
        values = np.empty((len(train), width), dtype=np.float32)
        for rows, X in train.batches(CHUNK, names):
            values[rows] = np.concatenate([X[name].reshape(len(rows), -1) for name in names], axis=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            stats = StandardizeStats.fit(values)
        return cls(specs, shapes, stats, stats.apply(values, channel_axis=1))

    def inputs(self, values: NDArray[np.float32]) -> Batch:
        """Points of the space as inputs, in their own units."""
        own = values * self.stats.stds + self.stats.means
        cuts = np.cumsum([int(np.prod(shape)) for shape in self.shapes])[:-1]
        parts = np.split(own.astype(np.float32), cuts, axis=1)
        return {
            spec.name: part.reshape(-1, *shape)
            for spec, part, shape in zip(self.specs, parts, self.shapes, strict=True)
        }


def _with_neighbours(detector: Detector, train: EncodedWindows) -> tuple[Input, ...]:
    """The inputs in which neighbours are looked for: the detector's numbers, else the dataset's summary."""
    numbers = tuple(spec for spec in detector.inputs if spec.kind != "tokens")
    numbers = numbers or tuple(spec for spec in train.schema.inputs if spec.kind == "summary")
    if numbers:
        return numbers
    raise UsageError(
        "--resample tomek needs numbers to look for neighbours in: this dataset has token ids alone",
        remedy="--resample over or under, or class weights alone",
    )
