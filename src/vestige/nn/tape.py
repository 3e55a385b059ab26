"""What a forward pass leaves behind for its backward pass, block of rows by block of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from vestige.nn.workspace import Workspace, padded

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.plan import Plan


@dataclass(frozen=True)
class Tape:
    """One block's memory. Step t reads slot t of ``operand`` and ``cell`` and writes slot t + 1; without
    a backward pass in sight there are two slots only, used in turns.

    operand (slots, rows, width): [h, x, 1]; cell (slots, rows, k, hidden);
    gates (slots, rows, k, 4 hidden), sig (slots, rows, k, hidden): one slot where they are not kept.
    """

    rows: slice
    operand: Tensor
    cell: Tensor
    gates: Tensor
    sig: Tensor | None
    scratch: Tensor


def new_tapes(plan: Plan, blocks: list[slice], like: Tensor, keep: bool) -> tuple[Workspace, list[Tape]]:
    """Tapes for all blocks out of one workspace; ``keep`` says that a backward pass may follow."""
    shapes = [_shapes(plan, block.stop - block.start, keep) for block in blocks]
    size = sum(padded(shape) for block in shapes for shape in block)
    workspace = Workspace(size, like.dtype, like.device)
    tapes = []
    for block, block_shapes in zip(blocks, shapes, strict=True):
        operand, cell, gates, scratch, *sig = (workspace.carve(*shape) for shape in block_shapes)
        operand[..., plan.hidden + plan.inputs :].zero_()
        operand[..., plan.hidden + plan.inputs].fill_(1)
        tapes.append(Tape(block, operand, cell, gates, sig[0] if sig else None, scratch))
    return workspace, tapes


def _shapes(plan: Plan, rows: int, keep: bool) -> list[tuple[int, ...]]:
    slots = plan.steps + 1 if keep else 2
    kept = plan.steps if keep and not plan.recompute else 1
    shapes: list[tuple[int, ...]] = [
        (slots, rows, plan.operand_width),
        (slots, rows, plan.lanes, plan.hidden),
        (kept, rows, plan.lanes, 4 * plan.hidden),
        (2 * plan.lanes + 2, plan.hidden),
    ]
    if plan.attends:
        shapes.append((kept, rows, plan.lanes, plan.hidden))
    return shapes


@dataclass(frozen=True)
class Fused:
    """All weights as the two operands of a step: ``gate`` (4 k hidden, width) acts on [h, x, 1] and
    ``attention`` (k hidden, width - hidden) on [x, 1]; None where a layer has no attention. ``recurrent``
    (4 k hidden, hidden) is the part of ``gate`` that acts on h, for when x needs no gradient."""

    gate: Tensor
    recurrent: Tensor
    attention: Tensor | None

    @staticmethod
    def of(plan: Plan, weights: tuple[Tensor, ...]) -> Fused:
        """``weights``: of i2h, h2h and, with attention, i2a: weight and bias each."""
        from_x, x_bias, from_h, h_bias, *attention = (weight.detach() for weight in weights)
        gate = from_h.new_zeros(plan.gate_width, plan.operand_width)
        gate[:, : plan.hidden] = from_h
        gate[:, plan.hidden : plan.hidden + plan.inputs] = from_x
        torch.add(x_bias, h_bias, out=gate[:, plan.hidden + plan.inputs])
        if not attention:
            return Fused(gate, from_h, None)
        weight = from_h.new_zeros(plan.lanes * plan.hidden, plan.operand_width - plan.hidden)
        weight[:, : plan.inputs] = attention[0]
        weight[:, plan.inputs] = attention[1]
        return Fused(gate, from_h, weight)
