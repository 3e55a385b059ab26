"""From gathered stream values to what a model receives, by an encoder fitted on training rows only.

A dataset holds nothing fitted: its streams are row numbers into tables of unique symbols (messages,
addresses, event names) and plain numbers. What has to be learnt from the evidence before a model can
read it (templates, a vocabulary) is an `Encoder`: each source has its own, fitted after the split on
the training part, kept in the checkpoint, and used alike for training, evaluation and live scoring.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.steps import Steps
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, UNK, Input, Schema

Batch = dict[str, NDArray[Any]]
"""Model inputs by input name: see `schema.Input` for shapes and dtypes. The first axis is the window."""

LET_GO = 1 << 19
"""Windows after which a pass lets go of the pages that it read: some 50 MB of a log's."""


class Encoder(Protocol):
    """Turns gathered steps into model inputs. Fitted on training rows, then frozen."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it produces, vocabularies included."""

    @property
    def symbols(self) -> str:
        """Name of the dataset's table of unique symbols that its streams point into."""

    def bind(self, symbols: pl.DataFrame) -> BoundEncoder:
        """Look up, once, every unique symbol: of a dataset, or of a batch of live evidence."""

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """How much of what windows end on training never saw: shares by what is counted."""

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state for a checkpoint's header."""


class BoundEncoder(Protocol):
    """An encoder with the look-ups of one table of unique symbols."""

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Which streams the inputs called `names` are made of: only these are gathered."""

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """Only the inputs called `names`, from stream values `(B, length, ...)`."""


@dataclass(frozen=True)
class EncodedWindows:
    """A WindowSet with the encoder that makes model inputs of it: what models train on and are judged by."""

    windows: WindowSet
    encoder: Encoder
    bound: BoundEncoder

    @classmethod
    def of(cls, windows: WindowSet, encoder: Encoder) -> EncodedWindows:
        """Bind `encoder` to the dataset under `windows`."""
        return cls(windows, encoder, encoder.bind(windows.table(encoder.symbols)))

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def schema(self) -> Schema:
        """The dataset's schema with the encoder's fitted inputs."""
        return self.windows.schema.fitted(self.encoder.inputs)

    @property
    def label(self) -> NDArray[np.uint8]:
        """Class of every window, `(N,)` uint8."""
        return self.windows.label

    def over(self, windows: WindowSet) -> EncodedWindows:
        """The same encoder and look-ups over other windows of the same dataset."""
        return replace(self, windows=windows)

    def batch(self, rows: NDArray[Any] | slice = slice(None), names: tuple[str, ...] | None = None) -> Batch:
        """Inputs of the windows at `rows`; all of them, or those called `names`."""
        wanted = names
        if wanted is None:
            wanted = tuple(model_input.name for model_input in self.encoder.inputs)
        return self.bound.encode(self.windows.gather(rows, self.bound.streams(wanted)), wanted)

    def batches(
        self, size: int, names: tuple[str, ...] | None = None, *, let_go_after: int = LET_GO
    ) -> Iterator[tuple[NDArray[np.int64], Batch]]:
        """All windows in order, `size` at a time, with their row numbers. What a pass has read of the
        dataset's files does not stay resident: their pages are let go every `let_go_after` windows."""
        read = 0
        for start in range(0, len(self), size):
            rows = np.arange(start, min(start + size, len(self)))
            yield rows, self.batch(rows, names)
            read += len(rows)
            if read >= let_go_after:
                self.windows.let_go()
                read = 0


def mark_repeated_unknown(
    tokens_BT: NDArray[np.int64], symbol_BT: NDArray[Any], vocabulary: int
) -> NDArray[np.int64]:
    """Token ids that say whether the unknown event on which a window ends is new: where the window shows the
    same symbol before, it has the id `vocabulary`, one beyond all tokens, instead of UNK in all its places.
    Models read that as UNK; surprise need not be as great (`models.next_token`)."""
    unknown = np.flatnonzero(tokens_BT[:, -1] == UNK)
    same_UT = symbol_BT[unknown] == symbol_BT[unknown, -1:]
    same_UT &= same_UT[:, :-1].any(axis=1, keepdims=True)
    told = tokens_BT.copy()
    told[unknown] = np.where(same_UT, vocabulary, tokens_BT[unknown])
    return told


def unknown_rate(tokens: NDArray[Any]) -> float:
    """Share of UNK among the tokens that are no padding; 0 where there are none."""
    real = int((tokens != PAD).sum())
    if not real:
        return 0.0
    return float((tokens == UNK).sum()) / real
