"""Model inputs from log windows, fitted on training windows only: template ids, a summary of the message
judged and what led to it, its words, and vectors of all messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.encoding import unknown_rate
from vestige.reading.windows import WindowSet
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Feature, Input, Schema
from vestige.sources.logs.bound import OF_MESSAGE, OF_WINDOW, BoundLogEncoder
from vestige.sources.logs.embedding.base import Identity
from vestige.sources.logs.embedding.hashing import IDENTITY
from vestige.sources.logs.schema import INPUTS
from vestige.sources.logs.types import TypedMatcher, fit_by_type, names
from vestige.sources.logs.words import MAX_FEATURES, MAX_LENGTH, Vocabulary, words_of

CHUNK = 1 << 22
"""Steps gathered at a time where all windows are gone through."""


@dataclass(frozen=True)
class LogEncoder:
    """Templates, each of a type of log, and words of the training windows, frozen.

    Four inputs: `tokens (B, T)` int64, the templates of the messages up to the one judged (PAD outside the
    file, UNK for a template that training never saw); `summary (B, F)` float32: how often the message judged
    has each known word, `OF_MESSAGE` about it, `OF_WINDOW` about what led to it; `words (B, L)` int64: that
    message's words, L being what training needs, `MAX_LENGTH` at most; `vectors (B, S, E)` float32:
    `embedding` of every message of the window, those that it looks `ahead` at included, zeros outside.
    """

    templates: tuple[str, ...]
    types: tuple[str, ...]
    words: Vocabulary
    length: int
    embedding: Identity
    before: int
    ahead: int = 0
    symbols: ClassVar[str] = "messages"

    @classmethod
    def fit(cls, train: WindowSet, *, steps: int = CHUNK, features: int = MAX_FEATURES) -> Self:
        """Learn from the messages that training windows show, those judged weighted by how often.

        `steps` are gathered at a time; `features` of the words have a column at most.
        """
        table = train.table(cls.symbols)
        shown, judged = _occurrences(train, len(table), steps)
        rows = np.flatnonzero(shown)
        texts = table["text"].gather(rows).to_list()
        types = table["type"].gather(rows).to_list()
        templates, of = fit_by_type(texts, types, np.maximum(judged[rows], 1).tolist())
        length = _longest(table["text"].gather(np.flatnonzero(judged)))
        return cls(
            templates,
            of,
            Vocabulary.fit(texts, judged[rows].tolist(), features=features),
            length,
            _embedding(train.schema),
            train.schema.before,
            train.schema.ahead,
        )

    @property
    def inputs(self) -> tuple[Input, ...]:
        """`tokens` and `words` with vocabularies, `summary` with its features, `vectors`."""
        tokens, summary, words, vectors = INPUTS
        templates = names(self.templates, self.types)
        counted = tuple(Feature(f"word:{word}", "count") for word in self.words.features)
        return (
            replace(tokens, vocabulary=(*SPECIAL_TOKENS, *templates), length=self.before + 1),
            replace(summary, features=(*counted, *OF_MESSAGE, *OF_WINDOW)),
            replace(words, vocabulary=(*SPECIAL_TOKENS, *self.words.ranked), length=self.length),
            replace(vectors, size=int(self.embedding["size"]), length=self.before + 1 + self.ahead),
        )

    @cached_property
    def _matcher(self) -> TypedMatcher:
        return TypedMatcher(self.templates, self.types)

    def bind(self, symbols: pl.DataFrame) -> BoundLogEncoder:
        """Match and count, once, every message of a table whose row 0 is padding."""
        texts = symbols["text"].to_list()
        found = self._matcher.match(texts, symbols["type"].to_list())
        tokens = np.where(found < 0, UNK, found + len(SPECIAL_TOKENS))
        tokens[:1] = PAD
        return BoundLogEncoder(
            symbols["text"],
            tokens,
            self.words,
            self.length,
            self.embedding,
            self.ahead,
            self.templates,
        )

    def unseen(self, windows: WindowSet) -> dict[str, float]:
        """Shares of UNK among the templates of the messages judged, and of unknown ones among their words."""
        table = windows.table(self.symbols)
        judged = np.bincount(windows.streams.at("message", windows.target_step), minlength=len(table))
        rows = np.flatnonzero(judged)
        bound = self.bind(pl.concat([table[:1], table[rows]]))
        weight = np.concatenate([[0], judged[rows]])
        unknown, words = (weight @ bound.counts.scalars[:, at].astype(np.float64) for at in (0, 2))
        of_words = 0.0
        if words:
            of_words = float(unknown / words)
        return {"templates": unknown_rate(np.repeat(bound.tokens, weight)), "words": of_words}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready state."""
        return {
            "templates": list(self.templates),
            "types": list(self.types),
            "words": list(self.words.features),
            "other_words": list(self.words.others),
            "length": self.length,
        }

    @classmethod
    def from_dict(cls, state: dict[str, Any], schema: Schema) -> Self:
        """The encoder whose `to_dict` gave `state`. Raises KeyError where a part is missing."""
        for wanted in INPUTS:
            schema.input(wanted.name)
        words = Vocabulary(tuple(state["words"]), tuple(state["other_words"]))
        templates, types = tuple(state["templates"]), tuple(state["types"])
        return cls(
            templates, types, words, int(state["length"]), _embedding(schema), schema.before, schema.ahead
        )


def _embedding(schema: Schema) -> Identity:
    found: Identity = schema.settings.get("embedding", IDENTITY)
    return found


def _longest(texts: Iterable[str]) -> int:
    """Words of the longest message, within 1..`MAX_LENGTH`."""
    longest = max((len(words_of(text)) for text in texts), default=1)
    return min(max(longest, 1), MAX_LENGTH)


def _occurrences(
    windows: WindowSet, n_messages: int, steps: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which messages the windows show at all, and how many windows judge each; padding not counted."""
    message = windows.streams["message"]
    shown = np.zeros(n_messages, dtype=np.bool_)
    size = max(1, steps // windows.schema.length)
    for start in range(0, len(windows), size):
        shown[message[windows.steps(slice(start, start + size))]] = True
    judged = windows.times_judged("message", n_messages)
    shown[0], judged[0] = False, 0
    return shown, judged
