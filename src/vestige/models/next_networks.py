"""Networks for the task `next`: any that reads tokens, given the context, with a logit a token id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from vestige.models.neural import NeuralDetector
from vestige.models.next_token import FloatArray, NextToken
from vestige.models.recurrent import (
    ArrayLstmDetector,
    AttentionArrayLstmDetector,
    GruDetector,
    LstmDetector,
    StochasticArrayLstmDetector,
)
from vestige.models.transformer import TransformerDetector
from vestige.reading.encoding import Batch


class NextNetwork(NextToken, NeuralDetector):
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


def predicting(kind: type[NeuralDetector]) -> type[NextNetwork]:
    """The detector of the task `next` with the network and hyper-parameters of `kind`, which must take tokens
    and make its module for `outputs` logits; called `next_` and its name."""
    about = {
        "name": f"next_{kind.name}",
        "about": f"expects the next event from those before: {kind.about}",
        "__doc__": f"`next_{kind.name}`: predicts the next event with the network of `{kind.name}`.",
        "__module__": __name__,
    }
    title = f"Next{kind.__name__.removesuffix('Detector')}"
    return cast("type[NextNetwork]", type(title, (NextNetwork, kind), about))


NextGru = predicting(GruDetector)
NextLstm = predicting(LstmDetector)
NextArrayLstm = predicting(ArrayLstmDetector)
NextAttentionArrayLstm = predicting(AttentionArrayLstmDetector)
NextStochasticArrayLstm = predicting(StochasticArrayLstmDetector)
NextTransformer = predicting(TransformerDetector)


NETWORKS: Mapping[str, type[NextNetwork]] = {
    kind.name: kind
    for kind in (
        NextGru,
        NextLstm,
        NextArrayLstm,
        NextAttentionArrayLstm,
        NextStochasticArrayLstm,
        NextTransformer,
    )
}
"""All of them, by name."""
