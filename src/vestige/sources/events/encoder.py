"""Model inputs from windows of events: token ids, and a summary of the last event and what led to it.

Fitted on training windows only. Letters: B windows, T steps (events), F features, V known events.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.encoding import Batch, unknown_rate
from vestige.reading.steps import NO_TIME, Steps
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Feature, Input, Schema
from vestige.sources.events.settings import settings_of
from vestige.sources.logs.templates import Matcher, fit_templates

INPUTS = (Input("tokens", "tokens"), Input("summary", "summary"))
"""What a dataset's schema says before anything is fitted."""

MAX_COLUMNS = 512
"""The most frequent events have columns of their own: as last event, and in the context."""
MAX_KNOWN = 65_536
"""Events that have a token: whatever is rarer in training is unknown."""

OF_WINDOW = (
    Feature("unknown_words", "events"),
    Feature("repeats", "share"),
    Feature("distinct", "events"),
    Feature("unseen", "share"),
)
OF_TIME = (
    Feature("gap_s", "s"),
    Feature("span_s", "s"),
    Feature("rate", "events/h"),
    Feature("hour_sin"),
    Feature("hour_cos"),
)
"""Only where events have times."""
CHUNK = 1 << 22
"""Steps gathered at a time where all windows are gone through."""

HOUR_NS, DAY_NS = 3_600 * 10**9, 86_400 * 10**9
SHORTEST_H = 1 / 3600
"""Events within a second have the rate of one second."""

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class EventEncoder:
    """The events of the training windows, most frequent first, frozen; or, where they are messages
    (`templated`), the templates of these.

    Two inputs: `tokens (B, T)` int64 (PAD before a machine's first event and for what is older than
    `timeout_s`, UNK for an event that training never saw); `summary (B, F)` float32: `word:<event>` 1 for the
    last event, `context:<event>` how often each comes before it, then `OF_WINDOW` and, where `timed`,
    `OF_TIME`.
    """

    events: tuple[str, ...]
    timeout_s: float
    timed: bool
    templated: bool = False
    most_columns: int = MAX_COLUMNS
    symbols: ClassVar[str] = "events"

    @classmethod
    def fit(cls, train: WindowSet) -> Self:
        """Learn from the events that training windows show."""
        table = train.table(cls.symbols)
        settings = settings_of(train.schema)
        shown, ending = _occurrences(train, len(table), settings.timeout_s)
        rows = np.flatnonzero(shown)
        texts, often = table["text"].gather(rows).to_list(), ending[rows].tolist()
        ranked = _ranked(zip(texts, often, strict=True))
        if settings.templated:
            ranked = _templates(ranked)
        known = tuple(text for text, _ in ranked[:MAX_KNOWN])
        return cls(known, settings.timeout_s, settings.timed, settings.templated)

    @property
    def inputs(self) -> tuple[Input, ...]:
        """`tokens` with its vocabulary and `summary` with its features."""
        tokens, summary = INPUTS
        named = self.events[: self.most_columns]
        features = [Feature(f"word:{event}", "count") for event in named]
        features += [Feature(f"context:{event}", "count") for event in named]
        features += OF_WINDOW
        if self.timed:
            features += OF_TIME
        return (
            replace(tokens, vocabulary=(*SPECIAL_TOKENS, *self.events)),
            replace(summary, features=tuple(features)),
        )

    def bind(self, symbols: pl.DataFrame) -> BoundEventEncoder:
        """Look up, once, every event of a table whose row 0 is padding."""
        if self.templated:
            found = Matcher(self.events).match(symbols["text"].to_list())
            tokens = np.where(found < 0, UNK, found + len(SPECIAL_TOKENS))
        else:
            known = {event: at for at, event in enumerate(self.events, len(SPECIAL_TOKENS))}
            tokens = np.array([known.get(text, UNK) for text in symbols["text"]], dtype=np.int64)
        tokens[:1] = PAD
        columns = min(len(self.events), self.most_columns)
        return BoundEventEncoder(tokens, columns, round(self.timeout_s * 1e9), self.timed)

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """Share of windows whose own event is UNK."""
        token = self.bind(windows.table(self.symbols)).token
        return {"events": unknown_rate(token[windows.streams.at("event", windows.target_step)])}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        state = {"events": list(self.events), "timeout_s": self.timeout_s, "timed": self.timed}
        if self.templated:
            state["templated"] = True
        return state

    @classmethod
    def from_dict(cls, state: dict[str, Any], schema: Schema) -> Self:
        """The encoder whose `to_dict` gave `state`. Raises KeyError where a part is missing."""
        for wanted in INPUTS:
            schema.input(wanted.name)
        return cls(
            tuple(state["events"]),
            float(state["timeout_s"]),
            bool(state["timed"]),
            bool(state.get("templated", False)),
        )


