"""Soft attention over lanes, and its pooling by the largest weight (AttentionArrayLSTM).

s = softmax over lanes of sig;  c = (1 - s f) c + s i g;  h = sum of s o tanh(c).
With max pooling the largest s takes the place of every s.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from vestige.nn.kernels import elementwise, lanes
from vestige.nn.kernels.elementwise import ONE, exp, sigmoid, tanh
from vestige.nn.kernels.lanes import activate, add_rows, hand_on

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

compiled = partial(elementwise.compiled, after=(elementwise.__file__, lanes.__file__))

_ZERO = np.float32(0)


@compiled
def sigmoid_in_place(sig: Array) -> None:
    """(rows, k, hidden), for a backward pass that did not keep its attention."""
    for b in range(sig.shape[0]):
        for k in range(sig.shape[1]):
            row = sig[b, k]
            for j in range(row.size):
                row[j] = sigmoid(row[j])


@compiled
def lane_weights(sig: Array, weights: Array, total: Array) -> None:
    """One row: weights = softmax of sig (k, hidden) over lanes; sig is within (0, 1), no overflow."""
    lanes, n = sig.shape
    total[:] = _ZERO
    for k in range(lanes):
        a, w = sig[k], weights[k]
        for j in range(n):
            w[j] = exp(a[j])
            total[j] += w[j]
    for j in range(n):
        total[j] = ONE / total[j]
    for k in range(lanes):
        w = weights[k]
        for j in range(n):
            w[j] *= total[j]


@compiled
def largest_weight(weights: Array, largest: Array, winner: Array) -> None:
    """One row: the largest of the lanes' weights and, of equals, the first such lane."""
    largest[:] = -ONE
    for k in range(weights.shape[0]):
        w, lane = weights[k], np.float32(k)
        for j in range(largest.size):
            # Not `>`: a NaN must win, so that it is seen. Selects, no branches: LLVM vectorises these alone.
            wins = not w[j] <= largest[j]
            largest[j] = w[j] if wins else largest[j]
            winner[j] = lane if wins else winner[j]


@compiled
def forward_lane(gates: Array, weight: Array, old: Array, new: Array, h: Array) -> None:
    n = old.size
    f, i, o, g = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    for j in range(n):
        new[j] = old[j] * (ONE - weight[j] * f[j]) + weight[j] * i[j] * g[j]
    for j in range(n):
        h[j] += weight[j] * o[j] * tanh(new[j])


@compiled
def attention_forward(
    pre: Array,
    gates: Array,
    sig_pre: Array,
    sig: Array,
    old: Array,
    new: Array,
    operand: Array,
    x: Array,
    out: Array,
    t: int,
    scratch: Array,
    pooled: bool,
) -> None:
    rows, lanes, n = old.shape
    weights, total, winner = scratch[:lanes], scratch[lanes], scratch[lanes + 1]
    for b in range(rows):
        h = operand[b, :n]
        h[:] = _ZERO
        for k in range(lanes):
            a, a_pre = sig[b, k], sig_pre[b, k]
            for j in range(n):
                a[j] = sigmoid(a_pre[j])
        lane_weights(sig[b], weights, total)
        if pooled:
            largest_weight(weights, total, winner)
        for k in range(lanes):
            activate(pre[b, k], gates[b, k])
            forward_lane(gates[b, k], total if pooled else weights[k], old[b, k], new[b, k], h)
        hand_on(h, operand[b, n:], out[b], x[b], t)


@compiled
def backward_lane(
    gates: Array, weight: Array, old: Array, new: Array, dh: Array, d_cell: Array, d_weight: Array
) -> None:
    """Overwrite the gates by their gradients, d_cell by the older cell's; write the weight's."""
    n = old.size
    f, i, o, g = gates[:n], gates[n : 2 * n], gates[2 * n : 3 * n], gates[3 * n :]
    for j in range(n):
        t = tanh(new[j])
        p = dh[j] * o[j]
        d_weight[j] = p * t
        p *= weight[j]
        d_cell[j] += p * (ONE - t * t)
        o[j] = p * t * (ONE - o[j])
    for j in range(n):
        d_weight[j] += d_cell[j] * (i[j] * g[j] - f[j] * old[j])
    for j in range(n):
        p = d_cell[j] * weight[j] * i[j]
        i[j] = p * g[j] * (ONE - i[j])
        g[j] = p * (ONE - g[j] * g[j])
    for j in range(n):
        erased = weight[j] * f[j]
        f[j] = -d_cell[j] * old[j] * erased * (ONE - f[j])
        d_cell[j] *= ONE - erased


@compiled
def softmax_backward(sig: Array, weights: Array, d_weights: Array, total: Array) -> None:
    """One row: sig becomes the gradient of its own pre-activation."""
    lanes, n = sig.shape
    total[:] = _ZERO
    for k in range(lanes):
        w, d = weights[k], d_weights[k]
        for j in range(n):
            total[j] += w[j] * d[j]
    for k in range(lanes):
        w, d, a = weights[k], d_weights[k], sig[k]
        for j in range(n):
            a[j] = w[j] * (d[j] - total[j]) * a[j] * (ONE - a[j])


@compiled
def pool_backward(d_weights: Array, winner: Array) -> None:
    """One row: every lane used the winner's weight, so the winner's weight gets every lane's gradient."""
    lanes, n = d_weights.shape
    for k in range(1, lanes):
        for j in range(n):
            d_weights[0, j] += d_weights[k, j]
    for k in range(lanes - 1, -1, -1):
        lane = np.float32(k)
        for j in range(n):
            d_weights[k, j] = d_weights[0, j] if winner[j] == lane else _ZERO


@compiled
def attention_backward(
    gates: Array,
    sig: Array,
    old: Array,
    new: Array,
    d_h: Array,
    d_out: Array,
    t: int,
    d_cell: Array,
    scratch: Array,
    pooled: bool,
) -> None:
    rows, lanes, n = old.shape
    weights, d_weights = scratch[:lanes], scratch[lanes : 2 * lanes]
    total, winner = scratch[2 * lanes], scratch[2 * lanes + 1]
    for b in range(rows):
        dh = d_h[b, :n]
        add_rows(dh, d_out[b, t])
        lane_weights(sig[b], weights, total)
        if pooled:
            largest_weight(weights, total, winner)
        for k in range(lanes):
            weight = total if pooled else weights[k]
            backward_lane(gates[b, k], weight, old[b, k], new[b, k], dh, d_cell[b, k], d_weights[k])
        if pooled:
            pool_backward(d_weights, winner)
        softmax_backward(sig[b], weights, d_weights, total)
