"""Baselines that weigh: logistic regressions on lengths, token counts, and words."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from vestige.models.base import HyperParameters
from vestige.models.baselines.arrays import BATCH, ArrayDetector, FloatArray
from vestige.models.baselines.distinct import DistinctRows, WeightedRows
from vestige.models.fitting import FitProgress, fit_standardize
from vestige.models.logits import softmax
from vestige.models.reasons import Reason, of_features
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import PAD, Kind

ABSENT = -1e30
"""Intercept of a class that training never saw: its probability is 0."""
PENALTIES = (0.1, 1.0, 10.0, 100.0)
"""Inverse strengths of the penalty that are tried: a baseline is fair when its penalty is chosen, too."""


class RegressionHyper(HyperParameters):
    """`C`: inverse strength of the L2 penalty, as scikit-learn has it; 0 chooses it on validation."""

    C: float = Field(0.0, ge=0)
    iterations: int = Field(300, ge=1)


class Regression(ArrayDetector):
    """Logistic regression on the rows of `design`, classes weighing equally."""

    hyper_parameters: ClassVar[type[HyperParameters]] = RegressionHyper
    hyper: RegressionHyper
    tf_idf: ClassVar[bool] = False
    """Weigh columns by inverse document frequency (of training rows) and scale rows to unit length."""

    @abstractmethod
    def columns(self) -> int:
        """How many columns `design` has."""

    @abstractmethod
    def design(self, X: Batch) -> sparse.csr_array:
        """What is regressed on, `(B, D)`, without explicit zeros or duplicates."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `ArrayDetector.shapes`."""
        D = self.columns()
        return {"coef": (D, self.n_classes), "intercept": (self.n_classes,), "idf": (D,)}

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        *,
        seed: int = 0,
        progress: FitProgress | None = None,
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`; a row of the history for each penalty that was tried, where it was asked
        to choose one."""
        if not self.tf_idf:
            fit_standardize(self, train, seed=seed)
        kept = self._distinct(train, seed, progress)
        idf = np.ones(self.columns())
        if self.tf_idf:
            idf = idf_of(kept)
        rows, weights = self._scaled(kept.rows, idf), kept.weight * balance(kept, self.n_classes)
        hyper = self.hyper

        def solved(C: float) -> dict[str, FloatArray]:
            coef, intercept = solve(rows, kept.label, weights, self.n_classes, C, hyper.iterations)
            return {"coef": coef, "intercept": intercept, "idf": idf}

        if hyper.C:
            self.arrays = solved(hyper.C)
            return []
        judged = self._distinct(validation, seed)
        found = []
        for C in PENALTIES:
            self.arrays = solved(C)
            found.append((self._loss(judged), C, self.arrays))
        # Of penalties that are equally good, the stronger.
        self.arrays = min(found, key=lambda candidate: candidate[:2])[2]
        return [{"C": C, "validation_loss": loss} for loss, C, _ in found]

    def _distinct(self, part: EncodedWindows, seed: int, progress: FitProgress | None = None) -> WeightedRows:
        """Different rows of the design of a part."""
        distinct = DistinctRows(self.columns(), seed=seed)
        for rows, X in part.batches(BATCH, self.input_names):
            distinct.add(self.design(X), part.label[rows])
            if progress:
                progress(int(rows[-1]) + 1, len(part))
        return distinct.result()

    def _loss(self, judged: WeightedRows) -> float:
        """Mean cross-entropy of rows as often as they came, classes weighing equally; 0 of no rows."""
        if not len(judged.label):
            return 0.0
        p = self._proba(judged.rows)[np.arange(len(judged.label)), judged.label]
        # No row may count without bounds: a class that training never saw has probability 0.
        loss = -np.log(np.maximum(p, 1e-9))
        return float(np.average(loss, weights=judged.weight * balance(judged, self.n_classes)))

    def predict_proba(self, X: Batch) -> FloatArray:
        """See `Detector.predict_proba`."""
        return self._proba(self.design(X))

    def _proba(self, design: sparse.csr_array) -> FloatArray:
        rows = self._scaled(design, self.arrays["idf"])
        return softmax(rows @ self.arrays["coef"] + self.arrays["intercept"])

    def reasons(self, X: Batch, most: int = 5) -> list[list[Reason]]:
        """See `Detector.reasons`: weights times values, for the likeliest class but the first."""
        spec = self.inputs[0]
        if spec.kind != "summary":
            return super().reasons(X, most)
        likeliest = 1 + self.predict_proba(X)[:, 1:].argmax(axis=1)
        weights = self.arrays["coef"][:, likeliest].T - self.arrays["coef"][:, :1].T
        found = self._scaled(self.design(X), self.arrays["idf"]).multiply(weights).toarray()
        return of_features(self, spec, X, found, most)

    def _scaled(self, rows: sparse.csr_array, idf: FloatArray) -> sparse.csr_array:
        if not self.tf_idf:
            return rows
        weighed = sparse.csr_array((rows.data * idf[rows.indices], rows.indices, rows.indptr), rows.shape)
        norm = np.sqrt(weighed.multiply(weighed).sum(axis=1))
        weighed.data = weighed.data / np.repeat(norm, np.diff(weighed.indptr))
        return weighed


class Length(Regression):
    """On the length of the last message, or (where there is none) of the window."""

    name: ClassVar[str] = "length"
    about: ClassVar[str] = "logistic regression on how long the message, or the window, is"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("summary",), ("tokens",))
    reads: ClassVar[tuple[str, ...]] = ("length", "words")

    def columns(self) -> int:
        """See `Regression.columns`."""
        if self.inputs[0].kind == "tokens":
            return 1
        return self.width(self.inputs[0])

    def design(self, X: Batch) -> sparse.csr_array:
        """The kept features, standardised; or the share of steps that are no padding."""
        name = self.inputs[0].name
        if self.inputs[0].kind == "tokens":
            return sparse.csr_array((X[name] != PAD).mean(axis=1, keepdims=True))
        return sparse.csr_array(self.select(X)[name].astype(np.float64))


class Counts(Regression):
    """On log(1 + how often each token comes in the window)."""

    name: ClassVar[str] = "counts"
    about: ClassVar[str] = "logistic regression on counts of tokens in the window"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",),)

    def columns(self) -> int:
        """See `Regression.columns`."""
        return self.width(self.inputs[0])

    def design(self, X: Batch) -> sparse.csr_array:
        """A column a token id; padding is not counted."""
        tokens = self.select(X)[self.inputs[0].name]
        row, step = np.nonzero(tokens != PAD)
        shape = (len(tokens), self.columns())
        counts = sparse.csr_array((np.ones(len(row)), (row, tokens[row, step])), shape=shape)
        counts.data = np.log1p(counts.data)
        return counts


class Logistic(Regression):
    """On TF-IDF of the words of the last message; words that training never saw are left out, as usual."""

    name: ClassVar[str] = "logistic"
    about: ClassVar[str] = "logistic regression on TF-IDF of the words of the last message"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("summary",),)
    reads: ClassVar[tuple[str, ...]] = ("word:*",)
    tf_idf: ClassVar[bool] = True

    def columns(self) -> int:
        """See `Regression.columns`."""
        return self.width(self.inputs[0])

    def design(self, X: Batch) -> sparse.csr_array:
        """Counts of words."""
        return sparse.csr_array(self.select(X)[self.inputs[0].name].astype(np.float64))


class Means(Regression):
    """On the mean of each channel over the window, standardised."""

    name: ClassVar[str] = "means"
    about: ClassVar[str] = "logistic regression on the channels' means over the window"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("summary",),)
    reads: ClassVar[tuple[str, ...]] = ("*:mean", "mean:*")

    def columns(self) -> int:
        """See `Regression.columns`."""
        return self.width(self.inputs[0])

    def design(self, X: Batch) -> sparse.csr_array:
        """The kept features, standardised."""
        return sparse.csr_array(self.select(X)[self.inputs[0].name].astype(np.float64))


def idf_of(kept: WeightedRows) -> FloatArray:
    """Inverse document frequency of each column `(D,)`, over the rows as often as they came:
    ln((1 + n) / (1 + windows with the column)) + 1."""
    present = kept.rows.copy()
    present.data = np.ones_like(present.data)
    frequency = present.T @ kept.weight
    idf: FloatArray = np.log((1 + kept.weight.sum()) / (1 + frequency)) + 1
    return idf


def balance(kept: WeightedRows, n_classes: int) -> FloatArray:
    """Factors of the rows `(N,)` with which the classes present weigh the same, and all as much as before."""
    counts = np.bincount(kept.label, weights=kept.weight, minlength=n_classes)
    there = counts > 0
    share = counts.sum() / (np.where(there, counts, 1) * max(int(there.sum()), 1))
    return cast("FloatArray", share[kept.label])


def solve(
    rows: sparse.csr_array,
    label: NDArray[np.uint8],
    weight: FloatArray,
    n_classes: int,
    C: float,
    iterations: int,
) -> tuple[FloatArray, FloatArray]:
    """Coefficients `(D, K)` and intercepts `(K,)`; a class that never came gets no probability."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    coef = np.zeros((rows.shape[1], n_classes))
    intercept = np.full(n_classes, ABSENT)
    present = np.unique(label)
    if len(present) == 1:
        intercept[present] = 0.0
        return coef, intercept
    model = LogisticRegression(C=C, max_iter=iterations)
    # The products are small: a second thread of BLAS brings nothing, and spins in the way of other work.
    with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, label, sample_weight=weight)
    # scikit-learn describes two classes by one row, for the second
    described = present[1:] if len(present) == 2 else present
    coef[:, described] = model.coef_.T
    intercept[present] = 0.0
    intercept[described] = model.intercept_
    return coef, intercept
