"""`transformer`: self-attention over the steps of a window.

Letters: B windows, C channels, T steps, E size of a step, K logits.
"""

from __future__ import annotations

import math
from typing import ClassVar, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from vestige.models.base import HyperParameters
from vestige.models.neural import NeuralDetector, NumbersHyper, TokenDropout
from vestige.models.space import Choice, Range, Space
from vestige.nn.transformers.checkpointing import apply_block
from vestige.schema import PAD, Kind


class TransformerHyper(NumbersHyper):
    """`size`: of a step, a multiple of `heads`; `feedforward`: units between; `token_dropout`: share of
    real tokens that training reads as UNK (tokens only); `checkpointing`: train with less memory in more
    time, with the same result."""

    size: int = Field(64, ge=2, le=4096, multiple_of=2)
    heads: int = Field(4, ge=1, le=64)
    layers: int = Field(2, ge=1, le=16)
    feedforward: int = Field(128, ge=1, le=16_384)
    dropout: float = Field(0.1, ge=0, lt=1)
    token_dropout: float = Field(0.02, ge=0, lt=1)
    checkpointing: bool = False

    @model_validator(mode="after")
    def _heads_share_the_size(self) -> Self:
        if self.size % self.heads:
            raise ValueError("size must be a multiple of heads")
        return self


class TransformerNetwork(nn.Module):
    """Steps with positions -> encoder -> mean and last step -> logits `(B, K)`.

    `x` is `(B, T)` int64 token ids when `tokens`, else `(B, C, T)` float32. Padding is not attended to, and
    left out of the mean.
    """

    def __init__(self, width: int, outputs: int, hyper: TransformerHyper, *, tokens: bool) -> None:
        super().__init__()
        self.tokens, self.token_dropout = tokens, TokenDropout(hyper.token_dropout)
        self.step: nn.Module = (
            nn.Embedding(width, hyper.size, padding_idx=PAD) if tokens else nn.Linear(width, hyper.size)
        )
        layer = nn.TransformerEncoderLayer(
            hyper.size,
            hyper.heads,
            hyper.feedforward,
            hyper.dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.checkpointing = hyper.checkpointing
        self.encoder = nn.TransformerEncoder(
            layer, hyper.layers, norm=nn.LayerNorm(hyper.size), enable_nested_tensor=False
        )
        self.head = nn.Linear(2 * hyper.size, outputs)

    def forward(self, x: Tensor) -> Tensor:
        steps_BTE = self.step(self.token_dropout(x) if self.tokens else x.transpose(1, 2))
        steps_BTE = steps_BTE + positions(steps_BTE)
        if self.tokens:
            padding_BT = x == PAD
            padding_BT[:, -1] = False  # a window of padding alone would attend to nothing
            states_BTE = self._encoded(steps_BTE, padding_BT)
            real_BT1 = (~padding_BT).unsqueeze(2).to(states_BTE.dtype)
            mean_BE = (states_BTE * real_BT1).sum(dim=1) / real_BT1.sum(dim=1)
        else:
            states_BTE = self._encoded(steps_BTE, None)
            mean_BE = states_BTE.mean(dim=1)
        logits_BK: Tensor = self.head(torch.cat([mean_BE, states_BTE[:, -1]], dim=1))
        return logits_BK

    def _encoded(self, steps_BTE: Tensor, padding_BT: Tensor | None) -> Tensor:
        if not self.checkpointing:
            encoded_BTE: Tensor = self.encoder(steps_BTE, src_key_padding_mask=padding_BT)
            return encoded_BTE
        for layer in self.encoder.layers:
            steps_BTE = apply_block(layer, steps_BTE, None, padding_BT, checkpointing=True)
        normed_BTE: Tensor = self.encoder.norm(steps_BTE)  # type: ignore[misc]
        return normed_BTE


def positions(like_BTE: Tensor) -> Tensor:
    """Sines and cosines of each step's number, `(T, E)`: Vaswani et al. (2017), section 3.5."""
    steps, size = like_BTE.shape[1:]
    step_T1 = torch.arange(steps, device=like_BTE.device, dtype=like_BTE.dtype).unsqueeze(1)
    even_E = torch.arange(0, size, 2, device=like_BTE.device, dtype=like_BTE.dtype)
    angle_TE = step_T1 * torch.exp(even_E * (-math.log(10_000) / size))
    return torch.stack([angle_TE.sin(), angle_TE.cos()], dim=2).flatten(1)


class TransformerDetector(NeuralDetector):
    """`transformer`: the encoder of Vaswani et al. (2017), norms first (Xiong et al., 2020)."""

    name: ClassVar[str] = "transformer"
    about: ClassVar[str] = "self-attention over the steps of a window"
    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tensor",), ("tokens",))
    hyper_parameters: ClassVar[type[HyperParameters]] = TransformerHyper
    hyper: TransformerHyper
    space: ClassVar[Space] = {
        **NeuralDetector.space,
        "heads": Choice((2, 4, 8)),
        "size": Range(32, 256, log=True, multiple_of="heads"),
        "layers": Range(1, 4),
        "feedforward": Range(64, 512, log=True),
        "dropout": Range(0.0, 0.5),
    }

    def make_module(self) -> nn.Module:
        """See `NeuralDetector.make_module`."""
        spec = self.inputs[0]
        hyper = self.hyper
        return TransformerNetwork(self.width(spec), self.outputs, hyper, tokens=spec.kind == "tokens")
