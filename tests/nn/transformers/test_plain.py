"""The numbers of the architecture written plainly, and of the products with hand-written slopes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.nn.transformers.models import VOCABULARY, inputs, make, settings, slopes
from tests.nn.transformers.reference import PlainCollaborative
from vestige.nn import MLP, MultiHeadAttention
from vestige.nn.transformers import dense, dropout


@pytest.mark.parametrize("layers", [1, 3])
def test_logits_and_slopes_are_those_of_the_plain_architecture(layers: int) -> None:
    ours, (text, _, sequences) = make("collaborative", layers=layers), inputs(batch=5)
    plain = PlainCollaborative(settings(layers=layers), VOCABULARY).eval()
    plain.load_state_dict(ours.state_dict())
    text[1, 2:], text[2], sequences[3], sequences[4, 1:] = 0, 0, 0, 0
    found, expected = ours(text, None, sequences), plain(text, None, sequences)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(slopes(ours, found), slopes(plain, expected), atol=1e-5, rtol=1e-4)


def test_attention_in_training_with_nothing_dropped_is_the_fused_one() -> None:
    attention = MultiHeadAttention(settings(dropout_rate=1e-9))
    x, mask = torch.randn(3, 5, 16), torch.zeros(3, 1, 1, 5, dtype=torch.bool)
    mask[0, ..., 3:], mask[1] = True, True
    torch.testing.assert_close(attention(x, x, x, mask), attention.eval()(x, x, x, mask))


def _by_autograd(x: Tensor, mlp: MLP, rate: float) -> Tensor:
    """The same network in plain operations, dropping what the same seed drops."""
    middle = mlp.fc.linear(x).relu()
    if rate:
        dropped = dropout.draw_dropped(middle.flatten(0, -2).shape, rate).view_as(middle)
        middle = middle.masked_fill(dropped, 0) * dropout.survivor_scale(rate)
    out: Tensor = mlp.linear(middle)
    return out


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("onednn", [True, False])
def test_slopes_of_a_two_layer_network(rate: float, onednn: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not onednn:
        monkeypatch.setattr(dense, "_onednn_linear", lambda: None)
    mlp, x = MLP(5, 9, 4, rate), torch.randn(2, 3, 5, requires_grad=True)
    weight = torch.randn(2, 3, 4)
    results = []
    for compute in (mlp, lambda given: _by_autograd(given, mlp, rate)):
        torch.manual_seed(11)
        out = compute(x)
        results.append((out, *torch.autograd.grad((out * weight).sum(), [x, *mlp.parameters()])))
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_second_derivatives(rate: float) -> None:
    mlp, x = MLP(5, 9, 4, rate), torch.randn(6, 5, requires_grad=True)
    results = []
    for compute in (mlp, lambda given: _by_autograd(given, mlp, rate)):
        torch.manual_seed(11)
        (slope,) = torch.autograd.grad(compute(x).pow(2).sum(), x, create_graph=True)
        results.append(torch.autograd.grad(slope.pow(2).sum(), [x, *mlp.parameters()]))
    torch.testing.assert_close(*results)


def test_second_derivatives_of_a_linear_map() -> None:
    layer, x = nn.Linear(5, 4), torch.randn(6, 5, requires_grad=True)
    results = []
    for out in (dense.apply_linear(x, layer), layer(x)):
        (slope,) = torch.autograd.grad(out.pow(3).sum(), x, create_graph=True)
        results.append(torch.autograd.grad(slope.pow(2).sum(), [x, *layer.parameters()]))
    torch.testing.assert_close(*results)


def test_several_maps_of_one_input_are_their_outputs_side_by_side() -> None:
    layers, x = [nn.Linear(5, size) for size in (4, 2, 3)], torch.randn(2, 6, 5)
    torch.testing.assert_close(dense.apply_linear(x, *layers), torch.cat([layer(x) for layer in layers], -1))


def test_a_hooked_map_is_called() -> None:
    seen: list[torch.Size] = []
    mlp = MLP(5, 9, 4)
    mlp.linear.register_forward_hook(lambda _layer, _given, out: seen.append(out.shape))
    mlp(torch.randn(3, 5))
    assert seen == [(3, 4)]


def test_a_frozen_map_gets_no_slope() -> None:
    mlp, x = MLP(5, 9, 4), torch.randn(3, 5, requires_grad=True)
    mlp.fc.requires_grad_(False)
    mlp(x).sum().backward()
    assert mlp.fc.linear.weight.grad is None
    assert mlp.linear.weight.grad is not None
    assert x.grad is not None


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_rate_and_the_mean(rate: float) -> None:
    layer = dropout.Dropout(rate)
    found = layer(torch.ones(400, 501))
    assert abs((found == 0).float().mean().item() - rate) < 0.005
    assert abs(found.mean().item() - 1) < 0.03
    torch.testing.assert_close(found.max().item(), 1 / (1 - rate), atol=1e-3, rtol=1e-3)
    assert torch.equal(layer.eval()(found), found)


def test_dropped_elements_are_independent_and_follow_the_seed() -> None:
    torch.manual_seed(5)
    first = dropout.draw_dropped(torch.Size([1000, 64]), 0.5)
    torch.manual_seed(5)
    assert torch.equal(first, dropout.draw_dropped(torch.Size([1000, 64]), 0.5))
    correlation = torch.corrcoef(first.float().T) - torch.eye(64)
    assert correlation.abs().max() < 0.2
    assert (first.float().mean(0) - 0.5).abs().max() < 0.08


def test_a_checkpointed_block_drops_the_same_elements_again() -> None:
    from torch.utils.checkpoint import checkpoint

    mlp, x = MLP(5, 9, 4, 0.5), torch.randn(6, 5, requires_grad=True)
    torch.manual_seed(2)
    plain = torch.autograd.grad(mlp(x).sum(), x)
    torch.manual_seed(2)
    again = torch.autograd.grad(checkpoint(mlp, x, use_reentrant=False).sum(), x)
    torch.testing.assert_close(plain, again)
