"""A search on a Ray cluster: Ray Tune hands trials to the nodes, Optuna draws them, ASHA ends them early.

What is remembered is the search's own journal, on this machine; of what Ray Tune writes down for itself
nothing is read again.
"""

from __future__ import annotations

import secrets
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import ray
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search import Searcher
from ray.tune.stopper import NoopStopper

from vestige import log
from vestige.engine import node, places, spread
from vestige.engine.cluster import RayEngine, connect
from vestige.engine.worker import Bug
from vestige.models import registry
from vestige.models.fitting import FittedDetector
from vestige.tuning import study as studies
from vestige.tuning.on_node import EPOCH, SCORE, SETTINGS, TOLD, Errand, Report, work
from vestige.tuning.trial import Ended, Result, Task, begin, finish

if TYPE_CHECKING:
    import optuna

KEPT = 3
"""ASHA's reduction factor: of the trials that come to a rung, the best of so many goes on."""
ENDLESS = 10**6
"""Epochs after which ASHA would end any trial."""
RETRIES = 2
"""So often a trial is run again whose process or node died."""

logger = log.get(__name__)


def search(
    task: Task,
    study: optuna.Study,
    engine: RayEngine,
    *,
    stopping: Callable[[], bool],
    tell: Callable[[Ended], None],
) -> None:
    """Have trials worked on until there are as many as are wanted, or `stopping` says so.

    `tell` is handed each that ended. Raises ClusterError where the cluster is lost. A fault of the program is
    raised as it came.
    """
    connect(engine.address)
    token, pulse, evidence = secrets.token_hex(16), spread.Pulse(), spread.start_evidence()
    order = node.Order(log.level(), str(Path.cwd()), token, None, False, engine.unseen)
    reads = [places.look(task.dataset), places.look(task.split)]
    errand = Errand(order, places.dumps(task), reads, evidence)
    searcher = _Journal(task, study, stopping, tell)
    try:
        with tempfile.TemporaryDirectory(prefix="vestige-tune-") as folder, warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"ray(\..*)?$")
            tune.run(
                partial(work, errand=errand),
                name="search",
                storage_path=folder,
                resources_per_trial=_resources(task),
                num_samples=task.trials - len(studies.counted(study)),
                search_alg=searcher,
                scheduler=asha(study),
                stop=_Stop(searcher, pulse, stopping),
                max_failures=RETRIES,
                max_concurrent_trials=engine.jobs,
                raise_on_failed_trial=False,
                verbose=0,
            )
    except spread.GONE as error:
        pulse.lost = True
        raise spread.lost_cluster(str(error)) from error
    finally:
        if not pulse.lost:
            spread.clean(token)
            ray.kill(evidence)
    if searcher.fault is not None:
        searcher.fault.error.add_note(f"On a node of the cluster:\n{searcher.fault.traceback}")
        raise searcher.fault.error


def _resources(task: Task) -> dict[str, int]:
    """Of each trial: a processor for each thread, and a GPU where the cluster has one that it can use."""
    training = task.plan.training
    usable = training.device != "cpu" and not issubclass(registry.get(task.plan.models[0]), FittedDetector)
    gpus = int(usable and ray.cluster_resources().get("GPU", 0) >= 1)
    return {"cpu": training.threads or 1, "gpu": gpus}


def asha(study: optuna.Study) -> ASHAScheduler:
    """ASHA (Li et al., MLSys 2020), which knows of the trials that the journal has."""
    scheduler = ASHAScheduler(
        time_attr=EPOCH,
        metric=SCORE,
        mode="max",
        max_t=ENDLESS,
        grace_period=studies.WARMUP,
        reduction_factor=KEPT,
    )
    for trial in studies.counted(study):
        known = SimpleNamespace(trial_id=f"journal-{trial.number}")
        scheduler.on_trial_add(None, known)
        for epoch, score in sorted(trial.intermediate_values.items()):
            scheduler.on_trial_result(None, known, {EPOCH: epoch, SCORE: score})
    return scheduler


class _Journal(Searcher):  # type: ignore[misc]
    """Has Optuna draw each trial, and writes into the journal what becomes of it."""

    def __init__(
        self, task: Task, study: optuna.Study, stopping: Callable[[], bool], tell: Callable[[Ended], None]
    ) -> None:
        super().__init__()
        self._task, self._study, self._stopping, self._tell = task, study, stopping, tell
        self._under_way: dict[str, tuple[optuna.Trial, dict[str, Any], float]] = {}
        self._results: dict[str, Result] = {}
        self._told: set[str] = set()
        self.fault: Bug | None = None
        """What ended a trial that is nobody's data: the search ends."""

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """The settings of the next trial."""
        trial, settings = begin(self._task, self._study)
        self._under_way[trial_id] = trial, settings, time.monotonic()
        return {SETTINGS: settings}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """After an epoch, and in the end."""
        if TOLD in result:
            self._hear(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """A trial ended: by itself, by ASHA, by a death, or because the search is to stop."""
        if trial_id not in self._under_way:
            return
        # The report after which ASHA ended it was told to nobody yet.
        if trial_id not in self._results and result is not None and TOLD in result and not error:
            self._hear(trial_id, result)
        trial, settings, begun = self._under_way.pop(trial_id)
        if error:
            ended = Result("FAIL", None, studies.PROCESS_DIED)
        elif trial_id in self._results:
            ended = self._results.pop(trial_id)
        elif self._stopping() or self.fault is not None or result is None or EPOCH not in result:
            # It is under way still, as far as the journal is concerned: --resume runs it again.
            return
        else:
            ended = Result("PRUNED", None, f"not among the best third after {result[EPOCH]} epochs")
        self._tell(finish(self._study, trial, settings, ended, time.monotonic() - begun))

    def _hear(self, trial_id: str, result: dict[str, Any]) -> None:
        told: Report = places.loads(result[TOLD])
        log.replay(told.records)
        if told.fault is not None:
            self.fault = told.fault
        if told.result is not None:
            self._results[trial_id] = told.result
        elif told.fault is None:
            self._under_way[trial_id][0].report(result[SCORE], result[EPOCH])
        if told.shipped and told.node not in self._told:
            self._told.add(told.node)
            logger.info(
                "the node %s does not see the dataset as this machine does: %.1f MB were shipped to it",
                told.node, told.shipped / 1e6,
            )  # fmt: skip

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the journal is all that is needed."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing, see `save`."""


class _Stop(tune.Stopper):  # type: ignore[misc]
    """Ends the search where a signal or a fault asks to, and looks whether the cluster is still there."""

    def __init__(self, searcher: _Journal, pulse: spread.Pulse, stopping: Callable[[], bool]) -> None:
        self._searcher, self._pulse, self._stopping = searcher, pulse, stopping

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002
        """No trial ends by its figures here."""
        return False

    def __reduce__(self) -> tuple[Any, ...]:
        """Ray Tune writes it down beside its trials; nothing is ever read of that."""
        return NoopStopper, ()

    def stop_all(self) -> bool:
        """Whether the search is to end. Raises ClusterError."""
        self._pulse.look()
        return self._stopping() or self._searcher.fault is not None
