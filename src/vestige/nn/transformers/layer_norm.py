"""Layer normalisation (Ba, Kiros and Hinton, arXiv:1607.06450)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vestige.nn.transformers.config import check_sizes


class LayerNorm(nn.Module):
    """gamma * (x - mean) / sqrt(variance + eps) + beta over the last dimension.

    With ``as_published`` the divisor is the original's: the unbiased standard deviation plus eps.

    Args:
        size: features, the last dimension of what comes in.
        eps: keeps constant rows finite.
        as_published: divide as the original does.
    """

    def __init__(self, size: int, eps: float = 1e-6, *, as_published: bool = False) -> None:
        super().__init__()
        check_sizes(size=size)
        if not eps > 0:
            raise ValueError(f"eps={eps!r} must be above 0")
        self.eps = eps
        self.as_published = as_published
        self.gamma = nn.Parameter(torch.ones(size))
        self.beta = nn.Parameter(torch.zeros(size))

    def forward(self, x: Tensor) -> Tensor:
        """x (..., size) -> the same shape."""
        size = self.gamma.shape[0]
        if x.shape[-1] != size:
            raise ValueError(f"the input has {x.shape[-1]} features, this LayerNorm has size={size}")
        if not self.as_published:
            return F.layer_norm(x, (size,), self.gamma, self.beta, self.eps)
        centred = x - x.mean(dim=-1, keepdim=True)
        return self.gamma * (centred / (x.std(dim=-1, keepdim=True) + self.eps)) + self.beta

    def reset_parameters(self) -> None:
        """gamma to ones, beta to zeros."""
        nn.init.ones_(self.gamma)
        nn.init.zeros_(self.beta)

    def extra_repr(self) -> str:
        """Size and eps, and the mode where it is not the usual."""
        mode = ", as_published=True" if self.as_published else ""
        return f"size={self.gamma.shape[0]}, eps={self.eps}{mode}"
