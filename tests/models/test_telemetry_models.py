"""The perceptron, the convolutions and the transformer: what the contract does not say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from vestige.errors import UsageError
from vestige.models import registry
from vestige.models.base import Detector
from vestige.models.neural import NeuralDetector
from vestige.models.transformer import TransformerHyper, TransformerNetwork, positions
from vestige.schema import Feature, Input, Kind

CHANNELS = (Feature("cpu"), Feature("disk"), Feature("hypervisor", host_only=True))
SHAPES: dict[Kind, tuple[int, ...]] = {"summary": (5, 3), "tensor": (5, 3, 10)}
NAMES: dict[str, Kind] = {"mlp": "summary", "cnn": "tensor", "transformer": "tensor"}


def build(name: str, **settings: Any) -> tuple[Detector, np.ndarray]:
    spec = Input("x", NAMES[name], features=CHANNELS)
    detector = registry.get(name).build((spec,), 4, **settings)
    X = np.random.default_rng(0).normal(size=SHAPES[NAMES[name]]).astype(np.float32)
    return detector, detector.predict_proba({"x": X})


@pytest.mark.parametrize("name", NAMES)
def test_first_weights_come_from_the_seed_alone(name: str) -> None:
    torch.manual_seed(1)
    _, first = build(name, seed=3)
    torch.manual_seed(2)
    _, second = build(name, seed=3)
    _, other = build(name, seed=4)
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ["cnn", "transformer"])
def test_the_order_of_steps_matters(name: str) -> None:
    detector, before = build(name)
    X = np.random.default_rng(0).normal(size=SHAPES["tensor"]).astype(np.float32)
    backwards = detector.predict_proba({"x": X[:, :, ::-1].copy()})
    assert np.abs(backwards - before).max() > 1e-3


def test_heavy_tails_are_compressed_before_they_are_standardised() -> None:
    detector, _ = build("mlp")
    values = np.array([-1e30, -1.0, 0.0, 1e-6, 1.0, 1e30, np.nan, np.inf], dtype=np.float32)
    assert isinstance(detector, NeuralDetector)
    scaled = detector.scaled(values)
    assert (np.diff(scaled[:6]) > 0).all()
    assert np.array_equal(np.sign(scaled[:6]), np.sign(values[:6]))
    assert np.abs(scaled[:6]).max() < 70
    assert np.isnan(scaled[6])


def test_positions_differ_from_step_to_step() -> None:
    found = positions(torch.zeros(1, 64, 8))
    assert found.shape == (64, 8)
    assert torch.cdist(found, found).fill_diagonal_(1).min() > 0.05


def test_heads_must_share_the_size() -> None:
    with pytest.raises(UsageError, match="multiple of heads"):
        build("transformer", size=10, heads=4)


@pytest.mark.parametrize("training", [False, True])
def test_padding_of_tokens_is_not_looked_at(training: bool) -> None:
    torch.manual_seed(0)
    network = TransformerNetwork(
        9, 2, TransformerHyper(size=8, heads=2, dropout=0, token_dropout=0), tokens=True
    )
    network.train(training)
    padded = torch.tensor([[0, 0, 0, 5, 6, 7]])
    with torch.no_grad():
        before = network(padded)
        network.get_parameter("step.weight")[0] = 7.0
        assert torch.allclose(network(padded), before, atol=1e-6)
        assert not torch.allclose(network(torch.tensor([[2, 3, 4, 5, 6, 7]])), before)
        assert torch.isfinite(network(torch.zeros(2, 6, dtype=torch.long))).all()
