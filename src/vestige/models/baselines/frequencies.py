"""Baselines that only count: classes, and the last token of a window."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vestige.models.baselines.arrays import BATCH, ArrayDetector, FloatArray, class_prior
from vestige.models.fitting import FitProgress
from vestige.reading.encoding import Batch, EncodedWindows
from vestige.schema import PAD, UNK, Kind


class Majority(ArrayDetector):
    """Always the shares of the classes in training."""

    name: ClassVar[str] = "majority"
    about: ClassVar[str] = "always the most frequent class"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",), ("summary",), ("tensor",), ("vectors",))

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `ArrayDetector.shapes`."""
        return {"prior": (self.n_classes,)}

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,  # noqa: ARG002 - nothing to stop
        *,
        seed: int = 0,  # noqa: ARG002 - nothing is drawn
        progress: FitProgress | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`."""
        self.arrays = {"prior": class_prior(train.label, self.n_classes)}
        return []

    def predict_proba(self, X: Batch) -> FloatArray:
        """See `Detector.predict_proba`."""
        return np.tile(self.arrays["prior"], (len(X[self.inputs[0].name]), 1))


class NewToken(ArrayDetector):
    """Anomalous if and only if training never saw the last token (for logs: a new template).

    Among several anomalous classes, by their shares in training (equal where it had none).
    """

    name: ClassVar[str] = "new_token"
    about: ClassVar[str] = "anomalous when training never saw the last token (new template)"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",),)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `ArrayDetector.shapes`."""
        return {"novel": (self.n_classes,)}

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,  # noqa: ARG002 - nothing to stop
        *,
        seed: int = 0,  # noqa: ARG002 - nothing is drawn
        progress: FitProgress | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`."""
        novel = class_prior(train.label, self.n_classes)
        novel[0] = 0
        if not novel.any():
            novel[1:] = 1
        self.arrays = {"novel": novel / novel.sum()}
        return []

    def predict_proba(self, X: Batch) -> FloatArray:
        """See `Detector.predict_proba`."""
        known = np.eye(self.n_classes)[0]
        is_new = _last_token(self, X) == UNK
        return np.where(is_new[:, None], self.arrays["novel"], known)


class Lookup(ArrayDetector):
    """A table from the last token to the classes that it had in training.

    Each row gets one observation of the class shares on top; a token without a row of its own (never
    seen) therefore gets the class shares themselves: the table knows nothing about it.
    """

    name: ClassVar[str] = "lookup"
    about: ClassVar[str] = "looks the last token up in a table of what it was in training"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tokens",),)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `ArrayDetector.shapes`."""
        return {"table": (self.width(self.inputs[0]), self.n_classes)}

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,  # noqa: ARG002 - nothing to stop
        *,
        seed: int = 0,  # noqa: ARG002 - nothing is drawn
        progress: FitProgress | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`."""
        prior = class_prior(train.label, self.n_classes)
        counts = np.zeros(self.shapes()["table"])
        for rows, X in train.batches(BATCH, self.input_names):
            np.add.at(counts, (_last_token(self, X), train.label[rows]), 1)
        counts[PAD] = 0
        self.arrays = {"table": (counts + prior) / (counts.sum(axis=1, keepdims=True) + 1)}
        return []

    def predict_proba(self, X: Batch) -> FloatArray:
        """See `Detector.predict_proba`."""
        found: FloatArray = self.arrays["table"][_last_token(self, X)]
        return found


def _last_token(detector: ArrayDetector, X: Batch) -> NDArray[np.int64]:
    name = detector.inputs[0].name
    last: NDArray[np.int64] = detector.select({name: X[name][:, -1]})[name]
    return last
