"""Linear maps and two-layer networks with the products of ``vestige.nn.products`` and hand-written slopes.

R: rows (all dimensions but the last, taken together), I: features in, M: in the middle, O: out. Plain tensor
operations stand in wherever ``can_take`` says no: other devices and dtypes, autocast, compilers, function
transforms, hooks, and linear maps that are not bare ``nn.Linear`` (quantised or parametrised ones).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import FunctionCtx

from vestige.nn import dispatch
from vestige.nn.products import _onednn_linear, times_transposed
from vestige.nn.transformers.dropout import draw_dropped, survivor_scale


def can_take(x: Tensor, *layers: nn.Module) -> bool:
    """Whether the functions below may compute ``layers`` on ``x`` in the layers' place."""
    if x.device.type != "cpu" or dispatch.being_traced() or not all(map(_is_plain, layers)):
        return False
    parameters = [part for layer in layers for part in (layer.weight, layer.bias)]
    return dispatch.is_supported([x, *parameters])  # type: ignore[list-item]


def is_watched(module: nn.Module) -> bool:
    """Whether someone hooked the module's call, which must then be made."""
    return bool(
        module._forward_hooks
        or module._forward_pre_hooks
        or module._backward_hooks
        or module._backward_pre_hooks
    )


def _is_plain(layer: nn.Module) -> bool:
    return type(layer) is nn.Linear and layer.bias is not None and not is_watched(layer)


def apply_linear(x: Tensor, *layers: nn.Module) -> Tensor:
    """The layers' outputs for x (..., I), side by side: (..., O of the first + O of the second + ...).

    Several maps of one input are one product.
    """
    if not can_take(x, *layers):
        return _joined([layer(x) for layer in layers], dim=-1)
    weight = _joined([layer.weight for layer in layers])
    bias = _joined([layer.bias for layer in layers])
    rows = x.reshape(-1, x.shape[-1])
    apply: Any = _Linear.apply if torch.is_grad_enabled() else _map
    out: Tensor = apply(rows, weight, bias)
    return out.view(*x.shape[:-1], out.shape[-1])


def _joined(parts: list[Any], dim: int = 0) -> Tensor:
    """The parts behind one another; a single one as it is, for a parameter need not be copied."""
    if len(parts) == 1:
        only: Tensor = parts[0]
        return only
    return torch.cat(parts, dim=dim)


def apply_mlp(
    x: Tensor, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], dropout_rate: float
) -> Tensor:
    """relu(x W1' + b1), elements dropped at the rate, W2' + b2: x (..., I) -> (..., O).

    Args:
        first: W1 (M, I) and b1 (M,).
        second: W2 (O, M) and b2 (O,).
    """
    rows = x.reshape(-1, x.shape[-1])
    out: Tensor
    if torch.is_grad_enabled():
        out = _Mlp.apply(rows, *first, *second, dropout_rate)  # type: ignore[no-untyped-call]
    else:
        out, _ = _two_layers(rows, *first, *second, dropout_rate)
    return out.view(*x.shape[:-1], out.shape[-1])


def _map(x_RI: Tensor, weight_OI: Tensor, bias_O: Tensor | None, relu: bool = False) -> Tensor:
    """x W' + b, below zero cut off if told so, as a new tensor."""
    onednn = _onednn_linear() if torch.backends.mkldnn.enabled else None
    if onednn is not None:
        return onednn(x_RI, weight_OI.contiguous(), bias_O, "relu" if relu else "none", [], "")
    if bias_O is None:
        out = torch.mm(x_RI, weight_OI.t())
    else:
        out = torch.addmm(bias_O, x_RI, weight_OI.t())
    if relu:
        out.relu_()
    return out


def _two_layers(
    x_RI: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, rate: float
) -> tuple[Tensor, Tensor]:
    """The output, and the activations in the middle, unscaled: zero where cut off or dropped."""
    middle = _map(x_RI, w1, b1, relu=True)
    if not rate:
        return _map(middle, w2, b2), middle
    middle.masked_fill_(draw_dropped(middle.shape, rate), 0)
    # The survivors' scale goes on the output, which is narrower than the middle.
    return _map(middle, w2, None).mul_(survivor_scale(rate)).add_(b2), middle


class _Linear(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _map(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        # A second derivative goes through products that autograd knows.
        times = _plain_product if torch.is_grad_enabled() else times_transposed
        slope = slope.contiguous()
        to_x, to_weight, to_bias = ctx.needs_input_grad
        d_x = d_weight = d_bias = None
        if to_x:
            d_x = times(slope, weight.t())
        if to_weight:
            d_weight = times(slope.t(), x.t())
        if to_bias:
            d_bias = slope.sum(0)
        return d_x, d_weight, d_bias


def _plain_product(left: Tensor, right: Tensor) -> Tensor:
    return left @ right.t()


class _Mlp(Function):
    """No mask is kept: what was cut off or dropped is zero in the middle, and nothing else is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, rate: float) -> Tensor:
        out, middle = _two_layers(x, w1, b1, w2, b2, rate)
        ctx.save_for_backward(x, w1, b1, w2, b2, middle)
        ctx.scale = survivor_scale(rate) if rate else 1.0
        return out

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            return _differentiable_slopes(ctx, slope)
        x, w1, _, w2, _, middle = ctx.saved_tensors
        to_x, to_w1, to_b1, to_w2, to_b2, _ = ctx.needs_input_grad
        slope = slope.contiguous()
        scaled = slope
        if ctx.scale != 1:
            scaled = slope * ctx.scale
        d_x = d_w1 = d_b1 = d_w2 = d_b2 = None
        if to_w2:
            d_w2 = times_transposed(scaled.t(), middle.t())
        if to_b2:
            d_b2 = slope.sum(0)
        if to_x or to_w1 or to_b1:
            inner = times_transposed(scaled, w2.t())
            # In place: zero wherever the middle was, be it cut off by ReLU or dropped.
            torch.ops.aten.threshold_backward.grad_input(inner, middle, 0, grad_input=inner)
            if to_x:
                d_x = times_transposed(inner, w1.t())
            if to_w1:
                d_w1 = times_transposed(inner.t(), x.t())
            if to_b1:
                d_b1 = inner.sum(0)
        return d_x, d_w1, d_b1, d_w2, d_b2, None


def _differentiable_slopes(ctx: FunctionCtx, slope: Tensor) -> tuple[Tensor | None, ...]:
    """The slopes as differentiable operations of the inputs, with the same elements dropped."""
    x, w1, b1, w2, b2, middle = ctx.saved_tensors  # type: ignore[attr-defined]
    kept = (middle > 0) * ctx.scale  # type: ignore[attr-defined]
    out = torch.addmm(b2, torch.addmm(b1, x, w1.t()) * kept, w2.t())
    inputs = (x, w1, b1, w2, b2)
    needed = [part for part, wanted in zip(inputs, ctx.needs_input_grad[:5], strict=True) if wanted]  # type: ignore[attr-defined]
    found = iter(torch.autograd.grad(out, needed, slope, create_graph=True))
    slopes = [next(found) if wanted else None for wanted in ctx.needs_input_grad[:5]]  # type: ignore[attr-defined]
    return (*slopes, None)
