"""Logistic regression on TF-IDF of n-grams, its penalty chosen on validation."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse

from vestige.models.base import HyperParameters
from vestige.models.baselines.arrays import BATCH, FloatArray
from vestige.models.baselines.regressions import Regression, RegressionHyper
from vestige.models.fitting import FitProgress
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import PAD, Kind

PENALTIES = (1.0, 10.0, 100.0)
"""Inverse strengths of the penalty that are tried: on system calls, cross-validation wants the weakest."""
ODD = np.uint64(0x9E3779B97F4A7C15)
"""Knuth's multiplicative hash."""


class TfIdfHyper(RegressionHyper):
    """`C`: 0 chooses it on validation. `buckets`: columns into which n-grams are hashed."""

    C: float = Field(0.0, ge=0)
    buckets: int = Field(1 << 14, ge=16, le=1 << 20)


class TfIdf(Regression):
    """On TF-IDF of 1-, 2- and 3-grams of the window's tokens, hashed."""

    name: ClassVar[str] = "tfidf"
    about: ClassVar[str] = "logistic regression on TF-IDF of 1- to 3-grams of the window's tokens"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",),)
    hyper_parameters: ClassVar[type[HyperParameters]] = TfIdfHyper
    hyper: TfIdfHyper
    tf_idf: ClassVar[bool] = True

    def columns(self) -> int:
        """See `Regression.columns`."""
        return self.hyper.buckets

    def design(self, X: Batch) -> sparse.csr_array:
        """Counts of n-grams without padding."""
        tokens = self.select(X)[self.inputs[0].name]
        rows, columns = [], []
        for order in (1, 2, 3):
            if tokens.shape[1] < order:
                break
            grams = np.lib.stride_tricks.sliding_window_view(tokens, order, axis=1)
            row, at = np.nonzero(grams[:, :, 0] != PAD)  # padding only ever comes first
            code = np.full(len(row), order, dtype=np.uint64)
            for step in range(order):
                code = (code ^ grams[row, at, step].astype(np.uint64)) * ODD
            rows.append(row)
            columns.append(((code >> np.uint64(32)) % np.uint64(self.columns())).astype(np.int64))
        row, column = np.concatenate(rows), np.concatenate(columns)
        counts = sparse.csr_array((np.ones(len(row)), (row, column)), shape=(len(tokens), self.columns()))
        counts.sum_duplicates()
        return counts

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,
        *,
        seed: int = 0,
        progress: FitProgress | None = None,
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`; a row of the history for each penalty that was tried."""
        asked = self.hyper
        history: list[dict[str, Any]] = []
        best: tuple[float, dict[str, FloatArray]] | None = None
        for C in (asked.C,) if asked.C else PENALTIES:
            self.hyper = asked.model_copy(update={"C": C})
            super().fit(train, validation, seed=seed, progress=progress)
            loss = self._loss(validation)
            history.append({"C": C, "validation_loss": loss})
            if best is None or loss < best[0]:
                best = loss, self.arrays
        self.hyper = asked
        if best is not None:
            self.arrays = best[1]
        return history

    def _loss(self, part: EncodedWindows) -> float:
        """Mean cross-entropy, classes weighing equally."""
        losses, labels = [np.empty(0)], [np.empty(0, dtype=np.int64)]
        for rows, X in part.batches(BATCH, self.input_names):
            label = part.label[rows].astype(np.int64)
            p = self.predict_proba(X)[np.arange(len(rows)), label]
            losses.append(-np.log(np.maximum(p, 1e-9)))
            labels.append(label)
        label, loss = np.concatenate(labels), np.concatenate(losses)
        return float(np.mean([loss[label == each].mean() for each in np.unique(label)] or [0.0]))
