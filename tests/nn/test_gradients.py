"""Derivatives against finite differences, in float64: of the layers, and of the hand-written backward."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from tests.nn.layers import make, states_for
from tests.nn.reference import KINDS
from vestige.nn.fast import _Recurrence
from vestige.nn.plan import Kind, Plan


@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_of_a_layer(kind: str) -> None:
    layer = make(kind, 2, 2, 2).double()
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)

    def run(x: torch.Tensor, hidden: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out, states = layer(x, (hidden, state))
        return out, *states

    inputs = (x, *states_for(layer, 2, torch.float64))
    assert gradcheck(run, inputs)
    assert gradgradcheck(run, inputs, fast_mode=True)


def _recurrence(plan: Plan, *tensors: torch.Tensor) -> Any:
    return _Recurrence.apply(plan, *tensors)  # type: ignore[no-untyped-call] # torch gives it none


def _plan_and_inputs(
    kind: str, counts: tuple[int, ...] | None, recompute: bool
) -> tuple[Plan, list[torch.Tensor]]:
    layer = make(kind, 2, 2, 2).double()
    kinds: dict[str, Kind] = {
        "AttentionArrayLSTM": "attention",
        "AttentionArrayLSTM max": "pooled",
        "StochasticArrayLSTM": "top",
    }
    plan = Plan(kinds.get(kind, "sum"), 3, 3, 2, 2, layer.k, counts, recompute)
    x = torch.randn(3, 3, 2, dtype=torch.float64, requires_grad=True)
    hidden, state = states_for(layer, 3, torch.float64)
    return plan, [x, hidden[0].detach().requires_grad_(), state, *layer.parameters()]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("counts", [None, (3, 2, 1)], ids=["full", "rows that end early"])
@pytest.mark.parametrize("kind", KINDS)
def test_gradcheck_of_the_hand_written_backward(
    kind: str, counts: tuple[int, ...] | None, recompute: bool
) -> None:
    plan, inputs = _plan_and_inputs(kind, counts, recompute)
    assert gradcheck(partial(_recurrence, plan), inputs)


@pytest.mark.parametrize("kind", KINDS)
def test_gradgradcheck_in_a_random_direction(kind: str) -> None:
    plan, inputs = _plan_and_inputs(kind, (3, 2, 1), recompute=False)
    assert gradgradcheck(partial(_recurrence, plan), inputs, fast_mode=True)


def test_max_pooling_gives_a_tie_to_the_first_lane_alone(step_code: str) -> None:
    """Equal attention in all lanes: ``amax`` would hand each a third of the gradient."""
    layer = make("AttentionArrayLSTM max")
    assert layer.i2a is not None
    with torch.no_grad():
        layer.i2a.weight.zero_()
        layer.i2a.bias.zero_()
    layer(torch.randn(4, 2, 5))[0].sum().backward()
    assert layer.i2a.bias.grad is not None
    first, *others = layer.i2a.bias.grad.view(3, -1)
    for other in others:
        torch.testing.assert_close(other, others[0])
    assert (first.sign() == -others[0].sign()).all()
