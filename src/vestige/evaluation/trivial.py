"""The trivial detectors without labels that a learnt one must be seen beside, judged on the same plants.

Each is fitted on the windows that normal is learnt from, gives windows a strangeness (higher is stranger),
and gets a threshold that spends the same budget on the same calibration part.

Letters: N or B windows, T steps, V token ids, C channels, F features.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.plants import Plants, detected, judge_all
from vestige.hashing import row_hashes
from vestige.reading.encoding import Batch, BoundEncoder, EncodedWindows
from vestige.reading.steps import NO_TIME, Steps
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, UNK, Input, Schema

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

STEPS = 1 << 19
"""Steps of a batch: windows times length."""
SAMPLE = 20_000
"""Windows that the isolation forest learns from at most."""
COLUMNS = 64
"""Tokens, the most frequent ones, that the isolation forest counts."""
GRAM = 6
"""Tokens of a sequence of STIDE (Forrest, Hofmeyr, Somayaji, Longstaff, 1996)."""
MOST_WAITING = 1 << 20
"""Hashes of sequences that are held until equal ones are counted once."""
CALIBRATION = 1 << 23
"""Steps of the windows of a calibration by which a threshold is set at most."""
TIMES = "t_ns"
"""The stream of times."""


@dataclass(frozen=True)
class Evidence:
    """What trivial detectors read: the `inputs` of a fitted encoder, and the `stream` of rows of the `table`
    of symbols ("" where there is none); windows judge the step after `before` others; `timed`: whether the
    stream `t_ns` holds times."""

    inputs: tuple[Input, ...]
    timed: bool
    stream: str
    table: pl.DataFrame
    before: int


class Trivial(ABC):
    """A detector without labels of a few lines. `about` says what it finds strange."""

    name: ClassVar[str]
    about: ClassVar[str]
    kinds: ClassVar[tuple[str, ...]] = ()
    """Kinds of input that it reads, one of them."""
    highest: ClassVar[float] = math.inf
    """No window is stranger."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.inputs = tuple(spec for kind in self.kinds for spec in evidence.inputs if spec.kind == kind)[:1]

    @property
    def applies(self) -> bool:
        """Whether the evidence has what it reads."""
        return bool(self.inputs)

    @property
    def input_names(self) -> tuple[str, ...]:
        """Inputs that it reads."""
        return tuple(spec.name for spec in self.inputs)

    def fit(self, train: EncodedWindows, *, seed: int = 0) -> None:  # noqa: B027 - most learn nothing
        """Learn from the windows of a part that is normal for the most part."""

    @abstractmethod
    def strangeness(self, steps: Steps, batch: Batch) -> FloatArray:
        """`(B,)` from the stream values of windows `(B, T, ...)` and the inputs made of them."""


class NewTemplate(Trivial):
    """1 where the step judged has no token, else 0."""

    name = "new template"
    about = "a message or event that learning never saw"
    kinds = ("tokens",)
    highest = 1.0

    def strangeness(self, steps: Steps, batch: Batch) -> FloatArray:  # noqa: ARG002
        """See `Trivial.strangeness`."""
        spec = self.inputs[0]
        last = batch[spec.name][:, -1]
        # An unknown event that the window showed before has an id beyond the vocabulary.
        unknown: FloatArray = ((last == UNK) | (last >= len(spec.vocabulary or ()))).astype(np.float64)
        return unknown


