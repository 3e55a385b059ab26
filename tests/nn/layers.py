"""Layers by the names of ``reference.KINDS``, and one training step of a layer and of the reference."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from tests.nn.reference import reference
from vestige import nn

INPUTS, HIDDEN, LANES = 5, 6, 3


def make(
    kind: str, inputs: int = INPUTS, hidden: int = HIDDEN, lanes: int = LANES, **options: Any
) -> nn.LSTM:
    name, _, pooled = kind.partition(" ")
    layer_type = getattr(nn, name)
    if layer_type is nn.LSTM:
        return nn.LSTM(inputs, hidden, **options)
    if pooled == "max":
        options["max_pooling"] = True
    layer: nn.LSTM = layer_type(inputs, hidden, lanes, **options)
    return layer


def states_for(layer: nn.LSTM, batch: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    hidden = torch.randn(1, batch, layer.hidden_size, dtype=dtype, requires_grad=True)
    return hidden, torch.randn(layer.k, batch, layer.hidden_size, dtype=dtype, requires_grad=True)


def results_and_gradients(
    layer: nn.LSTM, x: Tensor, states: tuple[Tensor, Tensor], kind: str | None = None
) -> dict[str, Tensor]:
    """Outputs, final states, the gradients of a loss in all of them; by the reference if a kind is given."""
    named = {"x": x, "hidden": states[0], "state": states[1], **dict(layer.named_parameters())}
    if kind is None:
        out, (hidden, state) = layer(x, states)
    else:
        out, (hidden, state) = reference(kind, dict(layer.named_parameters()), x, *states)
    generator = torch.Generator().manual_seed(3)
    loss = torch.zeros((), dtype=x.dtype)
    for result in (out, hidden, state):
        weight = torch.randn(result.shape, generator=generator, dtype=torch.float64).to(x.dtype)
        loss = loss + (result * weight).sum()
    gradients = torch.autograd.grad(loss, list(named.values()))
    found = {f"gradient of {name}": value for name, value in zip(named, gradients, strict=True)}
    return {"outputs": out, "final hidden": hidden, "final state": state} | found


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor], tolerance: float) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        torch.testing.assert_close(
            value, right[name], atol=tolerance, rtol=tolerance, msg=partial("{}: {}".format, name)
        )
