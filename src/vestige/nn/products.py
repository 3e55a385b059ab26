"""The matrix products of the fast path.

MKL, which ``torch.mm`` calls for float32, keeps to AVX2 on processors that are not Intel's; oneDNN, which
torch ships too, uses AVX-512 there and is twice as fast. Its plain product is reachable only through the
operator that torch's own compiler emits, so it is taken where that operator is there, and missed nowhere.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


@cache
def _onednn_linear() -> Callable[..., Tensor] | None:
    """oneDNN's linear layer, or None where it is absent or brings nothing over ``torch.mm``."""
    if not torch._C._has_mkldnn or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    try:
        linear: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
        linear(torch.ones(2, 2), torch.ones(2, 2), None, "none", [], "")
    except (AttributeError, RuntimeError):
        return None
    return linear


def times_transposed(left_MK: Tensor, right_NK: Tensor) -> Tensor:
    """left @ right.T as a new (M, N) tensor; both operands may be strided."""
    linear = _onednn_linear() if left_MK.device.type == "cpu" and left_MK.dtype == torch.float32 else None
    if linear is None or not torch.backends.mkldnn.enabled:
        return torch.mm(left_MK, right_NK.t())
    if not (right_NK.is_contiguous() or right_NK.t().is_contiguous()):
        right_NK = (
            right_NK.contiguous()
        )  # a slice sends oneDNN to its reference code, a thousand times slower
    return linear(left_MK, right_NK, None, "none", [], "")
