"""A whole sequence forwards and backwards, for one block of rows: one product each way and step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vestige.nn.backends import steps_for
from vestige.nn.products import add_product
from vestige.nn.tape import fill_constants

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.plan import Plan
    from vestige.nn.tape import Factors, Tape

# Weight gradients are one product per so many rows: enough to be efficient, few enough to be in cache.
_ROWS_PER_PRODUCT = 512


@dataclass(frozen=True)
class Ends:
    """The tensors a run reads and writes, all rows: x_BTI, out_BTH, h_BH, cell_KBH (or their gradients)."""

    x: Tensor | None
    out: Tensor
    h: Tensor
    cell: Tensor


def run_forward(plan: Plan, weights: Factors, tape: Tape, x_BTI: Tensor, first: Ends, last: Ends) -> None:
    """From ``first.h``, ``first.cell`` to ``last``: outputs and final states of this block's rows."""
    steps = steps_for(x_BTI.device, x_BTI.dtype)
    block, hidden = tape.rows, plan.hidden
    x, out, size = x_BTI[block], last.out[block], block.stop - block.start
    operand, cell = tape.operand, tape.cell
    operand[0, :, :hidden] = first.h[block]
    operand[0, :, hidden : hidden + plan.inputs] = x[:, 0]
    cell[0] = first.cell[:, block].transpose(0, 1)
    for t in range(plan.steps):
        n = plan.rows_at(t, block)
        if n:
            now, sig_pre = operand[t % 2, :n], None
            if weights.attention is not None:
                sig_pre = weights.attention.after(now[:, hidden:])
            steps.forward(plan.kind, weights.gate.after(now), sig_pre, tape, (x, out), t)
        if n < size:  # rows whose sequence has ended keep their states; their outputs are zero
            _, _, old, new, target = tape.step(t, size)
            out[n:, t] = 0
            target[n:, :hidden] = operand[t % 2, n:, :hidden]
            new[n:] = old[n:]
    last.h[block] = operand[plan.steps % 2, :, :hidden]
    last.cell[:, block] = cell[plan.steps % len(cell)].transpose(0, 1)


@dataclass
class WeightGradients:
    """Sums over a thread's blocks: ``gate`` (width, 4 k hidden), ``attention`` (width - hidden, k hidden)."""

    gate: Tensor | None = None
    attention: Tensor | None = None

    def add(self, plan: Plan, operand: Tensor, gates: Tensor, sig: Tensor | None) -> None:
        rows = operand.view(-1, plan.operand_width)
        self.gate = add_product(self.gate, rows.t(), gates.reshape(-1, plan.gate_width).t())
        if sig is not None:
            by_row = sig.reshape(-1, plan.lanes * plan.hidden)
            self.attention = add_product(self.attention, rows[:, plan.hidden :].t(), by_row.t())


def run_backward(
    plan: Plan,
    weights: tuple[Factors | None, Factors],
    tape: Tape,
    seen: tuple[Tensor, Tensor, Tensor],
    last: Ends,
    first: Ends,
    into: WeightGradients,
) -> None:
    """From the gradients ``last`` to ``first``: of x (where asked for) and of the initial states; by the
    weights, forwards where gates were not kept, and what the forward pass saw: x_BTI, its own out_BTH, h_BH.
    """
    again, back = weights
    block = tape.rows
    d_h = last.h[block].clone()
    d_cell = last.cell[:, block].transpose(0, 1).contiguous()
    # Gates computed again live only for a span: a shorter one is a smaller peak.
    rows = _ROWS_PER_PRODUCT
    if plan.recompute:
        rows //= 2
    span = max(1, rows // (block.stop - block.start))
    for stop in range(plan.steps, 0, -span):
        start = max(0, stop - span)
        operand = _operands_again(plan, block, seen, start, stop)
        if again is not None:
            gates, sig = _activations_again(plan, again, operand)
        else:
            gates, sig = tape.gates[start:stop], None
            if tape.sig is not None:
                sig = tape.sig[start:stop]
        for t in range(stop - 1, start - 1, -1):
            sig_t = None
            if sig is not None:
                sig_t = sig[t - start]
            d_h = _step_back(plan, back, tape, t, (gates[t - start], sig_t), (last, first), (d_h, d_cell))
        into.add(plan, operand, gates, sig)
        del gates, sig, operand  # before the next ones are computed
    first.h[block] = d_h[:, : plan.hidden]
    first.cell[:, block] = d_cell.transpose(0, 1)


def _operands_again(
    plan: Plan, block: slice, seen: tuple[Tensor, Tensor, Tensor], start: int, stop: int
) -> Tensor:
    """[h, x, 1, 0...] of some steps, (steps, rows, width). Of a sequence that has ended the rows are of no
    account: the gradients of their gates are zero."""
    x, out, h = seen
    operand = x.new_empty(stop - start, block.stop - block.start, plan.operand_width)
    operand[1:, :, : plan.hidden] = out[block, start : stop - 1].transpose(0, 1)
    before = h[block]
    if start:
        before = out[block, start - 1]
    operand[0, :, : plan.hidden] = before
    operand[:, :, plan.hidden : plan.hidden + plan.inputs] = x[block, start:stop].transpose(0, 1)
    fill_constants(operand, plan)
    return operand


def _activations_again(plan: Plan, weights: Factors, operand: Tensor) -> tuple[Tensor, Tensor | None]:
    """Gates and attention of steps that kept neither: all their operands are known, so one product."""
    rows = operand.view(-1, plan.operand_width)
    shape = (*operand.shape[:2], plan.lanes, -1)
    gates = weights.gate.after(rows).view(shape)
    sig = sig_rows = None
    if weights.attention is not None:
        sig = weights.attention.after(rows[:, plan.hidden :]).view(shape)
        sig_rows = sig.flatten(0, 1)  # a view, as that of the gates: both are activated in place
    steps_for(gates.device, gates.dtype).activate(gates.flatten(0, 1), sig_rows)
    return gates, sig


def _step_back(
    plan: Plan,
    weights: Factors,
    tape: Tape,
    t: int,
    activations: tuple[Tensor, Tensor | None],
    ends: tuple[Ends, Ends],
    carried: tuple[Tensor, Tensor],
) -> Tensor:
    """One step: overwrites the activations and the cells' gradient, returns that of h (rows, >= hidden)."""
    (gates, sig), (last, first), (d_h, d_cell) = activations, ends, carried
    block, n = tape.rows, plan.rows_at(t, tape.rows)
    size, hidden = block.stop - block.start, plan.hidden
    if n < size:  # rows whose sequence has ended must add nothing to the sums of `WeightGradients`
        gates[n:] = 0
        gates = gates[:n]
        if sig is not None:
            sig[n:] = 0
            sig = sig[:n]
    if n == 0:
        return d_h
    steps_for(gates.device, gates.dtype).backward(
        plan.kind, gates, sig, tape, (d_h, last.out[block], d_cell), t
    )
    d_operand = weights.gate.after(gates.view(n, plan.gate_width))
    if first.x is not None:
        d_x = d_operand[:, hidden:]
        if sig is not None and weights.attention is not None:
            d_x = d_x + weights.attention.after(sig.view(n, plan.lanes * hidden))
        first.x[block.start : block.start + n, t] = d_x
    if n == size:
        return d_operand
    d_h = d_h[:, :hidden].clone()
    d_h[:n] = d_operand[:, :hidden]
    return d_h
