"""What callers may pass, checked before anything is computed, so that errors name the argument to change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from vestige.nn.dispatch import being_traced
from vestige.nn.transformers.config import check_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray


def make_embedding(
    vocab_size: int, embed_size: int, pretrained: Tensor | NDArray[np.floating] | None
) -> nn.Embedding:
    """A look-up table of (vocab_size, embed_size), filled with ``pretrained`` where given, else at random."""
    check_sizes(vocab_size=vocab_size)
    table = nn.Embedding(vocab_size, embed_size)
    if pretrained is None:
        return table
    values = torch.as_tensor(pretrained)
    if values.shape != table.weight.shape:
        raise ValueError(
            f"pretrained_embeddings has shape {tuple(values.shape)}: expected (vocab_size={vocab_size},"
            f" embed_size={embed_size})"
        )
    with torch.no_grad():
        table.weight.copy_(values)
    return table


def check_text(text: Tensor, vocab_size: int) -> None:
    """Raise unless ``text`` is (batch, positions) of token ids below ``vocab_size``."""
    if text.dim() != 2 or text.shape[1] == 0:
        raise ValueError(
            f"text has shape {tuple(text.shape)}: expected (batch, positions), one position or more"
        )
    if text.is_floating_point() or text.dtype == torch.bool:
        raise TypeError(f"text is {text.dtype}: token ids are integers")
    if being_traced() or not text.numel():
        return
    low, high = (int(bound) for bound in text.aminmax())
    if low < 0:
        raise ValueError(f"text has the token id {low}: ids start at 0")
    if high >= vocab_size:
        raise ValueError(
            f"text has the token id {high}, the model vocab_size={vocab_size}: raise vocab_size, or give"
            " unseen words the id of the unknown word"
        )


def check_embeddings(embeddings: Tensor, text: Tensor, embed_size: int) -> None:
    """Raise unless ``embeddings`` is (batch, positions, embed_size), positions those of ``text``."""
    if embeddings.shape != (*text.shape, embed_size):
        raise ValueError(
            f"embeddings has shape {tuple(embeddings.shape)}: expected (batch, positions, embed_size) ="
            f" {(*text.shape, embed_size)}, the look-up of the tokens in text, or None to have it computed"
        )


def check_sequences(sequences: Tensor | None, batch: int, features: int) -> None:
    """Raise unless ``sequences`` is (batch, vectors, features)."""
    if sequences is None:
        raise TypeError("sequences is missing: the collaborative model takes (text, embeddings, sequences)")
    shape = tuple(sequences.shape)
    if len(shape) != 3 or shape[0] != batch or shape[1] == 0 or shape[2] != features:
        raise ValueError(
            f"sequences has shape {shape}: expected (batch={batch}, one vector or more,"
            f" sequences_fsize={features})"
        )


def check_dtype(name: str, given: Tensor, weight: Tensor) -> None:
    """Raise unless ``given`` has the dtype of the weights, or autocast will see to it."""
    if given.dtype != weight.dtype and not torch.is_autocast_enabled(given.device.type):
        raise TypeError(
            f"{name} is {given.dtype}, the weights are {weight.dtype}: convert one of them, with"
            f" {name}.to({weight.dtype}) or model.to({given.dtype})"
        )


def check_positions(what: str, setting: str, found: int, allowed: int, exactly: bool) -> None:
    """Raise where a modality does not fit the glimpses between blocks, one for each of its positions."""
    if exactly and found != allowed:
        raise ValueError(
            f"{what} has {found} positions: with layers > 1 and as_published it needs exactly"
            f" {setting}={allowed}; pad or cut it, change {setting}, or leave as_published out"
        )
    if found > allowed:
        raise ValueError(
            f"{what} has {found} positions that are not padding in all rows, {setting}={allowed}: with"
            f" layers > 1 each position needs a glimpse; raise {setting} or cut {what}"
        )
