"""What the paper describes beyond the original: every option against its formula, written out."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor

from vestige.nn import AttentionArrayLSTM, StochasticArrayLSTM, lane_choice

B, H, K = 4, 6, 4


def _gates(layer: AttentionArrayLSTM | StochasticArrayLSTM, x: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
    """f, i, o, g of every lane, (k, batch, hidden)."""
    pre = (layer.i2h(x) + layer.h2h(hidden[0])).view(B, K, 4, H).permute(2, 1, 0, 3)
    return pre[0].sigmoid(), pre[1].sigmoid(), pre[2].sigmoid(), pre[3].tanh()


def _attention(layer: AttentionArrayLSTM, x: Tensor, hidden: Tensor) -> Tensor:
    assert layer.i2a is not None
    pre = layer.i2a(x) if layer.h2a is None else layer.i2a(x) + layer.h2a(hidden[0])
    weights: Tensor = pre.sigmoid().view(B, K, H).softmax(1).transpose(0, 1)
    return weights


@pytest.fixture
def step() -> tuple[Tensor, Tensor, Tensor]:
    """x, hidden, state of one step."""
    return torch.randn(B, 5), torch.randn(1, B, H), torch.randn(K, B, H)


def test_recurrent_attention_adds_U_h(step: tuple[Tensor, Tensor, Tensor]) -> None:  # noqa: N802
    layer = AttentionArrayLSTM(5, H, K, recurrent_attention=True)
    x, hidden, state = step
    f, i, o, g = _gates(layer, x, hidden)
    s = _attention(layer, x, hidden)
    c = (1 - s * f) * state + s * i * g
    torch.testing.assert_close(layer.forward_cell(*step), ((s * o * c.tanh()).sum(0, keepdim=True), c))
    layer(x.unsqueeze(1).expand(B, 3, 5))[0].sum().backward()
    assert layer.h2a is not None
    assert layer.h2a.weight.grad is not None
    assert layer.h2a.weight.grad.any()


def test_max_selection_uses_one_lane_and_leaves_the_others(step: tuple[Tensor, Tensor, Tensor]) -> None:
    layer = AttentionArrayLSTM(5, H, K, selection="max")
    x, hidden, state = step
    f, i, o, g = _gates(layer, x, hidden)
    s = _attention(layer, x, hidden)
    s = torch.where(s == s.amax(0), s, 0)
    new_hidden, new = layer.forward_cell(x, hidden, state)
    assert ((new == state).sum(0) == K - 1).all()
    torch.testing.assert_close(new, (1 - s * f) * state + s * i * g)
    torch.testing.assert_close(new_hidden[0], (s * o * new.tanh()).sum(0))


def test_max_selection_gives_gradient_to_the_used_lane_alone(step: tuple[Tensor, Tensor, Tensor]) -> None:
    layer = AttentionArrayLSTM(5, H, K, selection="max")
    x, hidden, state = step
    pre = layer.i2h(x) + layer.h2h(hidden[0])
    layer.i2h.register_forward_hook(lambda *_: pre - layer.h2h(hidden[0]).detach())
    new_hidden, _ = layer.forward_cell(x, hidden, state)
    (gradient,) = torch.autograd.grad(new_hidden.sum(), pre)
    winner = _attention(layer, x, hidden).argmax(0)
    outputs = gradient.view(B, K, 4, H)[:, :, 2].transpose(0, 1)
    assert ((outputs != 0).sum(0) == 1).all()
    assert outputs.gather(0, winner.unsqueeze(0)).all()


@pytest.mark.parametrize("selection", ["semi-hard", "hard"])
def test_hard_attention_uses_one_drawn_lane_unscaled(
    selection: Literal["semi-hard", "hard"], step: tuple[Tensor, Tensor, Tensor]
) -> None:
    layer = AttentionArrayLSTM(5, H, K, selection=selection)
    x, hidden, state = step
    f, i, _, g = _gates(layer, x, hidden)
    active = (1 - f) * state + i * g
    _, new = layer.forward_cell(*step)
    drawn = torch.isclose(new, active, atol=1e-5)
    carried = torch.isclose(new, state, atol=1e-6)
    assert (drawn | carried).all()
    assert (drawn & ~carried).sum(0).max() <= 1
    layer.eval()
    _, likeliest = layer.forward_cell(*step)
    winner = _attention(layer, x, hidden).argmax(0, keepdim=True)
    torch.testing.assert_close(likeliest, state.scatter(0, winner, active.gather(0, winner)))


def test_semi_hard_attention_is_soft_backwards_and_hard_attention_is_not() -> None:
    weights = torch.softmax(torch.randn(2, 3, 4), 1).requires_grad_()
    chosen = weights.detach().argmax(1, keepdim=True)
    slope = torch.randn(2, 3, 4)
    for soft in (True, False):
        used = lane_choice.one_instead_of(weights, chosen, soft_backward=soft)
        torch.testing.assert_close(used.detach(), torch.zeros(2, 3, 4).scatter(1, chosen, 1))
        (gradient,) = torch.autograd.grad((used * slope).sum(), weights)
        torch.testing.assert_close(gradient, slope if soft else slope * used.detach())


def test_lanes_are_drawn_as_often_as_their_softmax_says() -> None:
    logits = torch.tensor([0.0, 1.0, -1.0])
    drawn = lane_choice.draw(logits.expand(20000, 3), 1).flatten()
    shares = drawn.bincount(minlength=3) / len(drawn)
    torch.testing.assert_close(shares, logits.softmax(0), atol=0.02, rtol=0)


def test_output_pooling_draws_in_training_and_passes_gradient_through_the_draw_alone() -> None:
    layer = StochasticArrayLSTM(5, H, K, selection="sample")
    outputs, states = torch.rand(K, B, H, requires_grad=True), torch.randn(K, B, H)
    hidden = layer.update_hidden(outputs, states)
    hits = torch.isclose(hidden, outputs * states.tanh())
    assert hits.any(0).all()
    (gradient,) = torch.autograd.grad(hidden.sum(), outputs)
    assert ((gradient != 0).sum(0) == 1).all()
    assert not torch.equal(hidden, layer.update_hidden(outputs, states))


def test_output_pooling_is_expectation_or_argmax_at_evaluation() -> None:
    outputs, states = torch.rand(K, B, H), torch.randn(K, B, H)
    layer = StochasticArrayLSTM(5, H, K, selection="sample").eval()
    expected = (outputs.softmax(0) * outputs * states.tanh()).sum(0, keepdim=True)
    torch.testing.assert_close(layer.update_hidden(outputs, states), expected)
    layer.evaluation = "argmax"
    winner = outputs.argmax(0, keepdim=True)
    expected = outputs.gather(0, winner) * states.gather(0, winner).tanh()
    torch.testing.assert_close(layer.update_hidden(outputs, states), expected)


@pytest.mark.parametrize(("selection", "active"), [("lane", 1), ("lane-of-two", 2)])
def test_a_stochastic_memory_array_writes_to_its_active_lanes_only(
    selection: Literal["lane", "lane-of-two"], active: int, step: tuple[Tensor, Tensor, Tensor]
) -> None:
    layer = StochasticArrayLSTM(5, H, K, selection=selection)
    x, hidden, state = step
    f, i, o, g = _gates(layer, x, hidden)
    seen = set()
    for _ in range(30):
        new_hidden, new = layer.forward_cell(*step)
        changed = (new != state).any(-1)
        assert (changed.sum(0) == active).all()
        if active == 2:
            assert (changed.view(2, 2, B).sum(1) == 1).all()
        mask = changed.unsqueeze(-1)
        torch.testing.assert_close(new, torch.where(mask, f * state + i * g, state))
        torch.testing.assert_close(new_hidden, (mask * o * new.tanh()).sum(0, keepdim=True))
        seen |= {tuple(column.tolist()) for column in changed.T}
    assert len(seen) == 4
    share = active / K
    _, mean = layer.eval().forward_cell(*step)
    torch.testing.assert_close(mean, (1 - share) * state + share * (f * state + i * g))


def test_options_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="use one"):
        AttentionArrayLSTM(5, 6, 4, max_pooling=True, selection="max")
    with pytest.raises(ValueError, match="expected one of"):
        AttentionArrayLSTM(5, 6, 4, selection="softest")  # type: ignore[arg-type] # refused
    with pytest.raises(ValueError, match="expected one of"):
        StochasticArrayLSTM(5, 6, 4, selection="soft")  # type: ignore[arg-type] # refused
    with pytest.raises(ValueError, match="expected one of"):
        StochasticArrayLSTM(5, 6, 4, evaluation="mode")  # type: ignore[arg-type] # refused
    with pytest.raises(ValueError, match="even number"):
        StochasticArrayLSTM(5, 6, 3, selection="lane-of-two")
    with pytest.raises(ValueError, match="use 'expectation'"):
        StochasticArrayLSTM(5, 6, 4, selection="lane", evaluation="argmax")


@pytest.mark.parametrize("forget_bias", [1.0, 0.5])
def test_the_forget_bias_makes_lanes_remember(forget_bias: float) -> None:
    layer = StochasticArrayLSTM(5, H, K, num_layers=2, forget_bias=forget_bias)
    for maps in (layer, layer._maps(1, False)):
        assert (maps.i2h.bias.view(K, 4, H)[:, 0] == forget_bias).all()
        assert not maps.h2h.bias.view(K, 4, H)[:, 0].any()
        assert (maps.i2h.bias.view(K, 4, H)[:, 1:] != 0).all()
    erasing = AttentionArrayLSTM(5, H, K, forget_bias=forget_bias)
    assert (erasing.i2h.bias.view(K, 4, H)[:, 0] == -forget_bias).all()
    layer.reset_parameters(forget_bias=2.0)
    assert (layer.i2h.bias.view(K, 4, H)[:, 0] == 2).all()


def test_xavier_draws_every_gate_as_a_map_of_its_own() -> None:
    layer = AttentionArrayLSTM(50, 40, K, init="xavier")
    assert layer.i2a is not None
    for weight in (layer.i2h.weight, layer.h2h.weight, layer.i2a.weight):
        bound = (6 / (weight.shape[1] + 40)) ** 0.5
        assert 0.95 * bound < weight.abs().max() <= bound
    assert not layer.i2h.bias.any()
    before = layer.i2h.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.i2h.weight, before)
    layer.reset_parameters("linear")
    assert layer.i2h.weight.abs().max() <= 50**-0.5
    with pytest.raises(ValueError, match="'linear' or 'xavier'"):
        AttentionArrayLSTM(5, H, K, init="zeros")  # type: ignore[arg-type] # refused
