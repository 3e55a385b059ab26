"""Model inputs from windows of a recording: token ids, and how often each token comes in the window.

Fitted on training windows only. Letters: B windows, T steps (events), F features, V tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.encoding import Batch, mark_repeated_unknown
from vestige.reading.steps import Steps
from vestige.reading.windows import PIECE, WindowSet
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Feature, Input, Schema
from vestige.sources.traces.maps import SPECIAL
from vestige.sources.traces.options import options_of
from vestige.sources.traces.symbols import KINDS, OWN_TOKENS

INPUTS = (Input("tokens", "tokens"), Input("summary", "summary"))
"""What a dataset's schema says before anything is fitted."""
MAX_COLUMNS = 256
"""The most frequent tokens have a count of their own in the summary."""
OF_WINDOW = (
    Feature("targets", "share"),
    Feature("taken", "share"),
    Feature("distinct", "tokens"),
    Feature("modules", "changes"),
    Feature("outside", "share"),
    Feature("unseen", "share"),
)
OWN_CODE = ("", "<own code>", "<own code> taken", "<own code> not taken")
"""Tokens, by kind, of code that no two programs of training share, where it is merged."""
_TARGET, _TAKEN = KINDS.index("target"), KINDS.index("taken")


@dataclass(frozen=True)
class TraceEncoder:
    """The events of the training windows that have a token, most frequent first, frozen.

    Two inputs: `tokens (B, T)` int64 (PAD before the recording begins, UNK for what is rarer than the
    vocabulary holds or was never seen, with `encoding.mark_repeated_unknown`; what lies in no module has
    tokens of its own, seen or not); `summary (B, F)` float32: `word:<token>`, how often each comes in the
    window, then `OF_WINDOW`.
    """

    tokens: tuple[str, ...]
    shared: tuple[str, ...] | None = None
    """Modules that several programs of training have; the code of all others is merged. None: nothing is."""
    symbols: ClassVar[str] = "symbols"

    @classmethod
    def fit(cls, train: WindowSet, *, size: int = PIECE) -> Self:
        """Learn from the events that training windows show, `size` of them at a time."""
        table = train.table(cls.symbols)
        shown = _shown(train)
        symbol = train.streams["symbol"]
        counts = np.zeros(len(table), dtype=np.int64)
        for start in range(0, len(shown), size):
            some = slice(start, start + size)
            counts += np.bincount(symbol[some][shown[some]], minlength=len(table))
        shared = None
        always = OWN_TOKENS
        options = options_of(train.schema)
        if options.own_code == "merge":
            shared = _shared(train, table, shown)
            always = (*OWN_TOKENS, *OWN_CODE[1:])
        counted = pl.DataFrame([_named(table, shared), pl.Series("count", counts)])[1:]
        ranked = (
            counted.filter(~pl.col("token").is_in(always))
            .group_by("token")
            .agg(pl.col("count").sum())
            .filter(pl.col("count") > 0)
            .sort(["count", "token"], descending=[True, False])
        )
        most = options.vocabulary - len(always)
        return cls((*always, *ranked["token"].head(most).to_list()), shared)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """`tokens` with its vocabulary and `summary` with its features."""
        tokens, summary = INPUTS
        words = tuple(Feature(f"word:{token}", "count") for token in self.tokens[:MAX_COLUMNS])
        return (
            replace(tokens, vocabulary=(*SPECIAL_TOKENS, *self.tokens)),
            replace(summary, features=(*words, *OF_WINDOW)),
        )

    def bind(self, symbols: pl.DataFrame) -> BoundTraceEncoder:
        """Look up, once, every symbol of a table whose row 0 is padding."""
        known = {token: at for at, token in enumerate(self.tokens, len(SPECIAL_TOKENS))}
        token = np.array([known.get(text, UNK) for text in _named(symbols, self.shared)], dtype=np.int64)
        token[:1] = PAD
        module = symbols["module"].cast(pl.Categorical).to_physical().to_numpy()
        outside = symbols["token"].is_in(OWN_TOKENS).to_numpy()
        kind = symbols["kind"].to_numpy()
        return BoundTraceEncoder(token, kind, module, outside, len(self.tokens))

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """Shares of UNK among the last events of windows, and among those of them that are targets."""
        bound = self.bind(windows.table(self.symbols))
        symbol = windows.streams["symbol"]
        ending = np.zeros(len(bound.token), dtype=np.int64)
        for piece in windows.pieces():
            ending += np.bincount(symbol[piece.target_step], minlength=len(ending))
        real = bound.token != PAD
        parts = {"events": real, "targets": real & (bound.kind == _TARGET)}
        shares: dict[str, float] = {}
        for name, which in parts.items():
            unknown = ending[which & (bound.token == UNK)].sum()
            shares[name] = float(unknown / max(1, ending[which].sum()))
        return shares

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        shared = None
        if self.shared is not None:
            shared = list(self.shared)
        return {"tokens": list(self.tokens), "shared": shared}

    @classmethod
    def from_dict(cls, state: dict[str, Any], schema: Schema) -> Self:
        """The encoder whose `to_dict` gave `state`. Raises KeyError where a part is missing."""
        for wanted in INPUTS:
            schema.input(wanted.name)
        shared = state.get("shared")
        if shared is not None:
            shared = tuple(shared)
        return cls(tuple(state["tokens"]), shared)


