"""Lanes summed (LSTM, ArrayLSTM) and the lane with the largest output gate (StochasticArrayLSTM)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from vestige.nn.kernels import elementwise
from vestige.nn.kernels.elementwise import ONE, sigmoid, tanh

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float32]

compiled = partial(elementwise.compiled, after=(elementwise.__file__,))

_ZERO = np.float32(0)


@compiled
def activate(pre: Array, gates: Array) -> None:
    """One lane: (4 hidden) pre-activations -> f, i, o, g. The two must not overlap, or it is slow."""
    squashed = 3 * (pre.size // 4)
    a, b = pre[:squashed], gates[:squashed]
    for j in range(a.size):
        b[j] = sigmoid(a[j])
    a, b = pre[squashed:], gates[squashed:]
    for j in range(a.size):
        b[j] = tanh(a[j])


@compiled
def activate_in_place(gates: Array) -> None:
    """All lanes of all rows, for a backward pass that did not keep its gates."""
    squashed = 3 * (gates.shape[2] // 4)
    for b in range(gates.shape[0]):
        for k in range(gates.shape[1]):
            row = gates[b, k, :squashed]
            for j in range(row.size):
                row[j] = sigmoid(row[j])
            row = gates[b, k, squashed:]
            for j in range(row.size):
                row[j] = tanh(row[j])


@compiled
def update_cell(gates: Array, old: Array, new: Array) -> None:
    """One lane: c = f c + i g."""
    n = old.size
    f, i, g = gates[:n], gates[n : 2 * n], gates[3 * n :]
    for j in range(n):
        new[j] = f[j] * old[j] + i[j] * g[j]


@compiled
def cell_to_gates(gates: Array, old: Array, d_cell: Array) -> None:
    """One lane, given the cell's gradient: the gradients of f, i, g, and the older cell's in its place."""
    n = old.size
    f, i, g = gates[:n], gates[n : 2 * n], gates[3 * n :]
    for j in range(n):
        d = d_cell[j] * i[j]
        i[j] = d * g[j] * (ONE - i[j])
        g[j] = d * (ONE - g[j] * g[j])
    for j in range(n):
        d = d_cell[j] * f[j]
        f[j] = d * old[j] * (ONE - f[j])
        d_cell[j] = d


@compiled
def hand_on(h: Array, after_h: Array, out: Array, x: Array, t: int) -> None:
    """One row: h to the outputs (steps, hidden), and the next step's x (steps, inputs) to stand after h."""
    row = out[t]
    for j in range(row.size):
        row[j] = h[j]
    if t + 1 < x.shape[0]:
        row = x[t + 1]
        for j in range(row.size):
            after_h[j] = row[j]


@compiled
def add_rows(d_h: Array, d_out: Array) -> None:
    for j in range(d_out.size):
        d_h[j] += d_out[j]


@compiled
def sum_forward(
    pre: Array, gates: Array, old: Array, new: Array, operand: Array, x: Array, out: Array, t: int
) -> None:
    rows, lanes, n = old.shape
    for b in range(rows):
        h = operand[b, :n]
        for k in range(lanes):
            activate(pre[b, k], gates[b, k])
            update_cell(gates[b, k], old[b, k], new[b, k])
            o, c = gates[b, k, 2 * n : 3 * n], new[b, k]
            if k == 0:
                for j in range(n):
                    h[j] = o[j] * tanh(c[j])
            else:
                for j in range(n):
                    h[j] += o[j] * tanh(c[j])
        hand_on(h, operand[b, n:], out[b], x[b], t)


@compiled
def sum_backward(
    gates: Array, old: Array, new: Array, d_h: Array, d_out: Array, t: int, d_cell: Array
) -> None:
    rows, lanes, n = old.shape
    for b in range(rows):
        dh = d_h[b, :n]
        add_rows(dh, d_out[b, t])
        for k in range(lanes):
            o, c, dc = gates[b, k, 2 * n : 3 * n], new[b, k], d_cell[b, k]
            for j in range(n):
                seen = tanh(c[j])
                p = dh[j] * o[j]
                dc[j] += p * (ONE - seen * seen)
                o[j] = p * seen * (ONE - o[j])
            cell_to_gates(gates[b, k], old[b, k], dc)


@compiled
def choose(gates: Array, cells: Array, top: Array, cell: Array, winner: Array) -> None:
    """One row: the largest output gate of each unit, the lane it is in, and that lane's cell. A NaN wins,
    and of equals the first, as in ``torch.max``.

    Cells are summed, all but one of them zero: LLVM would make one load of "this cell or that one", from
    an address that it cannot foresee, and give up vectorising.
    """
    lanes, n = cells.shape
    o = gates[0, 2 * n : 3 * n]
    for j in range(n):
        top[j], winner[j], cell[j] = o[j], _ZERO, _ZERO
    for k in range(1, lanes):
        o, lane = gates[k, 2 * n : 3 * n], np.float32(k)
        for j in range(n):
            wins = not o[j] <= top[j]
            winner[j] = lane if wins else winner[j]
            top[j] = o[j] if wins else top[j]
    for k in range(lanes):
        c, lane = cells[k], np.float32(k)
        for j in range(n):
            cell[j] += c[j] if winner[j] == lane else _ZERO


@compiled
def top_forward(
    pre: Array,
    gates: Array,
    old: Array,
    new: Array,
    operand: Array,
    x: Array,
    out: Array,
    t: int,
    scratch: Array,
) -> None:
    rows, lanes, n = old.shape
    top, cell, winner = scratch[0], scratch[1], scratch[2]
    for b in range(rows):
        for k in range(lanes):
            activate(pre[b, k], gates[b, k])
            update_cell(gates[b, k], old[b, k], new[b, k])
        choose(gates[b], new[b], top, cell, winner)
        h = operand[b, :n]
        for j in range(n):
            h[j] = top[j] * tanh(cell[j])
        hand_on(h, operand[b, n:], out[b], x[b], t)


@compiled
def top_backward(
    gates: Array, old: Array, new: Array, d_h: Array, d_out: Array, t: int, d_cell: Array, scratch: Array
) -> None:
    rows, lanes, n = old.shape
    top, cell, winner = scratch[0], scratch[1], scratch[2]
    for b in range(rows):
        dh = d_h[b, :n]
        add_rows(dh, d_out[b, t])
        choose(gates[b], new[b], top, cell, winner)
        for j in range(n):  # from here on: top is the gradient of o's pre-activation, cell that of c
            seen = tanh(cell[j])
            p = dh[j] * top[j]
            cell[j] = p * (ONE - seen * seen)
            top[j] = p * seen * (ONE - top[j])
        for k in range(lanes):
            o, dc, lane = gates[b, k, 2 * n : 3 * n], d_cell[b, k], np.float32(k)
            for j in range(n):
                chosen = winner[j] == lane
                dc[j] += cell[j] if chosen else _ZERO
                o[j] = top[j] if chosen else _ZERO
            cell_to_gates(gates[b, k], old[b, k], dc)
