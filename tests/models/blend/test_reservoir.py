"""A random network's states are pooled as its equations say, whatever the pieces."""

from __future__ import annotations

import numpy as np
import pytest

from vestige.models.blend.reservoir import HIDDEN, Reservoir, pooled

TOKENS = np.random.default_rng(0).integers(2, 9, 57)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-x)))


def test_states_are_those_of_a_gated_recurrent_unit() -> None:
    network = Reservoir.draw(9, seed=3)
    h, states = np.zeros(HIDDEN), []
    for token in TOKENS:
        x = np.split(network.embedding[token] @ network.inputs + network.bias, 3)
        g = np.split(h @ network.recurrent, 3)
        update = sigmoid(x[1] + g[1])
        h = (1 - update) * np.tanh(x[2] + sigmoid(x[0] + g[0]) * g[2]) + update * h
        states.append(h)
    every = np.array(states)
    expected = np.concatenate([every.mean(0), every.max(0), every.min(0), every.std(0)])
    found = network.fresh(1)
    network.advance(TOKENS, np.array([0, len(TOKENS)]), found)
    assert np.allclose(pooled(found, np.array([len(TOKENS)]))[0], expected, atol=1e-7)


@pytest.mark.parametrize("cuts", [[1], [10, 11, 50], list(range(1, 57))])
def test_pieces_make_no_difference(cuts: list[int]) -> None:
    network = Reservoir.draw(9, seed=0)
    at_once, in_pieces = network.fresh(1), network.fresh(1)
    network.advance(TOKENS, np.array([0, len(TOKENS)]), at_once)
    for piece in np.split(TOKENS, cuts):
        network.advance(piece, np.array([0, len(piece)]), in_pieces)
    assert np.array_equal(at_once, in_pieces)


def test_nothing_pooled_is_nothing() -> None:
    assert not pooled(Reservoir.draw(9, seed=0).fresh(2), np.array([0, 0])).any()


@pytest.mark.parametrize(("name", "value"), [("bias", np.nan), ("embedding", np.inf), ("recurrent", -1e30)])
def test_weights_that_cannot_be_are_refused(name: str, value: float) -> None:
    arrays = Reservoir.draw(9, seed=0).arrays()
    assert np.array_equal(Reservoir.read(arrays, 9).inputs, Reservoir.draw(9, seed=0).inputs)
    arrays[name] = arrays[name].copy()
    arrays[name].flat[0] = value
    with pytest.raises(ValueError, match=name):
        Reservoir.read(arrays, 9)
    with pytest.raises(ValueError, match="embedding"):
        Reservoir.read(Reservoir.draw(9, seed=0).arrays(), 10)
