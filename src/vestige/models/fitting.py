"""What every detector fits on training windows before it learns: statistics of inputs, weights of classes."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.models.base import Detector, StandardizeStats
from vestige.reading.encoding import EncodedWindows
from vestige.schema import Input

SOURCE = re.compile(r"([A-Za-z]\w*)\.")
SAMPLE_VALUES = 8_000_000
"""Numbers from which the statistics of one input are estimated at most: 64 MB as float64."""
SAMPLE_BATCH = 4096

FitProgress = Callable[[int, int], None]
"""Called with how many rounds are done and how many there are at most."""


def part_of(progress: FitProgress, number: int, parts: int) -> FitProgress:
    """What to tell of part `number` of `parts` with as many rounds each, so that `progress` hears of all."""
    return lambda done, total: progress(number * total + done, parts * total)


class FittedDetector(Detector):
    """A detector that learns in one call, without the training loop of the neural ones."""

    @abstractmethod
    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        *,
        seed: int = 0,
        progress: FitProgress | None = None,
    ) -> list[dict[str, Any]]:
        """Learn from `train`, stop by `validation`; returns the history, a row a round (or none).

        The same `seed` gives the same detector. Memory stays bounded: data come in batches, and what
        must be held whole is a seeded sample.
        """


def fit_standardize(
    detector: Detector, train: EncodedWindows, *, seed: int = 0, most: int = SAMPLE_VALUES
) -> None:
    """Fit `detector.standardize` for its summary and tensor inputs, on training windows.

    Above `most` numbers an input's statistics come from a sample of windows drawn with `seed`.
    """
    for spec in detector.inputs:
        if spec.kind not in ("summary", "tensor"):
            continue
        values = detector.scaled(sample_kept(detector, train, spec, seed=seed, most=most))
        axis = 0 if spec.kind == "summary" else (0, 2)
        detector.standardize[spec.name] = StandardizeStats.fit(values, axis=axis)


def sample_kept(
    detector: Detector, train: EncodedWindows, spec: Input, *, seed: int, most: int = SAMPLE_VALUES
) -> NDArray[Any]:
    """Kept columns of one input, as they come from the encoder, of a seeded sample of training windows: of
    `most` numbers, or of 100 windows where that is more."""
    per_window = max(len(spec.features), 1)
    if spec.kind == "tensor":
        per_window *= train.schema.length
    size = min(len(train), max(most // per_window, 100))
    rows = np.sort(np.random.default_rng(seed).choice(len(train), size=size, replace=False))
    mask = detector.keep_mask.get(spec.name)
    pieces = []
    for start in range(0, size, SAMPLE_BATCH):
        X = train.batch(rows[start : start + SAMPLE_BATCH], (spec.name,))[spec.name]
        if mask is not None:
            X = np.compress(mask, X, axis=1)
        pieces.append(X)
    return np.concatenate(pieces)


def sources(detector: Detector, spec: Input) -> NDArray[np.bool_]:
    """Which kept features of an input are recorded together, and so lost together: `(S, C)`, a row a source.

    A feature's source is what its name says before the first dot (`netflow.conn_count:mean`), if it is a
    plain word; a feature without one belongs to none. `(0, C)` where no feature names its source, `(0, 0)`
    where the input has no features.
    """
    mask = detector.keep_mask.get(spec.name, np.ones(len(spec.features), dtype=bool))
    kept = [feature.name for feature, keep in zip(spec.features, mask, strict=True) if keep]
    source_of = np.array([_source(name) for name in kept], dtype=object)
    named = [source for source in dict.fromkeys(source_of) if source]
    recorded_together = np.zeros((len(named), len(kept)), dtype=bool)
    for row, source in enumerate(named):
        recorded_together[row] = source_of == source
    return recorded_together


def _source(feature: str) -> str:
    """The source that a feature names, or nothing."""
    found = SOURCE.match(feature)
    return found[1] if found else ""


def class_weights(label: NDArray[Any], n_classes: int) -> NDArray[np.float32]:
    """Balanced weights `(K,)`: `N / (classes present * count)`; 0 for a class that training never saw."""
    counts = np.bincount(label, minlength=n_classes).astype(np.float64)
    present = int((counts > 0).sum())
    share = np.divide(len(label), counts * max(present, 1), out=np.zeros_like(counts), where=counts > 0)
    return share.astype(np.float32)


def benign(windows: EncodedWindows, part: str) -> EncodedWindows:
    """The windows of class 0, which `next` learns from. Raises SplitError where a part has none."""
    normal = windows.label == 0
    if normal.all() and len(normal):
        return windows
    if not normal.any():
        raise SplitError(
            f"the {part} part has no {windows.schema.classes[0]!r} windows to learn from",
            remedy="the task next learns what is normal: choose another split, or the task classify",
        )
    return windows.over(windows.windows.select(normal))
