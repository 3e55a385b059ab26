"""Detectors whose weights are a few named float64 arrays."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from safetensors import SafetensorError

from vestige.models.fitting import FittedDetector

FloatArray = NDArray[np.float64]
BATCH = 8192
"""Windows encoded at a time."""


class ArrayDetector(FittedDetector):
    """Keeps what it learnt in `arrays`, by name."""

    arrays: dict[str, FloatArray]

    @abstractmethod
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every array, as the inputs and classes demand."""

    def state_for_checkpoint(self) -> dict[str, Any]:
        """Nothing beside the hyper-parameters."""
        return {}

    def save_sidecar(self, path: Path) -> None:
        """Write the arrays as safetensors."""
        path.write_bytes(safetensors.numpy.save(self.arrays))

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:  # noqa: ARG002
        """See `Detector.load_sidecar`."""
        try:
            arrays = safetensors.numpy.load(payload)
        except SafetensorError as error:
            raise ValueError(f"not a safetensors file ({error})") from error
        expected = self.shapes()
        if arrays.keys() != expected.keys():
            raise ValueError(f"holds {sorted(arrays)}, expected {sorted(expected)}")
        for name, shape in expected.items():
            found = arrays[name]
            if found.shape != shape or found.dtype != np.float64:
                raise ValueError(f"{name} is {found.shape} {found.dtype}, expected {shape} float64")
            if not np.isfinite(found).all():
                raise ValueError(f"{name} holds a value that is no finite number")
        self.arrays = arrays


def class_prior(label: NDArray[Any], n_classes: int) -> FloatArray:
    """Share of each class, `(K,)`."""
    counts = np.bincount(label, minlength=n_classes).astype(np.float64)
    prior: FloatArray = counts / counts.sum()
    return prior
