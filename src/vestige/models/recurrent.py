"""Recurrent detectors: one network around five cores (GRU, LSTM and the arrays of `vestige.nn`).

Letters: B windows, C channels, T steps, H hidden units, K logits.
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self, TypedDict

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from vestige.models.base import HyperParameters
from vestige.models.neural import NeuralDetector, NumbersHyper, TokenDropout
from vestige.models.space import Choice, Range, Space
from vestige.nn import LSTM, ArrayLSTM, AttentionArrayLSTM, StochasticArrayLSTM
from vestige.schema import PAD, Kind

WIDEST = 4096


class Stack(TypedDict):
    """Options that every core takes; `dropout` acts between layers."""

    num_layers: int
    dropout: float
    batch_first: bool
    bidirectional: bool


class RecurrentHyper(NumbersHyper):
    """`embedding`: size of a step before the recurrence; `hidden`: units of a layer (and direction);
    `token_dropout`: share of real tokens that training reads as UNK, so that an unseen token has a meaning
    (tokens only); `bidirectional`: read a window (for `next`, what is before its last event) backwards as
    well."""

    embedding: int = Field(32, ge=1, le=WIDEST)
    hidden: int = Field(64, ge=1, le=WIDEST)
    layers: int = Field(1, ge=1, le=16)
    dropout: float = Field(0.1, ge=0, lt=1)
    token_dropout: float = Field(0.02, ge=0, lt=1)
    bidirectional: bool = False

    def core(self) -> nn.Module:
        """Steps `(B, T, embedding)` -> (states `(B, T, H)`, final states)."""
        return nn.GRU(self.embedding, self.hidden, **self.stack())

    def stack(self) -> Stack:
        """How layers lie on each other."""
        between = self.dropout if self.layers > 1 else 0.0
        return {
            "num_layers": self.layers,
            "dropout": between,
            "batch_first": True,
            "bidirectional": self.bidirectional,
        }


class LstmHyper(RecurrentHyper):
    """`forget_bias`: what the forget gates start from; none: as PyTorch's linear maps do."""

    forget_bias: float | None = None

    def core(self) -> nn.Module:
        """See `RecurrentHyper.core`."""
        return LSTM(self.embedding, self.hidden, forget_bias=self.forget_bias, **self.stack())


class ArrayHyper(LstmHyper):
    """`k`: lanes, the memories of a unit."""

    k: int = Field(4, ge=1, le=256)

    def core(self) -> nn.Module:
        """See `RecurrentHyper.core`."""
        return ArrayLSTM(self.embedding, self.hidden, self.k, forget_bias=self.forget_bias, **self.stack())


class AttentionHyper(ArrayHyper):
    """`max_pooling`: the original's; the others: the paper's (docs/array-lstm.md)."""

    max_pooling: bool = False
    selection: Literal["soft", "max", "semi-hard", "hard"] = "soft"
    recurrent_attention: bool = False

    @model_validator(mode="after")
    def _one_pooling(self) -> Self:
        if self.max_pooling and self.selection != "soft":
            raise ValueError("max_pooling is the original's, selection the paper's: use one")
        return self

    def core(self) -> nn.Module:
        """See `RecurrentHyper.core`."""
        return AttentionArrayLSTM(
            self.embedding,
            self.hidden,
            self.k,
            self.max_pooling,
            selection=self.selection,
            recurrent_attention=self.recurrent_attention,
            forget_bias=self.forget_bias,
            **self.stack(),
        )


class StochasticHyper(ArrayHyper):
    """`selection`: of the lane that speaks; `evaluation`: outside training (docs/array-lstm.md)."""

    selection: Literal["argmax", "sample", "lane", "lane-of-two"] = "argmax"
    evaluation: Literal["expectation", "argmax"] = "expectation"

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.selection == "lane-of-two" and self.k % 2:
            raise ValueError("lane-of-two pairs lanes: k must be even")
        if self.evaluation == "argmax" and self.selection in {"lane", "lane-of-two"}:
            raise ValueError("drawn uniformly, no lane is likeliest: evaluation must be expectation")
        return self

    def core(self) -> nn.Module:
        """See `RecurrentHyper.core`."""
        return StochasticArrayLSTM(
            self.embedding,
            self.hidden,
            self.k,
            selection=self.selection,
            evaluation=self.evaluation,
            forget_bias=self.forget_bias,
            **self.stack(),
        )


CORES: dict[str, type[RecurrentHyper]] = {
    "gru": RecurrentHyper,
    "lstm": LstmHyper,
    "array_lstm": ArrayHyper,
    "attention_array_lstm": AttentionHyper,
    "stochastic_array_lstm": StochasticHyper,
}


