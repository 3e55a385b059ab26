"""One time step's element-wise part by the Numba kernels; the same functions as ``steps_torch``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vestige.nn.kernels import attention, lanes

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.plan import Kind
    from vestige.nn.tape import Tape


def forward(
    kind: Kind, pre: Tensor, sig_pre: Tensor | None, tape: Tape, ends: tuple[Tensor, Tensor], t: int
) -> None:
    arrays: Any = tape.arrays
    gates, sig, *rest = arrays.step(t, len(pre))
    rest += [end.numpy() for end in ends]
    pre_array = pre.numpy().reshape(gates.shape)
    if kind == "sum":
        lanes.sum_forward(pre_array, gates, *rest, t)
    elif kind == "top":
        lanes.top_forward(pre_array, gates, *rest, t, arrays.scratch)
    else:
        assert sig_pre is not None  # noqa: S101
        sig_array, pooled = sig_pre.numpy().reshape(sig.shape), kind == "pooled"
        attention.attention_forward(pre_array, gates, sig_array, sig, *rest, t, arrays.scratch, pooled)


def backward(
    kind: Kind,
    gates: Tensor,
    sig: Tensor | None,
    tape: Tape,
    grads: tuple[Tensor, Tensor, Tensor],
    t: int,
) -> None:
    arrays: Any = tape.arrays
    _, _, old, new, _ = arrays.step(t, len(gates))
    d_h, d_out, d_cell = (grad.numpy() for grad in grads)
    rest = (old, new, d_h, d_out, t, d_cell)
    if kind == "sum":
        lanes.sum_backward(gates.numpy(), *rest)
    elif kind == "top":
        lanes.top_backward(gates.numpy(), *rest, arrays.scratch)
    else:
        assert sig is not None  # noqa: S101
        attention.attention_backward(gates.numpy(), sig.numpy(), *rest, arrays.scratch, kind == "pooled")


def activate(gates: Tensor, sig: Tensor | None) -> None:
    lanes.activate_in_place(gates.numpy())
    if sig is not None:
        attention.sigmoid_in_place(sig.numpy())
