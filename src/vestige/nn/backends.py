"""Which code runs the element-wise part of a step."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from types import ModuleType


@cache
def _numba_steps() -> ModuleType | None:
    try:
        from vestige.nn import steps_numba
    except ImportError:
        return None
    return steps_numba


def steps_for(device: torch.device, dtype: torch.dtype) -> ModuleType:
    """The Numba kernels for float32 on the CPU where Numba is installed, else tensor operations."""
    from vestige.nn import steps_torch

    if device.type == "cpu" and dtype == torch.float32:
        return _numba_steps() or steps_torch
    return steps_torch
