"""AttentionArrayLSTM: lanes weighted, or chosen, by attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from vestige.nn import lane_choice
from vestige.nn.array_lstm import ArrayLSTM
from vestige.nn.composed import largest_for_all, step_weighted_lanes
from vestige.nn.recurrent import Recurrent, StackOptions

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from vestige.nn.inputs import States
    from vestige.nn.plan import Kind
    from vestige.nn.projections import Projections

AttentionSelection = Literal["soft", "max", "semi-hard", "hard"]


class AttentionArrayLSTM(ArrayLSTM):
    """Lanes weighted by attention (section 4.1): a_k = sigmoid(W x + b), s = softmax of a over lanes;
    f, i and o are scaled by s_k, and f erases: c_k = (1 - s_k f) c_k + s_k i g.

    The defaults are the original's, so that its weights (``i2a`` holds W and b) give its numbers. What the
    paper describes beyond them are options; they take the general path. Others as for ``LSTM``;
    ``forget_bias`` is put in with its sign turned, since here a large f forgets.

    Args:
        input_size: features of x.
        hidden_size: features of h.
        k: lanes.
        max_pooling: the original's: the largest s_k scales all lanes, instead of each its own.
        selection: ``"soft"``; ``"max"``, the paper's max pooling: the lane with the largest s_k, unit by
            unit, is used, scaled by it, and gets gradient, the others keep their cells; ``"semi-hard"`` and
            ``"hard"`` (section 5.2.1): a lane drawn from s is used, unscaled, and in the backward pass s
            stands for the draw, of all lanes or of the drawn one; outside training the likeliest lane.
        recurrent_attention: the paper's a_k = sigmoid(W x + U h + b); U is ``h2a``, without a bias.
        options: those of ``LSTM``.
    """

    _forget_sign: ClassVar[int] = -1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        k: int,
        max_pooling: bool = False,
        *,
        selection: AttentionSelection = "soft",
        recurrent_attention: bool = False,
        **options: Unpack[StackOptions],
    ) -> None:
        if selection not in get_args(AttentionSelection):
            raise ValueError(f"selection is {selection!r}: expected one of {get_args(AttentionSelection)}")
        if max_pooling and selection != "soft":
            raise ValueError(f"max_pooling is the original's, selection={selection!r} the paper's: use one")
        Recurrent.__init__(
            self,
            input_size,
            hidden_size,
            k,
            attends=True,
            recurrent_attention=recurrent_attention,
            **options,
        )
        self.max_pooling, self.selection = max_pooling, selection

    @property
    def _kind(self) -> Kind | None:
        if self.selection != "soft" or self.h2a is not None:
            return None
        return "pooled" if self.max_pooling else "attention"

    def _cell(self, maps: Projections, x: Tensor, hidden: Tensor, state: Tensor) -> States:
        weights = self._lane_weights(maps, x, hidden[0])
        outputs, state = step_weighted_lanes(maps.i2h(x) + maps.h2h(hidden[0]), state, weights)
        return self.update_hidden(outputs, state), state

    def _lane_weights(self, maps: Projections, x: Tensor, h: Tensor) -> Tensor:
        """(batch, k, hidden): by how much each lane's gates are scaled."""
        assert maps.i2a is not None  # noqa: S101 - for mypy
        attention = maps.i2a(x)
        if maps.h2a is not None:
            attention = attention + maps.h2a(h)
        logits = attention.sigmoid().view(x.shape[0], self.k, self.hidden_size)
        weights = logits.softmax(dim=1)
        if self.selection == "soft":
            return largest_for_all(weights) if self.max_pooling else weights
        if self.training and self.selection != "max":
            lane = lane_choice.draw(logits, 1)
        else:
            lane = weights.max(dim=1, keepdim=True).indices
        if self.selection == "max":
            return lane_choice.only(weights, lane)
        return lane_choice.one_instead_of(weights, lane, soft_backward=self.selection == "semi-hard")

    def _repr_of_lanes(self) -> list[str]:
        said = [f"k={self.k}"]
        if self.max_pooling:
            said.append("max_pooling=True")
        if self.selection != "soft":
            said.append(f"selection={self.selection!r}")
        if self.h2a is not None:
            said.append("recurrent_attention=True")
        return said
