"""One time step's element-wise part by tensor operations: any device and dtype; Numba's stand-in.

Shapes as in ``vestige.nn.kernels``; ``pre`` and ``sig_pre`` are as products give them, (rows, 4 k hidden) and
(rows, k hidden). As many rows take part in a step as they, or ``gates``, have. Results are written into the
given tensors and the tape; the derivatives are the hand-written ones of the kernels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.plan import Kind
    from vestige.nn.tape import Tape


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
    kind: Kind, pre: Tensor, sig_pre: Tensor | None, tape: Tape, ends: tuple[Tensor, Tensor], t: int
) -> None:
    """``ends``: inputs and outputs of all steps; the next step's operand gets its h and x."""
    gates, sig, old, new, operand = tape.step(t, len(pre))
    gates.copy_(pre.view_as(gates))
    if sig is not None and sig_pre is not None:
        sig.copy_(sig_pre.view_as(sig))
    activate(gates, sig)
    f, i, o, g = gates.chunk(4, dim=-1)
    if sig is None:
        torch.addcmul(f * old, i, g, out=new)
    else:
        weight = _lane_weights(kind, sig)[1]
        torch.addcmul(old * (1 - weight * f), weight * i, g, out=new)
        o = weight * o
    x, out = ends
    hidden, after_x = old.shape[-1], old.shape[-1] + x.shape[-1]
    h = operand[:, :hidden]
    if kind == "top":
        top, winner = o.max(dim=1, keepdim=True)
        h.copy_((top * torch.tanh(new.gather(1, winner))).squeeze(1))
    else:
        h.copy_((o * torch.tanh(new)).sum(dim=1))
    out[: len(pre), t] = h
    if t + 1 < x.shape[1]:
        operand[:, hidden:after_x] = x[: len(pre), t + 1]


def backward(
    kind: Kind,
    gates: Tensor,
    sig: Tensor | None,
    tape: Tape,
    grads: tuple[Tensor, Tensor, Tensor],
    t: int,
) -> None:
    """``grads``: of h, which the step above gave (in its first columns), of all outputs, and of the cells."""
    n, (d_h, d_out, d_cell) = len(gates), grads
    _, _, old, new, _ = tape.step(t, n)
    f, i, o, g = gates.chunk(4, dim=-1)
    d_h, d_cell = (d_h[:n, : old.shape[-1]] + d_out[:n, t]).unsqueeze(1), d_cell[:n]
    if kind == "top":
        d_h = torch.zeros_like(o).scatter_(1, o.max(dim=1, keepdim=True).indices, d_h)
    seen = torch.tanh(new)
    d_o, d_seen = d_h * seen, d_h * o
    if sig is None:
        d_cell += d_seen * (1 - seen * seen)
        d_f, d_i, d_g, carried = d_cell * old, d_cell * g, d_cell * i, d_cell * f
    else:
        soft, weight, winner = _lane_weights(kind, sig)
        d_weight = d_o * o
        d_cell += d_seen * weight * (1 - seen * seen)
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
