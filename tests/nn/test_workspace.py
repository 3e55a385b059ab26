"""Buffers go from call to call, whatever mode the calls were made in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from vestige import nn as vn
from vestige.nn.workspace import release_workspace


@pytest.mark.parametrize("kind", [vn.LSTM, vn.ArrayLSTM, vn.AttentionArrayLSTM, vn.StochasticArrayLSTM])
def test_training_after_scoring_in_inference_mode(kind: Callable[..., vn.LSTM]) -> None:
    layer = kind(4, 8) if kind is vn.LSTM else kind(4, 8, 3)
    x = torch.randn(5, 6, 4)
    others = torch.randn(40, 6, 4)  # needs a buffer of the size that training will ask for
    release_workspace()
    with torch.inference_mode():
        layer(others)
        scored = layer(x)[0]
    trained = layer(x.requires_grad_())[0]
    trained.sum().backward()
    assert torch.allclose(scored, trained.detach(), atol=1e-6)
    assert x.grad is not None
