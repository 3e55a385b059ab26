"""The fast path against the plain loops, and what it must not leave behind."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest
import torch

from tests.nn.layers import assert_same, make, results_and_gradients, states_for
from tests.nn.reference import KINDS, reference
from vestige.nn import fast, release_workspace, workspace
from vestige.nn.plan import Plan


@pytest.fixture
def fast_runs(monkeypatch: pytest.MonkeyPatch) -> list[Plan]:
    """The plans of all runs that took the fast path."""
    seen: list[Plan] = []
    real = fast.run

    def noting(plan: Plan, *inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        seen.append(plan)
        return real(plan, *inputs)

    monkeypatch.setattr(fast, "run", noting)
    return seen


@pytest.mark.parametrize("save_memory", [False, True], ids=["kept gates", "recomputed gates"])
@pytest.mark.parametrize("kind", KINDS)
def test_results_and_all_gradients_agree_with_the_plain_loops(
    kind: str, save_memory: bool, step_code: str, threads: int, fast_runs: list[Plan]
) -> None:
    layer = make(kind, save_memory=save_memory)
    x, states = torch.randn(67, 9, 5, requires_grad=True), states_for(layer, 67)
    ours = results_and_gradients(layer, x, states)
    assert len(fast_runs) == 1
    assert_same(ours, results_and_gradients(layer, x, states, kind), 2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_many_blocks_of_rows_are_one_batch(kind: str, threads: int, fast_runs: list[Plan]) -> None:
    layer = make(kind)
    x, states = torch.randn(150, 4, 5, requires_grad=True), states_for(layer, 150)
    whole = results_and_gradients(layer, x, states)
    layer.block_bytes = 1
    assert_same(results_and_gradients(layer, x, states), whole, 1e-5)
    assert sum(map(len, fast_runs[-1].shares(threads))) > 5


@pytest.mark.parametrize("rows", [1, 15, 16, 31, 33, 1000])
@pytest.mark.parametrize("threads_there_are", [1, 2, 3, 64])
def test_blocks_cover_every_row_once(rows: int, threads_there_are: int) -> None:
    shares = Plan("sum", rows, 4, 5, 600, 3).shares(threads_there_are)
    assert 1 <= len(shares) <= threads_there_are
    blocks = sorted((block for share in shares for block in share), key=lambda block: block.start)
    assert blocks[0].start == 0
    assert blocks[-1].stop == rows
    assert all(one.stop == other.start for one, other in pairwise(blocks))


@pytest.mark.parametrize("kind", KINDS)
def test_inference_agrees_with_training(kind: str, step_code: str) -> None:
    layer = make(kind)
    x, states = torch.randn(20, 9, 5), states_for(layer, 20)
    trained, (trained_hidden, trained_state) = layer(x, states)
    with torch.no_grad():
        out, (hidden, state) = layer(x, states)
    assert not out.requires_grad
    torch.testing.assert_close((out, hidden, state), (trained, trained_hidden, trained_state))


@pytest.mark.parametrize("kind", KINDS)
def test_a_second_derivative_is_that_of_the_plain_loops(kind: str, step_code: str) -> None:
    layer, found = make(kind), []
    x, states = torch.randn(4, 5, 5, requires_grad=True), states_for(layer, 4)
    weights = dict(layer.named_parameters())
    for plain in (False, True):
        out = reference(kind, weights, x, *states)[0] if plain else layer(x, states)[0]
        (slope,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(slope.square().sum(), [x, *states, *weights.values()]))
    torch.testing.assert_close(found[0], found[1], atol=1e-4, rtol=1e-4)


def test_a_graph_can_be_walked_twice(step_code: str) -> None:
    layer = make("AttentionArrayLSTM")
    x = torch.randn(20, 6, 5, requires_grad=True)
    out, _ = layer(x)
    (first,) = torch.autograd.grad(out.sum(), x, retain_graph=True)
    layer(torch.randn(20, 6, 5))[0].sum().backward()  # takes the buffer that the first walk gave back
    (second,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize("save_memory", [False, True], ids=["kept gates", "recomputed gates"])
def test_outputs_may_be_changed_in_place_before_the_backward_pass(save_memory: bool, step_code: str) -> None:
    layer = make("StochasticArrayLSTM", save_memory=save_memory)
    x, states, found = torch.randn(20, 6, 5, requires_grad=True), states_for(make("ArrayLSTM"), 20), []
    for in_place in (False, True):
        out, (hidden, _) = layer(x, states)
        out = out.mul_(3).relu_() if in_place else (3 * out).relu()
        loss = out.square().sum() + hidden.sum()
        found.append(torch.autograd.grad(loss, [x, *states, *layer.parameters()]))
    torch.testing.assert_close(found[0], found[1])


def test_two_graphs_alive_at_once_do_not_share_a_buffer() -> None:
    layer = make("ArrayLSTM")
    inputs = [torch.randn(20, 6, 5, requires_grad=True) for _ in range(3)]
    alone = [torch.autograd.grad(layer(x)[0].square().sum(), x)[0] for x in inputs]
    losses = [layer(x)[0].square().sum() for x in inputs]
    together = [torch.autograd.grad(loss, x)[0] for loss, x in zip(losses, inputs, strict=True)]
    torch.testing.assert_close(together, alone)


def test_only_what_is_asked_for_gets_a_gradient(step_code: str) -> None:
    layer = make("StochasticArrayLSTM")
    layer.h2h.requires_grad_(False)
    x = torch.randn(20, 6, 5)
    _, (hidden, _) = layer(x)
    hidden.sum().backward()
    by_plain = make("StochasticArrayLSTM")
    by_plain.load_state_dict(layer.state_dict())
    zeros = (torch.zeros(1, 20, 6), torch.zeros(3, 20, 6))
    reference("StochasticArrayLSTM", dict(by_plain.named_parameters()), x, *zeros)[1][0].sum().backward()
    assert layer.h2h.weight.grad is None
    torch.testing.assert_close(layer.i2h.weight.grad, by_plain.i2h.weight.grad, atol=1e-5, rtol=1e-5)


def test_a_weight_changed_before_the_backward_pass_is_noticed() -> None:
    layer = make("ArrayLSTM")
    out, _ = layer(torch.randn(2, 3, 5))
    with torch.no_grad():
        layer.i2h.weight.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        out.sum().backward()


def test_buffers_return_after_a_backward_pass_and_with_a_dropped_graph() -> None:
    gc.collect()  # graphs of other tests
    release_workspace()
    layer = make("ArrayLSTM")
    result = layer(torch.randn(20, 6, 5))
    assert not workspace._idle
    result[0].sum().backward()
    assert len(workspace._idle) == 1
    result = layer(torch.randn(20, 6, 5))
    assert not workspace._idle
    del result
    gc.collect()
    assert len(workspace._idle) == 1
    release_workspace()
    assert not workspace._idle


def test_a_nan_stays_visible(step_code: str) -> None:
    for kind in KINDS:
        x = torch.randn(3, 4, 5)
        x[1, 2, 0] = torch.nan
        out, _ = make(kind)(x)
        assert out[1, 2:].isnan().all()
        assert not out[[0, 2]].isnan().any()


def test_large_inputs_saturate_as_they_should(step_code: str) -> None:
    for kind in KINDS:
        layer = make(kind)
        x, states = 1e4 * torch.randn(4, 3, 5, requires_grad=True), states_for(layer, 4)
        with torch.no_grad():
            out, (hidden, state) = layer(x, states)
            plain, (plain_hidden, plain_state) = reference(kind, dict(layer.named_parameters()), x, *states)
        torch.testing.assert_close(
            (out, hidden, state), (plain, plain_hidden, plain_state), atol=1e-5, rtol=1e-5
        )
