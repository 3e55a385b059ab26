"""Layers upon layers, both directions, dropout; ``torch.nn.LSTM`` as an independent witness."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from tests.nn.layers import make
from tests.nn.reference import KINDS
from vestige import nn
from vestige.nn.projections import Projections


def _torch_twin(layer: nn.LSTM) -> torch.nn.LSTM:
    """``torch.nn.LSTM`` with our weights; its gates come in the order i, f, g, o."""
    twin = torch.nn.LSTM(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        batch_first=True,
        bidirectional=layer.bidirectional,
    )
    with torch.no_grad():
        for number, reverse in layer._places():
            maps, suffix = layer._maps(number, reverse), f"_l{number}" + ("_reverse" if reverse else "")
            for ours, theirs in ((maps.i2h, "ih"), (maps.h2h, "hh")):
                for name in ("weight", "bias"):
                    f, i, o, g = getattr(ours, name).chunk(4)
                    getattr(twin, f"{name}_{theirs}{suffix}").copy_(torch.cat([i, f, g, o]))
    return twin


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_a_stack_gives_the_numbers_of_torch(num_layers: int, bidirectional: bool, step_code: str) -> None:
    layer = make("LSTM", num_layers=num_layers, bidirectional=bidirectional)
    twin, x = _torch_twin(layer), torch.randn(20, 8, 5)
    states = torch.randn(2, num_layers * (2 if bidirectional else 1), 20, 6).unbind(0)
    torch.testing.assert_close(layer(x, states), twin(x, states), atol=1e-5, rtol=1e-5)


def test_a_packed_stack_in_both_directions_gives_the_numbers_of_torch(step_code: str) -> None:
    layer = make("LSTM", num_layers=2, bidirectional=True)
    packed = pack_sequence([torch.randn(n, 5) for n in (3, 8, 1, 5)], enforce_sorted=False)
    (ours, our_states), (theirs, their_states) = layer(packed), _torch_twin(layer)(packed)
    torch.testing.assert_close(pad_packed_sequence(ours), pad_packed_sequence(theirs), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(our_states, their_states, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_is_its_layers_one_upon_another(kind: str) -> None:
    stack = make(kind, num_layers=2, bidirectional=True)
    x, ends = torch.randn(4, 7, 5), []
    below = x
    for number in range(2):
        outputs = []
        for reverse in (False, True):
            single = make(kind, inputs=below.shape[-1])
            maps = stack._maps(number, reverse).state_dict()
            single.load_state_dict({name: maps[name] for name in single.state_dict()})
            out, states = single(below.flip(1) if reverse else below)
            outputs.append(out.flip(1) if reverse else out)
            ends.append(states)
        below = torch.cat(outputs, dim=-1)
    out, (hidden, state) = stack(x)
    torch.testing.assert_close(out, below)
    torch.testing.assert_close(hidden, torch.cat([end[0] for end in ends]))
    torch.testing.assert_close(state, torch.cat([end[1] for end in ends]))
    again, _ = stack(x, (torch.zeros_like(hidden), torch.zeros_like(state)))
    torch.testing.assert_close(again, out)


def test_the_first_layer_keeps_the_originals_keys() -> None:
    keys = {"i2h.weight", "i2h.bias", "h2h.weight", "h2h.bias"}
    assert set(make("LSTM").state_dict()) == set(make("StochasticArrayLSTM").state_dict()) == keys
    assert set(make("AttentionArrayLSTM").state_dict()) == keys | {"i2a.weight", "i2a.bias"}
    stacked = set(make("ArrayLSTM", num_layers=2, bidirectional=True).state_dict())
    more = {f"{place}.{key}" for place in ("l0_reverse", "l1", "l1_reverse") for key in keys}
    assert stacked == keys | more


def test_dropout_acts_between_layers_and_in_training_only() -> None:
    layer, x = make("ArrayLSTM", num_layers=2, dropout=0.5), torch.randn(4, 7, 5)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    layer.train()
    layer.dropout = 1.0
    silent = layer(x)[0]
    torch.testing.assert_close(silent, layer(torch.randn(4, 7, 5))[0])
    with pytest.warns(UserWarning, match="one layer only"):
        make("ArrayLSTM", dropout=0.5)


def test_the_original_attributes_are_there() -> None:
    layer = make("AttentionArrayLSTM max")
    assert isinstance(layer, nn.AttentionArrayLSTM)
    assert (layer.input_size, layer.hidden_size, layer.k, layer.max_pooling) == (5, 6, 3, True)
    assert layer.i2h.out_features == layer.h2h.out_features == 4 * 6 * 3
    assert isinstance(layer, nn.ArrayLSTM)
    assert isinstance(layer, nn.LSTM)
    assert isinstance(layer, Projections)


def test_repr_says_what_is_not_as_usual() -> None:
    assert repr(make("LSTM")).startswith("LSTM(\n  5, 6\n")
    stack = make("AttentionArrayLSTM max", num_layers=2, forget_bias=1.0, batch_first=False)
    assert "5, 6, k=3, max_pooling=True, num_layers=2, batch_first=False, forget_bias=1.0" in repr(stack)
    assert "selection='sample', evaluation='argmax'" in repr(
        make("StochasticArrayLSTM", selection="sample", evaluation="argmax")
    )
