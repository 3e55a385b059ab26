"""Batches for a neural detector: whole index slices, never a window at a time.

Letters: B windows of a batch, N windows of the set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vestige.models.neural import NeuralDetector
from vestige.reading.encoding import EncodedWindows
from vestige.training.ranks import Ranks
from vestige.training.shuffling import Shuffled

CHUNK = 4_096
LISTED = 1 << 24
"""Windows of which the order of an epoch is listed at most, in 128 MiB; that of more is computed."""
TOUCHED = 1 << 16
"""Bytes of a mapped file that become resident where one window is read: the kernel maps pages around."""
RESIDENT = 1 << 29
"""Bytes of mapped files that may be resident before they are let go."""
Tensors = tuple[Tensor, ...]
ALONE = Ranks()
"""A process that trains by itself."""


class Rows(Protocol):
    """The selected inputs of every window, and what is to be predicted of it, by row number."""

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""

    def __len__(self) -> int:
        """Windows."""

    @property
    def nbytes(self) -> int:
        """Memory that they take."""

    def take(self, rows: NDArray[np.int64]) -> tuple[Tensors, Tensor]:
        """The model's tensors for the windows at `rows (B,)`, and their targets `(B,)` int64."""


@dataclass(frozen=True)
class CachedRows:
    """Every window encoded, selected and on the device already."""

    tensors: Tensors
    target: Tensor

    @property
    def nbytes(self) -> int:
        """Memory that the tensors take."""
        return sum(tensor.nbytes for tensor in (*self.tensors, self.target))

    @property
    def device(self) -> torch.device:
        """See `Rows.device`."""
        return self.target.device

    def __len__(self) -> int:
        return len(self.target)

    def take(self, rows: NDArray[np.int64]) -> tuple[Tensors, Tensor]:
        """Index the tensors."""
        index = torch.from_numpy(rows).to(self.device)
        return tuple(tensor.index_select(0, index) for tensor in self.tensors), self.target[index]


@dataclass
class GatheredRows:
    """Encoded and selected when asked for: a set larger than memory trains. Pages of the dataset's files are
    let go from time to time, so that no more of them than `RESIDENT` bytes count as this process's memory."""

    detector: NeuralDetector
    windows: EncodedWindows
    device: torch.device
    nbytes: int = 0
    touched: int = 0
    """Bytes of mapped files that were read since they were let go."""

    def __len__(self) -> int:
        return len(self.windows)

    def take(self, rows: NDArray[np.int64]) -> tuple[Tensors, Tensor]:
        """Gather, encode, select (`to_tensors` does)."""
        X = self.windows.batch(rows, self.detector.input_names)
        target = self.detector.targets(X, self.windows.label[rows])
        self.touched += len(rows) * TOUCHED
        if self.touched > RESIDENT:
            self.windows.windows.let_go()
            self.touched = 0
        return self.detector.to_tensors(X, self.device), torch.from_numpy(target).to(self.device)


def rows_of(
    detector: NeuralDetector, windows: EncodedWindows, device: torch.device, limit: int
) -> CachedRows | GatheredRows:
    """Cached where the selected inputs take at most `limit` bytes, else gathered batch by batch."""
    gathered = GatheredRows(detector, windows, device)
    n = len(windows)
    inputs, target = gathered.take(np.arange(min(n, CHUNK)))
    first = (*inputs, target)
    if sum(tensor.nbytes for tensor in first) * n > limit * min(n, CHUNK):
        return gathered
    whole = tuple(tensor.new_empty((n, *tensor.shape[1:])) for tensor in first)
    for start in range(0, n, CHUNK):
        rows = np.arange(start, min(start + CHUNK, n))
        if start:
            inputs, target = gathered.take(rows)
        for store, part in zip(whole, (*inputs, target), strict=True):
            store[start : start + len(rows)] = part
    return CachedRows(whole[:-1], whole[-1])


@dataclass(frozen=True)
class TrainingBatch:
    """`inputs` (each `(B, ...)`), `target (B,)` int64, its share of its optimiser step's windows.

    Of several processes each has a part of every batch, and gradients are averaged: the share is then so many
    times as large. One that has no part in a short last batch gets a window that counts nothing: share 0.
    """

    inputs: Tensors
    target: Tensor
    share: float


class Loader:
    """The training windows, or `most` of them, drawn and shuffled anew in every epoch by (seed, epoch) alone.

    Its whole state is (`epoch`, `batch`): the next batch to come. `len` is what is left of this epoch. Of
    several processes (`ranks`) each is given its part of the same batch of `size` windows for each. Above
    `listed` windows the order is computed batch by batch (`Shuffled`).
    """

    def __init__(
        self,
        rows: Rows,
        *,
        size: int,
        accumulate: int,
        seed: int,
        most: int | None = None,
        ranks: Ranks = ALONE,
        listed: int = LISTED,
    ) -> None:
        self.rows, self.ranks, self.listed = rows, ranks, listed
        size *= ranks.world
        self.size, self.accumulate, self.seed = size, accumulate, seed
        self.windows = min(len(rows), most or len(rows))
        self.batches = -(-self.windows // size)
        self.epoch = self.batch = 0

    @property
    def steps(self) -> int:
        """Optimiser steps an epoch; the last may take fewer batches."""
        return -(-self.batches // self.accumulate)

    @property
    def between_steps(self) -> bool:
        """Whether no gradient is under way."""
        return self.batch % self.accumulate == 0 or self.batch == self.batches

    def __len__(self) -> int:
        return self.batches - self.batch

    def __iter__(self) -> Iterator[TrainingBatch]:
        rows_at = self._order()
        while self.batch < self.batches:
            begin = self.batch * self.size
            rows = rows_at(begin, min(begin + self.size, self.windows))
            own = rows[self.ranks.rank :: self.ranks.world]
            share = len(own) * self.ranks.world / self._step_windows()
            rows = own if len(own) else rows[:1]
            inputs, target = self.rows.take(rows)
            self.batch += 1
            yield TrainingBatch(inputs, target, share)

    def _order(self) -> Callable[[int, int], NDArray[np.int64]]:
        """What gives the rows from one place of the epoch's order to another."""
        if len(self.rows) > self.listed:
            return Shuffled(len(self.rows), self.seed, self.epoch).rows
        rng = np.random.default_rng([self.seed, self.epoch])
        if self.windows == len(self.rows):
            order = rng.permutation(self.windows)
        else:
            order = rng.choice(len(self.rows), self.windows, replace=False)
        return lambda begin, end: order[begin:end]

    def _step_windows(self) -> int:
        span = self.accumulate * self.size
        first = self.batch // self.accumulate * span
        return min(first + span, self.windows) - first

    def next_epoch(self) -> None:
        """Begin the next epoch."""
        self.epoch, self.batch = self.epoch + 1, 0

    def state_dict(self) -> dict[str, int]:
        """Where in the training this is, JSON-ready."""
        return {"epoch": self.epoch, "batch": self.batch}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to where `state_dict` was taken."""
        self.epoch, self.batch = state["epoch"], state["batch"]
