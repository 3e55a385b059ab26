"""Runs that went strange alike: DBSCAN on what surprised in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from vestige.timeline.timeline import Timeline

TOP = 200
"""Events of a recording that its vector is made of at most."""


def clusters_of(
    timelines: Sequence[Timeline], limit: float, *, eps: float, min_samples: int
) -> list[int | None]:
    """The cluster of each recording, from 0, or None: nothing in it reached `limit`, or no other is like it.

    A recording is the surprise above `limit` of its most surprising events by their token; distance is that
    of the cosine.
    """
    from sklearn.cluster import DBSCAN
    from sklearn.metrics import pairwise_distances

    strange = [row for row, line in enumerate(timelines) if line.highest >= limit and line.highest > 0]
    found: list[int | None] = [None] * len(timelines)
    if len(strange) < 2:
        return found
    number: dict[str, int] = {}
    rows, columns, weights = [], [], []
    for at, row in enumerate(strange):
        for place in timelines[row].top(TOP):
            if place.surprise >= limit:
                rows.append(at)
                columns.append(number.setdefault(place.token, len(number)))
                # A little more than nothing, so that a place right at the limit counts.
                weights.append(place.surprise - limit + 1e-6)
    vectors = csr_matrix((weights, (rows, columns)), shape=(len(strange), len(number)))
    distance = np.maximum(pairwise_distances(vectors, metric="cosine"), 0)
    labels = DBSCAN(eps=eps, min_samples=min_samples, metric="precomputed").fit(distance).labels_
    for row, label in zip(strange, labels.tolist(), strict=True):
        if label >= 0:
            found[row] = label
    return found
