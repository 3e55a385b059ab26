"""What an export says is what the detector says: scores to 1e-5, and every decision.

`VESTIGE_ALL=1` exports every registered detector on every combination of inputs, at more lengths; else those
that differ most.
"""

from __future__ import annotations

import dataclasses
import os
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.models.onnx.trained import trained
from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.base import Detector
from vestige.models.blend.detector import Blend
from vestige.models.blend.members import read_forest
from vestige.models.next_token import NextToken
from vestige.models.onnx.detectors import Exported, kind_of
from vestige.models.onnx.writing import exported
from vestige.pipeline.predicting import calibrate
from vestige.reading.encoding import Batch
from vestige.testing.detectors import Parts

pytestmark = pytest.mark.skipif(
    not (find_spec("onnx") and find_spec("onnxruntime") and find_spec("onnxscript")),
    reason="needs onnx, onnxruntime and onnxscript, optional packages",
)
FEW = [("mlp", 0), ("gru", 0), ("next_transformer", 0), ("gbt", 0), ("blend", 0), ("logistic", 0)]
ALL = [(name, at) for name in registry.names() for at in range(len(registry.get(name).accepts))]
CHOSEN = ALL if os.environ.get("VESTIGE_ALL") else FEW
OTHERS = ["cnn", "next_gru", "gbt", "blend", "ngram"]
CHOSEN_OF_TWO = registry.names() if CHOSEN is ALL else OTHERS
LENGTHS = (2, 3, 21)
"""Steps of a window, besides the usual eight; the first windows of a recording are shorter in any case."""
SOME = [("gru", 2), ("next_gru", 3), ("next_transformer", 21), ("gbt", 2), ("gbt", 21), ("blend", 3)]
CHOSEN_LENGTHS = [(name, n) for name in registry.names() for n in LENGTHS] if CHOSEN is ALL else SOME
CLOSE = 1e-5
POLICIES = ("fpr=0.01", "fpr=0.2", "f1")
"""What a threshold may have to keep to: above all scores, and between those of validation."""


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "combination"), CHOSEN)
def test_an_export_says_what_the_detector_says(name: str, combination: int, tmp_path: Path) -> None:
    check(*trained(name, tmp_path, combination, n_classes=3), tmp_path)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", CHOSEN_OF_TWO)
def test_an_export_says_so_of_two_classes(name: str, tmp_path: Path) -> None:
    check(*trained(name, tmp_path, n_classes=2), tmp_path)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(("name", "length"), CHOSEN_LENGTHS)
def test_an_export_says_so_of_windows_of_any_length(name: str, length: int, tmp_path: Path) -> None:
    check(*trained(name, tmp_path, n_classes=3, length=length), tmp_path)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("n_classes", [2, 3])
def test_trees_of_a_blend_say_the_same_of_whatever_they_are_handed(n_classes: int, tmp_path: Path) -> None:
    detector, parts = trained("blend", tmp_path, n_classes=n_classes)
    other = exported(detector, parts.train.schema.length)
    assert isinstance(detector, Blend)
    assert isinstance(other, Blend)
    units = detector._of_windows(parts.test.batch(names=detector.input_names))
    rng = np.random.default_rng(2)
    states = []
    for part in units.states:
        drawn = rng.standard_normal(part.shape).astype(np.float32)
        states.append(np.where(rng.random(part.shape) < 0.1, np.float32(np.nan), drawn))
    for asked in (units, dataclasses.replace(units, states=tuple(states))):
        wanted = detector.forest.logits(asked)
        assert len(np.unique(wanted, axis=0)) > 1
        np.testing.assert_allclose(other.forest.logits(asked), wanted, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="exported detector already"):
        exported(other, parts.train.schema.length)


def test_trees_of_a_blend_on_other_columns_are_refused_on_reading(tmp_path: Path) -> None:
    detector, parts = trained("blend", tmp_path)
    other = exported(detector, parts.train.schema.length)
    assert isinstance(other, Blend)
    files, widths = other.forest.files(), [other._width] * other.hyper.reservoirs
    read_forest(files, widths, 2, 1)
    with pytest.raises(ValueError, match=rf"grown on {other._width} columns, expected {other._width + 1}"):
        read_forest(files, [width + 1 for width in widths], 2, 1)


def check(detector: Detector, parts: Parts, home: Path) -> None:
    """At batches of one, three and 64, as it was exported and as it is read from its bytes, and at every
    threshold that could be saved with it."""
    threshold = calibrate(detector, parts.validation, None, POLICIES[0]).value
    other = exported(detector, parts.train.schema.length)
    if other is detector:
        needs = getattr(detector, "module", None) is not None or detector.name in {"gbt", "blend"}
        assert not needs, "it needs torch or XGBoost, and is no export"
        return
    assert other.name == detector.name
    kind = kind_of(other.header()) if isinstance(other, Exported) else type(detector)
    other.save_sidecar(home / "weights")
    model = {"model": other.header(), "schema": parts.train.schema.to_dict()}
    again = kind.from_checkpoint(model, (home / "weights").read_bytes())
    batch, held = (part.batch(names=detector.input_names) for part in (parts.test, parts.validation))
    for rows in (slice(0, 1), slice(1, 4), slice(0, 64), slice(None)):
        piece = {input_name: values[rows] for input_name, values in batch.items()}
        assert_alike(detector, other, piece, threshold)
        assert_alike(detector, again, piece, threshold)
    for policy in POLICIES:
        threshold = calibrate(detector, parts.validation, None, policy).value
        if isinstance(detector, NextToken) and isinstance(other, NextToken):
            other.center(detector.shift)
        for asked in (batch, held, hostile(batch)):
            assert_alike(detector, other, asked, threshold)


def assert_alike(ours: Detector, theirs: Detector, batch: Batch, threshold: float) -> None:
    """The same of a batch: scores to 1e-5, and the same alerts.

    No window is left out: a threshold lies midway between two scores of validation, so that rounding takes no
    window of that kind over it. The class is compared where the likeliest two are further apart than that.
    """
    wanted, found = ours.judge(batch), theirs.judge(batch)
    np.testing.assert_allclose(found.proba, wanted.proba, atol=CLOSE, rtol=0)
    assert np.array_equal(found.score >= threshold, wanted.score >= threshold)
    *_, second, first = np.sort(wanted.proba, axis=1).T
    sure = first - second > 2 * CLOSE
    assert np.array_equal(found.proba.argmax(axis=1)[sure], wanted.proba.argmax(axis=1)[sure])
    if wanted.surprise is not None and found.surprise is not None:
        np.testing.assert_allclose(found.surprise, wanted.surprise, atol=CLOSE, rtol=CLOSE)


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
