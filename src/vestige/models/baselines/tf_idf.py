"""Logistic regression on TF-IDF of n-grams."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field
from scipy import sparse

from vestige.models.base import HyperParameters
from vestige.models.baselines.regressions import Regression, RegressionHyper
from vestige.models.space import Choice, Space
from vestige.reading.encoding import Batch
from vestige.schema import PAD, Kind

ODD = np.uint64(0x9E3779B97F4A7C15)
"""Knuth's multiplicative hash."""


class TfIdfHyper(RegressionHyper):
    """`buckets`: columns into which n-grams are hashed."""

    buckets: int = Field(1 << 14, ge=16, le=1 << 20)


class TfIdf(Regression):
    """On TF-IDF of 1-, 2- and 3-grams of the window's tokens, hashed."""

    name: ClassVar[str] = "tfidf"
    about: ClassVar[str] = "logistic regression on TF-IDF of 1- to 3-grams of the window's tokens"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",),)
    hyper_parameters: ClassVar[type[HyperParameters]] = TfIdfHyper
    hyper: TfIdfHyper
    space: ClassVar[Space] = {"buckets": Choice((1 << 12, 1 << 14, 1 << 16, 1 << 18))}
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
