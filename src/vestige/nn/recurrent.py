"""What all layers share: stacking, directions, lengths, states, and the choice between the two paths."""

from __future__ import annotations

import copy
import warnings
from functools import partial
from typing import TYPE_CHECKING, ClassVar, TypedDict

import torch
from torch.nn.functional import dropout as drop_out
from torch.nn.utils.rnn import PackedSequence

from vestige.nn import dispatch, fast
from vestige.nn.composed import unroll
from vestige.nn.inputs import Batch, pack_like, read_batch, read_states
from vestige.nn.plan import BLOCK_BYTES, Kind, Plan
from vestige.nn.products import padding_for
from vestige.nn.projections import Initialisation, Projections

if TYPE_CHECKING:
    from torch import Tensor

    from vestige.nn.composed import Cell
    from vestige.nn.inputs import Lengths, States

    Result = tuple[Tensor | PackedSequence, States]


class StackOptions(TypedDict, total=False):
    """Keyword arguments that every layer takes; ``LSTM`` documents them."""

    num_layers: int
    batch_first: bool
    dropout: float
    bidirectional: bool
    init: Initialisation
    forget_bias: float | None
    save_memory: bool


class Recurrent(Projections):
    """Abstract: a subclass says what one step is (``_cell``) and which fast path equals it (``_kind``)."""

    _forget_sign: ClassVar[int] = 1
    block_bytes: int = BLOCK_BYTES
    """See `Plan.block_bytes`."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        k: int,
        *,
        attends: bool = False,
        recurrent_attention: bool = False,
        num_layers: int = 1,
        batch_first: bool = True,
        dropout: float = 0.0,
        bidirectional: bool = False,
        init: Initialisation = "linear",
        forget_bias: float | None = None,
        save_memory: bool = False,
    ) -> None:
        sizes = {"input_size": input_size, "hidden_size": hidden_size, "k": k, "num_layers": num_layers}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} is {size}: expected a positive number")
        if not 0 <= dropout <= 1:
            raise ValueError(f"dropout is {dropout}: expected a probability")
        if init not in {"linear", "xavier"}:
            raise ValueError(f"init is {init!r}: expected 'linear' or 'xavier'")
        if dropout and num_layers == 1:
            warnings.warn("dropout acts between layers, and there is one layer only", stacklevel=3)
        super().__init__(input_size, hidden_size, k, attends, recurrent_attention)
        self.input_size, self.hidden_size, self.k = input_size, hidden_size, k
        self.num_layers, self.bidirectional, self.batch_first = num_layers, bidirectional, batch_first
        self.dropout, self.save_memory = dropout, save_memory
        self.init, self.forget_bias = init, forget_bias
        directions = 2 if bidirectional else 1
        for layer, reverse in self._places()[1:]:
            features = hidden_size * directions if layer else input_size
            maps = Projections(features, hidden_size, k, attends, recurrent_attention)
            self.add_module(_name(layer, reverse), maps)
        if init != "linear" or forget_bias is not None:
            self.reset_parameters()

    def _places(self) -> list[tuple[int, bool]]:
        """(layer, reverse) of all projections, in the order of the states."""
        directions = (False, True) if self.bidirectional else (False,)
        return [(layer, reverse) for layer in range(self.num_layers) for reverse in directions]

    def _maps(self, layer: int, reverse: bool) -> Projections:
        if layer == 0 and not reverse:
            return self
        maps = self.get_submodule(_name(layer, reverse))
        assert isinstance(maps, Projections)  # noqa: S101 - for mypy
        return maps

    def reset_parameters(self, init: Initialisation | None = None, forget_bias: float | None = None) -> None:
        """Draw all weights anew, as the constructor was told, or as told here."""
        bias = self.forget_bias if forget_bias is None else forget_bias
        if bias is not None:
            bias *= self._forget_sign
        for layer, reverse in self._places():
            self._maps(layer, reverse).fill(init or self.init, bias)

    def extra_repr(self) -> str:
        """Sizes, and the options that differ from the original's."""
        said = [f"{self.input_size}, {self.hidden_size}", *self._repr_of_lanes()]
        defaults = {"num_layers": 1, "batch_first": True, "dropout": 0.0, "bidirectional": False}
        more = {"init": "linear", "forget_bias": None, "save_memory": False}
        values = [(name, getattr(self, name), usual) for name, usual in {**defaults, **more}.items()]
        return ", ".join(said + [f"{name}={value!r}" for name, value, usual in values if value != usual])

    def _repr_of_lanes(self) -> list[str]:
        return []

    # --- one step -----------------------------------------------------------------------------------

    def _cell(self, maps: Projections, x: Tensor, hidden: Tensor, state: Tensor) -> States:
        """x (batch, input), hidden (1, batch, hidden), state (k, batch, hidden) -> the next of the latter."""
        raise NotImplementedError

    @property
    def _kind(self) -> Kind | None:
        """The fast path that computes ``_cell`` as configured, or None where there is none."""
        raise NotImplementedError

    def forward_cell(self, x: Tensor, hidden: Tensor, state: Tensor) -> States:
        """One step of the first layer; override it to change the step, and the override is used.

        Args:
            x: (batch, input_size).
            hidden: (1, batch, hidden_size).
            state: (k, batch, hidden_size).

        Returns:
            The next hidden and state, of the same shapes; the arguments stay as they were.
        """
        if hidden.dim() == 2:
            hidden = hidden.unsqueeze(0)
        if state.dim() == 2:
            state = state.expand(self.k, *state.shape)
        return self._cell(self, x, hidden, state)

    def initHidden(self, x: Tensor) -> States:  # noqa: N802 - the original's name
        """Zero states for ``x`` (batch, ...): hidden (1, batch, hidden_size), state (k, batch, hidden_size),
        both times the number of layers and directions."""
        places, dtype = len(self._places()), next(self.parameters()).dtype
        return (
            x.new_zeros(places, x.shape[0], self.hidden_size, dtype=dtype),
            x.new_zeros(places * self.k, x.shape[0], self.hidden_size, dtype=dtype),
        )

    # --- whole sequences ----------------------------------------------------------------------------

    def forward(
        self, x: Tensor | PackedSequence, hidden: States | None = None, lengths: Lengths | None = None
    ) -> Result:
        """All sequences, all steps.

        Args:
            x: (batch, time, input_size), (time, batch, input_size) with ``batch_first=False``,
                (time, input_size) for a single sequence, or a PackedSequence. Zero steps or sequences do.
            hidden: (hidden, state) to start from: hidden (1, batch, hidden_size) and state
                (k, batch, hidden_size), or (batch, hidden_size) for either, which then starts every lane.
                Zeros by default. It is never changed.
            lengths: steps of each sequence, in any order; outputs beyond are zero, final states are those
                at a sequence's own end.

        Returns:
            Outputs, in the form of ``x`` with hidden_size features (twice as many for both directions), and
            the final (hidden, state) in the first of the forms above. With several layers or directions the
            first dimension counts (layer, direction) and, for the state, lanes within.

        Raises:
            ValueError: a wrong shape; it names the right one.
            TypeError: input and weights differ in dtype, outside autocast.
        """
        batch = read_batch(x, self.input_size, self.batch_first, lengths)
        self._check_dtype("input", batch.x)
        if hidden is None:
            hidden = self.initHidden(batch.unsort(batch.x, 0))
            if batch.unbatched:
                hidden = hidden[0].squeeze(1), hidden[1].squeeze(1)
        self._check_dtype("hidden", hidden[0])
        self._check_dtype("state", hidden[1])
        h, state = read_states(hidden, batch, self.hidden_size, len(self._places()), self.k)
        out, h, state = self._run_layers(batch, h, state)
        return self._present(x, batch, out, (batch.unsort(h, 1), batch.unsort(state, 2).flatten(0, 1)))

    def _check_dtype(self, name: str, given: Tensor) -> None:
        dtype = next(self.parameters()).dtype
        if given.dtype != dtype and not torch.is_autocast_enabled(given.device.type):
            raise TypeError(
                f"{name} is {given.dtype}, the weights are {dtype}: convert one of them, with"
                f" {name}.to({dtype}) or layer.to({given.dtype})"
            )

    def _run_layers(self, batch: Batch, h: Tensor, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        counts, out, directions = batch.row_counts, batch.x, []
        hidden_ends, state_ends = [], []
        for at, (layer, reverse) in enumerate(self._places()):
            # Both directions of a layer read what the layer below gave, dropped once for the two.
            if not reverse:
                below = out
                if layer and self.dropout:
                    below = drop_out(out, self.dropout, self.training)
            source = below
            if reverse:
                source = _turned(below, batch.lengths)
            out, h_end, state_end = self._run(self._maps(layer, reverse), source, h[at], state[at], counts)
            if reverse:
                out = _turned(out, batch.lengths)
            directions.append(out)
            hidden_ends.append(h_end)
            state_ends.append(state_end)
            if reverse:
                out = torch.cat(directions, dim=-1)
            if reverse or not self.bidirectional:
                directions = []
        return out, torch.stack(hidden_ends), torch.stack(state_ends)

    def _present(self, x: Tensor | PackedSequence, batch: Batch, out: Tensor, states: States) -> Result:
        """Rows, dimensions and packing as the caller had them."""
        if isinstance(x, PackedSequence):
            assert batch.lengths is not None  # noqa: S101 - for mypy
            return pack_like(x, out, batch.lengths), states
        out = batch.unsort(out, 0)
        if batch.unbatched:
            return out.squeeze(0), (states[0].squeeze(1), states[1].squeeze(1))
        if not self.batch_first:
            out = out.transpose(0, 1)
        return out, states

    def _run(
        self, maps: Projections, x: Tensor, h: Tensor, state: Tensor, counts: tuple[int, ...] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One layer in one direction: x_BTI, h_BH, state_KBH -> outputs_BTH and final states."""
        if self._kind is not None and not dispatch.being_traced() and not self._is_overridden():
            weights = dispatch.plain_weights(maps)
            if weights and dispatch.is_supported([x, h, state, *weights]):
                batch, steps, inputs = x.shape
                sizes = (batch, steps, inputs, self.hidden_size, self.k)
                padding = padding_for(self.hidden_size + inputs + 1, x.device)
                plan = Plan(self._kind, *sizes, counts, self.save_memory, padding, self.block_bytes)
                return fast.run(plan, x, h, state, *weights)
        out, hidden, state = unroll(self._cell_of(maps), x, h.unsqueeze(0), state, counts)
        return out, hidden.squeeze(0), state

    def _is_overridden(self) -> bool:
        """Whether a subclass, or an assignment to this object, replaced the step or a part of it."""
        package = __name__.rpartition(".")[0]
        ours = next(kind for kind in type(self).__mro__ if kind.__module__.rpartition(".")[0] == package)
        return any(
            name in self.__dict__ or getattr(type(self), name, None) is not getattr(ours, name, None)
            for name in ("forward_cell", "update_hidden", "_cell")
        )

    def _cell_of(self, maps: Projections) -> Cell:
        if maps is self:
            return self.forward_cell
        if not self._is_overridden():
            return partial(self._cell, maps)
        # An override speaks of self.i2h and self.h2h: let it see this object with that layer's maps.
        view = copy.copy(self)
        view.__dict__["_modules"] = {**self._modules, **maps._modules}
        view.input_size = maps.i2h.in_features
        return view.forward_cell


def _name(layer: int, reverse: bool) -> str:
    return f"l{layer}_reverse" if reverse else f"l{layer}"


def _turned(x_BTF: Tensor, lengths: tuple[int, ...] | None) -> Tensor:
    """Every sequence backwards; what lies beyond its length stays where it is."""
    if lengths is None:
        return x_BTF.flip(1)
    step = torch.arange(x_BTF.shape[1], device=x_BTF.device)
    length = torch.tensor(lengths, device=x_BTF.device).unsqueeze(1)
    place = torch.where(step < length, length - 1 - step, step)
    return x_BTF.gather(1, place.unsqueeze(-1).expand_as(x_BTF))
