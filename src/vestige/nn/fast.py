"""The fast path: a recurrent layer over a whole sequence as one function with a hand-written backward."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.autograd import Function

from vestige.nn.composed import compose
from vestige.nn.sequence import Ends, WeightGradients, run_backward, run_forward
from vestige.nn.tape import Factors, Tape, new_tapes
from vestige.nn.threads import run_all

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.plan import Plan
    from vestige.nn.workspace import Workspace

    Grads = tuple[Tensor | None, ...]


class _Run:
    """One call's tapes, shared out to the threads; forwards again if the tapes were used up."""

    def __init__(self, plan: Plan, device: torch.device) -> None:
        self.plan = plan
        if device.type == "cpu":
            self.shares = plan.shares(torch.get_num_threads())
        else:
            self.shares = [[slice(0, plan.batch)]]
        self.rows = self.shares[0][0].stop
        self.workspace: Workspace | None = None
        self.tapes: dict[int, Tape] = {}
        self.out: Tensor | None = None  # the caller's too, who may write to it
        self.version = 0

    def forward(self, inputs: tuple[Tensor, ...], keep: bool) -> tuple[Tensor, Tensor, Tensor]:
        x, h, cell, *weights = (tensor.detach() for tensor in inputs)
        x, plan = x.contiguous(), self.plan
        factors = Factors.forwards(tuple(weights), self.rows, plan.padding)
        blocks = [block for share in self.shares for block in share]
        self.workspace, tapes = new_tapes(plan, blocks, x, keep)
        self.tapes = {tape.rows.start: tape for tape in tapes}
        out = x.new_empty(plan.batch, plan.steps, plan.hidden)
        first, last = Ends(x, out, h, cell), Ends(x, out, torch.empty_like(h), torch.empty_like(cell))

        def work(share: list[slice]) -> None:
            with torch.no_grad():
                for block in share:
                    run_forward(plan, factors, self.tapes[block.start], x, first, last)

        run_all([partial(work, share) for share in self.shares])
        if keep:
            self.out, self.version = out.detach(), out._version
        else:
            self.drop()
        return out, last.h, last.cell

    def backward(self, inputs: tuple[Tensor, ...], last: Ends, needs_x: bool) -> tuple[Ends, WeightGradients]:
        if self.out is None or self.out._version != self.version:
            self.forward(inputs, keep=True)
        assert self.out is not None  # noqa: S101 - for mypy
        x, h, cell, *weights = (tensor.detach() for tensor in inputs)
        plan, rows = self.plan, self.rows
        again = None
        if plan.recompute:
            again = Factors.forwards(tuple(weights), rows, plan.padding)
        factors = (again, Factors.backwards(tuple(weights), rows, needs_x))
        d_x = None
        if needs_x:
            d_x = torch.empty_like(x)
            if plan.row_counts is not None:  # no step writes to what lies beyond a sequence's end
                d_x.zero_()
        seen = (x, self.out, h)
        first = Ends(d_x, last.out, torch.empty_like(h), torch.empty_like(cell))
        sums = [WeightGradients() for _ in self.shares]

        def work(share: list[slice], into: WeightGradients) -> None:
            with torch.no_grad():
                for block in share:
                    run_backward(plan, factors, self.tapes[block.start], seen, last, first, into)

        run_all([partial(work, *pair) for pair in zip(self.shares, sums, strict=True)])
        self.drop()
        return first, _total(sums)

    def drop(self) -> None:
        self.tapes, self.out = {}, None
        if self.workspace is not None:
            self.workspace.release()
            self.workspace = None


def _total(sums: list[WeightGradients]) -> WeightGradients:
    total = sums[0]
    for other in sums[1:]:
        if total.gate is not None and other.gate is not None:
            total.gate += other.gate
        if total.attention is not None and other.attention is not None:
            total.attention += other.attention
    return total


class _Recurrence(Function):
    """(plan, x_BTI, h_BH, cell_KBH, weights...) -> (out_BTH, h_BH, cell_KBH)."""

    @staticmethod
    def forward(ctx: Any, plan: Plan, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.plan = plan
        ctx.run = _Run(plan, inputs[0].device)
        ctx.save_for_backward(*inputs)
        ctx.set_materialize_grads(False)
        return ctx.run.forward(inputs, keep=True)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        inputs, wanted = ctx.saved_tensors, ctx.needs_input_grad[1:]
        if torch.is_grad_enabled():  # somebody wants a second derivative: autograd knows how
            return None, *_composed_backward(ctx.plan, inputs, wanted, grads)
        x, h, cell = inputs[:3]
        d_out, d_h, d_cell = grads
        # None stands for zeros: autograd was told not to make them for results that nobody used.
        if d_out is None:
            d_out = x.new_zeros(x.shape[0], x.shape[1], h.shape[1])
        if d_h is None:
            d_h = torch.zeros_like(h)
        if d_cell is None:
            d_cell = torch.zeros_like(cell)
        last = Ends(None, d_out.contiguous(), d_h, d_cell)
        first, sums = ctx.run.backward(inputs, last, needs_x=wanted[0])
        return None, first.x, first.h, first.cell, *_split(ctx.plan, sums)


def _split(plan: Plan, sums: WeightGradients) -> Grads:
    """The gradients of the fused weights, parameter by parameter."""
    if sums.gate is None:
        raise AssertionError("a sequence without steps has no place on the fast path")
    after_x = plan.hidden + plan.inputs
    from_h, from_x, bias = sums.gate[: plan.hidden], sums.gate[plan.hidden : after_x], sums.gate[after_x]
    grads = [from_x.t().contiguous(), bias.clone(), from_h.t().contiguous(), bias.clone()]
    if sums.attention is not None:
        grads += [sums.attention[: plan.inputs].t().contiguous(), sums.attention[plan.inputs].clone()]
    return tuple(grads)


def _composed_backward(
    plan: Plan, inputs: tuple[Tensor, ...], wanted: tuple[bool, ...], grads: Grads
) -> list[Tensor | None]:
    """The gradients as a differentiable function of inputs and incoming gradients."""
    with torch.enable_grad():
        results = compose(plan, *inputs)
        pairs = [(y, g) for y, g in zip(results, grads, strict=True) if g is not None and y.requires_grad]
        sources = [tensor for tensor, needed in zip(inputs, wanted, strict=True) if needed]
        results_used, incoming = [y for y, _ in pairs], [g for _, g in pairs]
        gradients = torch.autograd.grad(results_used, sources, incoming, create_graph=True, allow_unused=True)
    found = iter(gradients)
    return [next(found) if needed else None for needed in wanted]


def run(plan: Plan, *inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``inputs``: x_BTI, h_BH, cell_KBH, then weight and bias of i2h, h2h and, with attention, i2a."""
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs):
        return _Recurrence.apply(plan, *inputs)  # type: ignore[no-untyped-call, no-any-return]
    return _Run(plan, inputs[0].device).forward(inputs, keep=False)
