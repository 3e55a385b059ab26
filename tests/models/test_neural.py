"""Neural detectors: seeds, tensors, and weights that fit or are refused."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from vestige.models.recurrent import GruDetector, RecurrentHyper, RecurrentNetwork
from vestige.schema import Feature, Input

TOKENS = Input("tokens", "tokens", vocabulary=("<pad>", "<unk>", "a", "b", "c"))
SIGNAL = Input("signal", "tensor", features=(Feature("cpu"), Feature("host", host_only=True)))

pytestmark = pytest.mark.usefixtures("one_thread")


def payload_of(detector: GruDetector, **changed: Tensor) -> bytes:
    return safetensors.torch.save({**detector.module.state_dict(), **changed})


def test_first_weights_depend_on_the_seed_and_on_nothing_drawn_before() -> None:
    first = GruDetector.build((TOKENS,), 2, seed=3)
    torch.rand(7)
    same, other = (GruDetector.build((TOKENS,), 2, seed=seed) for seed in (3, 4))
    of_first, of_same, of_other = (
        detector.module.get_parameter("head.weight") for detector in (first, same, other)
    )
    assert torch.equal(of_first, of_same)
    assert not torch.equal(of_first, of_other)


def test_building_leaves_the_callers_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    GruDetector.build((TOKENS,), 2)
    assert torch.equal(torch.rand(3), expected)


def test_a_vocabulary_must_be_fitted_first() -> None:
    with pytest.raises(ValueError, match="tokens is not fitted"):
        GruDetector.build((Input("tokens", "tokens"),), 2)


def test_leading_padding_does_not_enter_the_mean() -> None:
    network = RecurrentNetwork(5, 2, RecurrentHyper(), tokens=True).eval()
    states_BTH = torch.ones(1, 4, 64)
    mean = network._mean(states_BTH, torch.tensor([[0, 0, 2, 3]]))
    assert torch.allclose(mean, torch.ones(1, 64))


def test_the_module_receives_kept_channels_only() -> None:
    detector = GruDetector.build((SIGNAL,), 2)
    (x_BCT,) = detector.to_tensors({"signal": np.ones((3, 2, 4), dtype=np.float32)})
    assert x_BCT.shape == (3, 1, 4)
    assert x_BCT.dtype == torch.float32


def test_dropout_is_off_while_predicting_and_training_mode_comes_back() -> None:
    detector = GruDetector.build((TOKENS,), 2, dropout=0.9)
    detector.module.train()
    batch = {"tokens": np.full((4, 6), 2)}
    assert np.array_equal(detector.predict_proba(batch), detector.predict_proba(batch))
    assert detector.module.training


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.bias": torch.zeros(3)}, "head.bias is \\(3,\\)"),
        ({"head.bias": torch.zeros(2, dtype=torch.float64)}, "float64"),
        ({"head.bias": torch.tensor([0.0, float("nan")])}, "no finite number"),
        ({"extra": torch.zeros(1)}, "missing or unknown: extra"),
    ],
)
def test_weights_of_another_shape_name_or_kind_are_refused(change: dict[str, Tensor], message: str) -> None:
    detector = GruDetector.build((TOKENS,), 2)
    with pytest.raises(ValueError, match=message):
        detector.load_sidecar(payload_of(detector, **change), {})


@pytest.mark.parametrize("payload", [b"", b"no tensors here", b"\xff" * 64])
def test_bytes_that_are_no_safetensors_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not a safetensors file"):
        GruDetector.build((TOKENS,), 2).load_sidecar(payload, {})