class Stide(Trivial):
    """The share of sequences of `GRAM` tokens in the window that learning never saw; those that reach before
    the recording's beginning are not counted."""

    name = "STIDE"
    about = f"sequences of {GRAM} events that learning never saw"
    kinds = ("tokens",)
    highest = 1.0

    def fit(self, train: EncodedWindows, *, seed: int = 0) -> None:  # noqa: ARG002
        """Remember a hash of every sequence."""
        self.gram = min(GRAM, train.schema.length)
        # Windows that slide step by step show each sequence once as their last.
        last_only = train.schema.stride == 1
        known, waiting = np.empty(0, dtype=np.uint64), [np.empty(0, dtype=np.uint64)]
        for _, batch in train.batches(_rows(train.schema), self.input_names):
            tokens = batch[self.input_names[0]]
            if last_only:
                tokens = tokens[:, -self.gram :]
            waiting.append(np.unique(self._hashes(tokens)[1]))
            if sum(map(len, waiting)) > max(MOST_WAITING, len(known)):
                known, waiting = np.unique(np.concatenate([known, *waiting])), []
        self.known = np.unique(np.concatenate([known, *waiting]))

    def _hashes(self, tokens: IntArray) -> tuple[IntArray, NDArray[np.uint64]]:
        """The windows, and hashes, of all sequences without padding."""
        grams = np.lib.stride_tricks.sliding_window_view(tokens, self.gram, axis=1)
        real = grams[:, :, 0] != PAD  # padding only ever comes first
        return np.nonzero(real)[0], row_hashes({"gram": grams[real]})

    def strangeness(self, steps: Steps, batch: Batch) -> FloatArray:  # noqa: ARG002
        """See `Trivial.strangeness`."""
        tokens = batch[self.input_names[0]]
        window, hashes = self._hashes(tokens)
        place = np.searchsorted(self.known, hashes)
        new = np.ones(len(hashes), dtype=np.bool_)
        inside = place < len(self.known)
        new[inside] = self.known[place[inside]] != hashes[inside]
        # Of all that a window has room for: one of one, where a recording begins, is less than six of six.
        room = tokens.shape[1] - self.gram + 1
        return np.asarray(np.bincount(window, weights=new, minlength=len(tokens)) / room)


class Forest(Trivial):
    """An isolation forest (Liu, Ting, Zhou, 2008) on counts of tokens in the window, or means of channels."""

    name = "isolation forest"
    about = "windows that hold unusual amounts of events, or unusual means of channels"
    kinds = ("tokens", "tensor")

    def fit(self, train: EncodedWindows, *, seed: int = 0) -> None:
        """Learn from `SAMPLE` windows at most."""
        from sklearn.ensemble import IsolationForest

        rows = np.linspace(0, len(train) - 1, min(len(train), SAMPLE)).astype(np.int64)
        some = train.over(train.windows.select(np.unique(rows)))
        features = [self._features(batch) for _, batch in some.batches(_rows(some.schema), self.input_names)]
        self.forest = IsolationForest(random_state=seed).fit(np.concatenate(features))

    def _features(self, batch: Batch) -> FloatArray:
        spec = self.inputs[0]
        values = batch[spec.name]
        if spec.kind == "tensor":
            present = np.isfinite(values)
            total = np.where(present, values, 0).sum(axis=2, dtype=np.float64)
            return np.asarray(total / np.maximum(present.sum(axis=2), 1))
        # Tokens are ranked by frequency: what is rarer than the first of them is counted together.
        column = np.minimum(values, COLUMNS)
        cell = np.arange(len(values))[:, None] * (COLUMNS + 1) + column
        counts = np.bincount(cell.reshape(-1), minlength=len(values) * (COLUMNS + 1))
        return counts.reshape(len(values), COLUMNS + 1)[:, UNK:].astype(np.float64)

    def strangeness(self, steps: Steps, batch: Batch) -> FloatArray:  # noqa: ARG002
        """See `Trivial.strangeness`; equal windows are looked at once."""
        features = self._features(batch)
        _, first, of = np.unique(row_hashes({"x": features}), return_index=True, return_inverse=True)
        return np.asarray(-self.forest.score_samples(features[first]))[of.reshape(-1)]


class Length(Trivial):
    """How many characters the name of the step judged has: its masked message."""

    name = "length"
    about = "long messages or names"

    @property
    def applies(self) -> bool:
        """See `Trivial.applies`."""
        return bool(self.evidence.stream) and "text" in self.evidence.table.columns

    def fit(self, train: EncodedWindows, *, seed: int = 0) -> None:  # noqa: ARG002
        """Measure every symbol of the table."""
        self.characters = self.evidence.table["text"].str.len_chars().cast(pl.Float64).to_numpy()

    def strangeness(self, steps: Steps, batch: Batch) -> FloatArray:  # noqa: ARG002
        """See `Trivial.strangeness`."""
        return np.asarray(self.characters[steps[self.evidence.stream][:, self.evidence.before]])


