"""What callers may pass, brought into one form: (batch, time, input) and states with all dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    States = tuple[Tensor, Tensor]
    Lengths = Sequence[int] | Tensor


@dataclass(frozen=True)
class Batch:
    """``x`` (batch, time, input), rows by descending length where ``lengths`` is given; ``order`` sorted
    the rows so, ``restore`` undoes it (both None where nothing had to move)."""

    x: Tensor
    lengths: tuple[int, ...] | None = None
    order: Tensor | None = None
    restore: Tensor | None = None
    packed: bool = False
    unbatched: bool = False

    @property
    def row_counts(self) -> tuple[int, ...] | None:
        """How many rows still run at each step, or None where all run to the end."""
        steps = self.x.shape[1]
        if self.lengths is None or all(length == steps for length in self.lengths):
            return None
        return tuple(sum(length > t for length in self.lengths) for t in range(steps))

    def sort(self, states: Tensor, dim: int) -> Tensor:
        if self.order is None:
            return states
        return states.index_select(dim, self.order)

    def unsort(self, tensor: Tensor, dim: int) -> Tensor:
        if self.restore is None:
            return tensor
        return tensor.index_select(dim, self.restore)


def read_batch(
    x: Tensor | PackedSequence, input_size: int, batch_first: bool, lengths: Lengths | None
) -> Batch:
    """Raises ValueError, naming the expected shape, for anything that is no batch of sequences."""
    if isinstance(x, PackedSequence):
        if lengths is not None:
            raise ValueError("a PackedSequence carries its lengths: leave `lengths` out")
        return _from_packed(x, input_size)
    names = "batch, time" if batch_first else "time, batch"
    if x.dim() not in {2, 3} or x.shape[-1] != input_size:
        raise ValueError(
            f"input of shape {tuple(x.shape)}: expected ({names}, {input_size}), or (time, {input_size})"
            " for a single sequence"
        )
    unbatched = x.dim() == 2
    if unbatched:
        x = x.unsqueeze(0)
    elif not batch_first:
        x = x.transpose(0, 1)
    if lengths is None:
        return Batch(x, unbatched=unbatched)
    return _with_lengths(x, lengths, unbatched)


def _from_packed(x: PackedSequence, input_size: int) -> Batch:
    if x.data.dim() != 2 or x.data.shape[-1] != input_size:
        raise ValueError(
            f"packed input whose data has shape {tuple(x.data.shape)}: expected (rows, {input_size})"
        )
    # Without its indices the sequence stays sorted, the order in which steps drop their rows.
    padded, lengths = pad_packed_sequence(PackedSequence(x.data, x.batch_sizes), batch_first=True)
    return Batch(padded, tuple(lengths.tolist()), x.sorted_indices, x.unsorted_indices, packed=True)


def _with_lengths(x: Tensor, lengths: Lengths, unbatched: bool) -> Batch:
    batch, steps = x.shape[:2]
    length = torch.as_tensor(lengths, dtype=torch.int64, device="cpu").reshape(-1)
    if len(length) != batch or bool((length < 0).any()) or bool((length > steps).any()):
        raise ValueError(
            f"lengths {length.tolist()}: expected {batch} of them, one per sequence, from 0 to {steps}"
        )
    length, order = length.sort(descending=True, stable=True)
    order = order.to(x.device)
    return Batch(
        x.index_select(0, order), tuple(length.tolist()), order, order.argsort(), unbatched=unbatched
    )


def pack_like(x: PackedSequence, out: Tensor, lengths: tuple[int, ...]) -> PackedSequence:
    """Sorted outputs (batch, time, features) in the form, and with the indices, of the packed input."""
    packed = pack_padded_sequence(out, torch.tensor(lengths), batch_first=True)
    return PackedSequence(packed.data, packed.batch_sizes, x.sorted_indices, x.unsorted_indices)


def read_states(hidden: States, batch: Batch, size: int, stacked: int, lanes: int) -> States:
    """Initial states as (stacked, batch, hidden) and (stacked, k, batch, hidden), rows in batch order.

    ``stacked`` counts layers times directions. Accepted for each: all dimensions; (batch, hidden), which
    then starts every layer and lane; without the batch where the input has none. ValueError otherwise.
    """
    h, state = hidden
    rows = batch.x.shape[0]
    h = _read_state("hidden", h, (stacked, rows, size), batch.unbatched)
    state = _read_state("state", state, (stacked * lanes, rows, size), batch.unbatched)
    return batch.sort(h, 1), batch.sort(state.reshape(stacked, lanes, rows, size), 2)


def _read_state(name: str, given: Tensor, full: tuple[int, int, int], unbatched: bool) -> Tensor:
    shape, (first, rows, size) = tuple(given.shape), full
    if unbatched and shape == (first, size):
        return given.unsqueeze(1)
    if unbatched and shape == (size,):
        return given.expand(first, 1, size)
    if shape == (first, rows, size):
        return given
    if shape == (rows, size):
        return given.expand(first, rows, size)
    expected = f"{full} or ({rows}, {size})"
    if unbatched:
        expected = f"({first}, {size}) or ({size},)"
    raise ValueError(f"{name} of shape {shape}: expected {expected}")
