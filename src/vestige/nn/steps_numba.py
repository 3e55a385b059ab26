"""One time step's element-wise part by the Numba kernels; the same functions as ``steps_torch``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige.nn.kernels import attention, lanes

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.plan import Kind


def forward(
    kind: Kind,
    pre: Tensor,
    sig_pre: Tensor | None,
    gates: Tensor,
    sig: Tensor | None,
    old: Tensor,
    new: Tensor,
    operand: Tensor,
    scratch: Tensor,
) -> None:
    arrays = (pre.numpy(), gates.numpy())
    rest = (old.numpy(), new.numpy(), operand.numpy())
    if kind == "sum":
        lanes.sum_forward(*arrays, *rest)
    elif kind == "top":
        lanes.top_forward(*arrays, *rest, scratch.numpy())
    else:
        assert sig_pre is not None  # noqa: S101
        assert sig is not None  # noqa: S101
        pooled = kind == "pooled"
        attention.attention_forward(*arrays, sig_pre.numpy(), sig.numpy(), *rest, scratch.numpy(), pooled)


def backward(
    kind: Kind,
    gates: Tensor,
    sig: Tensor | None,
    old: Tensor,
    new: Tensor,
    d_h: Tensor,
    d_out: Tensor,
    d_cell: Tensor,
    scratch: Tensor,
) -> None:
    rest = (old.numpy(), new.numpy(), d_h.numpy(), d_out.numpy(), d_cell.numpy())
    if kind == "sum":
        lanes.sum_backward(gates.numpy(), *rest)
    elif kind == "top":
        lanes.top_backward(gates.numpy(), *rest, scratch.numpy())
    else:
        assert sig is not None  # noqa: S101
        attention.attention_backward(gates.numpy(), sig.numpy(), *rest, scratch.numpy(), kind == "pooled")


def activate(gates: Tensor, sig: Tensor | None) -> None:
    lanes.activate_in_place(gates.numpy())
    if sig is not None:
        attention.sigmoid_in_place(sig.numpy())
