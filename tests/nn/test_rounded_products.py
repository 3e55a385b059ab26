"""PyTorch's own switch for products in bfloat16, on the fast path."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch

from tests.nn.layers import make, results_and_gradients, states_for
from vestige.nn.products import can_round, padding_for, rounded_products

SMOOTH = ["LSTM", "ArrayLSTM", "AttentionArrayLSTM"]
"""Without those that choose a lane: near a tie, a rounded product chooses another one."""

CPU = torch.device("cpu")


pytestmark = pytest.mark.skipif(not can_round(), reason="PyTorch does not multiply in bfloat16 here")


@pytest.mark.parametrize("save_memory", [False, True], ids=["kept gates", "recomputed gates"])
@pytest.mark.parametrize("kind", SMOOTH)
def test_products_are_rounded_and_nothing_else(kind: str, save_memory: bool, step_code: str) -> None:
    layer = make(kind, hidden=40, save_memory=save_memory)
    x, states = torch.randn(33, 6, 5, requires_grad=True), states_for(layer, 33)
    exact = results_and_gradients(layer, x, states)
    with rounded_products():
        rounded = results_and_gradients(layer, x, states)
    for name, value in exact.items():
        assert rounded[name].dtype == torch.float32
        error = (rounded[name] - value).abs().max() / value.abs().max()
        assert 0 < error < 0.02, name


def test_a_backward_pass_fits_its_forward_pass_whatever_the_switch_says_then() -> None:
    layer = make("ArrayLSTM", hidden=40)
    x = torch.randn(33, 6, 5, requires_grad=True)
    (exact,) = torch.autograd.grad(layer(x)[0].sum(), x)
    with rounded_products():
        out = layer(x)[0]
    (gradient,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(gradient, exact, atol=0.02, rtol=0.02)


def test_operands_fill_whole_tiles_where_products_are_rounded_alone() -> None:
    assert padding_for(257, CPU) == 0
    with rounded_products():
        assert [padding_for(width, CPU) for width in (1, 31, 32, 257)] == [31, 1, 0, 31]


def test_the_switch_is_thrown_until_the_last_of_those_who_asked_has_left() -> None:
    backends: Any = torch.backends
    products = backends.mkldnn.matmul
    before = products.fp32_precision
    first, second = rounded_products(), rounded_products()
    with ExitStack() as stack:
        with first:
            stack.enter_context(second)
        # As of two threads that score at the same time: whoever came first leaves first.
        assert products.fp32_precision == "bf16"
    assert products.fp32_precision == before
