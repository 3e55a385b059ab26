"""Explanations as vectors: how much each event of the context bears on the judgement of the last event.

Letters: B windows, U different ones, T tokens of a window, V token ids, D different vectors of an event.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.metrics import pairwise_distances

from vestige.hashing import row_hashes
from vestige.models.base import Detector
from vestige.schema import UNK
from vestige.triage.options import TriageOptions

METRICS = {"l1": "manhattan", "cosine": "cosine"}
STEP = 1e-4
"""Weights are rounded to this: explanations that differ by less are equal."""
NEW_EVENTS = 1000
"""Events that training never saw and that are told apart by name; all further ones count as one event."""
EXAMPLES = 3
COMPARED = 1024
"""Vectors whose distances to all kept ones are held at a time."""

Ints = NDArray[np.int64]


@dataclass
class Event:
    """The different explanations of one last event, the first `most` of them. `new`: unknown to training.

    `numbers` name the vectors across all events; `rest`, where it is not None, is the number that stands for
    whatever came when the table was full and was like nothing in it.
    """

    name: str
    new: bool
    width: int
    numbers: list[int] = field(default_factory=list)
    rest: int | None = None
    _ids: list[Ints] = field(default_factory=list)
    _weights: list[NDArray[np.float64]] = field(default_factory=list)
    _known: dict[bytes, int] = field(default_factory=dict)

    def matrix(self) -> csr_matrix:
        """All kept vectors, `(D, V)`."""
        ends = np.cumsum([0, *(len(ids) for ids in self._ids)])
        # An empty list behind the others, since nothing at all cannot be concatenated.
        data, ids = np.concatenate([*self._weights, []]), np.concatenate([*self._ids, []])
        return csr_matrix((data, ids.astype(np.int64), ends), shape=(len(self._ids), self.width))

    def look_up(self, ids: Ints, weights: NDArray[np.float64], number: int, most: int) -> int | None:
        """The number of a vector: the one it has, `number` if it is new, None where the table is full."""
        key = ids.astype(np.int64).tobytes() + np.round(weights / STEP).astype(np.int64).tobytes()
        found = self._known.get(key)
        if found is not None or len(self.numbers) >= most:
            return found
        self._known[key] = number
        self.numbers.append(number)
        self._ids.append(ids)
        self._weights.append(weights)
        return number

    def nearest(self, vectors: csr_matrix, options: TriageOptions) -> Ints:
        """Number of the kept vector that is nearest to each, or -1 where none is within eps."""
        kept, numbers = self.matrix(), np.array(self.numbers)
        found = np.empty(vectors.shape[0], dtype=np.int64)
        for start in range(0, len(found), COMPARED):
            distance = pairwise_distances(vectors[start : start + COMPARED], kept, METRICS[options.metric])
            best = distance.argmin(axis=1)
            near = distance[np.arange(len(best)), best] <= options.eps
            found[start : start + COMPARED] = np.where(near, numbers[best], -1)
        return found


@dataclass
class Explanations:
    """Every alert's explanation as a number, equal ones merged; memory is bounded by what is kept an event.

    `count`: alerts of each number; `sample`: `EXAMPLES` of their windows, drawn by a hash of the
    window's number (hash, window), so that they are no burst of one hour.
    """

    detector: Detector
    options: TriageOptions
    events: dict[int, Event] = field(default_factory=dict)
    count: list[int] = field(default_factory=list)
    sample: list[list[tuple[int, int]]] = field(default_factory=list)
    _new: dict[str, int] = field(default_factory=dict)

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Name of every token id."""
        return self.detector.inputs[0].vocabulary or ()

    def add(self, tokens_BT: Ints, texts: list[str], windows: Ints) -> Ints:
        """Explain these windows; returns the number of each one's explanation, `(B,)`."""
        keyed_BT = tokens_BT.copy()
        for row in np.flatnonzero(self._known(tokens_BT[:, -1]) == UNK).tolist():
            keyed_BT[row, -1] = self._code(texts[row])
        unique_UT, at, again = np.unique(keyed_BT, axis=0, return_index=True, return_inverse=True)
        vectors_UV = self._vectors(tokens_BT[at])
        of_unique = np.empty(len(at), dtype=np.int64)
        for code in np.unique(unique_UT[:, -1]).tolist():
            rows = np.flatnonzero(unique_UT[:, -1] == code)
            of_unique[rows] = self._numbers(self._event(code), vectors_UV[rows])
        found: Ints = of_unique[again.reshape(-1)]
        drawn = row_hashes({"window": windows[:, None]}).tolist()
        for number, lot in zip(found.tolist(), zip(drawn, windows.tolist(), strict=True), strict=True):
            self.count[number] += 1
            insort(self.sample[number], lot)
            del self.sample[number][EXAMPLES:]
        return found

    def _vectors(self, tokens_UT: Ints) -> csr_matrix:
        """Shares of the context's events, `(U, V)`: an event that comes twice has both its shares."""
        weights = self.detector.explain({self.detector.inputs[0].name: tokens_UT})
        ends = np.arange(len(tokens_UT) + 1) * weights.shape[1]
        context_UT = self._known(tokens_UT[:, :-1])
        flat: tuple[Any, ...] = (weights.reshape(-1), context_UT.reshape(-1), ends)
        vectors = csr_matrix(flat, shape=(len(tokens_UT), len(self.vocabulary)))
        vectors.sum_duplicates()
        vectors.data = np.round(vectors.data / STEP) * STEP
        vectors.eliminate_zeros()
        return vectors

    def _known(self, tokens: Ints) -> Ints:
        """UNK for whatever lies outside the vocabulary."""
        return np.where(tokens < len(self.vocabulary), tokens, UNK)

    def _numbers(self, event: Event, vectors: csr_matrix) -> Ints:
        found = np.full(vectors.shape[0], -1, dtype=np.int64)
        for row in range(len(found)):
            here = slice(vectors.indptr[row], vectors.indptr[row + 1])
            ids, weights = vectors.indices[here], vectors.data[here]
            number = event.look_up(ids, weights, len(self.count), self.options.most_distinct)
            if number is not None:
                found[row] = number
                self._make_room(number)
        over = np.flatnonzero(found < 0)
        if len(over):
            found[over] = event.nearest(vectors[over], self.options)
        for row in np.flatnonzero(found < 0).tolist():
            if event.rest is None:
                event.rest = len(self.count)
            found[row] = event.rest
            self._make_room(event.rest)
        return found

    def _make_room(self, number: int) -> None:
        """For a number that is new."""
        if number == len(self.count):
            self.count.append(0)
            self.sample.append([])

    def _event(self, code: int) -> Event:
        if code not in self.events:
            width = len(self.vocabulary)
            names = {at: text for text, at in self._new.items()}
            if code >= width:
                name = names[code]
            else:
                name = self.vocabulary[code]
            self.events[code] = Event(name, code >= width or code == UNK, width)
        return self.events[code]

    def _code(self, text: str) -> int:
        """A code beyond the vocabulary for an event that training never saw, UNK when there are too many."""
        if text not in self._new and len(self._new) < NEW_EVENTS:
            self._new[text] = len(self.vocabulary) + len(self._new)
        return self._new.get(text, UNK)
