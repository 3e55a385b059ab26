"""The simplest answer to "what comes next": whatever is frequent."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from vestige.models.baselines.arrays import BATCH, ArrayDetector, FloatArray
from vestige.models.fitting import FitProgress, benign
from vestige.models.next_token import NextToken
from vestige.reading.encoding import Batch, EncodedWindows


class NextFrequency(NextToken, ArrayDetector):
    """How often each token came last in benign training windows, each counted once more than it did."""

    name: ClassVar[str] = "next_frequency"
    about: ClassVar[str] = "expects the next event by its frequency, whatever the context"

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """See `ArrayDetector.shapes`."""
        return {"log_p": (self.width(self.inputs[0]),)}

    def fit(
        self,
        train: EncodedWindows,
        validation: EncodedWindows,  # noqa: ARG002 - nothing to stop
        *,
        seed: int = 0,  # noqa: ARG002 - nothing is drawn
        progress: FitProgress | None = None,  # noqa: ARG002
    ) -> list[dict[str, Any]]:
        """See `FittedDetector.fit`. Raises SplitError without benign windows."""
        windows = benign(train, "training")
        counts = np.ones(self.shapes()["log_p"])
        for rows, X in windows.batches(BATCH, self.input_names):
            counts += np.bincount(self.targets(X, windows.label[rows]), minlength=len(counts))
        self.arrays = {"log_p": np.log(counts / counts.sum())}
        return []

    def log_proba(self, X: Batch) -> FloatArray:
        """See `NextToken.log_proba`."""
        log_p = self.arrays["log_p"]
        return np.broadcast_to(log_p, (len(X[self.inputs[0].name]), len(log_p)))

    def state_for_checkpoint(self) -> dict[str, Any]:
        """The shift that `center` set."""
        return {"shift": self.shift}

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """See `Detector.load_sidecar`."""
        self.center(float(state["shift"]))
        super().load_sidecar(payload, state, device=device)
