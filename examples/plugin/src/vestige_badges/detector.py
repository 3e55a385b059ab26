"""A detector: naive Bayes on the tokens of a window.

Letters: B windows, V token ids, K classes.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vestige.models.base import HyperParameters
from vestige.models.baselines.arrays import BATCH, ArrayDetector, FloatArray, class_prior
from vestige.models.fitting import FitProgress
from vestige.models.space import Range, Space
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import PAD, Kind


class TokenBayesHyper(HyperParameters):
    """`smoothing`: how often every token counts as seen before anything was seen."""

    smoothing: float = Field(1.0, gt=0, le=100)


class TokenBayes(ArrayDetector):
    """P(class | window) is proportional to P(class) times the product of P(token | class) over its tokens
    (McCallum and Nigam, 1998); padding counts as nothing."""

    name: ClassVar[str] = "token_bayes"
    about: ClassVar[str] = "naive Bayes on the tokens of a window"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",),)
    hyper_parameters: ClassVar[type[HyperParameters]] = TokenBayesHyper
    hyper: TokenBayesHyper
    space: ClassVar[Space] = {"smoothing": Range(0.01, 10.0, log=True)}

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays that a checkpoint must hold."""
        return {"prior": (self.n_classes,), "log_p": (self.width(self.inputs[0]), self.n_classes)}

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,  # noqa: ARG002 - nothing to choose
        *,
        seed: int = 0,  # noqa: ARG002 - nothing is drawn
        progress: FitProgress | None = None,
    ) -> list[dict[str, Any]]:
        """Count the tokens of each class."""
        counts = np.full((self.width(self.inputs[0]), self.n_classes), self.hyper.smoothing)
        for rows, X in train.batches(BATCH, self.input_names):
            tokens = self._tokens(X)
            classes = np.broadcast_to(train.label[rows][:, None], tokens.shape)
            np.add.at(counts, (tokens[tokens != PAD], classes[tokens != PAD]), 1)
            if progress:
                progress(int(rows[-1]) + 1, len(train))
        self.arrays = {
            "prior": class_prior(train.label, self.n_classes),
            "log_p": np.log(counts / counts.sum(axis=0)),
        }
        return []

    def predict_proba(self, X: Batch) -> FloatArray:
        """Class probabilities `(B, K)`."""
        tokens = self._tokens(X)
        with np.errstate(divide="ignore"):  # a class without windows has the probability 0
            logits = np.tile(np.log(self.arrays["prior"]), (len(tokens), 1))
        logits += np.where((tokens != PAD)[:, :, None], self.arrays["log_p"][tokens], 0.0).sum(axis=1)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def _tokens(self, X: Batch) -> NDArray[np.int64]:
        """Ids `(B, steps)`, each within the vocabulary."""
        tokens: NDArray[np.int64] = self.select(X)[self.inputs[0].name]
        return tokens
