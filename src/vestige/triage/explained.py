"""Explanations as vectors: how much each event of the context bears on the judgement of the last event.

Letters: B windows, U different ones, T tokens of a window, V token ids, D different vectors of an event.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
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


def explained(detector: Detector, tokens_BT: Ints) -> pl.DataFrame:
    """What explains the judgement of each window, a row each: `last`, the token judged, UNK where it is not
    known; `alike`, which windows show the same tokens; and of the vector the `ids` and their `weights`, the
    shares of the context's events: one that comes twice has both its shares."""
    unique_UT, again = np.unique(tokens_BT, axis=0, return_inverse=True)
    alike = again.reshape(-1)
    width = len(detector.inputs[0].vocabulary or ())
    known_UT = np.where(unique_UT < width, unique_UT, UNK)
    weights = detector.explain({detector.inputs[0].name: unique_UT})
    ends = np.arange(len(unique_UT) + 1) * weights.shape[1]
    flat: tuple[Any, ...] = (weights.reshape(-1), known_UT[:, :-1].reshape(-1), ends)
    vectors = csr_matrix(flat, shape=(len(unique_UT), width))
    vectors.sum_duplicates()
    vectors.data = np.round(vectors.data / STEP) * STEP
    vectors.eliminate_zeros()
    of_unique = pl.DataFrame(
        {
            "last": known_UT[:, -1].astype(np.int64),
            "ids": _lists(vectors.indices.astype(np.int64), vectors.indptr),
            "weights": _lists(vectors.data.astype(np.float64), vectors.indptr),
        }
    )
    return of_unique[alike].with_columns(alike=pl.Series(alike.astype(np.int64)))


def _lists(values: NDArray[Any], ends: NDArray[Any]) -> pl.Series:
    """The values between each two ends, as a list."""
    flat = pl.Series(values)
    return pl.Series(
        [flat[begin:end] for begin, end in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)],
        dtype=pl.List(flat.dtype),
    )


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

    def add(self, alerts: pl.DataFrame) -> Ints:
        """Count these alerts, which have the columns of `explained`, `text`, and `window`; returns the number
        of each one's explanation, `(B,)`."""
        keys = np.column_stack([alerts["last"].to_numpy(), alerts["alike"].to_numpy()])
        texts = alerts["text"]
        for row in np.flatnonzero(keys[:, 0] == UNK).tolist():
            keys[row, 0] = self._code(texts[row])
        unique, at, again = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        # In the order in which they came, so that pieces of another size number them alike.
        came = np.argsort(at)
        of_unique = np.empty(len(at), dtype=np.int64)
        of_unique[came] = self._numbers(unique[came, 0].tolist(), self._vectors(alerts[at[came]]))
        found: Ints = of_unique[again.reshape(-1)]
        windows = alerts["window"].to_numpy()
        drawn = row_hashes({"window": windows[:, None]}).tolist()
        for number, lot in zip(found.tolist(), zip(drawn, windows.tolist(), strict=True), strict=True):
            self.count[number] += 1
            insort(self.sample[number], lot)
            del self.sample[number][EXAMPLES:]
        return found

    def _vectors(self, alerts: pl.DataFrame) -> csr_matrix:
        """One a row, `(U, V)`."""
        ends = np.concatenate([[0], np.cumsum(alerts["ids"].list.len().to_numpy(), dtype=np.int64)])
        # Explode makes a null of an empty list.
        ids, weights = (alerts[name].explode().drop_nulls().to_numpy() for name in ("ids", "weights"))
        return csr_matrix((weights, ids, ends), shape=(alerts.height, len(self.vocabulary)))

    def _numbers(self, codes: list[int], vectors_UV: csr_matrix) -> Ints:
        """Of each vector, with the code of its event, `(U,)`."""
        found = np.empty(len(codes), dtype=np.int64)
        over: dict[int, list[int]] = {}
        for row, code in enumerate(codes):
            here = slice(vectors_UV.indptr[row], vectors_UV.indptr[row + 1])
            ids, weights = vectors_UV.indices[here], vectors_UV.data[here]
            number = self._event(code).look_up(ids, weights, len(self.count), self.options.most_distinct)
            if number is None:
                over.setdefault(code, []).append(row)
                continue
            found[row] = number
            self._make_room(number)
        for code, rows in over.items():
            found[rows] = self._of_a_full_table(self._event(code), vectors_UV[rows])
        return found

    def _of_a_full_table(self, event: Event, vectors: csr_matrix) -> Ints:
        found = event.nearest(vectors, self.options)
        alone = np.flatnonzero(found < 0)
        if len(alone):
            if event.rest is None:
                event.rest = len(self.count)
                self._make_room(event.rest)
            found[alone] = event.rest
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
