"""The log encoder with one table of messages looked up. Letters: B windows, T steps (messages), F features,
L words of a message, E vector size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from vestige.reading.encoding import Batch
from vestige.reading.steps import Steps
from vestige.reading.values import Values
from vestige.schema import PAD, SPECIAL_TOKENS, UNK, Feature
from vestige.sources.logs.embedding import loading
from vestige.sources.logs.embedding.base import Identity
from vestige.sources.logs.slots import wildcard_words
from vestige.sources.logs.words import Vocabulary, WordCounts

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


@dataclass(frozen=True)
class BoundLogEncoder:
    """Look-ups of the messages `texts`, whose first is padding: `tokens (messages,)` int64 at once, counts of
    words, their token ids and vectors when they are first asked for.

    `ahead`: messages of a window after the one judged; `length`: words of it that are read; `templates`: what
    the tokens behind the special ones are.
    """

    texts: pl.Series
    tokens: NDArray[np.int64]
    vocabulary: Vocabulary
    length: int
    embedding: Identity
    ahead: int = 0
    templates: tuple[str, ...] = ()

    def streams(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """`message`, and `t_ns` where the summary is wanted."""
        if "summary" in names:
            return ("message", "t_ns")
        return ("message",)

    def encode(self, steps: Steps, names: tuple[str, ...]) -> Batch:
        """Only the inputs called `names`, from the streams `message` and, for `summary`, `t_ns` `(B, T)`."""
        message_BT = steps["message"]
        judged = message_BT.shape[1] - 1 - self.ahead
        led = slice(0, judged + 1)
        batch: Batch = {}
        for name in names:
            if name == "tokens":
                batch[name] = self.tokens[message_BT[:, led]]
            elif name == "summary":
                batch[name] = self._summary(message_BT[:, led], steps["t_ns"][:, led])
            elif name == "words":
                batch[name] = self._words[message_BT[:, judged]].astype(np.int64)
            elif name == "vectors":
                batch[name] = self._vectors[message_BT]
            else:
                raise KeyError(name)
        return batch

    def varying_words(self) -> Values:
        """See `values.VaryingWords`: the words where the templates of messages have wildcards."""
        templates = (*[""] * len(SPECIAL_TOKENS), *self.templates)
        return wildcard_words(self.texts.to_list(), [templates[token] for token in self.tokens.tolist()])

    @cached_property
    def counts(self) -> WordCounts:
        """How often each message has each known word; padding has none."""
        return self.vocabulary.count(["", *self.texts[1:].to_list()])

    @cached_property
    def _words(self) -> NDArray[np.uint16]:
        ids = self.vocabulary.ids(self.texts.to_list(), self.length)
        ids[:1] = PAD
        return ids

    @cached_property
    def _vectors(self) -> NDArray[np.float32]:
        """Zeros for padding."""
        vectors = np.zeros((len(self.texts), self.embedding["size"]), dtype=np.float32)
        vectors[1:] = loading.load(self.embedding).embed(self.texts[1:].to_list())
        return vectors

    def _summary(self, message_BT: NDArray[Any], t_ns_BT: NDArray[np.int64]) -> NDArray[np.float32]:
        judged = message_BT[:, -1].astype(np.int64)
        tokens_BT = self.tokens[message_BT]
        n_words, n_message = len(self.vocabulary.features), len(OF_MESSAGE)
        out_BF = np.zeros((len(judged), n_words + n_message + len(OF_WINDOW)), dtype=np.float32)
        self.counts.add_to(out_BF, judged)
        out_BF[:, n_words : n_words + n_message] = self.counts.scalars[judged]
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
    previous = last
    if t_ns_BT.shape[1] > 1:
        previous = t_ns_BT[:, -2]
    yield np.where(earlier > 0, (last - previous) / 1e9, np.nan)
    begin = t_ns_BT[np.arange(len(last)), real_BT.argmax(axis=1)]
    yield (last - begin) / 1e9
    same = ((tokens_BT[:, :-1] == tokens_BT[:, -1:]) & real_BT[:, :-1]).sum(axis=1)
    yield same / np.maximum(earlier, 1)
    ordered = np.sort(tokens_BT, axis=1)
    # Distinct tokens: where the sorted row changes, and the first; padding is none.
    changes = (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1) + 1
    yield changes - (ordered[:, 0] == PAD)
    yield (tokens_BT == UNK).sum(axis=1) / np.maximum(count, 1)
