"""The encoder of what learns without labels: the source's own tokens or channels, and how strange a step is
by what is no token: how far its text is from all known ones, and when it came.

Fitted on the learn part only. Letters: B windows, T steps, F features.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.encoding import LET_GO, Batch, BoundEncoder, Encoder
from vestige.reading.examples import Examples, Place
from vestige.reading.novelty import Novelty
from vestige.reading.pace import Pace, gap_and_span, hour_of
from vestige.reading.silence import Silences
from vestige.reading.steps import Steps
from vestige.reading.values import FEATURES as OF_VALUES
from vestige.reading.values import KnownValues, VaryingWords
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Feature, Input

LOOKS = "looks"
NOVELTY = (Feature("novelty.distance"),)
PACE = (Feature("pace.gap"), Feature("pace.burst"))
VALUES = tuple(map(Feature, OF_VALUES))
SLOTS = "slots"
"""The stream of values of a step, where there is one."""
PIECE = 1 << 16
"""Windows gathered at a time where all of them are gone through."""
NO_EXAMPLES = Examples()
TEXT, T_NS = "text", "t_ns"


@dataclass(frozen=True)
class NormalEncoder:
    """A source's encoder, and beside its `tokens` or `tensor` the input `looks (B, F)` float32, each feature
    the higher the stranger: the distance of an unknown event to the nearest known one, and, where steps have
    times, by how much the gap before it is longer, and the window shorter, than is usual before this event;
    where its values are known, how little they are like those of its kind. The step judged is the `judged`-th
    of a window, and `ahead` follow it.
    """

    base: Encoder
    judged: int
    pace: Pace | None
    values: KnownValues | None = None
    examples: Examples = NO_EXAMPLES
    ahead: int = 0
    silences: Silences | None = None
    """How long what comes steadily was ever silent, where steps have times."""

    @classmethod
    def fit(cls, base: Encoder, train: WindowSet, *, timed: bool, place: Place | None = None) -> Self:
        """`base` is fitted on the same windows; `timed`: whether `t_ns` of a step is a time; `place` tells
        where the steps of windows are (`Source.place`), for examples of known events."""
        encoder = cls(base, train.schema.before, None, ahead=train.schema.ahead)
        if not encoder.tokens:
            return encoder
        bound = base.bind(train.table(base.symbols))
        values = encoder._fit_values(bound, train)
        if place is not None:
            encoder = replace(encoder, examples=encoder._fit_examples(bound, train, place))
        if not timed or T_NS not in train.streams:
            return replace(encoder, values=values)
        silences = encoder._fit_silences(bound, train)
        return replace(encoder, values=values, pace=encoder._fit_pace(bound, train), silences=silences)

    def _fit_pace(self, bound: BoundEncoder, train: WindowSet) -> Pace:
        size, names = len(self.vocabulary), (self.tokens,)
        token, hour = np.empty(len(train), dtype=np.int32), np.empty(len(train), dtype=np.int8)
        gap, span = (np.empty(len(train)) for _ in range(2))
        streams = tuple(dict.fromkeys((*bound.streams(names), T_NS)))
        for start in range(0, len(train), PIECE):
            rows = slice(start, min(start + PIECE, len(train)))
            steps = train.gather(rows, streams)
            tokens_BT = bound.encode(steps, names)[self.tokens]
            times_BT = steps[T_NS][:, : self.judged + 1]
            token[rows] = np.minimum(tokens_BT[:, -1], size)
            gap[rows], span[rows] = gap_and_span(times_BT, tokens_BT != PAD)
            hour[rows] = hour_of(times_BT[:, -1])
            if rows.stop % LET_GO == 0 or rows.stop == len(train):
                train.let_go()
        return Pace.fit(token, gap, span, hour, size)

    def _fit_silences(self, bound: BoundEncoder, train: WindowSet) -> Silences:
        return Silences.fit(train, *self.kinds_of_symbols(train, bound))

    def _fit_values(self, bound: BoundEncoder, train: WindowSet) -> KnownValues | None:
        slots = SLOTS if SLOTS in train.streams else None
        words = _words_of(bound)
        if slots is None and words is None:
            return None
        table = len(train.table(self.symbols))
        kind = self.kinds_of(_token_of_symbols(bound, self.tokens, table, self.ahead))
        stream = bound.streams((self.tokens,))[0]
        return KnownValues.fit(train, kind, symbols=stream, slots=slots, words=words)

    def _fit_examples(self, bound: BoundEncoder, train: WindowSet, place: Place) -> Examples:
        kind = self.kinds_of(
            _token_of_symbols(bound, self.tokens, len(train.table(self.symbols)), self.ahead)
        )
        stream = bound.streams((self.tokens,))[0]
        return Examples.fit(train, kind, stream, len(self.vocabulary) - len(SPECIAL_TOKENS), place)

    @staticmethod
    def kinds_of(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
        """The kind of each token: its number among the known ones, negative for others."""
        return tokens - len(SPECIAL_TOKENS)

    def kinds_of_symbols(
        self, windows: WindowSet, bound: BoundEncoder | None = None
    ) -> tuple[NDArray[np.int64], str]:
        """The kind of each row of the table of symbols, negative for what is unknown, and the stream that
        points there; `bound`: the base, bound to that table."""
        table = windows.table(self.symbols)
        known = self.base.bind(table) if bound is None else bound
        token = _token_of_symbols(known, self.tokens, len(table), self.ahead)
        return self.kinds_of(token), known.streams((self.tokens,))[0]

    @property
    def n_kinds(self) -> int:
        """How many kinds are known."""
        return len(self.vocabulary) - len(SPECIAL_TOKENS)

    def name_of_kind(self, kind: int) -> str:
        """What a known kind is called."""
        return self.vocabulary[len(SPECIAL_TOKENS) + kind]

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
        """Those of `looks`, a look each."""
        features: tuple[Feature, ...] = NOVELTY
        if self.pace is not None:
            features += PACE
        if self.values is not None:
            features += VALUES
        return features

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
        words = None
        if self.tokens:
            token = _token_of_symbols(bound, self.tokens, len(symbols), self.ahead)
            nearest = np.maximum(self.kinds_of(token), -1)
            new = np.flatnonzero(token == UNK)
            distance[new], nearest[new] = self.novelty.nearest(symbols[TEXT][new].to_list())
        if self.values is not None:
            words = _words_of(bound)
        return BoundNormalEncoder(self, bound, distance, nearest, words)

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """See `Encoder.unseen`."""
        return self.base.unseen(windows)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        pace = None
        if self.pace is not None:
            pace = {name: getattr(self.pace, name).tolist() for name in ("gap", "span", "hours")}
        values = None
        if self.values is not None:
            values = self.values.to_dict()
        return {
            "normal": self.base.to_dict(),
            "judged": self.judged,
            "ahead": self.ahead,
            "pace": pace,
            "values": values,
            "examples": self.examples.to_list(),
            "silences": None if self.silences is None else self.silences.to_dict(),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], base: Encoder) -> Self:
        """The encoder whose `to_dict` gave `state`, with the base that `state["normal"]` is of. Raises
        KeyError where a part is missing, ValueError for a part of another shape."""
        pace = None
        if state["pace"] is not None:
            pace = Pace.of(state["pace"])
        values = None
        if state["values"] is not None:
            values = KnownValues.from_dict(state["values"])
        judged, ahead = int(state["judged"]), int(state.get("ahead", 0))
        encoder = cls(base, judged, pace, values, Examples.from_list(state["examples"]), ahead)
        silences = None
        # Detectors that were learnt before silences were have none.
        if state.get("silences") is not None:
            silences = Silences.from_dict(state["silences"], encoder.n_kinds)
        return replace(encoder, silences=silences)


@dataclass(frozen=True)
class BoundNormalEncoder:
    """Look-ups of one table of symbols: `distance (symbols,)` float32 of each to the nearest known event, and
    which that is, `nearest (symbols,)`, itself for a known one and -1 where nothing is near; the `words
    (symbols, W)` that vary in its kind."""

    encoder: NormalEncoder
    bound: BoundEncoder
    distance: NDArray[np.float32]
    nearest: NDArray[np.int64]
    words: NDArray[np.uint64] | None = None

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """See `BoundEncoder.streams`."""
        found = list(self.bound.streams(self._of_base(names)))
        if LOOKS in names and self.encoder.pace is not None:
            found.append(T_NS)
        if LOOKS in names and self._has_slots:
            found.append(SLOTS)
        return tuple(dict.fromkeys(found))

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """See `BoundEncoder.encode`."""
        batch = self.bound.encode(steps, self._of_base(names))
        if LOOKS in names:
            batch[LOOKS] = self._looks(steps, batch[self.encoder.tokens])
        return {name: batch[name] for name in names}

    def nearest_examples(self, steps: Steps) -> list[dict[str, Any] | None]:
        """Of each window the known event that is nearest to the step judged, its `text`, its `distance` (0 to
        1), and where it was shown first; None where nothing is near."""
        symbol = steps[self.bound.streams((self.encoder.tokens,))[0]][:, self.encoder.judged]
        known = self.encoder.vocabulary[len(SPECIAL_TOKENS) :]
        found: list[dict[str, Any] | None] = []
        for row in symbol.tolist():
            event, distance = int(self.nearest[row]), float(f"{self.distance[row]:.3g}")
            if not 0 <= event < len(known):
                found.append(None)
                continue
            found.append({"text": known[event], "distance": distance, **self.encoder.examples.of(event)})
        return found

    def known_kinds(self, steps: Steps) -> NDArray[np.int64]:
        """The kind of each of the steps judged `(B,)`, -1 of what was never learnt."""
        symbol = steps[self.bound.streams((self.encoder.tokens,))[0]][:, self.encoder.judged]
        kinds: NDArray[np.int64] = np.where(self.distance[symbol] > 0, -1, self.nearest[symbol])
        return kinds

    def unknown(self, steps: Steps) -> NDArray[np.bool_]:
        """Which of the steps judged `(B,)` are events that were never learnt; none without events."""
        if not self.encoder.tokens:
            return np.zeros(len(next(iter(steps.values()))), dtype=np.bool_)
        symbol = steps[self.bound.streams((self.encoder.tokens,))[0]][:, self.encoder.judged]
        return self.distance[symbol] > 0

    def strange_slots(self, steps: Steps) -> list[list[int]]:
        """Of each window the slot of the step judged whose value is new, and the one whose number is out of
        its range, -1 where there is none; words of the step's symbol stand behind its slots."""
        values, name = self.encoder.values, self.encoder.tokens
        if values is None:
            return [[-1, -1] for _ in range(len(next(iter(steps.values()))))]
        symbol = steps[self.bound.streams((name,))[0]][:, self.encoder.judged]
        kind = self.encoder.kinds_of(self.bound.encode(steps, (name,))[name][:, -1])
        found: list[list[int]] = values.explain(kind, *self._values(steps, symbol)).tolist()
        return found

    def _values(
        self, steps: Steps, symbol: NDArray[Any]
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint64] | None]:
        """Of the steps judged, which have these symbols `(B,)`, the values in slots, and the words."""
        slots = np.zeros((len(symbol), 0), dtype=np.uint64)
        if self._has_slots:
            slots = steps[SLOTS][:, self.encoder.judged]
        words = None
        if self.words is not None:
            words = self.words[symbol]
        return slots, words

    @property
    def n_slots(self) -> int:
        """Slots of a step's stream; further ones are words of its symbol."""
        values = self.encoder.values
        if values is None:
            return 0
        n_words = 0
        if self.words is not None:
            n_words = self.words.shape[1]
        return values.n_slots - n_words

    @property
    def _has_slots(self) -> bool:
        return self.n_slots > 0

    def _of_base(self, names: tuple[str, ...]) -> tuple[str, ...]:
        wanted = [name for name in names if name != LOOKS]
        if LOOKS in names:
            wanted.append(self.encoder.tokens)
        return tuple(dict.fromkeys(wanted))

    def _looks(self, steps: Steps, tokens_BT: NDArray[np.int64]) -> NDArray[np.float32]:
        judged = self.encoder.judged
        symbol = steps[self.bound.streams((self.encoder.tokens,))[0]][:, judged]
        columns = [self.distance[symbol]]
        if self.encoder.pace is not None:
            times_BT = steps[T_NS][:, : judged + 1]
            gap, span = gap_and_span(times_BT, tokens_BT != PAD)
            found = self.encoder.pace.strangeness(tokens_BT[:, -1], gap, span, hour_of(times_BT[:, -1]))
            columns += list(found.T)
        if self.encoder.values is not None:
            kind = self.encoder.kinds_of(tokens_BT[:, -1])
            columns += list(self.encoder.values.strangeness(kind, *self._values(steps, symbol)).T)
        return np.stack(columns, axis=1).astype(np.float32)


def _words_of(bound: BoundEncoder) -> NDArray[np.uint64] | None:
    """The words of each symbol that vary in its kind, where an encoder tells of them."""
    return bound.varying_words() if isinstance(bound, VaryingWords) else None


def _token_of_symbols(bound: BoundEncoder, name: str, n: int, ahead: int) -> NDArray[np.int64]:
    """The token `(n,)` of each symbol, as a window of that symbol alone would have it."""
    streams = bound.streams((name,))
    steps: Steps = {stream: np.zeros((n, 1 + ahead), dtype=np.int64) for stream in streams}
    steps[streams[0]][:, 0] = np.arange(n)
    token: NDArray[np.int64] = bound.encode(steps, (name,))[name][:, -1]
    return token
