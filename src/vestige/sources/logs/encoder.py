"""Model inputs from log windows: template ids, and a summary of the last message and what led to it.

Fitted on training windows only. Letters: B windows, T steps (messages), F features.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.encoding import Batch, unknown_rate
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Feature, Input, Schema
from vestige.sources.logs.templates import Matcher, fit_templates
from vestige.sources.logs.words import Vocabulary, WordCounts
from vestige.windows import Steps, WindowSet

INPUTS = (Input("tokens", "tokens"), Input("summary", "summary"))
"""What a dataset's schema says before anything is fitted."""

OF_MESSAGE = tuple(
    Feature(name, unit)
    for name, unit in zip(Vocabulary.SCALARS, ("words", "characters", "words", "share", "words"), strict=True)
)
OF_WINDOW = (
    Feature("gap_s", "s"),
    Feature("span_s", "s"),
    Feature("repeats", "share"),
    Feature("distinct", "templates"),
    Feature("unseen", "share"),
)
CHUNK = 1 << 22
"""Steps gathered at a time where all windows are gone through."""


@dataclass(frozen=True)
class LogEncoder:
    """Templates and words of the training windows, frozen.

    Two inputs: `tokens (B, T)` int64, the template of each message (PAD before the file begins, UNK for a
    template that training never saw); `summary (B, F)` float32: how often the last message has each known
    word, `OF_MESSAGE` about it, `OF_WINDOW` about what led to it.
    """

    templates: tuple[str, ...]
    words: Vocabulary
    symbols: ClassVar[str] = "messages"

    @classmethod
    def fit(cls, train: WindowSet) -> Self:
        """Learn from the messages that training windows show, the last ones weighted by how often."""
        table = train.table(cls.symbols)
        shown, ending = _occurrences(train, len(table))
        rows = np.flatnonzero(shown)
        texts = table["text"].gather(rows).to_list()
        templates = fit_templates(texts, np.maximum(ending[rows], 1).tolist())
        return cls(tuple(templates), Vocabulary.fit(texts, ending[rows].tolist()))

    @property
    def inputs(self) -> tuple[Input, ...]:
        """`tokens` with its vocabulary and `summary` with its features."""
        tokens, summary = INPUTS
        words = tuple(Feature(f"word:{word}", "count") for word in self.words.features)
        return (
            replace(tokens, vocabulary=(*SPECIAL_TOKENS, *self.templates)),
            replace(summary, features=(*words, *OF_MESSAGE, *OF_WINDOW)),
        )

    @cached_property
    def _matcher(self) -> Matcher:
        return Matcher(self.templates)

    def bind(self, symbols: pl.DataFrame) -> BoundLogEncoder:
        """Match and count, once, every message of a table whose row 0 is padding."""
        texts = symbols["text"].to_list()
        found = self._matcher.match(texts)
        tokens = np.where(found < 0, UNK, found + len(SPECIAL_TOKENS))
        tokens[:1] = PAD
        return BoundLogEncoder(tokens, self.words.count(["", *texts[1:]]), len(self.words.features))

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """Shares of UNK among the last messages' templates, and of unknown words among their words."""
        table = windows.table(self.symbols)
        ending = np.bincount(windows.streams["message"][windows.last_step], minlength=len(table))
        rows = np.flatnonzero(ending)
        bound = self.bind(pl.concat([table[:1], table[rows]]))
        weight = np.concatenate([[0], ending[rows]])
        unknown, words = (weight @ bound.words.scalars[:, at].astype(np.float64) for at in (0, 2))
        return {
            "templates": unknown_rate(np.repeat(bound.tokens, weight)),
            "words": float(unknown / words) if words else 0.0,
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {
            "templates": list(self.templates),
            "words": list(self.words.features),
            "other_words": list(self.words.others),
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], schema: Schema) -> Self:
        """The encoder whose `to_dict` gave `state`. Raises KeyError where a part is missing."""
        for one in INPUTS:
            schema.input(one.name)
        words = Vocabulary(tuple(state["words"]), tuple(state["other_words"]))
        return cls(tuple(state["templates"]), words)


@dataclass(frozen=True)
class BoundLogEncoder:
    """The encoder with one table of messages looked up: `tokens (messages,)` int64 and word counts."""

    tokens: NDArray[np.int64]
    words: WordCounts
    n_words: int

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """`message`, and `t_ns` where the summary is wanted."""
        return ("message", "t_ns") if "summary" in names else ("message",)

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """Only the inputs called `names`, from the streams `message` and, for `summary`, `t_ns` `(B, T)`."""
        message = steps["message"]
        tokens_BT = self.tokens[message]
        batch: Batch = {}
        for name in names:
            if name == "tokens":
                batch[name] = tokens_BT
            elif name == "summary":
                batch[name] = self._summary(message, tokens_BT, steps["t_ns"])
            else:
                raise KeyError(name)
        return batch

    def _summary(
        self, message_BT: NDArray[Any], tokens_BT: NDArray[np.int64], t_ns_BT: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        last = message_BT[:, -1].astype(np.int64)
        n_words, n_message = self.n_words, len(OF_MESSAGE)
        out_BF = np.zeros((len(last), n_words + n_message + len(OF_WINDOW)), dtype=np.float32)
        self.words.add_to(out_BF, last)
        out_BF[:, n_words : n_words + n_message] = self.words.scalars[last]
        for at, column in enumerate(_of_window(message_BT != 0, tokens_BT, t_ns_BT)):
            out_BF[:, n_words + n_message + at] = column
        return out_BF


def _of_window(
    real_BT: NDArray[np.bool_], tokens_BT: NDArray[np.int64], t_ns_BT: NDArray[np.int64]
) -> Iterator[NDArray[Any]]:
    """The features of `OF_WINDOW` in their order; padding takes no part."""
    count = real_BT.sum(axis=1)
    earlier = count - real_BT[:, -1]
    last = t_ns_BT[:, -1]
    previous = t_ns_BT[:, -2] if t_ns_BT.shape[1] > 1 else last
    yield np.where(earlier > 0, (last - previous) / 1e9, np.nan)
    begin = t_ns_BT[np.arange(len(last)), real_BT.argmax(axis=1)]
    yield (last - begin) / 1e9
    same = ((tokens_BT[:, :-1] == tokens_BT[:, -1:]) & real_BT[:, :-1]).sum(axis=1)
    yield same / np.maximum(earlier, 1)
    ordered = np.sort(tokens_BT, axis=1)
    changes = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) + 1
    yield changes - (ordered[:, 0] == PAD)
    yield (tokens_BT == UNK).sum(axis=1) / np.maximum(count, 1)


def _occurrences(windows: WindowSet, n_messages: int) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which messages the windows show at all, and how many windows end on each; padding not counted."""
    message = windows.streams["message"]
    shown = np.zeros(n_messages, dtype=np.bool_)
    size = max(1, CHUNK // windows.schema.length)
    for start in range(0, len(windows), size):
        shown[message[windows.steps(slice(start, start + size))]] = True
    ending = np.bincount(message[windows.last_step], minlength=n_messages)
    shown[0], ending[0] = False, 0
    return shown, ending