def _ranked(counted: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """Texts with how often they came, the most frequent first; equally frequent ones by their text, so that
    equal evidence gives equal tokens."""
    return sorted(counted, key=lambda pair: (-pair[1], pair[0]))


def _templates(messages: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The templates of masked messages, with how often each came, the most frequent first.

    The order of `messages` decides about templates: it is that of training windows alone, wherever in the
    evidence a message came first.
    """
    texts = [text for text, _ in messages]
    templates = fit_templates(texts, [1] * len(texts))
    found = Matcher(templates).match(texts)
    often = np.zeros(len(templates), dtype=np.int64)
    np.add.at(often, found[found >= 0], np.array([count for _, count in messages])[found >= 0])
    return _ranked(zip(templates, often.tolist(), strict=True))


@dataclass(frozen=True)
class BoundEventEncoder:
    """The encoder with one table of events looked up: `token (events,)` int64."""

    token: NDArray[np.int64]
    columns: int
    timeout_ns: int
    timed: bool

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """`event` and `t_ns`, whatever is wanted: what has timed out is padding."""
        if not names:
            return ()
        return ("event", "t_ns")

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """Only the inputs called `names`, from the streams `event` and `t_ns`, `(B, T)`."""
        event, t_ns = steps["event"], steps["t_ns"]
        real_BT = within_timeout(event, t_ns, self.timeout_ns)
        tokens_BT = np.where(real_BT, self.token[event], PAD)
        batch: Batch = {}
        for name in names:
            if name == "tokens":
                batch[name] = tokens_BT
            elif name == "summary":
                batch[name] = self._summary(tokens_BT, real_BT, t_ns)
            else:
                raise KeyError(name)
        return batch

    def _summary(
        self, tokens_BT: NDArray[np.int64], real_BT: Bools, t_ns_BT: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        n, others = self.columns, len(OF_WINDOW)
        if self.timed:
            others += len(OF_TIME)
        out_BF = np.zeros((len(tokens_BT), 2 * n + others), dtype=np.float32)
        column_BT = tokens_BT - len(SPECIAL_TOKENS)
        has_column_BT = (column_BT >= 0) & (column_BT < n)
        last = np.flatnonzero(has_column_BT[:, -1])
        out_BF[last, column_BT[last, -1]] = 1
        window, step = np.nonzero(has_column_BT[:, :-1])
        # Not `+= 1`, which counts an event only once where a window shows it several times.
        np.add.at(out_BF, (window, n + column_BT[window, step]), 1)
        features = list(_of_window(tokens_BT, real_BT))
        if self.timed:
            features += _of_time(real_BT, t_ns_BT)
        for at, values in enumerate(features):
            out_BF[:, 2 * n + at] = values
        return out_BF


def within_timeout(event_BT: NDArray[Any], t_ns_BT: NDArray[np.int64], timeout_ns: int) -> Bools:
    """Which steps are events not older than the timeout, `(B, T)`. One whose age nobody knows is not."""
    known_BT = (t_ns_BT != NO_TIME) & (t_ns_BT[:, -1:] != NO_TIME)
    young_BT = ~known_BT | (t_ns_BT[:, -1:] - t_ns_BT <= timeout_ns)
    real: Bools = (event_BT != 0) & young_BT
    return real


def _of_window(tokens_BT: NDArray[np.int64], real_BT: Bools) -> Iterator[NDArray[Any]]:
    """The features of `OF_WINDOW` in their order; padding takes no part."""
    count = real_BT.sum(axis=1)
    yield tokens_BT[:, -1] == UNK
    same = ((tokens_BT[:, :-1] == tokens_BT[:, -1:]) & real_BT[:, :-1]).sum(axis=1)
    yield same / np.maximum(count - real_BT[:, -1], 1)
    ordered = np.sort(tokens_BT, axis=1)
    changes = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) + 1
    yield changes - (ordered[:, 0] == PAD)
    yield (tokens_BT == UNK).sum(axis=1) / np.maximum(count, 1)


def _of_time(real_BT: Bools, t_ns_BT: NDArray[np.int64]) -> Iterator[NDArray[Any]]:
    """The features of `OF_TIME` in their order. Times may run backwards where evidence did: then 0. What
    depends on a time that nobody knows is NaN."""
    rows = np.arange(len(t_ns_BT))
    last, first = t_ns_BT[:, -1], t_ns_BT[rows, real_BT.argmax(axis=1)]
    earlier = real_BT[:, :-1].any(axis=1)
    timed = last != NO_TIME
    has_gap = earlier & timed & (t_ns_BT[:, -2] != NO_TIME)
    has_span = timed & (first != NO_TIME)
    yield np.where(has_gap, np.maximum(last - t_ns_BT[:, -2], 0) / 1e9, np.nan)
    span_ns = np.maximum(last - first, 0)
    yield np.where(has_span, span_ns / 1e9, np.nan)
    yield np.where(has_span, real_BT.sum(axis=1) / np.maximum(span_ns / HOUR_NS, SHORTEST_H), np.nan)
    angle = (last % DAY_NS) / DAY_NS * 2 * np.pi
    yield np.where(timed, np.sin(angle), np.nan)
    yield np.where(timed, np.cos(angle), np.nan)


def _occurrences(windows: WindowSet, n_events: int, timeout_s: float) -> tuple[Bools, NDArray[np.int64]]:
    """Which events the windows show at all, and how many windows end on each; padding not counted."""
    shown = np.zeros(n_events, dtype=np.bool_)
    size = max(1, CHUNK // windows.schema.length)
    for start in range(0, len(windows), size):
        steps = windows.gather(slice(start, start + size), ("event", "t_ns"))
        real = within_timeout(steps["event"], steps["t_ns"], round(timeout_s * 1e9))
        shown[steps["event"][real]] = True
    ending = windows.times_judged("event", n_events)
    shown[0], ending[0] = False, 0
    return shown, ending
