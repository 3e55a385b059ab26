"""Message templates: mined by Drain on training messages, then matched by a frozen index of our own.

A template is a plain string, its tokens separated by blanks, `<*>` where any one token fits:
`session opened for user <*> by <num>`. Only the first line of a message has a template.

He, Zhu, Zheng, Lyu: Drain: An Online Log Parsing Approach with Fixed Depth Tree. ICWS 2017.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vestige.sources.logs.mining import WILDCARD, Miner

ESCAPED = "<**>"
"""Stands for a `<*>` that the message itself holds: nobody writes a wildcard into our templates."""

MAX_TOKENS = 64
MAX_CHARACTERS = 2048


def tokens_of(message: str) -> list[str]:
    """The tokens of a message that count: those of its first line, at most `MAX_TOKENS`."""
    line = message[:MAX_CHARACTERS].partition("\n")[0]
    if WILDCARD in line:
        line = line.replace(WILDCARD, ESCAPED)
    return line.split(None, MAX_TOKENS)[:MAX_TOKENS]


def fit_templates(messages: Sequence[str], counts: Sequence[int]) -> list[str]:
    """Mine templates from masked `messages` in corpus order; those with a count of 0 take no part.

    The result depends on nothing else: not on the other messages, the hash seed or the number of cores.
    """
    miner = Miner()
    for message, count in zip(messages, counts, strict=True):
        if count > 0:
            miner.add(tokens_of(message))
    return miner.templates()


Key = Callable[[Sequence[str]], Any]
Shape = tuple[int, tuple[int, ...]]
"""How many constants a template has (negative) and where they are: what comes first is more specific."""
Patterns = list[tuple[Shape, Key, dict[Any, int]]]
"""By shape, how to look up a message there, and which template has which constants there."""


class Matcher:
    """A frozen index of templates: the same answers whenever it is built from the same list.

    A message matches a template of as many tokens whose constants all stand where the message has them;
    of several, the one with most constants wins, then the one with constants further left.
    """

    def __init__(self, templates: Sequence[str]) -> None:
        self.templates = tuple(templates)
        self.tried = 0
        """Look-ups so far: some for each message, however many templates there are."""
        buckets: dict[tuple[int, str, str], list[int]] = {}
        for index, template in enumerate(self.templates):
            tokens = template.split()
            buckets.setdefault((len(tokens), *_head(tokens)), []).append(index)
        self._by_head = {head: self._patterns(indices) for head, indices in buckets.items()}

    def match(self, messages: Sequence[str]) -> NDArray[np.int64]:
        """For each message the index of its template, or -1: `(len(messages),)` int64."""
        rows = (self._match(tokens_of(message)) for message in messages)
        return np.fromiter(rows, np.int64, len(messages))

    def _match(self, tokens: list[str]) -> int:
        """The best in the buckets of the message's first two tokens and of wildcards in their place."""
        count = len(tokens)
        first, second = _head(tokens)
        rank, best = None, -1
        for head in ((first, second), (first, WILDCARD), (WILDCARD, second), (WILDCARD, WILDCARD)):
            for shape, key, found in self._by_head.get((count, *head), ()):
                self.tried += 1
                if rank is not None and shape > rank:
                    break
                index = found.get(key(tokens))
                if index is not None:
                    rank, best = shape, index
                    break
        return best

    def _patterns(self, indices: list[int]) -> Patterns:
        shapes: dict[Shape, dict[Any, int]] = {}
        for index in indices:
            tokens = self.templates[index].split()
            constants = tuple(at for at, token in enumerate(tokens) if token != WILDCARD)
            found = shapes.setdefault((-len(constants), constants), {})
            found.setdefault(_key(constants)(tokens), index)
        return [(shape, _key(shape[1]), shapes[shape]) for shape in sorted(shapes)]


def _head(tokens: list[str]) -> tuple[str, str]:
    """The first two tokens; the end counts as one that nobody can write."""
    first, second, *_ = [*tokens[:2], "", ""]
    return first, second


def _key(positions: tuple[int, ...]) -> Key:
    if not positions:
        return _nothing
    return itemgetter(*positions)


def _nothing(_: Sequence[str]) -> tuple[()]:
    return ()
