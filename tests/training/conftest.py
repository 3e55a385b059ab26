"""Parts of the toy problem, and what to compare of a training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vestige.models.neural import NeuralDetector
from vestige.reading.encoding import EncodedWindows
from vestige.training.history import Row

from .toy import encoded

Parts = tuple[EncodedWindows, EncodedWindows]
MakeParts = Callable[..., Parts]


@pytest.fixture
def make_parts(tmp_path: Path) -> MakeParts:
    """Training and validation windows, noisy so that no two epochs are alike."""

    def make(n: int = 300, n_validation: int = 200, noise: float = 0.2, **settings: Any) -> Parts:
        trip = settings.pop("trip", None)
        return (
            encoded(tmp_path / "train", n, noise=noise, trip=trip, **settings),
            encoded(tmp_path / "validation", n_validation, seed=1, noise=noise, trip=trip),
        )

    return make


def weights(detector: NeuralDetector) -> dict[str, np.ndarray]:
    return {name: one.detach().numpy().copy() for name, one in detector.module.state_dict().items()}


def assert_same_weights(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    assert ours.keys() == theirs.keys()
    for name, values in ours.items():
        np.testing.assert_array_equal(values, theirs[name], err_msg=name)


def without_seconds(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]
