"""A subclass's own step is used; with the library's mathematics in it, it gives the fast path's numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.nn.layers import assert_same, make, results_and_gradients, states_for
from tests.nn.reference import KINDS
from vestige import nn
from vestige.nn import fast


class SumWritten(nn.ArrayLSTM):
    def update_hidden(self, outputs: Tensor, states: Tensor) -> Tensor:
        return (outputs * torch.tanh(states)).sum(0, keepdim=True)


class MeanOfLanes(nn.AttentionArrayLSTM):
    def update_hidden(self, outputs: Tensor, states: Tensor) -> Tensor:
        return super().update_hidden(outputs, states) / self.k


class Coupled(nn.ArrayLSTM):
    """A cell that speaks of its own maps: input gate = 1 - forget gate."""

    def forward_cell(self, x: Tensor, hidden: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        pre = (self.i2h(x) + self.h2h(hidden[0])).view(x.shape[0], self.k, 4, -1).permute(2, 1, 0, 3)
        f, o, g = pre[0].sigmoid(), pre[2].sigmoid(), pre[3].tanh()
        state = f * state + (1 - f) * g
        return self.update_hidden(o, state), state


@pytest.fixture
def no_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the fast path was taken")

    monkeypatch.setattr(fast, "run", refuse)


def test_an_override_with_the_same_mathematics_holds_the_two_paths_together(step_code: str) -> None:
    layer = make("ArrayLSTM")
    general = SumWritten(5, 6, 3)
    general.load_state_dict(layer.state_dict())
    x, states = torch.randn(20, 7, 5, requires_grad=True), states_for(layer, 20)
    assert_same(results_and_gradients(layer, x, states), results_and_gradients(general, x, states), 1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_replaced_method_of_one_object_holds_the_two_paths_together(kind: str, step_code: str) -> None:
    layer = make(kind)
    x, states = torch.randn(20, 7, 5, requires_grad=True), states_for(layer, 20)
    on_the_fast_path = results_and_gradients(layer, x, states)
    calls, step = [], layer.forward_cell

    def counting(x: Tensor, hidden: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        calls.append(x.shape)
        return step(x, hidden, state)

    layer.forward_cell = counting  # type: ignore[method-assign] # what a user may do
    assert_same(results_and_gradients(layer, x, states), on_the_fast_path, 1e-5)
    assert calls == [(20, 5)] * 7


@pytest.mark.usefixtures("no_fast_path")
def test_an_overridden_update_hidden_is_used() -> None:
    layer, plain = MeanOfLanes(5, 6, 3), make("AttentionArrayLSTM")
    layer.load_state_dict(plain.state_dict())
    x = torch.randn(4, 1, 5)
    expected = plain.double()(x.double())[0].float() / 3
    torch.testing.assert_close(layer(x)[0], expected)


@pytest.mark.usefixtures("no_fast_path")
def test_an_overridden_cell_sees_the_maps_of_every_layer_and_direction() -> None:
    stack, x = Coupled(5, 6, 3, num_layers=2, bidirectional=True), torch.randn(4, 7, 5)
    below, out = x, stack(x)[0]
    for number in range(2):
        outputs = []
        for reverse in (False, True):
            single = Coupled(below.shape[-1], 6, 3)
            maps = stack._maps(number, reverse).state_dict()
            single.load_state_dict({name: maps[name] for name in single.state_dict()})
            turned = single(below.flip(1) if reverse else below)[0]
            outputs.append(turned.flip(1) if reverse else turned)
        below = torch.cat(outputs, dim=-1)
    torch.testing.assert_close(out, below)


@pytest.mark.usefixtures("no_fast_path")
def test_a_method_borrowed_from_another_layer_counts_as_an_override() -> None:
    class Borrowed(nn.StochasticArrayLSTM):
        update_hidden = nn.ArrayLSTM.update_hidden

    layer, plain = Borrowed(5, 6, 3), make("ArrayLSTM").double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(4, 3, 5)
    torch.testing.assert_close(layer(x)[0], plain(x.double())[0].float())


@pytest.mark.usefixtures("no_fast_path")
def test_a_hook_or_another_module_in_place_of_a_map_is_respected() -> None:
    layer, x, seen = make("ArrayLSTM"), torch.randn(4, 3, 5), []
    handle = layer.i2h.register_forward_hook(lambda *_: seen.append(1))
    layer(x)
    assert len(seen) == 3
    handle.remove()
    expected = layer.double()(x.double())[0].float()
    layer.float().h2h = torch.nn.Sequential(layer.h2h)  # type: ignore[assignment] # what a user may do
    torch.testing.assert_close(layer(x)[0], expected)
