"""A linear model on n-grams, its penalty and its probabilities chosen on validation.

Letters: B windows, E vector size, D columns, K classes, N training windows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from vestige.models.base import HyperParameters
from vestige.models.baselines.arrays import BATCH, ArrayDetector
from vestige.models.baselines.distinct import CAP, DistinctRows, WeightedRows
from vestige.models.baselines.regressions import balance, idf_of, solve
from vestige.models.fitting import FitProgress
from vestige.models.logits import softmax
from vestige.models.ngrams.calibration import FloatArray, IntArray, by_recording, calibrate
from vestige.models.ngrams.design import side_by_side, token_ngrams, unit_rows
from vestige.models.space import Choice, Range, Space
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import Input, Kind

STRENGTHS = (0.1, 1.0, 10.0)
"""Inverse penalties that are tried (`C` of scikit-learn), the strongest penalty first."""
FOLDS = 4
MOST_VALUES = 20_000_000
"""Non-zero values of the training rows that are kept at most: 240 MB."""
WORDS = 64
"""What a message's words are reckoned to add to a row."""


Weights = dict[str, FloatArray]
"""`coef (D, K)`, `intercept (K,)`, `idf` of words."""


class NgramHyper(HyperParameters):
    """`orders`: tokens in the longest n-gram; `bits`: of their hashes; `iterations`: of each fit."""

    orders: int = Field(2, ge=1, le=8)
    bits: int = Field(18, ge=4, le=24)
    iterations: int = Field(100, ge=1)


