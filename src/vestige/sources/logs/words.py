"""Words of log messages: which of them a model may count, and how often each message has them."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vestige.schema import PAD, SPECIAL_TOKENS, UNK

MAX_FEATURES = 1024
MAX_KNOWN = 65_536
"""Words beyond the features that are remembered as seen: whatever is rarer counts as unknown."""

MAX_CHARACTERS = 16_384
MAX_IDS = 8192
"""Words that have a token id of their own; whatever is rarer is UNK."""
MAX_LENGTH = 60
"""Words of a message that are read in order."""

WORD = re.compile(r"<[a-z_]+>|[^\W\d_]{2,32}")
DIGITS = re.compile(r"\d+")


def words_of(text: str) -> list[str]:
    """Placeholders (`<ip>`) and runs of two or more letters, in small letters, in order."""
    return WORD.findall(text[:MAX_CHARACTERS].lower())


@dataclass(frozen=True)
class WordCounts:
    """What the words of n messages come to.

    Message m has column `columns[k]` `counts[k]` times for k in `starts[m]:starts[m + 1]` (CSR: int64,
    int32, float32). `scalars (n, 5)` float32: see `Vocabulary.SCALARS`.
    """

    starts: NDArray[np.int64]
    columns: NDArray[np.int32]
    counts: NDArray[np.float32]
    scalars: NDArray[np.float32]

    def add_to(self, out: NDArray[np.float32], rows: NDArray[np.int64]) -> None:
        """Write the counts of message `rows[b]` into `out[b]`, which holds zeros: `(B, features)`."""
        first, size = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        window = np.repeat(np.arange(len(rows)), size)
        within = np.arange(len(window)) - np.repeat(np.cumsum(size) - size, size)
        entry = np.repeat(first, size) + within
        out[window, self.columns[entry]] = self.counts[entry]


@dataclass(frozen=True)
class Vocabulary:
    """Words that training saw: `features` have a column each, `others` are merely not unknown."""

    features: tuple[str, ...]
    others: tuple[str, ...]

    SCALARS = ("unknown_words", "length", "words", "digits", "masked")

    @classmethod
    def fit(cls, texts: Iterable[str], weights: Iterable[int], *, features: int = MAX_FEATURES) -> Vocabulary:
        """The words of training messages, most frequent first, `features` of them with a column; a message of
        weight 0 only makes its words known."""
        total: Counter[str] = Counter()
        for text, weight in zip(texts, weights, strict=True):
            for word in words_of(text):
                total[word] += weight
        ranked = sorted(total, key=lambda word: (-total[word], word))
        cut = sum(1 for word in ranked[:features] if total[word] > 0)
        return cls(tuple(ranked[:cut]), tuple(ranked[cut : cut + MAX_KNOWN]))

    @cached_property
    def _column(self) -> dict[str, int]:
        return dict.fromkeys(self.others, -1) | {word: at for at, word in enumerate(self.features)}

    def count(self, texts: Sequence[str]) -> WordCounts:
        """Count the words of every text."""
        columns, counts, starts = array("i"), array("f"), array("q", [0])
        scalars = np.zeros((len(texts), len(self.SCALARS)), dtype=np.float32)
        for row, text in enumerate(texts):
            words = words_of(text)
            found = self._found(words)
            digits = 0.0
            if text:
                digits = len("".join(DIGITS.findall(text))) / len(text)
            masked = sum(word[0] == "<" for word in words)
            scalars[row] = found.pop(None, 0), len(text), len(words), digits, masked
            columns.extend(found)  # type: ignore[arg-type]
            counts.extend(found.values())
            starts.append(len(columns))
        return WordCounts(
            np.frombuffer(starts, np.int64),
            np.frombuffer(columns, np.int32) if columns else np.empty(0, np.int32),
            np.frombuffer(counts, np.float32) if counts else np.empty(0, np.float32),
            scalars,
        )

    @property
    def ranked(self) -> tuple[str, ...]:
        """The words that have token ids, most frequent first."""
        return (*self.features, *self.others)[:MAX_IDS]

    def ids(self, texts: Sequence[str], length: int) -> NDArray[np.uint16]:
        """Token ids of each text's first `length` words, `(len(texts), length)`, PAD behind them: 2 is the
        most frequent of `ranked`, UNK is none of them. A text without words counts as one unknown word."""
        known = {word: at for at, word in enumerate(self.ranked, len(SPECIAL_TOKENS))}
        out = np.full((len(texts), length), PAD, dtype=np.uint16)
        for row, text in enumerate(texts):
            words = words_of(text)[:length] or [""]
            out[row, : len(words)] = [known.get(word, UNK) for word in words]
        return out

    def _found(self, words: list[str]) -> dict[int | None, int]:
        """How often each column occurs; None stands for unknown words."""
        known = self._column
        found: dict[int | None, int] = {}
        for word in words:
            column = known.get(word)
            if column != -1:
                found[column] = found.get(column, 0) + 1
        return found
