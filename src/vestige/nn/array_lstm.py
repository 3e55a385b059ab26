"""ArrayLSTM: k memories to a unit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige.nn.composed import step_lanes, sum_lanes
from vestige.nn.lstm import LSTM
from vestige.nn.recurrent import Recurrent, StackOptions

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from vestige.nn.inputs import States
    from vestige.nn.projections import Projections


class ArrayLSTM(LSTM):
    """k memories ("lanes") to a unit, each with gates of its own, all reading the same x and h; the unit's
    output is the sum of theirs (Rocki, arXiv:1607.03085, section 3): h = sum over k of o_k tanh(c_k).

    ``i2h`` and ``h2h`` hold the lanes one after another, (k, 4, hidden) rows. Options as for ``LSTM``.

    Example:
        >>> layer = ArrayLSTM(10, 32, k=4)
        >>> outputs, (hidden, state) = layer(torch.randn(4, 7, 10))
        >>> tuple(state.shape)
        (4, 4, 32)

    Args:
        input_size: features of x.
        hidden_size: features of h.
        k: lanes.
        options: those of ``LSTM``.
    """

    def __init__(self, input_size: int, hidden_size: int, k: int, **options: Unpack[StackOptions]) -> None:
        Recurrent.__init__(self, input_size, hidden_size, k, **options)

    def _cell(self, maps: Projections, x: Tensor, hidden: Tensor, state: Tensor) -> States:
        outputs, state = step_lanes(maps.i2h(x) + maps.h2h(hidden[0]), state)
        return self.update_hidden(outputs, state), state

    def update_hidden(self, outputs: Tensor, states: Tensor) -> Tensor:
        """How lanes become one output; override it to change that, and the override is used.

        Args:
            outputs: (k, batch, hidden_size), the output gates.
            states: (k, batch, hidden_size), the new cells.

        Returns:
            hidden, (1, batch, hidden_size).
        """
        return sum_lanes(outputs, states)

    def _repr_of_lanes(self) -> list[str]:
        return [f"k={self.k}"]
