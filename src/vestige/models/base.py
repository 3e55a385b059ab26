"""The interface behind which every detector stands.

Letters in names of arrays: B windows, F features, C channels, T steps, S vectors, E vector size, K classes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from vestige.encoding import Batch
from vestige.errors import UsageError
from vestige.schema import UNK, Input, Kind, Schema

FloatArray = NDArray[np.float32]
TINY = 1e-6
"""A standard deviation below this is taken as 1: a constant column stays zero instead of exploding."""


@dataclass(frozen=True)
class StandardizeStats:
    """Medians (for imputation), means and standard deviations of each kept feature or channel, float32."""

    medians: FloatArray
    means: FloatArray
    stds: FloatArray

    @classmethod
    def fit(cls, X: NDArray[Any], *, axis: int | tuple[int, ...] = 0) -> Self:
        """Statistics over `axis` of training data: 0 for `(N, F)`, `(0, 2)` for `(N, C, T)`.

        Anything not finite counts as missing and takes its column's median (0 where a column has none).
        """
        axes = (axis,) if isinstance(axis, int) else tuple(axis)
        values = np.where(np.isfinite(X), X, np.nan).astype(np.float64)
        kept = [size for dim, size in enumerate(values.shape) if dim not in axes]
        columns = np.moveaxis(values, axes, range(len(axes))).reshape(-1, *kept)
        present = np.isfinite(columns)
        medians = np.zeros(columns.shape[1:])
        known = present.any(axis=0)
        if known.any():
            medians[known] = np.nanmedian(columns[:, known], axis=0)
        filled = np.where(present, columns, medians)
        means = filled.mean(axis=0) if len(filled) else medians
        stds = filled.std(axis=0) if len(filled) else np.ones_like(medians)
        stds = np.where(stds < TINY, 1.0, stds)
        return cls(*(one.astype(np.float32) for one in (medians, means, stds)))

    def apply(self, X: NDArray[Any], *, channel_axis: int) -> FloatArray:
        """Impute and standardise along `channel_axis`; every value that comes out is finite."""
        shape = [1] * X.ndim
        shape[channel_axis] = -1
        medians, means, stds = (one.reshape(shape) for one in (self.medians, self.means, self.stds))
        with np.errstate(over="ignore", invalid="ignore"):
            values = (np.where(np.isfinite(X), X, medians).astype(np.float32) - means) / stds
        return np.where(np.isfinite(values), values, 0).astype(np.float32)

    def to_dict(self) -> dict[str, list[float]]:
        """JSON-ready; float32 survives the way through JSON exactly."""
        return {name: getattr(self, name).tolist() for name in ("medians", "means", "stds")}

    @classmethod
    def from_dict(cls, plain: dict[str, list[float]]) -> Self:
        """The statistics that `to_dict` wrote."""
        return cls(*(np.asarray(plain[name], dtype=np.float32) for name in ("medians", "means", "stds")))


class Detector(ABC):
    """Windows in, probabilities out.

    A subclass says in `accepts` which combinations of input kinds it can work on, best first; the first
    that a dataset offers is chosen. `keep_mask` (by input name) selects the features or channels that its
    view may see; `standardize` (by input name) holds statistics of the kept ones.
    """

    name: ClassVar[str]
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]]

    def __init__(self, inputs: tuple[Input, ...], n_classes: int) -> None:
        self.inputs = inputs
        self.n_classes = n_classes
        self.keep_mask: dict[str, NDArray[np.bool_]] = {}
        self.standardize: dict[str, StandardizeStats] = {}

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the inputs to gather for this detector."""
        return tuple(one.name for one in self.inputs)

    def select(self, X: Batch) -> Batch:
        """Mask, impute, standardise. `summary` and `tensor` come out float32 and finite, `tokens` int64
        (an id outside the vocabulary becomes UNK), `vectors` float32 and finite."""
        return {one.name: self._select(one, X[one.name]) for one in self.inputs}

    def _select(self, spec: Input, X: NDArray[Any]) -> NDArray[Any]:
        if spec.kind == "tokens":
            size = len(spec.vocabulary or ())
            inside: NDArray[np.bool_] = (X >= 0) & (size > X)
            return np.where(inside, X, UNK).astype(np.int64, copy=False)
        axis = -2 if spec.kind == "tensor" else -1
        mask = self.keep_mask.get(spec.name)
        values = X if mask is None else np.compress(mask, X, axis=axis)
        stats = self.standardize.get(spec.name)
        if stats is not None:
            return stats.apply(values, channel_axis=axis)
        return np.where(np.isfinite(values), values, 0).astype(np.float32)

    @abstractmethod
    def predict_proba(self, X: Batch) -> NDArray[np.float64]:
        """Class probabilities `(B, K)` float64, rows summing to 1, whatever the batch's size and order."""

    def predict(self, X: Batch) -> NDArray[np.int64]:
        """Most probable class `(B,)` int64."""
        return np.argmax(self.predict_proba(X), axis=1).astype(np.int64)

    @abstractmethod
    def state_for_checkpoint(self) -> dict[str, Any]:
        """JSON-ready hyper-parameters for the header; the weights go to `save_sidecar`."""

    @abstractmethod
    def save_sidecar(self, path: Path) -> None:
        """Write the weights to `path`, in a format whose loading runs no code."""

    @classmethod
    @abstractmethod
    def from_checkpoint(cls, header: dict[str, Any], payload: Path, *, device: str = "cpu") -> Self:
        """Restore from a checkpoint's header (see `vestige.checkpoint`) and its file of weights."""

    sidecar: ClassVar[str] = "weights.safetensors"


def choose_inputs(kind: type[Detector], schema: Schema) -> tuple[Input, ...]:
    """The inputs of `schema` that a detector of this kind works on: its first combination that fits.

    Raises UsageError where none does; the message lists what the detector takes and the dataset has.
    """
    for combination in kind.accepts:
        chosen = [next((one for one in schema.inputs if one.kind == want), None) for want in combination]
        if all(one is not None for one in chosen):
            return tuple(one for one in chosen if one is not None)
    takes = " or ".join("+".join(one) for one in kind.accepts)
    has = ", ".join(sorted({one.kind for one in schema.inputs}))
    raise UsageError(
        f"{kind.name} takes {takes}; this {schema.source} dataset has {has}",
        remedy="vestige models lists which models fit which inputs",
    )


def keep_masks(inputs: tuple[Input, ...], view: str) -> dict[str, NDArray[np.bool_]]:
    """Which features and channels a view may see: `realistic` leaves host-only ones out, `oracle` none."""
    if view == "oracle":
        return {}
    masks = {one.name: np.array([not f.host_only for f in one.features]) for one in inputs if one.features}
    return {name: mask for name, mask in masks.items() if not mask.all()}
