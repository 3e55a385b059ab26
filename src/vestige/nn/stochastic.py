"""StochasticArrayLSTM: one lane speaks for the unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from vestige.nn import lane_choice
from vestige.nn.array_lstm import ArrayLSTM
from vestige.nn.composed import step_lanes, sum_lanes, top_lane
from vestige.nn.recurrent import StackOptions

if TYPE_CHECKING:
    from typing import Unpack

    from torch import Tensor

    from vestige.nn.inputs import States
    from vestige.nn.plan import Kind
    from vestige.nn.projections import Projections

StochasticSelection = Literal["argmax", "sample", "lane", "lane-of-two"]
Evaluation = Literal["expectation", "argmax"]


class StochasticArrayLSTM(ArrayLSTM):
    """Lanes as in ``ArrayLSTM``, but one of them, unit by unit, gives the output (section 5.1).

    The default is the original's, so that its weights give its numbers. What the paper describes are
    options; they take the general path. Others as for ``LSTM``.

    Args:
        input_size: features of x.
        hidden_size: features of h.
        k: lanes.
        selection: ``"argmax"``, the original's: the lane with the largest output gate, in training too;
            ``"sample"``, the paper's output pooling: a lane drawn from softmax(o), gradient through it alone;
            ``"lane"``, the paper's stochastic memory array (section 5.2): one lane, drawn uniformly for each
            sequence and step, is active, the others keep their cells and stay silent; ``"lane-of-two"``: one
            lane out of each pair of neighbours.
        evaluation: outside training, ``"expectation"`` over the draw, or ``"argmax"`` (for ``"sample"``).
        options: those of ``LSTM``.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        k: int,
        *,
        selection: StochasticSelection = "argmax",
        evaluation: Evaluation = "expectation",
        **options: Unpack[StackOptions],
    ) -> None:
        if selection not in get_args(StochasticSelection):
            raise ValueError(f"selection is {selection!r}: expected one of {get_args(StochasticSelection)}")
        if evaluation not in get_args(Evaluation):
            raise ValueError(f"evaluation is {evaluation!r}: expected one of {get_args(Evaluation)}")
        if selection == "lane-of-two" and k % 2:
            raise ValueError(f"k is {k}: lanes in pairs need an even number")
        if evaluation == "argmax" and selection in {"lane", "lane-of-two"}:
            raise ValueError(
                f"selection={selection!r} draws uniformly, no lane is likeliest: use 'expectation'"
            )
        super().__init__(input_size, hidden_size, k, **options)
        self.selection, self.evaluation = selection, evaluation

    @property
    def _kind(self) -> Kind | None:
        return "top" if self.selection == "argmax" else None

    def _cell(self, maps: Projections, x: Tensor, hidden: Tensor, state: Tensor) -> States:
        outputs, new = step_lanes(maps.i2h(x) + maps.h2h(hidden[0]), state)
        if self.selection in {"lane", "lane-of-two"}:
            groups = 1 if self.selection == "lane" else self.k // 2
            # In expectation a lane takes its share of every step.
            active = lane_choice.random_lanes(new, groups) if self.training else groups / self.k
            outputs, new = active * outputs, state + active * (new - state)
        return self.update_hidden(outputs, new), new

    def update_hidden(self, outputs: Tensor, states: Tensor) -> Tensor:
        """h = o tanh(c) of the chosen lane; shapes as in ``ArrayLSTM.update_hidden``."""
        if self.selection in {"lane", "lane-of-two"}:
            return sum_lanes(outputs, states)
        if self.selection == "argmax" or (not self.training and self.evaluation == "argmax"):
            return top_lane(outputs, states)
        if not self.training:
            return sum_lanes(outputs.softmax(dim=0) * outputs, states)
        lane = lane_choice.draw(outputs, 0)
        return sum_lanes(outputs.gather(0, lane), states.gather(0, lane))

    def _repr_of_lanes(self) -> list[str]:
        said = [f"k={self.k}"]
        if self.selection != "argmax":
            said.append(f"selection={self.selection!r}, evaluation={self.evaluation!r}")
        return said
