"""The units that `blend` learns from: different ones, how often each came, and which must stay together.

Letters: N units, T tokens, K classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from vestige.hashing import row_hashes
from vestige.models.normal.whole import NewSteps
from vestige.reading.encoding import EncodedWindows
from vestige.schema import PAD

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

BATCH = 8192
"""Windows encoded at a time."""
FOLDS = 4
MOST_UNITS = 20_000
"""Different units that are learnt from at most, of every class as many as there are or may be."""
MOST_EVENTS = 1 << 22
"""Tokens of all recordings that are learnt from at most."""
MOST_OF_ONE = 1 << 17
"""Tokens of a single recording that are learnt from at most: its first."""


@dataclass(frozen=True)
class Chosen:
    """Which units are learnt from: `rows (N,)` of those that were offered, with `label (N,)`, `weight (N,)`
    (how often each came, and of classes of which not all are learnt from accordingly more), and `group (N,)`:
    units of one group lie in one fold. `offered`: how many different ones there were."""

    rows: IntArray
    label: NDArray[np.uint8]
    weight: FloatArray
    group: IntArray
    offered: int


@dataclass(frozen=True)
class Recordings:
    """Whole recordings of a part: `tokens`, `(T,)` int64 of each, `label (N,)`, and the `host` of each."""

    tokens: list[IntArray]
    label: NDArray[np.uint8]
    host: list[str]

    @classmethod
    def of(cls, data: EncodedWindows, steps: NewSteps) -> Self:
        """Every recording that has windows in a part."""
        found: dict[int, list[NDArray[np.int32]]] = {}
        first: list[int] = []
        for rows, X in data.batches(BATCH, (steps.name,)):
            new_BS = steps.take(X).astype(np.int32)
            for recording, part in data.windows.select(rows).runs():
                if recording not in found:
                    first.append(int(rows[part.start]))
                tokens = new_BS[part].reshape(-1)
                found.setdefault(recording, []).append(tokens[tokens != PAD])
        hosts = data.windows.recordings["host"].to_list()
        return cls(
            [np.concatenate(parts).astype(np.int64) for parts in found.values()],
            data.label[first],
            [hosts[recording] for recording in found],
        )

    def beside(self, others: Recordings) -> Recordings:
        """These, and the others after them."""
        label = np.concatenate([self.label, others.label])
        return Recordings(self.tokens + others.tokens, label, self.host + others.host)


def choose_recordings(recordings: Recordings, seed: int) -> Chosen:
    """Which of the recordings are learnt from: of equal ones with one label, the first."""
    label = recordings.label
    at: dict[tuple[int, bytes], int] = {}
    copies: list[int] = []
    which: list[int] = []
    for row, tokens in enumerate(recordings.tokens):
        number = at.setdefault((int(label[row]), tokens[:MOST_OF_ONE].tobytes()), len(which))
        if number == len(which):
            which.append(row)
            copies.append(0)
        copies[number] += 1
    rows = np.array(which, dtype=np.int64)
    sizes = np.array([min(len(recordings.tokens[row]), MOST_OF_ONE) for row in which], dtype=np.int64)
    kept, weight = _bounded(label[rows], np.array(copies, dtype=np.float64), sizes, seed)
    number_of: dict[str, int] = {}
    hosts = [number_of.setdefault(recordings.host[row], len(number_of)) for row in rows[kept].tolist()]
    group = _hosts_or_alone(np.array(hosts, dtype=np.int64), label[rows[kept]])
    return Chosen(rows[kept], label[rows[kept]], weight, group, len(rows))


def choose_windows(data: EncodedWindows, names: tuple[str, ...], tokens: str, seed: int) -> Chosen:
    """Of the windows of a part, those that are learnt from; they stay together by the token judged."""
    hashes, last = [], []
    for rows, X in data.batches(BATCH, names):
        hashes.append(row_hashes({**{name: X[name] for name in names}, "": data.label[rows]}))
        last.append(X[tokens][:, data.schema.before])
    _, first, copies = np.unique(np.concatenate(hashes), return_index=True, return_counts=True)
    first = first.astype(np.int64)
    label = data.label[first]
    ones = np.ones(len(first), dtype=np.int64)
    kept, weight = _bounded(label, copies.astype(np.float64), ones, seed)
    group = np.concatenate(last)[first[kept]].astype(np.int64)
    return Chosen(first[kept], label[kept], weight, group, len(first))


def folds(group: IntArray, label: NDArray[np.uint8], seed: int) -> Iterator[tuple[IntArray, IntArray]]:
    """What to learn from and what to judge, rows of units: groups are dealt by chance, anomalous ones first.
    A fold without which a class would be missing is left out."""
    _, group = np.unique(group, return_inverse=True)
    anomalous = np.bincount(group, weights=label > 0) > 0
    order = np.lexsort((np.random.default_rng(seed).random(len(anomalous)), ~anomalous))
    dealt = np.empty(len(order), dtype=np.int64)
    dealt[order] = np.arange(len(order)) % FOLDS
    fold, classes = dealt[group], len(np.unique(label))
    for number in range(FOLDS):
        inside, outside = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        if len(inside) and len(np.unique(label[outside])) == classes:
            yield outside, inside


def _bounded(
    label: NDArray[np.uint8], weight: FloatArray, sizes: IntArray, seed: int
) -> tuple[IntArray, FloatArray]:
    """Which units there is room for, ascending, and their weights: one of each class in turn, by chance."""
    by_chance = np.random.default_rng(seed).permutation(len(label))
    turn = np.empty(len(label), dtype=np.int64)
    for k in np.unique(label):
        of_class = by_chance[label[by_chance] == k]
        turn[of_class] = np.arange(len(of_class))
    order = np.argsort(turn, kind="stable")
    room = (np.cumsum(sizes[order]) <= MOST_EVENTS) & (np.arange(len(order)) < MOST_UNITS)
    kept = np.sort(order[room])
    whole = np.bincount(label, weights=weight, minlength=256)
    of_kept = np.bincount(label[kept], weights=weight[kept], minlength=256)
    return kept, weight[kept] * (whole / np.where(of_kept > 0, of_kept, 1.0))[label[kept]]


def _hosts_or_alone(hosts: IntArray, label: NDArray[np.uint8]) -> IntArray:
    """The group of each recording: its host (a machine, a directory); a host that has more of a class than a
    fold may hold cannot be held out, and its recordings are each alone."""
    n = int(hosts.max(initial=-1)) + 1
    too_large = np.zeros(n, dtype=np.bool_)
    for k in np.unique(label):
        too_large |= np.bincount(hosts[label == k], minlength=n) > (label == k).sum() / FOLDS
    return np.where(too_large[hosts], n + np.arange(len(hosts)), hosts)