class Ngram(ArrayDetector):
    """Logistic regression on n-grams of a window's tokens in order; of logs also on TF-IDF of the words of
    the message judged and on its vector (that of the last token), which knows parts of words.

    Recordings weigh equally where the label is theirs, and so do classes. Penalty, calibration and class
    boundary (see `calibration`) are chosen on validation and, cross-fitted, on training windows whose last
    token (or recording) their fold has not learnt from: validation alone has few anomalies of few kinds.
    Vectors are not standardised: they have length 1.
    """

    name: ClassVar[str] = "ngram"
    about: ClassVar[str] = "calibrated logistic regression on n-grams of tokens, words and parts of words"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens", "summary", "vectors"), ("tokens",))
    reads: ClassVar[tuple[str, ...]] = ("word:*",)
    hyper_parameters: ClassVar[type[HyperParameters]] = NgramHyper
    hyper: NgramHyper
    space: ClassVar[Space] = {"orders": Range(1, 4), "bits": Choice((16, 18, 20))}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `ArrayDetector.shapes`."""
        D, K = sum(self._widths), self.n_classes
        return {"coef": (D, K), "intercept": (K,), "idf": (self._widths[1],)}

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        *,
        seed: int = 0,
        progress: FitProgress | None = None,
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`; rows: `C`, `val_loss` (log loss of a calibrated verdict, nats)."""
        sides = [*_cross_fitted(train, _groups(self, train), seed), (train, validation)]
        logits: list[list[FloatArray]] = [[] for _ in STRENGTHS]
        for done, (learnt, judged) in enumerate(sides):
            path = self._path(learnt, seed)
            for pieces, weights in zip(logits, path, strict=True):
                pieces.append(self._logits_of(judged, weights))
            if progress:
                progress(done + 1, len(sides))
        label = np.concatenate([judged.label for _, judged in sides]).astype(np.int64)
        recording = np.concatenate([judged.windows.recording for _, judged in sides])
        pooled = [
            self._verdicts(np.concatenate(of_strength), label, recording, train) for of_strength in logits
        ]
        found = [calibrate(*verdicts) for verdicts in pooled]
        best = int(np.argmin([calibration.loss for calibration in found]))
        coef, intercept, idf = (path[best][name] for name in ("coef", "intercept", "idf"))
        scale, bias = found[best].scale, found[best].bias
        self.arrays = {"coef": coef * scale, "intercept": intercept * scale + bias, "idf": idf}
        return [
            {"C": C, "val_loss": calibration.loss} for C, calibration in zip(STRENGTHS, found, strict=True)
        ]

    def predict_proba(self, X: Batch) -> FloatArray:
        """See `Detector.predict_proba`."""
        return softmax(self._logits(X, self.arrays))

    @property
    def _widths(self) -> tuple[int, int, int]:
        """Columns of n-grams, of words, and of a vector."""
        words, vector = self._spec("summary"), self._spec("vectors")
        n_words = 0 if words is None else self.width(words)
        n_elements = 0 if vector is None else vector.size
        return 1 << self.hyper.bits, n_words, n_elements

    def _spec(self, kind: Kind) -> Input | None:
        return next((spec for spec in self.inputs if spec.kind == kind), None)

    def _design(self, X: Batch) -> sparse.csr_array:
        """What is regressed on, `(B, D)`; words are counts as yet."""
        chosen = self.select(X)
        words, vectors = self._spec("summary"), self._spec("vectors")
        tokens = chosen[self.inputs[0].name]
        blocks = [token_ngrams(tokens, self.hyper.orders, self.hyper.bits)]
        if words is not None:
            blocks.append(sparse.csr_array(chosen[words.name].astype(np.float64)))
        if vectors is not None:
            judged = tokens.shape[1] - 1  # later vectors are of messages that the window looks ahead at
            blocks.append(_within_unit(chosen[vectors.name][:, judged]))
        return side_by_side(blocks)

    def _words(self, rows: sparse.csr_array) -> sparse.csr_array:
        first, size, _ = self._widths
        return rows[:, first : first + size]

    def _scaled(self, rows: sparse.csr_array, idf: FloatArray) -> sparse.csr_array:
        """Words as TF-IDF of unit length."""
        first, size, _ = self._widths
        if not size:
            return rows
        words = unit_rows(sparse.csr_array(self._words(rows) * idf))
        return side_by_side([rows[:, :first], words, rows[:, first + size :]])

    def _collect(self, train: EncodedWindows, seed: int) -> WeightedRows:
        per_row = self.hyper.orders * train.schema.length + WORDS + self._widths[2]
        cap = min(CAP, MOST_VALUES // per_row)
        distinct = DistinctRows(sum(self._widths), seed=seed, cap=cap)
        share = _share_of_recording(train)
        for rows, X in train.batches(BATCH, self.input_names):
            distinct.add(self._design(X), train.label[rows], share[rows])
        return distinct.result()

    def _verdicts(
        self, logits: FloatArray, label: IntArray, recording: NDArray[Any], train: EncodedWindows
    ) -> tuple[FloatArray, IntArray]:
        """What is calibrated: windows, or recordings where labels are theirs."""
        if train.windows.schema.target != "recording":
            return logits, label
        return by_recording(logits, label, recording)

    def _path(self, train: EncodedWindows, seed: int) -> list[Weights]:
        """What is learnt under each penalty."""
        kept = self._collect(train, seed)
        idf = idf_of(WeightedRows(self._words(kept.rows), kept.label, kept.weight))
        rows, weight = self._scaled(kept.rows, idf), kept.weight * balance(kept, self.n_classes)
        used = np.unique(rows.indices)
        narrow, path = rows[:, used], []
        for C in STRENGTHS:
            found, intercept = solve(narrow, kept.label, weight, self.n_classes, C, self.hyper.iterations)
            coef = np.zeros((rows.shape[1], self.n_classes))
            coef[used] = found
            path.append({"coef": coef, "intercept": intercept, "idf": idf})
        return path

    def _logits(self, X: Batch, weights: Weights) -> FloatArray:
        rows = self._scaled(self._design(X), weights["idf"])
        logits: FloatArray = rows @ weights["coef"] + weights["intercept"]
        return logits

    def _logits_of(self, part: EncodedWindows, weights: Weights) -> FloatArray:
        pieces = [self._logits(X, weights) for _, X in part.batches(BATCH, self.input_names)]
        return np.concatenate(pieces)


def _groups(detector: Ngram, train: EncodedWindows) -> NDArray[np.int64]:
    """What must be new to a fold, `(N,)`: the recording where labels are theirs, else the last token."""
    if train.windows.schema.target == "recording":
        return train.windows.recording.astype(np.int64)
    name = detector.inputs[0].name
    pieces = [X[name][:, -1] for _, X in train.batches(BATCH, (name,))]
    return np.concatenate(pieces)


def _cross_fitted(
    train: EncodedWindows, group: NDArray[np.int64], seed: int
) -> Iterator[tuple[EncodedWindows, EncodedWindows]]:
    """What to learn from and what to judge, by folds: groups are dealt by chance, anomalous ones first."""
    _, group = np.unique(group, return_inverse=True)
    anomalous = np.bincount(group, weights=train.label > 0) > 0
    order = np.lexsort((np.random.default_rng(seed).random(len(anomalous)), ~anomalous))
    dealt = np.empty(len(order), dtype=np.int64)
    dealt[order] = np.arange(len(order)) % FOLDS
    fold = dealt[group]
    for number in range(FOLDS):
        inside, outside = (train.windows.select(fold == number), train.windows.select(fold != number))
        if len(inside) and len(np.unique(outside.label)) == len(np.unique(train.label)):
            yield train.over(outside), train.over(inside)


def _within_unit(vectors_BE: NDArray[np.float32]) -> sparse.csr_array:
    """The vectors, none longer than 1."""
    wide_BE = vectors_BE.astype(np.float64)
    norm = np.sqrt((wide_BE**2).sum(axis=1, keepdims=True))
    return sparse.csr_array(wide_BE / np.maximum(norm, 1))


def _share_of_recording(train: EncodedWindows) -> FloatArray:
    """The weight of each window `(N,)`: where the label is the recording's, recordings weigh as much as one
    another, and all windows as much as they are many."""
    recording = train.windows.recording
    if train.windows.schema.target != "recording":
        return np.ones(len(recording))
    _, row, size = np.unique(recording, return_inverse=True, return_counts=True)
    return len(recording) / (len(size) * size[row])
