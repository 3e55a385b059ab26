"""`cnn`: convolutions along the steps of a window.

Letters: B windows, C channels, T steps, H hidden channels, K logits.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from vestige.models.base import HyperParameters
from vestige.models.neural import NeuralDetector, NumbersHyper
from vestige.models.space import Choice, Range, Space
from vestige.schema import Kind


class CnnHyper(NumbersHyper):
    """`hidden`: channels of a layer; `kernel`: steps that a convolution sees."""

    hidden: int = Field(64, ge=1, le=4096)
    layers: int = Field(3, ge=1, le=16)
    kernel: int = Field(3, ge=1, le=99)
    dropout: float = Field(0.1, ge=0, lt=1)


class Block(nn.Module):
    """A residual convolution that keeps the length: `(B, H, T)` -> `(B, H, T)`."""

    def __init__(self, hyper: CnnHyper) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, hyper.hidden)
        self.convolution = nn.Conv1d(hyper.hidden, hyper.hidden, hyper.kernel, padding="same")
        self.dropout = nn.Dropout(hyper.dropout)

    def forward(self, x_BHT: Tensor) -> Tensor:
        changed: Tensor = self.dropout(self.convolution(nn.functional.gelu(self.norm(x_BHT))))
        return x_BHT + changed


class ConvolutionalNetwork(nn.Module):
    """Channels `(B, C, T)` -> blocks -> mean and maximum over the steps -> logits `(B, K)`."""

    def __init__(self, width: int, outputs: int, hyper: CnnHyper) -> None:
        super().__init__()
        self.step = nn.Conv1d(width, hyper.hidden, 1)
        self.blocks = nn.Sequential(*(Block(hyper) for _ in range(hyper.layers)))
        self.head = nn.Linear(2 * hyper.hidden, outputs)

    def forward(self, x_BCT: Tensor) -> Tensor:
        states_BHT = self.blocks(self.step(x_BCT))
        pooled_BH = torch.cat([states_BHT.mean(dim=2), states_BHT.amax(dim=2)], dim=1)
        logits_BK: Tensor = self.head(pooled_BH)
        return logits_BK


class CnnDetector(NeuralDetector):
    """`cnn`: residual convolutions (He et al., 2016) along the steps."""

    name: ClassVar[str] = "cnn"
    about: ClassVar[str] = "convolutions along the steps of a window"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tensor",),)
    hyper_parameters: ClassVar[type[HyperParameters]] = CnnHyper
    hyper: CnnHyper
    space: ClassVar[Space] = {
        **NeuralDetector.space,
        "hidden": Range(16, 256, log=True),
        "layers": Range(1, 6),
        "kernel": Choice((3, 5, 7)),
        "dropout": Range(0.0, 0.5),
    }

    def make_module(self) -> nn.Module:
        """See `NeuralDetector.make_module`."""
        return ConvolutionalNetwork(self.width(self.inputs[0]), self.outputs, self.hyper)
