"""A gated recurrent unit that goes over tokens and keeps what its states were like. Compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.compiling import compiled

FloatArray = NDArray[np.float64]


@compiled
def advance(tokens: NDArray[np.int64], inputs: FloatArray, recurrent: FloatArray, state: FloatArray) -> None:
    """Go over `tokens (T,)`, rows of `inputs (U, 3H)`: what the gates take of a token, bias included.

    `recurrent (H, 3H)`: what they take of the state. `state (5, H)` is moved on in place: the hidden state,
    and over all steps so far its sum, the sum of its squares, its highest and its lowest values. The gates
    are reset, update, new (Cho et al.: Learning Phrase Representations using RNN Encoder-Decoder. EMNLP
    2014, section 2.3), the reset gate behind the matrix, as in cuDNN.
    """
    H = state.shape[1]
    gates = np.zeros(3 * H)
    for t in range(len(tokens)):
        row = inputs[tokens[t]]
        gates[:] = 0.0
        for k in range(H):
            value = state[0, k]
            for j in range(3 * H):
                gates[j] += value * recurrent[k, j]
        for k in range(H):
            reset = 1.0 / (1.0 + np.exp(-(row[k] + gates[k])))
            update = 1.0 / (1.0 + np.exp(-(row[H + k] + gates[H + k])))
            new = np.tanh(row[2 * H + k] + reset * gates[2 * H + k])
            value = (1.0 - update) * new + update * state[0, k]
            state[0, k] = value
            state[1, k] += value
            state[2, k] += value * value
            state[3, k] = max(state[3, k], value)
            state[4, k] = min(state[4, k], value)


@compiled
def advance_each(
    tokens: NDArray[np.int64],
    bounds: NDArray[np.int64],
    inputs: FloatArray,
    recurrent: FloatArray,
    states: FloatArray,
) -> None:
    """`advance` for each of N units, whose tokens lie from `bounds[i]` to `bounds[i + 1]`; `states (N, 5, H)`
    are moved on."""
    for at in range(len(bounds) - 1):
        advance(tokens[bounds[at] : bounds[at + 1]], inputs, recurrent, states[at])
