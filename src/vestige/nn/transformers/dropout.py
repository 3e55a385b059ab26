"""Dropout with a cheaper draw.

``torch.nn.Dropout`` asks the CPU generator for one Bernoulli number an element, which is a quarter of a
training step of these models. Here one 64-bit draw decides for four elements, sixteen bits each, so the rate
is rounded to 1/65536 and the survivors are scaled by the rate as rounded. The draws come from torch's own
generator: seeds, forks and checkpointed blocks behave as usual.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vestige.nn.dispatch import being_traced

_LEVELS = 1 << 16


def survivor_scale(rate: float) -> float:
    """What survivors are multiplied by, so that expectations stay."""
    return 1 / (1 - _level(rate) / _LEVELS)


def draw_dropped(shape: torch.Size, rate: float) -> Tensor:
    """A bool CPU tensor, True with probability ``rate`` (rounded to 1/65536)."""
    count = math.prod(shape)
    words = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None)
    return words.view(torch.int16)[:count].view(shape) < _level(rate) - _LEVELS // 2


def _level(rate: float) -> int:
    return min(round(rate * _LEVELS), _LEVELS - 1)


class Dropout(nn.Dropout):
    """``torch.nn.Dropout``, drawn as above on the CPU, as ever on other devices and under compilers."""

    def forward(self, x: Tensor) -> Tensor:
        """x, any shape, with elements zeroed at rate ``p`` in training, the others scaled up."""
        if not self._draws_here(x):
            return F.dropout(x, self.p, self.training)
        return x.masked_fill(draw_dropped(x.shape, self.p), 0) * survivor_scale(self.p)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """x + dropout(y): the residual connection, in one pass less."""
        if not self._draws_here(y):
            return x + F.dropout(y, self.p, self.training)
        return torch.add(x, y.masked_fill(draw_dropped(y.shape, self.p), 0), alpha=survivor_scale(self.p))

    def _draws_here(self, x: Tensor) -> bool:
        return self.training and self.p > 0 and x.device.type == "cpu" and not being_traced()
