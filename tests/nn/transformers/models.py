"""Small models and inputs for the tests."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vestige.nn import (
    CollaborativeTransformer,
    CollaborativeTransformerTunable,
    TransformerConfig,
    VanillaTransformer,
)

KINDS = ("vanilla", "collaborative", "tunable")
VOCABULARY = 30
TOKENS, VECTORS, FEATURES = 6, 4, 10


def settings(**changes: Any) -> TransformerConfig:
    usual: dict[str, Any] = {
        "embed_size": 12,
        "hidden_size": 16,
        "projection_size": 20,
        "heads": 4,
        "layers": 2,
        "len_messages": TOKENS,
        "n_classes": 3,
        "sequences_fsize": FEATURES,
        "len_sequences": VECTORS,
    }
    return TransformerConfig(**(usual | changes))


Model = VanillaTransformer | CollaborativeTransformer | CollaborativeTransformerTunable


def make(kind: str, **changes: Any) -> Model:
    """A model in evaluation mode whose every weight matters."""
    config = settings(**changes)
    model: Model
    if kind == "vanilla":
        model = VanillaTransformer(config, VOCABULARY)
    elif kind == "collaborative":
        model = CollaborativeTransformer(config, VOCABULARY)
    else:
        model = CollaborativeTransformerTunable(None, config, VOCABULARY)
    with torch.no_grad():
        for part in model.parameters():
            if part.dim() == 1:
                part.add_(0.1 * torch.randn_like(part))
    return model.eval()


def inputs(batch: int = 3, tokens: int = TOKENS, vectors: int = VECTORS) -> tuple[Tensor, None, Tensor]:
    """Text without padding, no embeddings, and sequences without padding."""
    return torch.randint(1, VOCABULARY, (batch, tokens)), None, torch.randn(batch, vectors, FEATURES)


def slopes(model: nn.Module, logits: Tensor) -> dict[str, Tensor]:
    """The gradient of a weighted sum of the logits, by parameter; zeros where none arrives."""
    model.zero_grad()
    weights = torch.linspace(-1, 1, logits.numel(), dtype=logits.dtype).view_as(logits)
    (logits * weights).sum().backward()
    return {
        name: torch.zeros_like(part) if part.grad is None else part.grad.clone()
        for name, part in model.named_parameters()
    }
