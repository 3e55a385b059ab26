"""One time step's element-wise part by tensor operations: any device and dtype; Numba's stand-in.

Shapes as in ``vestige.nn.kernels``: gates (rows, k, 4 hidden), cells and attention (rows, k, hidden).
Results are written into the given tensors; the derivatives are the hand-written ones of the kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.plan import Kind


def activate(gates: Tensor, sig: Tensor | None) -> None:
    """Pre-activations -> f, i, o, g and the attention's sigmoid, in place."""
    squashed = 3 * gates.shape[-1] // 4
    gates[..., :squashed].sigmoid_()
    gates[..., squashed:].tanh_()
    if sig is not None:
        sig.sigmoid_()


def _lane_weights(kind: Kind, sig: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """The softmax over lanes, the weight each lane uses, and the winning lane where they are pooled."""
    soft = torch.softmax(sig, dim=1)
    if kind != "pooled":
        return soft, soft, None
    largest, winner = soft.max(dim=1, keepdim=True)
    return soft, largest.expand_as(soft), winner


def forward(
    kind: Kind,
    pre: Tensor,
    sig_pre: Tensor | None,
    gates: Tensor,
    sig: Tensor | None,
    old: Tensor,
    new: Tensor,
    operand: Tensor,
    scratch: Tensor,  # noqa: ARG001 - the kernels need it
) -> None:
    gates.copy_(pre)
    if sig is not None and sig_pre is not None:
        sig.copy_(sig_pre)
    activate(gates, sig)
    f, i, o, g = gates.chunk(4, dim=-1)
    if sig is None:
        torch.addcmul(f * old, i, g, out=new)
    else:
        weight = _lane_weights(kind, sig)[1]
        torch.addcmul(old * (1 - weight * f), weight * i, g, out=new)
        o = weight * o
    h = operand[:, : old.shape[-1]]
    if kind == "top":
        top, winner = o.max(dim=1, keepdim=True)
        h.copy_((top * torch.tanh(new.gather(1, winner))).squeeze(1))
    else:
        h.copy_((o * torch.tanh(new)).sum(dim=1))


def backward(
    kind: Kind,
    gates: Tensor,
    sig: Tensor | None,
    old: Tensor,
    new: Tensor,
    d_h: Tensor,
    d_out: Tensor,
    d_cell: Tensor,
    scratch: Tensor,  # noqa: ARG001 - the kernels need it
) -> None:
    f, i, o, g = gates.chunk(4, dim=-1)
    d_h = (d_h[:, : old.shape[-1]] + d_out).unsqueeze(1)
    if kind == "top":
        d_h = torch.zeros_like(o).scatter_(1, o.max(dim=1, keepdim=True).indices, d_h)
    t = torch.tanh(new)
    d_o, d_t = d_h * t, d_h * o
    if sig is None:
        d_cell += d_t * (1 - t * t)
        d_f, d_i, d_g, carried = d_cell * old, d_cell * g, d_cell * i, d_cell * f
    else:
        soft, weight, winner = _lane_weights(kind, sig)
        d_weight = d_o * o
        d_cell += d_t * weight * (1 - t * t)
        d_weight += d_cell * (i * g - f * old)
        scaled = d_cell * weight
        d_o, d_f, d_i, d_g = d_o * weight, -scaled * old, scaled * g, scaled * i
        carried = d_cell * (1 - weight * f)
        if winner is not None:
            total = d_weight.sum(dim=1, keepdim=True)
            d_weight = torch.zeros_like(d_weight).scatter_(1, winner, total)
        d_soft = d_weight - (soft * d_weight).sum(dim=1, keepdim=True)
        sig.copy_(soft * d_soft * sig * (1 - sig))
    d_cell.copy_(carried)
    f.copy_(d_f * f * (1 - f))
    i.copy_(d_i * i * (1 - i))
    o.copy_(d_o * o * (1 - o))
    g.copy_(d_g * (1 - g * g))
