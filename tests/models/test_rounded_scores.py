"""Detectors that multiply numbers rounded to bfloat16 when they score, and those that cannot."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vestige.errors import UsageError
from vestige.models import neural, registry
from vestige.models.base import Detector, choose_inputs
from vestige.nn.products import can_round
from vestige.testing.detectors import Parts, small_dataset

pytestmark = pytest.mark.usefixtures("one_thread")
INPUTS = ("tokens", "tokens:words", "vectors", "summary")
rounding = pytest.mark.skipif(not can_round(), reason="PyTorch does not multiply in bfloat16 here")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Parts:
    return small_dataset(tmp_path_factory.mktemp("parts"), INPUTS)


def build(parts: Parts, name: str) -> Detector:
    kind = registry.get(name)
    return kind.build(choose_inputs(kind, parts.train.schema), 2)


@rounding
@pytest.mark.parametrize("name", ["gru", "array_lstm", "collaborative", "next_lstm"])
def test_scores_differ_by_a_little_and_only_this_detectors(parts: Parts, name: str) -> None:
    detector, other = build(parts, name), build(parts, name)
    batch = parts.test.batch(names=detector.input_names)
    exact = detector.predict_proba(batch)
    detector.round_products()
    rounded = detector.predict_proba(batch)
    assert 0 < np.abs(rounded - exact).max() < 0.01
    assert np.array_equal(other.predict_proba(batch), exact)
    assert np.array_equal(detector.predict_proba(batch), rounded)


@pytest.mark.parametrize("name", ["gbt", "ngram", "logistic", "lookup"])
def test_what_has_no_network_has_nothing_to_round(parts: Parts, name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name} has no network.*\n.*leave --precision out"):
        build(parts, name).round_products()


def test_where_products_would_stay_as_they_are_rounding_is_refused(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neural, "can_round", lambda: False)
    with pytest.raises(UsageError, match=r"AVX-512 BF16 or AMX.*\n.*leave --precision out"):
        build(parts, "gru").round_products()


def test_elsewhere_than_on_a_processor_scores_are_in_float32(parts: Parts) -> None:
    detector = build(parts, "gru")
    assert isinstance(detector, neural.NeuralDetector)
    detector.to(torch.device("meta"))
    with pytest.raises(UsageError, match=r"float32 on meta.*\n.*--precision, or --device"):
        detector.round_products()
