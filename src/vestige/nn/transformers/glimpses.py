"""Glimpses: weighted sums over the positions of a modality, each with weights of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vestige.nn.transformers import dense
from vestige.nn.transformers.config import check_sizes, read_config
from vestige.nn.transformers.layers import MLP

_NEEDED = ("hidden_size", "projection_size", "dropout_rate")


def look(scores_BTG: Tensor, x_BTF: Tensor, mask: Tensor | None, as_published: bool) -> Tensor:
    """All glimpses, (B, G, F), in one product: sums of x weighted by the softmax of the scores over T.

    Padding weighs nothing; a row of padding alone gives zeros, or its plain mean with ``as_published``.
    """
    if mask is None:
        return scores_BTG.softmax(1).transpose(1, 2) @ x_BTF
    padding_BT1 = mask[:, 0, 0, :, None]
    weights = scores_BTG.masked_fill(padding_BT1, torch.finfo(scores_BTG.dtype).min).softmax(1)
    if not as_published:
        weights = weights.masked_fill(padding_BT1, 0)
    return weights.transpose(1, 2) @ x_BTF


class ModalityAdaptationLayer(nn.Module):
    """Several glimpses of one modality (CoLog, doi:10.1038/s41598-025-27693-4): glimpse g is
    sum over t of softmax_t(MLP(x_t)_g) x_t.

    Args:
        args: with ``hidden_size``, ``projection_size`` and ``dropout_rate``.
        num_glimpses: glimpses at most.
        merge: project all glimpses into one vector of 2 * hidden_size.
    """

    def __init__(self, args: object, num_glimpses: int, merge: bool = False) -> None:
        super().__init__()
        config = read_config(args, _NEEDED)
        check_sizes(num_glimpses=num_glimpses)
        self.args = args
        self.merge = merge
        self.num_glimpses = num_glimpses
        self.as_published = config.as_published
        size = config.hidden_size
        self.mlp = MLP(size, config.projection_size, num_glimpses, config.dropout_rate)
        if merge:
            self.output_projection = nn.Linear(size * num_glimpses, 2 * size)

    def forward(self, x: Tensor, x_mask: Tensor | None = None, glimpses: int | None = None) -> Tensor:
        """Look.

        Args:
            x: (batch, positions, hidden_size).
            x_mask: (batch, 1, 1, positions), True at padding; None for no padding.
            glimpses: only the first so many; all by default. Not with ``merge``.

        Returns:
            (batch, glimpses, hidden_size), or (batch, 2 * hidden_size) with ``merge``.
        """
        seen = look(self.mlp(x, glimpses), x, x_mask, self.as_published)
        if not self.merge:
            return seen
        return dense.apply_linear(seen.flatten(1), self.output_projection)


class AttentionFlatten(nn.Module):
    """One glimpse of the whole sequence, projected to 2 * hidden_size: flattening by attention.

    Args:
        args: with ``hidden_size``, ``projection_size`` and ``dropout_rate``.
    """

    def __init__(self, args: object) -> None:
        super().__init__()
        config = read_config(args, _NEEDED)
        self.args = args
        self.as_published = config.as_published
        self.mlp = MLP(config.hidden_size, config.projection_size, 1, config.dropout_rate)
        self.output_projection = nn.Linear(config.hidden_size, 2 * config.hidden_size)

    def forward(self, x: Tensor, x_mask: Tensor | None = None) -> Tensor:
        """x (batch, positions, hidden_size), x_mask (batch, 1, 1, positions) -> (batch, 2 * hidden_size)."""
        seen = look(self.mlp(x), x, x_mask, self.as_published)
        return dense.apply_linear(seen.flatten(1), self.output_projection)
