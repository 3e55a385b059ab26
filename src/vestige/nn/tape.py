"""What a forward pass leaves behind for its backward pass, block of rows by block of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from vestige.nn.products import Factor
from vestige.nn.workspace import Workspace, padded

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.plan import Plan


@dataclass(frozen=True)
class Tape:
    """One block's memory. Step t reads slot t of ``operand`` and ``cell`` and writes slot t + 1, in turns
    where there are two slots only.

    operand (2, rows, width): [h, x, 1, 0...], which a backward pass takes from outputs and inputs again;
    cell (steps + 1, rows, k, hidden), or two slots without a backward pass in sight;
    gates (steps, rows, k, 4 hidden), sig (steps, rows, k, hidden): one slot where they are not kept.
    """

    rows: slice
    operand: Tensor
    cell: Tensor
    gates: Tensor
    sig: Tensor | None
    scratch: Tensor

    @cached_property
    def arrays(self) -> Tape:
        """The same memory as NumPy arrays, whose parts take a tenth of the time to name."""
        fields = (self.operand, self.cell, self.gates, self.sig, self.scratch)
        made: list[Any] = [None if field is None else field.numpy() for field in fields]
        return Tape(self.rows, *made)

    def step(self, t: int, n: int) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor]:
        """What step t writes and reads, of the first n rows: gates and attention, the cells before and after
        it, and the next step's operand."""
        at, cells, sig = t % len(self.gates), len(self.cell), None
        if self.sig is not None:
            sig = self.sig[at, :n]
        old, new = self.cell[t % cells, :n], self.cell[(t + 1) % cells, :n]
        return self.gates[at, :n], sig, old, new, self.operand[(t + 1) % 2, :n]


def new_tapes(plan: Plan, blocks: list[slice], like: Tensor, keep: bool) -> tuple[Workspace, list[Tape]]:
    """Tapes for all blocks out of one workspace; ``keep`` says that a backward pass may follow."""
    shapes = [_shapes(plan, block.stop - block.start, keep) for block in blocks]
    size = sum(padded(shape) for block in shapes for shape in block)
    workspace = Workspace(size, like.dtype, like.device)
    tapes = []
    for block, block_shapes in zip(blocks, shapes, strict=True):
        operand, cell, gates, scratch, *attention = (workspace.carve(*shape) for shape in block_shapes)
        fill_constants(operand, plan)
        sig = attention[0] if attention else None
        tapes.append(Tape(block, operand, cell, gates, sig, scratch))
    return workspace, tapes


def fill_constants(operand: Tensor, plan: Plan) -> None:
    """The columns of an operand (..., width) after h and x: the one that biases act on, and zeros."""
    after_x = plan.hidden + plan.inputs
    operand[..., after_x] = 1
    operand[..., after_x + 1 :] = 0


def _shapes(plan: Plan, rows: int, keep: bool) -> list[tuple[int, ...]]:
    kept = plan.steps if keep and not plan.recompute else 1
    shapes: list[tuple[int, ...]] = [
        (2, rows, plan.operand_width),
        (plan.steps + 1 if keep else 2, rows, plan.lanes, plan.hidden),
        (kept, rows, plan.lanes, 4 * plan.hidden),
        (2 * plan.lanes + 2, plan.hidden),
    ]
    if plan.attends:
        shapes.append((kept, rows, plan.lanes, plan.hidden))
    return shapes


@dataclass(frozen=True)
class Factors:
    """All weights as right-hand sides of a step's products. Forwards, ``gate`` (4 k hidden, width) acts on
    [h, x, 1, 0...] and ``attention`` (k hidden, width - hidden) on [x, 1, 0...]; backwards they are turned
    round, act on the gradients of what they gave, and give those of [h, x], or of h alone, and of x. None: no
    attention.
    """

    gate: Factor
    attention: Factor | None

    @staticmethod
    def forwards(weights: tuple[Tensor, ...], rows: int, padding: int = 0) -> Factors:
        """``weights``: of i2h, h2h and, with attention, i2a: weight and bias each; ``padding``: of Plan."""
        from_x, x_bias, from_h, h_bias, *attention = (weight.detach() for weight in weights)
        gate = Factor.of(_beside(padding, from_h, from_x, bias=x_bias + h_bias), rows)
        if not attention:
            return Factors(gate, None)
        weight, bias = attention
        return Factors(gate, Factor.of(_beside(padding, weight, bias=bias), rows))

    @staticmethod
    def backwards(weights: tuple[Tensor, ...], rows: int, needs_x: bool) -> Factors:
        from_x, _, from_h, _, *attention = (weight.detach() for weight in weights)
        if not needs_x:
            return Factors(Factor.of(from_h.t(), rows), None)
        gate = Factor.of(torch.cat([from_h, from_x], dim=1).t(), rows)
        if not attention:
            return Factors(gate, None)
        return Factors(gate, Factor.of(attention[0].t(), rows))


def _beside(padding: int, *weights: Tensor, bias: Tensor) -> Tensor:
    """[weights..., bias, 0...]: what acts on an operand with so much padding."""
    zeros = bias.new_zeros(len(bias), padding)
    return torch.cat([*weights, bias.unsqueeze(1), zeros], dim=1)
