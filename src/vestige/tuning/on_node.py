"""What runs on a node of a Ray cluster while a search lasts: one trial after the other."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from vestige import log
from vestige.engine import node, places
from vestige.engine.places import Sight
from vestige.engine.worker import THREADS, as_bug
from vestige.errors import UsageError
from vestige.tuning.trial import Result, Task, attempt, data_of

SETTINGS, EPOCH, SCORE, TOLD = "settings", "epoch", "score", "told"
"""What a trial is given, and what it reports."""


class Errand(NamedTuple):
    """What all trials of a search have in common. `task`: a pickled `Task`, see `places.dumps`; `reads`: what
    it needs of this machine's files; `evidence`: the actor that ships them."""

    order: node.Order
    task: bytes
    reads: list[Sight]
    evidence: Any


class Report(NamedTuple):
    """What a trial has to say: what was logged since it last did, and in the end the result, or a fault; the
    name of the node, and how many bytes were shipped to it for this trial."""

    records: list[Any]
    result: Result | None = None
    fault: Any = None
    node: str = ""
    shipped: int = 0


def work(config: Mapping[str, Any], *, errand: Errand) -> None:
    """One trial, as Ray Tune runs it: report after each epoch, and once more in the end.

    `config` holds the trial's `SETTINGS`. A report of an epoch has `EPOCH`, `SCORE`, and under `TOLD` a
    pickled `Report`; the last one has that alone. Errors that are no result of the trial, such as that of a
    node which cannot be given the dataset, are not raised here: they are the report's fault, for the caller.
    """
    from ray import tune

    for name in THREADS:
        os.environ.setdefault(name, "1")
    shipped = 0
    with log.capture(errand.order.level) as records:

        def watch(epoch: int, score: float) -> None:
            taken, records[:] = records[:], []
            tune.report({EPOCH: epoch, SCORE: score, TOLD: places.dumps(Report(taken))})

        try:
            refused = node.other_version(errand.order)
            if refused is not None:
                raise refused
            spot, shipped = _fetched(errand)
            task: Task = places.loads(errand.task, spot.here)
            told = Report(records, attempt(task, data_of(task), config[SETTINGS], watch))
        except Exception as error:  # noqa: BLE001 - a fault of the program is the caller's, who raises it
            told = Report(records, fault=as_bug(error))
    name = os.uname().nodename
    tune.report({TOLD: places.dumps(told._replace(node=name, shipped=shipped))})


def _fetched(errand: Errand) -> tuple[places.Places, int]:
    """Where things lie on this node once it has what it does not see, and how many bytes were shipped."""
    try:
        spot = node.places_of(errand.order)
        return spot, node.fetch(errand.order, errand.reads, spot, errand.evidence)
    except OSError as error:
        # Such as a full disk. The trial is not failed for it: what is under way is run again by --resume, and
        # the node would fail one trial after the other.
        raise UsageError(
            f"the node {os.uname().nodename} cannot be given the dataset: {error.strerror or error}",
            remedy="mend that, or take the node out of the cluster; then repeat the command with --resume",
        ) from error
