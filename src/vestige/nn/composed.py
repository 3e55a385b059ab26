"""The recurrence in plain tensor operations: every dtype, device, transform and derivative of torch.

Letters: B batch, T time, I input, H hidden, K lanes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn.functional import linear

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from vestige.nn.plan import Plan


class Cell(Protocol):
    """One step: x_BI, hidden_1BH, state_KBH -> the next hidden_1BH, state_KBH."""

    def __call__(self, x: Tensor, hidden: Tensor, state: Tensor, /) -> tuple[Tensor, Tensor]: ...


def step_lanes(pre_BN: Tensor, state_KBH: Tensor) -> tuple[Tensor, Tensor]:
    """c = f c + i g in every lane, from pre-activations lane by lane in the order f, i, o, g.

    Returns the output gates and the new cells, (k, batch, hidden) each.
    """
    f, i, o, g = _gates(pre_BN, state_KBH)
    return o, f * state_KBH + i * g


def step_weighted_lanes(pre_BN: Tensor, state_KBH: Tensor, weight_BKH: Tensor) -> tuple[Tensor, Tensor]:
    """Attention: every gate is scaled by its lane's weight and f erases, c = (1 - s f) c + s i g."""
    f, i, o, g = _gates(pre_BN, state_KBH)
    weight = weight_BKH.transpose(0, 1)
    return weight * o, (1 - weight * f) * state_KBH + weight * i * g


def _gates(pre_BN: Tensor, state_KBH: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    lanes, batch, hidden = state_KBH.shape
    pre_KB4H = pre_BN.view(batch, lanes, 4, hidden).transpose(0, 1)
    f, i, o = pre_KB4H[:, :, :3].sigmoid().unbind(2)
    return f, i, o, pre_KB4H[:, :, 3].tanh()


def sum_lanes(outputs_KBH: Tensor, states_KBH: Tensor) -> Tensor:
    """h = sum over lanes of o tanh(c), (1, batch, hidden)."""
    return (outputs_KBH * states_KBH.tanh()).sum(dim=0, keepdim=True)


def top_lane(outputs_KBH: Tensor, states_KBH: Tensor) -> Tensor:
    """h = o tanh(c) of the lane whose output gate is largest, unit by unit; of equals the first."""
    top, lane = outputs_KBH.max(dim=0, keepdim=True)
    return top * states_KBH.gather(0, lane).tanh()


def largest_for_all(weight_BKH: Tensor) -> Tensor:
    """The original's max pooling: the largest weight in every lane. ``amax`` would split its gradient."""
    return weight_BKH.max(dim=1, keepdim=True).values.expand_as(weight_BKH)


def unroll(
    cell: Cell, x_BTI: Tensor, hidden_1BH: Tensor, state_KBH: Tensor, row_counts: Sequence[int] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """``cell`` over all steps -> out_BTH, hidden_1BH, state_KBH; rows past ``row_counts[t]`` have ended."""
    batch, outputs = x_BTI.shape[0], []
    for t, x_BI in enumerate(x_BTI.unbind(1)):
        n = batch if row_counts is None else row_counts[t]
        if n == batch:
            hidden_1BH, state_KBH = cell(x_BI, hidden_1BH, state_KBH)
            outputs.append(hidden_1BH[0])
            continue
        hidden, state = cell(x_BI[:n], hidden_1BH[:, :n], state_KBH[:, :n])
        outputs.append(torch.cat([hidden[0], hidden.new_zeros(batch - n, hidden.shape[2])]))
        hidden_1BH = torch.cat([hidden, hidden_1BH[:, n:]], dim=1)
        state_KBH = torch.cat([state, state_KBH[:, n:]], dim=1)
    if not outputs:
        return x_BTI.new_zeros(batch, 0, hidden_1BH.shape[2]), hidden_1BH.clone(), state_KBH.clone()
    return torch.stack(outputs, dim=1), hidden_1BH, state_KBH


def compose(
    plan: Plan, x_BTI: Tensor, h_BH: Tensor, state_KBH: Tensor, *weights: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """What the fast path computes, composed of differentiable operations; arguments as for ``fast.run``."""
    from_x, x_bias, from_h, h_bias, *attention = weights

    def cell(x_BI: Tensor, hidden_1BH: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        pre = linear(x_BI, from_x, x_bias) + linear(hidden_1BH[0], from_h, h_bias)
        if attention:
            sig = linear(x_BI, *attention).sigmoid().view(len(x_BI), plan.lanes, plan.hidden)
            weight = sig.softmax(dim=1)
            if plan.kind == "pooled":
                weight = largest_for_all(weight)
            outputs, state = step_weighted_lanes(pre, state, weight)
        else:
            outputs, state = step_lanes(pre, state)
        pool = top_lane if plan.kind == "top" else sum_lanes
        return pool(outputs, state), state

    out, hidden_1BH, state_KBH = unroll(cell, x_BTI, h_BH.unsqueeze(0), state_KBH, plan.row_counts)
    return out, hidden_1BH.squeeze(0), state_KBH