class Rate(Trivial):
    """Steps of the window by the time that it took, in steps a second."""

    name = "rate alone"
    about = "many steps in a short time"

    @property
    def applies(self) -> bool:
        """See `Trivial.applies`."""
        return self.evidence.timed

    def strangeness(self, steps: Steps, batch: Batch) -> FloatArray:  # noqa: ARG002
        """See `Trivial.strangeness`; 0 where a time is not known, and in the first window of a recording."""
        t_ns = steps[TIMES]
        real = (t_ns != NO_TIME) & (t_ns != 0)  # 0 is padding
        rows = np.arange(len(t_ns))
        first = t_ns[rows, real.argmax(axis=1)]
        last = t_ns[rows, t_ns.shape[1] - 1 - real[:, ::-1].argmax(axis=1)]
        n = real.sum(axis=1)
        # Steps at one moment have the rate of those within a millisecond.
        seconds = np.maximum((last - first) / 1e9, 1e-3)
        return np.where(n > 1, (n - 1) / seconds, 0.0)


DETECTORS: tuple[type[Trivial], ...] = (NewTemplate, Stide, Forest, Length, Rate)


def threshold(strangeness: FloatArray, share: float, highest: float = math.inf) -> float:
    """Where `share` of the windows of a calibration alert, at most: the lowest threshold, alerts being those
    at or above it. Where more of them than that have the `highest` strangeness that there is, it is that one,
    beyond the budget: a detector that never alerts would be no comparison."""
    allowed = int(share * len(strangeness))
    if allowed >= len(strangeness):
        return -math.inf
    at = len(strangeness) - 1 - allowed
    return min(float(np.nextafter(np.partition(strangeness, at)[at], math.inf)), highest)


@dataclass(frozen=True)
class Beside:
    """A trivial detector beside another: what it finds strange, its table of `plants.detected`, and `spent`,
    the share of the windows of the calibration on which it alerts."""

    about: str
    found: pl.DataFrame
    spent: float


def beside(
    plants: Plants,
    bound: BoundEncoder,
    train: EncodedWindows,
    calibrate: EncodedWindows,
    *,
    stream: str,
    share: float,
    timed: bool = True,
    seed: int = 0,
) -> dict[str, Beside]:
    """What the trivial detectors find of the same plants, by name.

    `bound`: the encoder of `train`, bound to the table of the plants, which `stream` holds rows of ("" where
    there are none); `share` of the windows of `calibrate` may alert, as of the detector that they stand
    beside; `timed`: whether the stream `t_ns` holds times.
    """
    evidence = Evidence(
        train.encoder.inputs,
        timed and TIMES in train.windows.streams,
        stream,
        plants.table,
        train.schema.before,
    )
    detectors = [detector for kind in DETECTORS if (detector := kind(evidence)).applies]
    for detector in detectors:
        detector.fit(train, seed=seed)
    inputs = tuple(dict.fromkeys(name for detector in detectors for name in detector.input_names))
    streams = set(bound.streams(inputs))
    if stream:
        streams.add(stream)
    if evidence.timed:
        streams.add(TIMES)
    names = tuple(sorted(streams))

    def strangeness(bound: BoundEncoder, steps: Steps) -> dict[str, FloatArray]:
        batch = bound.encode(steps, inputs)
        return {detector.name: detector.strangeness(steps, batch) for detector in detectors}

    usual = [strangeness(calibrate.bound, steps) for steps in _calibration(calibrate.windows, names)]
    if not usual:
        return {}

    def scores(steps: Steps) -> dict[str, FloatArray]:
        """The stranger the lower, as p-values are."""
        return {name: -strange for name, strange in strangeness(bound, steps).items()}

    lowest = judge_all(plants, scores, [detector.name for detector in detectors], names)
    found = {}
    for detector in detectors:
        strange = np.concatenate([piece[detector.name] for piece in usual])
        limit = threshold(strange, share, detector.highest)
        found[detector.name] = Beside(
            detector.about,
            detected(plants, lowest[detector.name], -limit),
            float((strange >= limit).mean()),
        )
    return found


def _calibration(windows: WindowSet, names: tuple[str, ...]) -> Iterator[Steps]:
    """All windows, or as many as `CALIBRATION` allows, evenly spread."""
    most = max(1, CALIBRATION // windows.schema.length)
    if len(windows) > most:
        windows = windows.select(np.linspace(0, len(windows) - 1, most).astype(np.int64))
    for piece in windows.pieces(_rows(windows.schema)):
        yield piece.gather(slice(None), names)


def _rows(schema: Schema) -> int:
    """Windows of a batch."""
    return max(1, STEPS // schema.length)
