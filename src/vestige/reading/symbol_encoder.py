"""A stock encoder for sources whose steps are symbols: what a new source needs no code of its own for.

Fitted on training windows only. Letters: B windows, T steps, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.encoding import Batch, unknown_rate
from vestige.reading.steps import Steps
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Feature, Input

INPUTS = (Input("tokens", "tokens"), Input("summary", "summary"))
"""What a dataset's schema says before anything is fitted."""
MAX_KNOWN = 65_536
"""Symbols that have a token: whatever is rarer in training is unknown."""
MAX_COLUMNS = 512
"""The most frequent symbols have a column in the summary."""


@dataclass(frozen=True)
class SymbolEncoder:
    """The symbols of the training windows, most frequent first, frozen.

    Two inputs: `tokens (B, T)` int64, PAD before a recording begins, UNK for a symbol that training never
    saw; `summary (B, F)` float32: 1 for the last symbol, how often each frequent one is in the window, and
    how many are unknown.
    `stream` holds rows of the table `symbols`, whose column `text` names them.
    """

    stream: str
    symbols: str
    known: tuple[str, ...]

    @classmethod
    def fit(cls, train: WindowSet, *, stream: str, symbols: str) -> Self:
        """Learn from the steps that training windows end on."""
        table = train.table(symbols)
        often = train.times_judged(stream, len(table))
        texts = table["text"].to_list()
        seen = sorted(np.flatnonzero(often).tolist(), key=lambda row: (-int(often[row]), texts[row]))
        return cls(stream, symbols, tuple(texts[row] for row in seen if row)[:MAX_KNOWN])

    @property
    def inputs(self) -> tuple[Input, ...]:
        """`tokens` with its vocabulary and `summary` with its features."""
        tokens, summary = INPUTS
        named = self.known[:MAX_COLUMNS]
        features = (
            *(Feature(f"last:{text}", "count") for text in named),
            *(Feature(f"window:{text}", "count") for text in named),
            Feature("unseen", "count"),
        )
        return (
            replace(tokens, vocabulary=(*SPECIAL_TOKENS, *self.known)),
            replace(summary, features=features),
        )

    def bind(self, symbols: pl.DataFrame) -> BoundSymbolEncoder:
        """Look up, once, every symbol of a table whose row 0 is padding."""
        tokens = {text: number for number, text in enumerate(self.known, len(SPECIAL_TOKENS))}
        found = np.array([tokens.get(text, UNK) for text in symbols["text"]], dtype=np.int64)
        found[:1] = PAD
        return BoundSymbolEncoder(self.stream, found, min(len(self.known), MAX_COLUMNS))

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """Share of windows whose own symbol is UNK."""
        bound = self.bind(windows.table(self.symbols))
        return {"symbols": unknown_rate(bound.token[windows.streams.at(self.stream, windows.target_step)])}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {"stream": self.stream, "symbols": self.symbols, "known": list(self.known)}

    @classmethod
    def from_dict(cls, state: dict[str, Any]) -> Self:
        """The encoder whose `to_dict` gave `state`. Raises KeyError where a part is missing."""
        return cls(str(state["stream"]), str(state["symbols"]), tuple(state["known"]))


@dataclass(frozen=True)
class BoundSymbolEncoder:
    """Tokens of one table of symbols: `token (rows,)` int64, the first `columns` of them with a column."""

    stream: str
    token: NDArray[np.int64]
    columns: int

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """The stream of symbols, if anything is wanted."""
        if not names:
            return ()
        return (self.stream,)

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """Only the inputs called `names`, from the stream of symbols `(B, T)`."""
        tokens_BT = self.token[steps[self.stream]]
        batch: Batch = {}
        for name in names:
            if name == "summary":
                batch[name] = self._summary(tokens_BT)
            else:
                batch[name] = tokens_BT
        return batch

    def _summary(self, tokens_BT: NDArray[np.int64]) -> NDArray[np.float32]:
        first = len(SPECIAL_TOKENS)
        named_BT = (tokens_BT >= first) & (tokens_BT < first + self.columns)
        out_BF = np.zeros((len(tokens_BT), 2 * self.columns + 1), dtype=np.float32)
        last = np.flatnonzero(named_BT[:, -1])
        out_BF[last, tokens_BT[last, -1] - first] = 1
        row, at = np.nonzero(named_BT)
        np.add.at(out_BF, (row, self.columns + tokens_BT[row, at] - first), 1)
        out_BF[:, -1] = (tokens_BT == UNK).sum(axis=1)
        return out_BF
