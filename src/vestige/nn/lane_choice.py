"""Choosing lanes, by their weights or by chance, and what the gradient sees of the choice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def draw(logits: Tensor, dim: int) -> Tensor:
    """Indices, ``dim`` kept, drawn from the softmax of the logits along ``dim`` (by Gumbel's maximum)."""
    gumbel = -torch.empty_like(logits).exponential_().log()
    return (logits.detach() + gumbel).max(dim=dim, keepdim=True).indices


def only(weights: Tensor, chosen: Tensor) -> Tensor:
    """(batch, k, hidden) weights with those of lanes that were not chosen set to zero."""
    return weights * _indicator(weights, chosen)


def one_instead_of(weights: Tensor, chosen: Tensor, soft_backward: bool) -> Tensor:
    """1 for the chosen lane and 0 for the others. Backwards the weights themselves stand in its place: all
    of them, as if attention had been soft, or the chosen lane's alone."""
    indicator = _indicator(weights, chosen)
    through = weights - weights.detach()
    return indicator + (through if soft_backward else indicator * through)


def random_lanes(like_KBH: Tensor, groups: int) -> Tensor:
    """(k, batch, 1) ones and zeros: of the lanes in each of ``groups`` equal groups, one at random."""
    lanes, batch, _ = like_KBH.shape
    noise = torch.rand(groups, lanes // groups, batch, 1, device=like_KBH.device)
    chosen = noise.max(dim=1, keepdim=True).indices
    return torch.zeros_like(noise).scatter_(1, chosen, 1).to(like_KBH.dtype).flatten(0, 1)


def _indicator(weights: Tensor, chosen: Tensor) -> Tensor:
    return torch.zeros_like(weights).scatter(1, chosen, 1)