@dataclass(frozen=True)
class BoundTraceEncoder:
    """The encoder with one table of symbols looked up, `(symbols,)` each: the `token` int64, its `kind`, some
    number for its `module`, and whether it lies `outside` all modules; `known`: tokens that training had."""

    token: NDArray[np.int64]
    kind: NDArray[np.uint8]
    module: NDArray[np.uint32]
    outside: NDArray[np.bool_]
    known: int

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """`symbol`, whatever is wanted."""
        if not names:
            return ()
        return ("symbol",)

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """Only the inputs called `names`, from the stream `symbol` `(B, T)`."""
        symbol_BT = steps["symbol"]
        tokens_BT = self.token.take(symbol_BT)
        batch: Batch = {}
        for name in names:
            if name == "tokens":
                batch[name] = mark_repeated_unknown(tokens_BT, symbol_BT, len(SPECIAL_TOKENS) + self.known)
            elif name == "summary":
                batch[name] = self._summary(symbol_BT, tokens_BT)
            else:
                raise KeyError(name)
        return batch

    def _summary(self, symbol_BT: NDArray[Any], tokens_BT: NDArray[np.int64]) -> NDArray[np.float32]:
        n, B = min(self.known, MAX_COLUMNS), len(tokens_BT)
        column_BT = tokens_BT - len(SPECIAL_TOKENS)
        counted_BT = (column_BT >= 0) & (column_BT < n)
        place = (np.arange(B)[:, None] * n + column_BT)[counted_BT]
        out_BF = np.zeros((B, n + len(OF_WINDOW)), dtype=np.float32)
        out_BF[:, :n] = np.bincount(place, minlength=B * n).reshape(B, n)
        for at, values in enumerate(self._of_window(symbol_BT, tokens_BT)):
            out_BF[:, n + at] = values
        return out_BF

    def _of_window(self, symbol_BT: NDArray[Any], tokens_BT: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
        """The features of `OF_WINDOW` in their order; padding takes no part."""
        real_BT = symbol_BT != 0
        count = np.maximum(real_BT.sum(axis=1), 1)
        kind_BT = self.kind.take(symbol_BT)
        targets = (kind_BT == _TARGET).sum(axis=1)
        yield targets / count
        yield (kind_BT == _TAKEN).sum(axis=1) / np.maximum(real_BT.sum(axis=1) - targets, 1)
        ordered = np.sort(tokens_BT, axis=1)
        changes = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) + 1
        yield changes - (ordered[:, 0] == PAD)
        module_BT = self.module.take(symbol_BT)
        both = real_BT[:, 1:] & real_BT[:, :-1]
        yield ((module_BT[:, 1:] != module_BT[:, :-1]) & both).sum(axis=1)
        yield (self.outside.take(symbol_BT) & real_BT).sum(axis=1) / count
        yield (tokens_BT == UNK).sum(axis=1) / count


def _named(symbols: pl.DataFrame, shared: tuple[str, ...] | None) -> pl.Series:
    """The `token` of every symbol; merged where its module is not `shared`."""
    if shared is None:
        return symbols["token"]
    own = ~pl.col("module").is_in([*shared, *SPECIAL])
    merged = pl.col("kind").replace_strict(dict(enumerate(OWN_CODE)), return_dtype=pl.String())
    return symbols.select(token=pl.when(own).then(merged).otherwise("token"))["token"]


def _shared(train: WindowSet, table: pl.DataFrame, shown: NDArray[np.bool_]) -> tuple[str, ...]:
    """Modules that at least two programs show in training; all of them where there is one program only."""
    programs: dict[str, set[str]] = {}
    module, symbol = table["module"], train.streams["symbol"]
    recordings = train.recordings.select("sample", "first_step", "n_steps")
    present = train.present
    for sample, first, n in recordings[present].iter_rows():
        steps = slice(first, first + n)
        for name in module.gather(np.unique(symbol[steps][shown[steps]])).unique():
            programs.setdefault(name, set()).add(sample)
    # Where there is one program only, all its modules count as shared: none could be told to be its own.
    several = recordings[present]["sample"].n_unique() > 1
    names = (name for name, having in programs.items() if len(having) > 1 or not several)
    return tuple(sorted(name for name in names if name and name not in SPECIAL))


def _shown(windows: WindowSet) -> NDArray[np.bool_]:
    """Which steps the windows look at, `(n_steps,)`: marked by runs of windows that overlap or touch."""
    length = windows.schema.length
    shown = np.zeros(len(windows.streams["symbol"]), dtype=np.bool_)
    for piece in windows.pieces():
        gap = np.diff(piece.position)
        apart = (gap < 0) | (gap > length)
        first, last = piece.position[np.r_[True, apart]], piece.position[np.r_[apart, True]]
        for start, end in zip(first.tolist(), (last + length).tolist(), strict=True):
            shown[start:end] = True
    return shown
