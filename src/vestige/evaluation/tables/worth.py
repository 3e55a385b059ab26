"""What a finding may have been worth: metrics again without the rows concerned.

Letters: N test rows, G clusters, R resamples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import interval_result
from vestige.evaluation.metrics import Sweep, at_threshold, confusion, grouped_confusion, macro_f1
from vestige.evaluation.tables.given import Given
from vestige.evaluation.tables.record import Metrics, Worth
from vestige.evaluation.tables.sides import Side

RESAMPLES, FEWEST_LEFT = 500, 20
MOST_CLUSTERS = 2_000


def measure(
    given: Given, labels: NDArray[np.int64], k: int, rows: NDArray[np.bool_] | None = None
) -> Metrics:
    """Metrics on some rows (all where None)."""
    chosen = np.ones(len(labels), dtype=np.bool_) if rows is None else rows
    truth = labels[chosen]
    values: dict[str, float | None] = {}
    if given.predicted is not None and len(truth):
        values["macro_f1"] = float(macro_f1(confusion(truth, given.predicted[chosen], k)))
    if given.score is not None and len(truth):
        values["average_precision"] = Sweep.of(given.score[chosen], truth != 0).average_precision
    alert = given.alert
    if alert is None and given.predicted is not None:
        alert = given.predicted != 0
    if alert is not None and len(truth):
        counts = at_threshold(alert[chosen].astype(np.float64), truth != 0, 0.5)
        values |= {"recall": counts.recall, "fpr": counts.fpr}
    return Metrics(rows=int(chosen.sum()), **values)


def without(given: Given, test: Side, k: int, rows: NDArray[np.bool_], seed: int) -> Worth | None:
    """The metrics with and without some test rows, and the drop in macro F1 with its interval, on the same
    resamples of whole ids (or hosts, or blocks of rows). None without labels."""
    if test.labels is None:
        return None
    left = ~rows
    before = measure(given, test.labels, k)
    if left.sum() < FEWEST_LEFT:
        note = f"{int(left.sum())} test rows are left without them: too few for a figure"
        return Worth(of=given.of, before=before, note=note)
    after = measure(given, test.labels, k, left)
    drop = None
    if given.predicted is not None and before.macro_f1 is not None and after.macro_f1 is not None:
        ids, count = _clusters(test)
        weights = bootstrap.draw(count, RESAMPLES, seed)
        samples = [
            bootstrap.macro_f1_samples(
                grouped_confusion(test.labels[part], given.predicted[part], ids[part], k, count), weights
            )
            for part in (np.ones(len(left), dtype=np.bool_), left)
        ]
        drop = interval_result(before.macro_f1 - after.macro_f1, samples[0] - samples[1], weights)
    note = f"without {int(rows.sum()):,} of {len(rows):,} test rows"
    missing = set(np.unique(test.labels)) - set(np.unique(test.labels[left]))
    if missing:
        note += "; what is left lacks a class, so its macro F1 is over fewer"
    return Worth(of=given.of, before=before, after=after, drop=drop, note=note)


def _clusters(test: Side) -> tuple[NDArray[np.int64], int]:
    """What is drawn: ids where rows share them, else hosts of ten at least, else blocks of rows in a row."""
    for keys in (test.ids, test.hosts):
        if keys is None:
            continue
        values, code = np.unique(keys, return_inverse=True)
        if 10 <= len(values) < 0.9 * len(test) and len(values) <= MOST_CLUSTERS:
            return code.astype(np.int64), len(values)
    order = np.arange(len(test)) if test.times is None else np.argsort(np.argsort(test.times, kind="stable"))
    count = min(50, len(test))
    return (order * count // len(test)).astype(np.int64), count
