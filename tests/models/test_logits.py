"""Probabilities of logits are SciPy's, without its import, and nothing overflows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import special

from vestige.models.logits import log_softmax, sigmoid, softmax

LOGITS = np.array([[0.0, 1.0, -2.0], [1e3, -1e3, 0.0], [745.0, 745.0, 745.0], [-1e300, 3.0, 3.5]])


@pytest.mark.parametrize("extra", [0.0, 300.0])
def test_they_are_what_scipy_gives(extra: float) -> None:
    logits = LOGITS + extra
    np.testing.assert_allclose(softmax(logits), special.softmax(logits, axis=1), rtol=1e-14)
    np.testing.assert_allclose(log_softmax(logits), special.log_softmax(logits, axis=1), rtol=1e-14)
    np.testing.assert_allclose(sigmoid(logits), special.expit(logits), rtol=1e-14)
    assert sigmoid(np.array([np.inf, -np.inf])).tolist() == [1.0, 0.0]
    assert softmax(np.empty((0, 3))).shape == (0, 3)


def test_what_an_exported_detector_needs_brings_no_scipy() -> None:
    code = (
        "import sys, vestige.models.onnx.detectors, vestige.models.onnx.graph, vestige.scoring\n"
        "print(sorted({'scipy', 'torch', 'xgboost', 'sklearn', 'numba'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
