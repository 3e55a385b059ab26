"""Inference in 8-bit integers."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn


class QuantizedLinear(nn.Module):
    """A linear map with 8-bit weights, a scale for each output; its inputs are quantised as they come, by the
    range they have in the batch. For inference on the CPU, in float32: it sends back no slopes.

    Args:
        linear: the map to copy.
    """

    weight: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        scale = (weight.abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        bias = weight.new_zeros(len(weight))
        if linear.bias is not None:
            bias = linear.bias.detach()
        self.register_buffer("weight", (weight / scale[:, None]).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias.clone())
        self._packed: Any = None
        self.register_load_state_dict_post_hook(_forget_packed)  # type: ignore[no-untyped-call]

    def forward(self, x: Tensor, relu: bool = False) -> Tensor:
        """x (..., in) -> (..., out) in float32, below zero cut off if told so."""
        if self._packed is None:
            self._packed = self._pack()
        apply = torch.ops.quantized.linear_dynamic
        if relu:
            apply = torch.ops.quantized.linear_relu_dynamic
        found: Tensor = apply(x.detach().float(), self._packed, False)
        return found

    def _pack(self) -> Any:
        with warnings.catch_warnings():
            # torch warns that tensors of its quantised dtypes will go; the packed product has no other maker.
            warnings.filterwarnings("ignore", message=".*quantize_per_tensor", category=UserWarning)
            zeros = torch.zeros(len(self.scale), dtype=torch.long)
            whole = torch._make_per_channel_quantized_tensor(self.weight, self.scale.double(), zeros, 0)
        return torch.ops.quantized.linear_prepack(whole, self.bias)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}


def _forget_packed(module: nn.Module, _keys: object) -> None:
    module._packed = None  # type: ignore[assignment]


def quantize_int8(model: nn.Module) -> nn.Module:
    """A copy of a model for inference, its linear maps (but for the classification head) in 8-bit integers.

    The copy is in evaluation mode, on the CPU; embeddings, LSTM, norms and attention stay in float32.

    Args:
        model: one of the transformers, or any module with ``nn.Linear`` inside.

    Returns:
        The copy. Decisions near the border may differ: compare them on data of one's own.
    """
    if any(part.dtype != torch.float32 for part in model.parameters() if part.is_floating_point()):
        raise TypeError("8-bit weights are made from float32: call model.float() first")
    copied = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    for module in list(copied.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and name != "classification_head":
                setattr(module, name, QuantizedLinear(child))
    return copied
