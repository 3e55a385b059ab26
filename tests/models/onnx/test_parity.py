"""What an export says is what the detector says: scores to 1e-5, and every decision.

`VESTIGE_ALL=1` exports every registered detector on every combination of inputs; else a few that differ most.
"""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.models.onnx.trained import trained
from vestige.models import registry
from vestige.models.base import Detector
from vestige.models.onnx.detectors import Exported, kind_of
from vestige.models.onnx.writing import exported
from vestige.reading.encoding import Batch
from vestige.testing.detectors import Parts

pytestmark = pytest.mark.skipif(
    not (find_spec("onnx") and find_spec("onnxruntime") and find_spec("onnxscript")),
    reason="needs onnx, onnxruntime and onnxscript, optional packages",
)
FEW = [("mlp", 0), ("gru", 0), ("next_transformer", 0), ("gbt", 0), ("logistic", 0)]
ALL = [(name, at) for name in registry.names() for at in range(len(registry.get(name).accepts))]
CHOSEN = ALL if os.environ.get("VESTIGE_ALL") else FEW
LENGTHS = (2, 3, 21)
"""Steps of a window, besides the usual eight; the first windows of a recording are shorter in any case."""
SOME = [("gru", 2), ("next_transformer", 21)]
CHOSEN_LENGTHS = [(name, n) for name in registry.names() for n in LENGTHS] if CHOSEN is ALL else SOME


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "combination"), CHOSEN)
def test_an_export_says_what_the_detector_says(name: str, combination: int, tmp_path: Path) -> None:
    check(*trained(name, tmp_path, combination, n_classes=3))


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "length"), CHOSEN_LENGTHS)
def test_an_export_says_so_of_windows_of_any_length(name: str, length: int, tmp_path: Path) -> None:
    check(*trained(name, tmp_path, n_classes=3, length=length))


def check(detector: Detector, parts: Parts) -> None:
    """At batches of one, three and 64, as it was exported and as it is read from its bytes."""
    other = exported(detector, parts.train.schema.length)
    if not isinstance(other, Exported):
        assert other is detector, "what needs neither torch nor XGBoost is left as it is"
        return
    model = {"model": other.header(), "schema": parts.train.schema.to_dict()}
    assert other.name == detector.name
    again = kind_of(other.header()).from_checkpoint(model, other.payload)
    batch = parts.test.batch(names=detector.input_names)
    for rows in (slice(0, 1), slice(1, 4), slice(0, 64), slice(None)):
        piece = {input_name: values[rows] for input_name, values in batch.items()}
        assert_alike(detector, other, piece)
        assert_alike(detector, again, piece)
    assert_alike(detector, other, hostile(batch))


def assert_alike(ours: Detector, theirs: Detector, batch: Batch) -> None:
    """The same of a batch: scores to 1e-5, decisions where the score is no nearer to one half than that."""
    wanted, found = ours.judge(batch), theirs.judge(batch)
    np.testing.assert_allclose(found.proba, wanted.proba, atol=1e-5, rtol=0)
    sure = np.abs(wanted.score - 0.5) > 1e-5
    assert np.array_equal((found.score >= 0.5)[sure], (wanted.score >= 0.5)[sure])
    if wanted.surprise is not None and found.surprise is not None:
        np.testing.assert_allclose(found.surprise, wanted.surprise, atol=1e-5, rtol=1e-5)


def hostile(batch: Batch) -> Batch:
    """The same windows with numbers that are missing, endless or too large, and tokens that there are not."""
    found = {}
    for name, values in batch.items():
        other = values.copy()
        if other.dtype.kind == "f":
            other[::3] = np.nan
            other[1::3] = np.inf
            other[2::3] = -1e30
        else:
            other[::2] = 2**31 - 1
            other[1::2] = -7
        found[name] = other
    return found
