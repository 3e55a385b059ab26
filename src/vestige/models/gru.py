"""A gated recurrent unit over channels or tokens (Cho et al., 2014)."""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from vestige.models.base import HyperParameters
from vestige.models.neural import NeuralDetector
from vestige.schema import PAD, Kind


class GruHyper(HyperParameters):
    """`embedding`: size of a step before the recurrence; `hidden`: units of a layer."""

    embedding: int = Field(32, ge=1, le=4096)
    hidden: int = Field(64, ge=1, le=4096)
    layers: int = Field(1, ge=1, le=16)
    dropout: float = Field(0.1, ge=0, lt=1)


class GruNetwork(nn.Module):
    """Steps -> GRU -> last state and mean state -> logits `(B, K)`.

    `x` is `(B, T)` int64 token ids (padding is embedded as zero and left out of the mean) when `tokens`,
    else `(B, C, T)` float32.
    """

    def __init__(self, width: int, n_classes: int, hyper: GruHyper, *, tokens: bool) -> None:
        super().__init__()
        self.tokens = tokens
        self.step: nn.Module = (
            nn.Embedding(width, hyper.embedding, padding_idx=PAD)
            if tokens
            else nn.Linear(width, hyper.embedding)
        )
        self.gru = nn.GRU(
            hyper.embedding,
            hyper.hidden,
            num_layers=hyper.layers,
            batch_first=True,
            dropout=hyper.dropout if hyper.layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(hyper.dropout)
        self.head = nn.Linear(2 * hyper.hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        states_BTH, _ = self.gru(self.step(x if self.tokens else x.transpose(1, 2)))
        pooled_BH = torch.cat([states_BTH[:, -1], self._mean(states_BTH, x)], dim=1)
        logits_BK: Tensor = self.head(self.dropout(pooled_BH))
        return logits_BK

    def _mean(self, states_BTH: Tensor, x: Tensor) -> Tensor:
        if not self.tokens:
            return states_BTH.mean(dim=1)
        real_BT1 = (x != PAD).unsqueeze(2).to(states_BTH.dtype)
        return (states_BTH * real_BT1).sum(dim=1) / real_BT1.sum(dim=1).clamp(min=1)


class GruDetector(NeuralDetector):
    """`gru`: a recurrent network over a window's channels, or over its tokens."""

    name: ClassVar[str] = "gru"
    about: ClassVar[str] = "gated recurrent unit; reads a window step by step"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tensor",), ("tokens",))
    hyper_parameters: ClassVar[type[HyperParameters]] = GruHyper

    def make_module(self) -> nn.Module:
        """See `NeuralDetector.make_module`."""
        spec = self.inputs[0]
        hyper = cast("GruHyper", self.hyper)
        return GruNetwork(self.width(spec), self.n_classes, hyper, tokens=spec.kind == "tokens")
