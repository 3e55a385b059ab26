"""What may go in, what comes out, and what an error says."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

from tests.nn.layers import make, states_for
from tests.nn.reference import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_state_is_never_changed(kind: str, step_code: str) -> None:
    layer = make(kind)
    x, (hidden, state) = torch.randn(4, 3, 5), states_for(layer, 4)
    before = hidden.clone(), state.clone()
    first = layer(x, (hidden, state))
    assert torch.equal(hidden, before[0])
    assert torch.equal(state, before[1])
    second = layer(x, (hidden, state))
    assert torch.equal(first[0], second[0])
    assert second[1][1].data_ptr() != state.data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_a_plain_state_starts_every_lane(kind: str) -> None:
    layer = make(kind)
    x, hidden, state = torch.randn(4, 3, 5), torch.randn(4, 6), torch.randn(4, 6)
    plain = layer(x, (hidden, state))
    full = layer(x, (hidden.unsqueeze(0), state.expand(layer.k, 4, 6)))
    torch.testing.assert_close(plain, full)


@pytest.mark.parametrize("kind", KINDS)
def test_states_come_back_in_the_original_shapes_and_go_in_again(kind: str) -> None:
    layer, x = make(kind), torch.randn(4, 6, 5)
    whole, (hidden, state) = layer(x)
    assert whole.shape == (4, 6, 6)
    assert hidden.shape == (1, 4, 6)
    assert state.shape == (layer.k, 4, 6)
    start, states = layer(x[:, :2])
    rest, states = layer(x[:, 2:], states)
    torch.testing.assert_close(torch.cat([start, rest], dim=1), whole)
    torch.testing.assert_close(states, (hidden, state))


def test_initHidden_is_what_a_run_starts_from() -> None:  # noqa: N802 - the original's name
    layer, x = make("ArrayLSTM"), torch.randn(4, 3, 5)
    hidden, state = layer.initHidden(x)
    assert hidden.shape == (1, 4, 6)
    assert state.shape == (3, 4, 6)
    torch.testing.assert_close(layer(x, (hidden, state)), layer(x))


@pytest.mark.parametrize("kind", KINDS)
def test_forward_cell_is_one_step(kind: str) -> None:
    layer, x = make(kind), torch.randn(4, 1, 5)
    hidden, state = states_for(layer, 4)
    out, expected = layer(x, (hidden, state))
    after = layer.forward_cell(x[:, 0], hidden, state)
    torch.testing.assert_close(after, expected)
    torch.testing.assert_close(after[0][0], out[:, 0])


@pytest.mark.parametrize(
    ("hidden", "state", "said"),
    [
        ((1, 4, 6), (4, 4, 6), r"state of shape \(4, 4, 6\): expected \(3, 4, 6\) or \(4, 6\)"),
        ((1, 4, 6), (1, 4, 6), r"state of shape \(1, 4, 6\): expected \(3, 4, 6\)"),
        ((1, 3, 6), (3, 4, 6), r"hidden of shape \(1, 3, 6\): expected \(1, 4, 6\) or \(4, 6\)"),
        ((1, 4, 5), (3, 4, 6), r"hidden of shape \(1, 4, 5\): expected \(1, 4, 6\)"),
    ],
)
def test_a_wrong_state_is_refused_with_the_right_shape(
    hidden: tuple[int, ...], state: tuple[int, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        make("ArrayLSTM")(torch.randn(4, 3, 5), (torch.zeros(hidden), torch.zeros(state)))


def test_a_wrong_input_is_refused_with_the_right_shape() -> None:
    layer = make("ArrayLSTM")
    with pytest.raises(ValueError, match=r"\(4, 3, 7\): expected \(batch, time, 5\), or \(time, 5\)"):
        layer(torch.randn(4, 3, 7))
    with pytest.raises(ValueError, match=r"expected \(batch, time, 5\)"):
        layer(torch.randn(5))
    with pytest.raises(ValueError, match=r"expected \(time, batch, 5\)"):
        make("ArrayLSTM", batch_first=False)(torch.randn(4, 3, 7))
    with pytest.raises(TypeError, match=r"input is torch.float64, the weights are torch.float32"):
        layer(torch.randn(4, 3, 5, dtype=torch.float64))
    with pytest.raises(TypeError, match=r"state is torch.float64, the weights are torch.float32"):
        layer(torch.randn(4, 3, 5), (torch.zeros(4, 6), torch.zeros(4, 6, dtype=torch.float64)))
    with pytest.raises(ValueError, match="expected a positive number"):
        make("ArrayLSTM", lanes=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", KINDS)
def test_every_float_dtype_stays_what_it_is(kind: str, dtype: torch.dtype) -> None:
    layer = make(kind)
    x = torch.randn(4, 3, 5)
    expected = layer(x)[0]
    out, (hidden, state) = layer.to(dtype)(x.to(dtype))
    assert out.dtype == hidden.dtype == state.dtype == dtype
    torch.testing.assert_close(out.float(), expected, atol=0.05, rtol=0.05)
    out.sum().backward()
    assert layer.i2h.weight.grad is not None
    assert layer.i2h.weight.grad.dtype == dtype


@pytest.mark.parametrize("kind", KINDS)
def test_no_steps_return_the_initial_state(kind: str, step_code: str) -> None:
    layer = make(kind)
    states = states_for(layer, 4)
    out, (hidden, state) = layer(torch.randn(4, 0, 5), states)
    assert out.shape == (4, 0, 6)
    torch.testing.assert_close((hidden, state), states)
    assert state.data_ptr() != states[1].data_ptr()


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_batch_is_a_batch(kind: str, step_code: str) -> None:
    layer = make(kind)
    out, (hidden, state) = layer(torch.randn(0, 3, 5))
    assert out.shape == (0, 3, 6)
    assert hidden.shape == (1, 0, 6)
    assert state.shape == (layer.k, 0, 6)
    out.sum().backward()


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_sequence_needs_no_batch(kind: str) -> None:
    layer, x = make(kind), torch.randn(3, 5)
    out, (hidden, state) = layer(x)
    batched, (batched_hidden, batched_state) = layer(x.unsqueeze(0))
    torch.testing.assert_close(out, batched[0])
    torch.testing.assert_close((hidden, state), (batched_hidden[:, 0], batched_state[:, 0]))
    torch.testing.assert_close(layer(x, (torch.zeros(6), torch.zeros(6)))[0], out)
    torch.testing.assert_close(
        layer(x, (hidden, state))[0], layer(x.unsqueeze(0), (hidden, batched_state))[0][0]
    )


def test_batch_first_false_turns_tensors_around() -> None:
    layer, x = make("ArrayLSTM"), torch.randn(4, 3, 5)
    turned = make("ArrayLSTM", batch_first=False)
    turned.load_state_dict(layer.state_dict())
    out, states = turned(x.transpose(0, 1))
    torch.testing.assert_close((out.transpose(0, 1), states), layer(x))


@pytest.mark.parametrize("path", ["fast", "general"])
@pytest.mark.parametrize("kind", KINDS)
def test_lengths_cut_every_sequence_at_its_end(kind: str, path: str, step_code: str) -> None:
    layer = make(kind)
    if path == "general":
        layer.double()
    x = torch.randn(9, 7, 5, dtype=layer.h2h.weight.dtype, requires_grad=True)
    states = states_for(layer, 9, x.dtype)
    lengths = torch.tensor([3, 7, 0, 1, 5, 7, 2, 6, 3])
    out, (hidden, state) = layer(x, states, lengths)
    (slope,) = torch.autograd.grad(out.square().sum() + state.sum(), x)
    for row, length in enumerate(lengths.tolist()):
        alone = x[row : row + 1, :length].detach().requires_grad_()
        of_row = tuple(part[:, row : row + 1] for part in states)
        expected, (end_hidden, end_state) = layer(alone, of_row)
        torch.testing.assert_close(out[row : row + 1, :length], expected)
        assert not out[row, length:].any()
        torch.testing.assert_close((hidden[:, [row]], state[:, [row]]), (end_hidden, end_state))
        assert not slope[row, length:].any()
        if length:
            (expected_slope,) = torch.autograd.grad(expected.square().sum() + end_state.sum(), alone)
            torch.testing.assert_close(slope[row, :length], expected_slope[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_a_packed_sequence_comes_back_packed(enforce_sorted: bool) -> None:
    layer = make("AttentionArrayLSTM")
    lengths = [6, 4, 3, 1] if enforce_sorted else [3, 6, 1, 4]
    sequences = [torch.randn(length, 5) for length in lengths]
    packed, (hidden, state) = layer(pack_sequence(sequences, enforce_sorted=enforce_sorted))
    out, back = pad_packed_sequence(packed, batch_first=True)
    assert back.tolist() == lengths
    for row, sequence in enumerate(sequences):
        expected, (end_hidden, end_state) = layer(sequence)
        torch.testing.assert_close(out[row, : len(sequence)], expected)
        torch.testing.assert_close((hidden[:, row], state[:, row]), (end_hidden, end_state))


def test_wrong_lengths_are_refused() -> None:
    layer, x = make("LSTM"), torch.randn(3, 4, 5)
    for lengths in ([4, 4], [4, 5, 1], [4, -1, 2]):
        with pytest.raises(ValueError, match="expected 3 of them, one per sequence, from 0 to 4"):
            layer(x, lengths=lengths)
    with pytest.raises(ValueError, match="carries its lengths"):
        layer(pack_sequence([torch.randn(3, 5)]), lengths=[3])
