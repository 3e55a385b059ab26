"""The plain LSTM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vestige.nn.composed import step_lanes, sum_lanes
from vestige.nn.recurrent import Recurrent, StackOptions

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from vestige.nn.inputs import States
    from vestige.nn.plan import Kind
    from vestige.nn.projections import Projections


class LSTM(Recurrent):
    """Long short-term memory: f, i, o = sigmoid(W x + U h + b); g = tanh(W x + U h + b); c = f c + i g;
    h = o tanh(c).

    Weights of the ``array-lstm`` package load unchanged: the first layer's are ``i2h`` and ``h2h``, rows in
    the order f, i, o, g. Those of further layers and directions are under ``l1``, ``l0_reverse`` and so on.
    float32 takes a fast path; every other dtype, and whatever needs plain operations, a general one.

    Example:
        >>> layer = LSTM(10, 32)
        >>> outputs, (hidden, state) = layer(torch.randn(4, 7, 10))
        >>> tuple(outputs.shape), tuple(hidden.shape), tuple(state.shape)
        ((4, 7, 32), (1, 4, 32), (1, 4, 32))

    Args:
        input_size: features of x.
        hidden_size: features of h.
        num_layers: layers, each reading the outputs of the one below.
        batch_first: tensors are (batch, time, features), as in the original, or (time, batch, features).
        dropout: probability, in training, of zeroing an output between two layers.
        bidirectional: read each sequence backwards as well; outputs are concatenated.
        init: ``"linear"``, the original's (that of ``nn.Linear``), or ``"xavier"``, the paper's.
        forget_bias: what the forget gates' bias starts from; the paper's is 1, None leaves it to ``init``.
        save_memory: compute the gates again in the backward pass instead of keeping them.
    """

    def __init__(self, input_size: int, hidden_size: int, **options: Unpack[StackOptions]) -> None:
        super().__init__(input_size, hidden_size, 1, **options)

    @property
    def _kind(self) -> Kind | None:
        return "sum"

    def _cell(self, maps: Projections, x: Tensor, hidden: Tensor, state: Tensor) -> States:
        outputs, state = step_lanes(maps.i2h(x) + maps.h2h(hidden[0]), state)
        return sum_lanes(outputs, state), state
