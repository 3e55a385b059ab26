"""The layers' mathematics the plain way, a loop over time and lanes: what tests compare with, and the
baseline of ``benchmarks/bench_array_lstm.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import linear

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

MASKED = "StochasticArrayLSTM masked"  # the same numbers, lanes picked as the original picks them
KINDS = ("LSTM", "ArrayLSTM", "AttentionArrayLSTM", "AttentionArrayLSTM max", "StochasticArrayLSTM")


def reference(
    kind: str, weights: Mapping[str, Tensor], x_BTI: Tensor, hidden_1BH: Tensor, state_KBH: Tensor
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Outputs (batch, time, hidden) and the final (hidden, state); ``weights`` are a state_dict's."""
    hidden, lanes, outputs = hidden_1BH[0], list(state_KBH.unbind(0)), []
    size = hidden.shape[-1]
    for x in x_BTI.unbind(1):
        pre = linear(x, weights["i2h.weight"], weights["i2h.bias"])
        pre = pre + linear(hidden, weights["h2h.weight"], weights["h2h.bias"])
        scale = _attention(kind, weights, x, len(lanes)) if kind.startswith("Attention") else None
        gates = []
        for lane, part in enumerate(pre.split(4 * size, dim=1)):
            f, i, o = part[:, : 3 * size].sigmoid().split(size, dim=1)
            g = part[:, 3 * size :].tanh()
            if scale is None:
                lanes[lane] = f * lanes[lane] + i * g
            else:
                f, i, o = scale[lane] * f, scale[lane] * i, scale[lane] * o
                lanes[lane] = (1 - f) * lanes[lane] + i * g
            gates.append(o)
        if kind.startswith("Stochastic"):
            hidden = _pooled_by_masks(gates, lanes) if kind == MASKED else _pooled(gates, lanes)
        else:
            hidden = _summed(gates, lanes)
        outputs.append(hidden)
    return torch.stack(outputs, dim=1), (hidden.unsqueeze(0), torch.stack(lanes))


def _attention(kind: str, weights: Mapping[str, Tensor], x: Tensor, lanes: int) -> list[Tensor]:
    attention = linear(x, weights["i2a.weight"], weights["i2a.bias"]).sigmoid()
    scale = attention.view(x.shape[0], lanes, -1).softmax(dim=1)
    if kind.endswith("max"):
        return [scale.max(dim=1).values] * lanes
    return list(scale.unbind(1))


def _summed(gates: list[Tensor], lanes: list[Tensor]) -> Tensor:
    hidden = torch.zeros_like(lanes[0])
    for o, c in zip(gates, lanes, strict=True):
        hidden = hidden + o * c.tanh()
    return hidden


def _pooled(gates: list[Tensor], lanes: list[Tensor]) -> Tensor:
    winner = torch.stack(gates).softmax(dim=0).max(dim=0).indices
    output, state = torch.zeros_like(lanes[0]), torch.zeros_like(lanes[0])
    for lane, (o, c) in enumerate(zip(gates, lanes, strict=True)):
        output = torch.where(winner == lane, o, output)
        state = torch.where(winner == lane, c, state)
    return output * state.tanh()


def _pooled_by_masks(gates: list[Tensor], lanes: list[Tensor]) -> Tensor:
    winner = torch.stack(gates).softmax(dim=0).max(dim=0).indices
    output, state = torch.zeros_like(lanes[0]), torch.zeros_like(lanes[0])
    for lane, (o, c) in enumerate(zip(gates, lanes, strict=True)):
        mask = winner == lane
        output[mask] = o[mask]
        state[mask] = c[mask]
    return output * state.tanh()
