"""Detectors whose numbers come from a graph of ONNX; all around it is the NumPy code of the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from vestige import checked
from vestige.errors import ComputationError
from vestige.models.base import CLIP, Detector, HyperParameters, log_scaled
from vestige.models.logits import log_softmax, softmax
from vestige.models.next_token import NextToken
from vestige.models.onnx.graph import Graph
from vestige.reading.encoding import Batch
from vestige.schema import Kind

RUNTIME = "onnx"
"""What `runtime` in a header says of a detector that is one of these."""
PIECE = 128
"""Windows that the graph is run on at a time: at 1,024 a small `gru` takes 13 MB more, and no less time."""


class Exported(Detector):
    """Abstract: a detector that had torch or XGBoost, and is a graph now. It cannot be trained."""

    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = ()
    about: ClassVar[str] = "an exported detector"
    sidecar: ClassVar[str] = "graph.onnx"
    imputes: ClassVar[bool] = False
    hyper_parameters: ClassVar[type[HyperParameters]] = HyperParameters

    graph: Graph
    payload: bytes
    learnt_with: dict[str, Any]
    """The hyper-parameters of the detector that was exported, for who wants to know."""

    @property
    def outputs(self) -> int:
        """Numbers that the graph gives a window."""
        return self.n_classes

    def arguments(self, X: Batch) -> list[NDArray[Any]]:
        """The inputs of the graph, `(B, ...)` each."""
        chosen = self.select(X)
        return [_clipped(chosen[spec.name]) for spec in self.inputs]

    def run(self, X: Batch) -> NDArray[np.float64]:
        """What the graph gives of a batch `(B, outputs)`, whatever its size, in bounded memory."""
        arguments = self.arguments(X)
        found = [np.empty((0, self.outputs))]
        for start in range(0, len(arguments[0]), PIECE):
            piece = [np.ascontiguousarray(values[start : start + PIECE]) for values in arguments]
            found.append(self.graph.run(piece).astype(np.float64))
        return np.concatenate(found)

    def header(self) -> dict[str, Any]:
        """See `Detector.header`."""
        return {**super().header(), "runtime": RUNTIME}

    def round_products(self) -> None:
        """Raises ComputationError: a graph is computed as it was written."""
        raise ComputationError(
            "an export computes in float32 (--precision bf16)",
            remedy="leave --precision out, or name the detector that was exported",
        )

    def state_for_checkpoint(self) -> dict[str, Any]:
        """The hyper-parameters of what was exported."""
        return {"learnt_with": self.learnt_with}

    def save_sidecar(self, path: Path) -> None:
        """Write the graph."""
        path.write_bytes(self.payload)

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:  # noqa: ARG002
        """See `Detector.load_sidecar`; the graph runs on the CPU."""
        self.learnt_with = checked.mapping(state.get("learnt_with"), "learnt_with")
        self.graph = Graph(payload, [(spec.name, spec.kind) for spec in self.inputs], self.outputs)
        self.payload = payload


class ExportedNetwork(Exported):
    """A network that gives logits of classes."""

    def scaled(self, values: NDArray[Any]) -> NDArray[Any]:
        """As networks learn them."""
        return log_scaled(values)

    def predict_proba(self, X: Batch) -> NDArray[np.float64]:
        """See `Detector.predict_proba`."""
        return softmax(self.run(X))


class ExportedNext(NextToken, Exported):
    """A network that gives logits of the next token."""

    @property
    def outputs(self) -> int:
        """A logit a token id."""
        return self.width(self.inputs[0])

    def arguments(self, X: Batch) -> list[NDArray[Any]]:
        """The context, without the token to be predicted."""
        return [self.tokens(X)[:, :-1]]

    def log_proba(self, X: Batch) -> NDArray[np.float64]:
        """See `NextToken.log_proba`."""
        return log_softmax(self.run(X))

    def state_for_checkpoint(self) -> dict[str, Any]:
        """The shift that `center` set, too."""
        return {**super().state_for_checkpoint(), "shift": self.shift}

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """See `Detector.load_sidecar`."""
        self.center(float(state["shift"]))
        super().load_sidecar(payload, state, device=device)


class ExportedTrees(Exported):
    """Gradient-boosted trees."""

    zero_is_missing: bool = False

    def arguments(self, X: Batch) -> list[NDArray[Any]]:
        """Features, NaN where one is missing."""
        values = self.select(X)[self.inputs[0].name]
        if self.zero_is_missing:
            values = np.where(values == 0, np.float32(np.nan), values)
        return [values]

    def predict_proba(self, X: Batch) -> NDArray[np.float64]:
        """See `Detector.predict_proba`."""
        found = self.run(X)
        found /= found.sum(axis=1, keepdims=True)
        return found

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Whether zeros count as missing, too."""
        return {**super().state_for_checkpoint(), "zero_is_missing": self.zero_is_missing}

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """See `Detector.load_sidecar`."""
        self.zero_is_missing = checked.flag(state.get("zero_is_missing"), "zero_is_missing")
        super().load_sidecar(payload, state, device=device)


def kind_of(model: dict[str, Any]) -> type[Exported]:
    """The class of an exported detector, by its part of a header. Raises ValueError for none."""
    name = checked.text(model.get("name"), "name")
    if name == "gbt":
        return called(name, ExportedTrees)
    return called(name, ExportedNext if name.startswith("next_") else ExportedNetwork)


def called(name: str, kind: type[Exported]) -> type[Exported]:
    """The class of one that is called as what was exported."""
    about = {"name": name, "__doc__": kind.__doc__, "__module__": __name__}
    return cast("type[Exported]", type(kind.__name__, (kind,), about))


def _clipped(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype == np.int64:
        return values
    clipped: NDArray[Any] = np.clip(values, -CLIP, CLIP)
    return clipped
