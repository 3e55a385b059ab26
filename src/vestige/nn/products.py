"""The matrix products of the fast path.

MKL, which ``torch.mm`` calls for float32, keeps to AVX2 on processors that are not Intel's; oneDNN, which
torch ships too, uses AVX-512 there and is twice as fast. Its plain product is reachable only through the
operators that torch's own compiler emits, so they are taken where they are there, and missed nowhere.

With PyTorch's own switch, ``torch.backends.mkldnn.matmul.fp32_precision = "bf16"``, oneDNN rounds what it
multiplies to bfloat16 and sums in float32, where the processor has instructions for it that oneDNN uses.
"""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


@cache
def _onednn_linear() -> Callable[..., Tensor] | None:
    """oneDNN's linear layer, or None where it is absent or brings nothing over ``torch.mm``."""
    if not torch._C._has_mkldnn or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return None
    try:
        linear: Callable[..., Tensor] = torch.ops.mkldnn._linear_pointwise.default
        linear(torch.ones(2, 2), _packed(torch.ones(2, 2), 2), None, "none", [], "")
    except (AttributeError, RuntimeError):
        return None
    return linear


def _packed(right_NK: Tensor, rows: int) -> Tensor:
    packed: Tensor = torch.ops.mkldnn._reorder_linear_weight.default(right_NK.contiguous(), rows)
    return packed


def _linear_for(tensor: Tensor) -> Callable[..., Tensor] | None:
    usable = tensor.device.type == "cpu" and tensor.dtype == torch.float32 and torch.backends.mkldnn.enabled
    if not usable:
        return None
    return _onednn_linear()


class _Switch:
    """PyTorch's switch, of which a process has one, thrown for as long as anybody asks for it.

    Threads that ask at the same time leave in any order: the first finds what is to come back, and the last
    brings it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking = 0
        self._before = ""

    def ask(self) -> None:
        products: Any = torch.backends.mkldnn
        with self._lock:
            if not self._asking:
                self._before = products.matmul.fp32_precision
                products.matmul.fp32_precision = "bf16"
            self._asking += 1

    def leave(self) -> None:
        products: Any = torch.backends.mkldnn
        with self._lock:
            self._asking -= 1
            if not self._asking:
                products.matmul.fp32_precision = self._before


_switch = _Switch()


@contextlib.contextmanager
def rounded_products() -> Iterator[None]:
    """Products on the CPU are of numbers rounded to bfloat16, summed in float32, in all of this process.

    The switch is the process's, not the thread's: what other threads multiply meanwhile is rounded, too.
    PyTorch leaves the smallest products as they are, such as those of a single row.
    """
    _switch.ask()
    try:
        yield
    finally:
        _switch.leave()


@cache
def can_round() -> bool:
    """Whether products of this process are rounded where that is asked for: oneDNN leaves them as they are on
    some processors that do have the instructions."""
    # Between two numbers of bfloat16, which has 8 bits: rounded, it is 1.
    between = torch.full((_TILE, _TILE), 1 + 2.0**-12)
    with rounded_products():
        product = between @ between
    return bool((product == _TILE).all())


def padding_for(width: int, device: torch.device) -> int:
    """Columns of zeros that an operand of so many columns needs for products at full speed: rounded ones take
    whole tiles (AMX multiplies 32 bfloat16 numbers of a row at a time); others lose by them.
    """
    switch: Any = torch.backends.mkldnn
    rounded = device.type == "cpu" and switch.matmul.fp32_precision == "bf16"
    return -width % _TILE if rounded else 0


_TILE = 32


@dataclass(frozen=True)
class Factor:
    """The right-hand side of many products, laid out once as oneDNN reads it: up to a fifth faster."""

    _right: Tensor
    _linear: Callable[..., Tensor] | None

    @staticmethod
    def of(right_NK: Tensor, rows: int) -> Factor:
        """``rows``: how many the left-hand sides will usually have."""
        linear = _linear_for(right_NK)
        if linear is None:
            return Factor(right_NK, None)
        return Factor(_packed(right_NK, rows), linear)

    def after(self, left_MK: Tensor) -> Tensor:
        """left @ right.T as a new (M, N) tensor."""
        if self._linear is None:
            return torch.mm(left_MK, self._right.t())
        return self._linear(left_MK, self._right, None, "none", [], "")


@cache
def _is_intel() -> bool:
    try:
        with Path("/proc/cpuinfo").open() as file:
            return any(line.startswith("vendor_id") and "GenuineIntel" in line for line in file)
    except OSError:
        return False


def add_product(total: Tensor | None, left_MK: Tensor, right_NK: Tensor) -> Tensor:
    """total + left @ right.T, in the memory of ``total`` (M, N) where that is given; operands may be strided.

    MKL adds while it multiplies, oneDNN's linear layer cannot: where MKL is as fast, it saves a pass over the
    sum, which is a twentieth of a training step.
    """
    if _linear_for(left_MK) is None or _is_intel():
        if total is None:
            return torch.mm(left_MK, right_NK.t())
        return total.addmm_(left_MK, right_NK.t())
    product = times_transposed(left_MK, right_NK)
    if total is None:
        return product
    return total.add_(product)


def times_transposed(left_MK: Tensor, right_NK: Tensor) -> Tensor:
    """left @ right.T as a new (M, N) tensor; both operands may be strided."""
    linear = _linear_for(left_MK)
    if linear is None:
        return torch.mm(left_MK, right_NK.t())
    if not (right_NK.is_contiguous() or right_NK.t().is_contiguous()):
        right_NK = (
            right_NK.contiguous()
        )  # a slice sends oneDNN to its reference code, a thousand times slower
    return linear(left_MK, right_NK, None, "none", [], "")
