"""The linear maps of one layer in one direction, and how they are initialised."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Iterator

Initialisation = Literal["linear", "xavier"]


class Projections(nn.Module):
    """``i2h`` and ``h2h``: (4 k hidden) rows, lane by lane, gates in the order f, i, o, g. With attention
    ``i2a``: (k hidden) rows, lane by lane; with recurrent attention ``h2a`` as well, without a bias.

    An LSTM is its own projections; further layers and directions add objects of this class.
    """

    i2h: nn.Linear
    h2h: nn.Linear
    i2a: nn.Linear | None
    h2a: nn.Linear | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        lanes: int,
        attends: bool = False,
        recurrent_attention: bool = False,
    ) -> None:
        super().__init__()
        self.i2h = nn.Linear(input_size, 4 * hidden_size * lanes)
        self.h2h = nn.Linear(hidden_size, 4 * hidden_size * lanes)
        self.i2a = nn.Linear(input_size, hidden_size * lanes) if attends else None
        self.h2a = nn.Linear(hidden_size, hidden_size * lanes, bias=False) if recurrent_attention else None

    def maps(self) -> Iterator[nn.Linear]:
        """The linear maps that this layer has, without those of other layers."""
        return (layer for layer in (self.i2h, self.h2h, self.i2a, self.h2a) if layer is not None)

    @torch.no_grad()
    def fill(self, how: Initialisation, forget_bias: float | None) -> None:
        """Draw all weights anew; ``forget_bias`` then takes the place of the forget gates' biases."""
        hidden = self.h2h.in_features
        for layer in self.maps():
            layer.reset_parameters()
            if how == "xavier":
                # Every gate of every lane is a square map of its own; as one tall map it would be drawn
                # far too narrow.
                for gate in torch.split(layer.weight, hidden):
                    nn.init.xavier_uniform_(gate)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if forget_bias is not None:
            self.i2h.bias.view(-1, 4, hidden)[:, 0] = forget_bias
            self.h2h.bias.view(-1, 4, hidden)[:, 0] = 0
