"""Clusters of explanations: per last event, by density (DBSCAN)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.cluster import DBSCAN
from sklearn.metrics import pairwise_distances

from vestige.triage.explained import EXAMPLES, METRICS, Event, Explanations

Kind = Literal["alike", "single", "rest"]
TYPICAL = 5
"""Events of the context that a cluster's row names."""


@dataclass(frozen=True)
class Cluster:
    """What an operator labels at once.

    `kind`: `alike`, explanations near one another; `single`, one explanation that is like no other; `rest`,
    what came when the event's table was full and was like nothing in it. `numbers`: its explanations.
    `context`: name and mean share of the events that bear on it most. `examples`: windows drawn from all of
    its members alike.
    """

    id: str
    event: str
    new: bool
    kind: Kind
    size: int
    numbers: tuple[int, ...]
    context: tuple[tuple[str, float], ...]
    examples: tuple[int, ...]


def clusters_of(found: Explanations, detector: str) -> list[Cluster]:
    """The largest first. `detector` names the one that explained: ids differ from triage to triage, so that
    labels given to one are not taken for another's."""
    every = [one for code in sorted(found.events) for one in _of_event(found, found.events[code])]
    every.sort(key=lambda one: (-one.size, one.event, one.examples))
    digest = hashlib.sha256(f"{detector} {found.options.model_dump_json()}".encode())
    for one in every:
        digest.update(repr((one.event, one.size, one.context, one.examples)).encode())
    mark = f"t{digest.hexdigest()[:6]}"
    return [replace(one, id=f"{mark}-{number:04d}") for number, one in enumerate(every, 1)]


def _of_event(found: Explanations, event: Event) -> Iterator[Cluster]:
    vectors = event.matrix()
    numbers = np.array(event.numbers, dtype=np.int64)
    count = np.array([found.count[one] for one in event.numbers], dtype=np.float64)
    if len(numbers):
        used, columns = np.unique(vectors.indices, return_inverse=True)
        narrow = (vectors.data, columns.reshape(-1), vectors.indptr)
        vectors = csr_matrix(narrow, shape=(len(numbers), max(1, len(used))))
        options = found.options
        distance = np.maximum(pairwise_distances(vectors, metric=METRICS[options.metric]), 0)
        model = DBSCAN(eps=options.eps, min_samples=options.min_samples, metric="precomputed")
        label = model.fit(distance, sample_weight=count).labels_
        label[label < 0] = label.max() + 1 + np.arange((label < 0).sum())
        size = np.bincount(label)
        names = [found.vocabulary[one] for one in used]
        for one in range(len(size)):
            rows = np.flatnonzero(label == one)
            mean = np.asarray(count[rows] @ vectors[rows]).reshape(-1) / count[rows].sum()
            dense = count[rows].sum() >= options.min_samples
            kind: Kind = "alike" if len(rows) > 1 or dense else "single"
            yield _cluster(found, event, kind, numbers[rows].tolist(), _typical(names, mean))
    if event.rest is not None:
        yield _cluster(found, event, "rest", [event.rest], ())


def _cluster(
    found: Explanations, event: Event, kind: Kind, numbers: list[int], context: tuple[tuple[str, float], ...]
) -> Cluster:
    size = sum(found.count[one] for one in numbers)
    drawn = sorted(lot for one in numbers for lot in found.sample[one])[:EXAMPLES]
    examples = tuple(sorted(window for _, window in drawn))
    return Cluster("", event.name, event.new, kind, size, tuple(numbers), context, examples)


def _typical(names: list[str], mean: NDArray[np.float64]) -> tuple[tuple[str, float], ...]:
    best = np.argsort(-mean, kind="stable")[:TYPICAL]
    return tuple((names[one], round(float(mean[one]), 3)) for one in best if names and mean[one] >= 0.001)
