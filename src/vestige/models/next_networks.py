"""Recurrent detectors for the task `next`: the context through a network, logits over the vocabulary."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from vestige.encoding import Batch
from vestige.models.base import HyperParameters
from vestige.models.next_token import FloatArray, NextToken
from vestige.models.recurrent import (
    ArrayHyper,
    AttentionHyper,
    LstmHyper,
    RecurrentDetector,
    StochasticHyper,
)


class NextDetector(NextToken, RecurrentDetector):
    """Abstract: reads `tokens[:, :-1]`, and learns to predict `tokens[:, -1]` on benign windows."""

    @property
    def outputs(self) -> int:
        """A logit a token id."""
        return self.width(self.inputs[0])

    def to_tensors(self, X: Batch, device: str | torch.device | None = None) -> tuple[Tensor, ...]:
        """The context, without the token to be predicted."""
        (tokens_BT,) = super().to_tensors(X, device)
        return (tokens_BT[:, :-1].contiguous(),)

    def log_proba(self, X: Batch) -> FloatArray:
        """See `NextToken.log_proba`."""
        return self.scores(X, lambda logits_BV: torch.log_softmax(logits_BV.double(), dim=1))

    def state_for_checkpoint(self) -> dict[str, Any]:
        """The shift that `center` set."""
        return {"shift": self.shift}

    def load_sidecar(self, payload: bytes, state: dict[str, Any], *, device: str = "cpu") -> None:
        """See `Detector.load_sidecar`."""
        self.center(float(state["shift"]))
        super().load_sidecar(payload, state, device=device)


class NextGru(NextDetector):
    """`next_gru`."""

    name: ClassVar[str] = "next_gru"
    about: ClassVar[str] = "gated recurrent unit that predicts the next event; anomaly is surprise"


class NextLstm(NextDetector):
    """`next_lstm`."""

    name: ClassVar[str] = "next_lstm"
    about: ClassVar[str] = "LSTM that predicts the next event; anomaly is surprise"
    hyper_parameters: ClassVar[type[HyperParameters]] = LstmHyper


class NextArrayLstm(NextDetector):
    """`next_array_lstm`."""

    name: ClassVar[str] = "next_array_lstm"
    about: ClassVar[str] = "array LSTM that predicts the next event; anomaly is surprise"
    hyper_parameters: ClassVar[type[HyperParameters]] = ArrayHyper


class NextAttentionArrayLstm(NextDetector):
    """`next_attention_array_lstm`."""

    name: ClassVar[str] = "next_attention_array_lstm"
    about: ClassVar[str] = "attention array LSTM that predicts the next event; anomaly is surprise"
    hyper_parameters: ClassVar[type[HyperParameters]] = AttentionHyper


class NextStochasticArrayLstm(NextDetector):
    """`next_stochastic_array_lstm`."""

    name: ClassVar[str] = "next_stochastic_array_lstm"
    about: ClassVar[str] = "stochastic array LSTM that predicts the next event; anomaly is surprise"
    hyper_parameters: ClassVar[type[HyperParameters]] = StochasticHyper
