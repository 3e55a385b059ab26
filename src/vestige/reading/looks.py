"""The encoder of what learns without labels: the source's own tokens or channels, and how strange a step is
by what is no token: how far its text is from all known ones, and when it came.

Fitted on the learn part only. Letters: B windows, T steps, F features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.encoding import Batch, BoundEncoder, Encoder
from vestige.reading.novelty import Novelty
from vestige.reading.pace import Pace, gap_and_span, hour_of
from vestige.reading.steps import Steps
from vestige.reading.windows import WindowSet
from vestige.schema import SPECIAL_TOKENS, UNK, Feature, Input

LOOKS = "looks"
NOVELTY = (Feature("novelty.distance"),)
PACE = (Feature("pace.gap"), Feature("pace.burst"))
PIECE = 1 << 16
"""Windows gathered at a time where all of them are gone through."""
TEXT = "text"


@dataclass(frozen=True)
class NormalEncoder:
    """A source's encoder, and beside its `tokens` or `tensor` the input `looks (B, F)` float32, each feature
    the higher the stranger: the distance of an unknown event to the nearest known one, and, where steps have
    times, by how much the gap before it is longer, and the window shorter, than is usual before this event.
    """

    base: Encoder
    judged: int
    pace: Pace | None

    @classmethod
    def fit(cls, base: Encoder, train: WindowSet, *, timed: bool) -> Self:
        """`base` is fitted on the same windows; `timed`: whether `t_ns` of a step is a time."""
        judged = train.schema.before
        encoder = cls(base, judged, None)
        has_times = timed and "t_ns" in train.streams
        if not encoder.tokens or not has_times:
            return encoder
        bound = base.bind(train.table(base.symbols))
        size = len(encoder.vocabulary)
        token, hour = (np.empty(len(train), dtype=np.int64) for _ in range(2))
        gap, span = (np.empty(len(train)) for _ in range(2))
        for start in range(0, len(train), PIECE):
            rows = slice(start, min(start + PIECE, len(train)))
            streams = (*bound.streams((encoder.tokens,)), "t_ns")
            steps = train.gather(rows, tuple(dict.fromkeys(streams)))
            tokens_BT = bound.encode(steps, (encoder.tokens,))[encoder.tokens]
            times_BT = steps["t_ns"][:, : judged + 1]
            token[rows] = tokens_BT[:, -1]
            gap[rows], span[rows] = gap_and_span(times_BT, tokens_BT != 0)
            hour[rows] = hour_of(times_BT[:, -1])
        pace = Pace.fit(np.minimum(token, size), gap, span, hour, size)
        return cls(base, judged, pace)

    @property
    def symbols(self) -> str:
        """See `Encoder.symbols`."""
        return self.base.symbols

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The base's first input of tokens and its first tensor, and `looks` where there are tokens."""
        kept = [spec for spec in self.base.inputs if spec.kind == "tensor"][:1]
        if self.tokens:
            kept = [spec for spec in self.base.inputs if spec.name == self.tokens] + kept
            kept.append(Input(LOOKS, "summary", features=self.features))
        return tuple(kept)

    @property
    def features(self) -> tuple[Feature, ...]:
        """Those of `looks`."""
        return NOVELTY if self.pace is None else NOVELTY + PACE

    @cached_property
    def tokens(self) -> str:
        """The name of the base's input of tokens; empty where it has none."""
        return next((spec.name for spec in self.base.inputs if spec.kind == "tokens"), "")

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """What the tokens are called."""
        spec = next(spec for spec in self.base.inputs if spec.name == self.tokens)
        return spec.vocabulary or ()

    @cached_property
    def novelty(self) -> Novelty:
        """The known events."""
        return Novelty.of(self.vocabulary[len(SPECIAL_TOKENS) :])

    def bind(self, symbols: pl.DataFrame) -> BoundNormalEncoder:
        """See `Encoder.bind`: also the distance of each unknown symbol, once."""
        bound = self.base.bind(symbols)
        distance = np.zeros(len(symbols), dtype=np.float32)
        nearest = np.full(len(symbols), -1, dtype=np.int64)
        if self.tokens:
            token = _token_of_symbols(bound, self.tokens, len(symbols))
            new = np.flatnonzero(token == UNK)
            distance[new], nearest[new] = self.novelty.nearest(symbols[TEXT].gather(new).to_list())
        return BoundNormalEncoder(self, bound, distance, nearest)

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """See `Encoder.unseen`."""
        return self.base.unseen(windows)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        pace = None
        if self.pace is not None:
            pace = {name: getattr(self.pace, name).tolist() for name in ("gap", "span", "hours")}
        return {"normal": self.base.to_dict(), "judged": self.judged, "pace": pace}

    @classmethod
    def from_dict(cls, state: dict[str, Any], base: Encoder) -> Self:
        """The encoder whose `to_dict` gave `state`, with the base that `state["normal"]` is of. Raises
        KeyError where a part is missing, ValueError for a part of another shape."""
        pace = None
        if state["pace"] is not None:
            pace = Pace.of(state["pace"])
        return cls(base, int(state["judged"]), pace)


@dataclass(frozen=True)
class BoundNormalEncoder:
    """Look-ups of one table of symbols: `distance (symbols,)` float32 of each to the nearest known event, and
    which that is, `nearest (symbols,)`, -1 for known ones."""

    encoder: NormalEncoder
    bound: BoundEncoder
    distance: NDArray[np.float32]
    nearest: NDArray[np.int64]

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """See `BoundEncoder.streams`."""
        found = list(self.bound.streams(self._of_base(names)))
        if LOOKS in names and self.encoder.pace is not None:
            found.append("t_ns")
        return tuple(dict.fromkeys(found))

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """See `BoundEncoder.encode`."""
        batch = self.bound.encode(steps, self._of_base(names))
        if LOOKS in names:
            batch[LOOKS] = self._looks(steps, batch[self.encoder.tokens])
        return {name: batch[name] for name in names}

    def _of_base(self, names: tuple[str, ...]) -> tuple[str, ...]:
        wanted = [name for name in names if name != LOOKS]
        if LOOKS in names:
            wanted.append(self.encoder.tokens)
        return tuple(dict.fromkeys(wanted))

    def _looks(self, steps: Steps, tokens_BT: NDArray[np.int64]) -> NDArray[np.float32]:
        (stream,) = self.bound.streams((self.encoder.tokens,))[:1]
        judged = self.encoder.judged
        columns = [self.distance[steps[stream][:, judged]]]
        if self.encoder.pace is not None:
            times_BT = steps["t_ns"][:, : judged + 1]
            gap, span = gap_and_span(times_BT, tokens_BT != 0)
            found = self.encoder.pace.strangeness(tokens_BT[:, -1], gap, span, hour_of(times_BT[:, -1]))
            columns += list(found.T)
        return np.stack(columns, axis=1).astype(np.float32)


def _token_of_symbols(bound: BoundEncoder, name: str, n: int) -> NDArray[np.int64]:
    """The token `(n,)` of each symbol, as a window of that symbol alone would have it."""
    streams = bound.streams((name,))
    steps: Steps = {stream: np.zeros((n, 1), dtype=np.int64) for stream in streams}
    steps[streams[0]][:, 0] = np.arange(n)
    token: NDArray[np.int64] = bound.encode(steps, (name,))[name][:, -1]
    return token
