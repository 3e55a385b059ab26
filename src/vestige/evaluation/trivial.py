"""The trivial detectors without labels that a learnt one must be seen beside, judged on the same plants.

Each is fitted on the windows that normal is learnt from, gives windows a strangeness (higher is stranger),
and gets a threshold that spends the same budget on the same calibration part.

Letters: N or B windows, T steps, V token ids, C channels, F features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.evaluation.plants import Plants, detected, judge
from vestige.hashing import row_hashes
from vestige.reading.encoding import Batch, BoundEncoder, EncodedWindows
from vestige.reading.steps import NO_TIME, Steps
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
CALIBRATION = 1 << 20
"""Windows of the calibration by which a threshold is set at most."""
TIMES = "t_ns"
"""The stream of times."""
NEVER = float("inf")


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

    def fit(self, train: EncodedWindows, *, seed: int = 0) -> None:  # noqa: ARG002
        """Remember a hash of every sequence."""
        self.gram = min(GRAM, train.schema.length)
        # Windows that slide step by step show each sequence once as their last.
        last_only = train.schema.stride == 1
        found = [np.empty(0, dtype=np.uint64)]
        for _, batch in train.batches(_rows(train.schema), self.input_names):
            tokens = batch[self.input_names[0]]
            if last_only:
                tokens = tokens[:, -self.gram :]
            found.append(np.unique(self._hashes(tokens)[1]))
        self.known = np.unique(np.concatenate(found))

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
        count = np.bincount(window, minlength=len(tokens))
        return np.bincount(window, weights=new, minlength=len(tokens)) / np.maximum(count, 1)


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


def threshold(strangeness: FloatArray, share: float) -> float:
    """Where `share` of the windows of a calibration alert, at most: the lowest threshold, alerts being those
    at or above it. A detector of which more windows are equally strange than may alert never alerts."""
    allowed = int(share * len(strangeness))
    if allowed >= len(strangeness):
        return -NEVER
    ordered = np.sort(strangeness)
    return float(np.nextafter(ordered[-1 - allowed], NEVER))


def beside(
    plants: Plants,
    train: EncodedWindows,
    calibrate: EncodedWindows,
    *,
    stream: str,
    share: float,
    timed: bool = True,
    seed: int = 0,
) -> dict[str, pl.DataFrame]:
    """What the trivial detectors find of the same plants, by name: see `plants.detected`.

    `stream` holds rows of the table of symbols ("" where there is none); `share` of the windows of
    `calibrate` may alert, as of the detector that they stand beside; `timed`: whether the stream `t_ns` holds
    times.
    """
    encoder, schema = train.encoder, train.schema
    evidence = Evidence(
        encoder.inputs, timed and TIMES in train.windows.streams, stream, plants.table, schema.before
    )
    bound = encoder.bind(plants.table)
    found = {}
    for kind in DETECTORS:
        detector = kind(evidence)
        if not detector.applies:
            continue
        detector.fit(train, seed=seed)
        usual = np.concatenate([np.empty(0), *(_of_batches(detector, calibrate))])
        if not len(usual):
            continue
        lowest = judge(plants, partial(_score, detector, bound), _streams(detector, bound))
        found[detector.name] = detected(plants, lowest, -threshold(usual, share))
    return found


def _streams(detector: Trivial, bound: BoundEncoder) -> tuple[str, ...]:
    """The streams that a detector's inputs are made of, and those that it reads itself."""
    wanted = set(bound.streams(detector.input_names))
    own = {Length: detector.evidence.stream, Rate: TIMES}.get(type(detector))
    if own:
        wanted.add(own)
    return tuple(sorted(wanted))


def _score(detector: Trivial, bound: BoundEncoder, steps: Steps) -> FloatArray:
    """The stranger the lower, as p-values are."""
    return -_strangeness(detector, bound, steps)


def _strangeness(detector: Trivial, bound: BoundEncoder, steps: Steps) -> FloatArray:
    batch: Batch = {}
    if detector.inputs:
        batch = bound.encode(steps, detector.input_names)
    return detector.strangeness(steps, batch)


def _of_batches(detector: Trivial, encoded: EncodedWindows) -> Iterator[FloatArray]:
    """Of all windows; of `CALIBRATION` of them, evenly spread, where there are more."""
    windows = encoded.windows
    if len(windows) > CALIBRATION:
        windows = windows.select(np.linspace(0, len(windows) - 1, CALIBRATION).astype(np.int64))
    names = _streams(detector, encoded.bound)
    for piece in windows.pieces(_rows(windows.schema)):
        yield _strangeness(detector, encoded.bound, piece.gather(slice(None), names))


def _rows(schema: Schema) -> int:
    """Windows of a batch."""
    return max(1, STEPS // schema.length)