class RecurrentNetwork(nn.Module):
    """Steps -> recurrent core -> last state (of each direction) and mean state -> logits `(B, K)`.

    `x` is `(B, T)` int64 token ids when `tokens`, else `(B, C, T)` float32. Padding is embedded as zero and
    left out of the mean. In training each other token becomes UNK with probability `hyper.token_dropout`.
    """

    def __init__(self, width: int, outputs: int, hyper: RecurrentHyper, *, tokens: bool) -> None:
        super().__init__()
        self.tokens, self.token_dropout = tokens, TokenDropout(hyper.token_dropout)
        self.step: nn.Module
        if tokens:
            self.step = nn.Embedding(width, hyper.embedding, padding_idx=PAD)
        else:
            self.step = nn.Linear(width, hyper.embedding)
        self.core = hyper.core()
        self.dropout = nn.Dropout(hyper.dropout)
        self.hidden = hyper.hidden
        directions = 2 if hyper.bidirectional else 1
        self.head = nn.Linear(2 * directions * hyper.hidden, outputs)  # the last state and the mean, of each

    def forward(self, x: Tensor) -> Tensor:
        if self.tokens:
            embedded_BTE = self.step(self.token_dropout(x))
        else:
            embedded_BTE = self.step(x.transpose(1, 2))
        states_BTH, _ = self.core(embedded_BTE)
        # Backwards, the state at the first step has read the whole window; in one direction `back` is empty.
        ahead, back = states_BTH[:, -1, : self.hidden], states_BTH[:, 0, self.hidden :]
        pooled_BH = torch.cat([ahead, back, self._mean(states_BTH, x)], dim=1)
        logits_BK: Tensor = self.head(self.dropout(pooled_BH))
        return logits_BK

    def _mean(self, states_BTH: Tensor, x: Tensor) -> Tensor:
        if not self.tokens:
            return states_BTH.mean(dim=1)
        real_BT1 = (x != PAD).unsqueeze(2).to(states_BTH.dtype)
        return (states_BTH * real_BT1).sum(dim=1) / real_BT1.sum(dim=1).clamp(min=1)


def hidden_for(core: str, k: int, budget: int, *, width: int, outputs: int, **hyper: int | bool | str) -> int:
    """The largest `hidden` with which a whole network on tokens has at most `budget` parameters.

    `core` is a key of `CORES`; `k` is ignored where there are no lanes; `width` counts token ids, `outputs`
    logits; `hyper` are the others (`embedding`, `layers`, `recurrent_attention`...). Raises ValueError where
    one unit is too much already.
    """
    kind = CORES[core]
    chosen = dict(hyper)
    if "k" in kind.model_fields:
        chosen["k"] = k

    def size(hidden: int) -> int:
        with torch.device("meta"):
            made = RecurrentNetwork(width, outputs, kind(hidden=hidden, **chosen), tokens=True)
        return sum(parameter.numel() for parameter in made.parameters())

    fits, too_many = 0, WIDEST + 1
    while too_many - fits > 1:
        middle = (fits + too_many) // 2
        if size(middle) <= budget:
            fits = middle
        else:
            too_many = middle
    if not fits:
        raise ValueError(f"a {core} of one unit has {size(1)} parameters, more than {budget}")
    return fits


class RecurrentDetector(NeuralDetector):
    """Abstract: reads a window step by step, over channels or over tokens; its hyper-parameters say how."""

    accepts: ClassVar[tuple[tuple[Kind, ...], ...]] = (("tensor",), ("tokens",))
    hyper_parameters: ClassVar[type[HyperParameters]] = RecurrentHyper
    hyper: RecurrentHyper
    space: ClassVar[Space] = {
        **NeuralDetector.space,
        "embedding": Range(8, 128, log=True),
        "hidden": Range(16, 256, log=True),
        "layers": Range(1, 3),
        "dropout": Range(0.0, 0.5),
        "bidirectional": Choice((False, True)),
    }

    def make_module(self) -> nn.Module:
        """See `NeuralDetector.make_module`."""
        spec = self.inputs[0]
        hyper = self.hyper
        return RecurrentNetwork(self.width(spec), self.outputs, hyper, tokens=spec.kind == "tokens")


class GruDetector(RecurrentDetector):
    """`gru` (Cho et al., 2014)."""

    name: ClassVar[str] = "gru"
    about: ClassVar[str] = "gated recurrent unit; reads a window step by step"


class LstmDetector(RecurrentDetector):
    """`lstm` (Hochreiter and Schmidhuber, 1997)."""

    name: ClassVar[str] = "lstm"
    about: ClassVar[str] = "long short-term memory; reads a window step by step"
    hyper_parameters: ClassVar[type[HyperParameters]] = LstmHyper
    hyper: LstmHyper


class ArrayLstmDetector(RecurrentDetector):
    """`array_lstm` (Rocki, arXiv:1607.03085)."""

    name: ClassVar[str] = "array_lstm"
    about: ClassVar[str] = "LSTM whose units have k memories each"
    hyper_parameters: ClassVar[type[HyperParameters]] = ArrayHyper
    hyper: ArrayHyper
    space: ClassVar[Space] = {**RecurrentDetector.space, "k": Range(2, 8)}


class AttentionArrayLstmDetector(RecurrentDetector):
    """`attention_array_lstm` (Rocki, arXiv:1607.03085, section 4.1)."""

    name: ClassVar[str] = "attention_array_lstm"
    about: ClassVar[str] = "LSTM whose units weigh their k memories by attention"
    hyper_parameters: ClassVar[type[HyperParameters]] = AttentionHyper
    hyper: AttentionHyper
    space: ClassVar[Space] = {
        **ArrayLstmDetector.space,
        "selection": Choice(("soft", "max", "semi-hard", "hard")),
        "recurrent_attention": Choice((False, True)),
    }


class StochasticArrayLstmDetector(RecurrentDetector):
    """`stochastic_array_lstm` (Rocki, arXiv:1607.03085, section 5)."""

    name: ClassVar[str] = "stochastic_array_lstm"
    about: ClassVar[str] = "LSTM in which one of a unit's k memories speaks at a time"
    hyper_parameters: ClassVar[type[HyperParameters]] = StochasticHyper
    hyper: StochasticHyper
    space: ClassVar[Space] = {
        **ArrayLstmDetector.space,
        "selection": Choice(("argmax", "sample", "lane")),
        # Of lanes that are drawn evenly none is the likeliest.
        "evaluation": Choice(("expectation", "argmax"), when=("selection", ("argmax", "sample"))),
    }
