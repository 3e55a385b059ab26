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

Kind = Literal["alike", "single", "rest", "incident", "usual"]
TYPICAL = 5
"""Events of the context that a cluster's row names."""


@dataclass(frozen=True)
class Cluster:
    """What an operator labels at once.

    `kind`: `alike`, explanations near one another; `single`, one explanation that is like no other; `rest`,
    what came when the event's table was full and was like nothing in it. Of a detector of what is normal:
    `incident`, alerts that belong together; `usual`, an event of a machine that is not rare. `numbers`: its
    explanations. `context`: name and mean share of the events that bear on it most, or of the reasons.
    `examples`: windows drawn from all of its members alike.
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
    every: list[Cluster] = []
    for code in sorted(found.events):
        every += _of_event(found, found.events[code])
    return named(every, f"{detector} {found.options.model_dump_json()}")


def named(every: list[Cluster], made_by: str) -> list[Cluster]:
    """What is usual last, else the largest first, each with its id. `made_by` says what they were made by:
    the detector, and how it was asked."""
    every = sorted(
        every, key=lambda cluster: (cluster.kind == "usual", -cluster.size, cluster.event, cluster.examples)
    )
    # The names hold a digest of all clusters: labels are never given to those of another run.
    digest = hashlib.sha256(made_by.encode())
    for cluster in every:
        told = (cluster.event, cluster.size, cluster.context, cluster.examples)
        digest.update(repr(told).encode())
    mark = f"t{digest.hexdigest()[:6]}"
    return [replace(cluster, id=f"{mark}-{number:04d}") for number, cluster in enumerate(every, 1)]


def _of_event(found: Explanations, event: Event) -> Iterator[Cluster]:
    vectors = event.matrix()
    numbers = np.array(event.numbers, dtype=np.int64)
    count = np.array([found.count[number] for number in event.numbers], dtype=np.float64)
    if len(numbers):
        # Only the columns that are used: distances take memory by how wide the vectors are.
        used, columns = np.unique(vectors.indices, return_inverse=True)
        narrow = (vectors.data, columns.reshape(-1), vectors.indptr)
        vectors = csr_matrix(narrow, shape=(len(numbers), max(1, len(used))))
        options = found.options
        distance = np.maximum(pairwise_distances(vectors, metric=METRICS[options.metric]), 0)
        model = DBSCAN(eps=options.eps, min_samples=options.min_samples, metric="precomputed")
        label = model.fit(distance, sample_weight=count).labels_
        # Whatever DBSCAN calls noise is a cluster by itself.
        label[label < 0] = label.max() + 1 + np.arange((label < 0).sum())
        size = np.bincount(label)
        names = [found.vocabulary[token] for token in used]
        for cluster in range(len(size)):
            rows = np.flatnonzero(label == cluster)
            mean = np.asarray(count[rows] @ vectors[rows]).reshape(-1) / count[rows].sum()
            dense = count[rows].sum() >= options.min_samples
            kind: Kind = "single"
            if len(rows) > 1 or dense:
                kind = "alike"
            yield _cluster(found, event, kind, numbers[rows].tolist(), _typical(names, mean))
    if event.rest is not None:
        yield _cluster(found, event, "rest", [event.rest], ())


def _cluster(
    found: Explanations, event: Event, kind: Kind, numbers: list[int], context: tuple[tuple[str, float], ...]
) -> Cluster:
    size = sum(found.count[number] for number in numbers)
    lots: list[tuple[int, int]] = []
    for number in numbers:
        lots += found.sample[number]
    # The lowest lots of all: a fair draw from the windows of all the explanations together.
    examples = tuple(sorted(window for _, window in sorted(lots)[:EXAMPLES]))
    return Cluster("", event.name, event.new, kind, size, tuple(numbers), context, examples)


def _typical(names: list[str], mean: NDArray[np.float64]) -> tuple[tuple[str, float], ...]:
    best = np.argsort(-mean, kind="stable")[:TYPICAL]
    if not names:
        return ()
    return tuple((names[column], round(float(mean[column]), 3)) for column in best if mean[column] >= 0.001)
