"""Templates where several types of log stand in one dataset: each type has a miner of its own.

Templates of `auth` never merge with those of `kern`. A message of a type that no template is of (a type that
training never saw) is matched against the templates of all types.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vestige.sources.logs.templates import Matcher, fit_templates


def fit_by_type(
    messages: Sequence[str], types: Sequence[str], counts: Sequence[int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The templates of each type's messages, types in the order in which they first occur; and the type of
    each template. See `fit_templates`."""
    templates: list[str] = []
    of: list[str] = []
    for kind, rows in _rows(types).items():
        found = fit_templates([messages[row] for row in rows], [counts[row] for row in rows])
        templates += found
        of += [kind] * len(found)
    return tuple(templates), tuple(of)


def names(templates: Sequence[str], types: Sequence[str]) -> tuple[str, ...]:
    """What templates are called: behind their type where there are several."""
    if len(set(types)) < 2:
        return tuple(templates)
    return tuple(f"{kind}: {template}" for kind, template in zip(types, templates, strict=True))


class TypedMatcher:
    """`Matcher` for templates each of which has a type."""

    def __init__(self, templates: Sequence[str], types: Sequence[str]) -> None:
        self._all = Matcher(templates)
        of = _rows(types)
        self._own = {}
        # With a single type, its own templates would be all templates over again.
        if len(of) > 1:
            for kind, rows in of.items():
                matcher = Matcher([templates[row] for row in rows])
                self._own[kind] = np.array(rows), matcher

    def match(self, messages: Sequence[str], types: Sequence[str]) -> NDArray[np.int64]:
        """For each message the index of its template, or -1: `(len(messages),)` int64."""
        if not self._own:
            return self._all.match(messages)
        found = np.full(len(messages), -1, dtype=np.int64)
        for kind, rows in _rows(types).items():
            texts = [messages[row] for row in rows]
            if kind not in self._own:
                found[rows] = self._all.match(texts)
                continue
            numbers, matcher = self._own[kind]
            own = matcher.match(texts)
            found[rows] = np.where(own < 0, -1, numbers[own])
        return found


def _rows(types: Sequence[str]) -> dict[str, list[int]]:
    """The rows of each type, in the order in which types first occur."""
    rows: dict[str, list[int]] = {}
    for row, kind in enumerate(types):
        rows.setdefault(kind, []).append(row)
    return rows
