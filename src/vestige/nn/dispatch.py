"""When the fast path may stand in for a layer's own Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.projections import Projections


def plain_weights(projections: Projections) -> list[Tensor]:
    """Weight and bias of every map, or nothing unless each is a bare ``nn.Linear`` whose call nobody
    watches or has replaced."""
    plain = all(
        type(layer) is nn.Linear
        and layer.bias is not None
        and not (layer._forward_hooks or layer._forward_pre_hooks)
        and not (layer._backward_hooks or layer._backward_pre_hooks)
        for layer in projections.maps()
    )
    if not plain:
        return []
    return [part for layer in projections.maps() for part in (layer.weight, layer.bias)]


def being_traced() -> bool:
    """Compilers and exporters must see plain operations; so must vmap, jvp and their like."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
    )


def is_supported(tensors: list[Tensor]) -> bool:
    """float32 throughout, on one CPU or CUDA device, outside autocast, and not empty."""
    first = tensors[0]
    return (
        first.device.type in {"cpu", "cuda"}
        and not torch.is_autocast_enabled(first.device.type)
        and all(
            type(tensor) in {torch.Tensor, nn.Parameter}
            and tensor.dtype == torch.float32
            and tensor.device == first.device
            and tensor.layout == torch.strided
            for tensor in tensors
        )
        and first.numel() > 0
    )
