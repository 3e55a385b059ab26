"""A search on a Ray cluster of three nodes of this machine finds, keeps and goes on as one here does."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import NODE, need
from tests.pipeline.conftest import vestige
from tests.tuning.conftest import TREES, search
from tests.tuning.test_search import rows
from vestige.engine.cluster import RayEngine
from vestige.errors import DatasetError, UsageError
from vestige.models.gbt import GradientBoostedTrees
from vestige.pipeline.fitting import TrainingPlan
from vestige.pipeline.run import verify
from vestige.runs.directory import RunDirectory
from vestige.training import StoppedError
from vestige.tuning import study as studies
from vestige.tuning.findings import Findings
from vestige.tuning.trial import Task

need("ray.tune", "ray[tune]")
NARROW = ("hidden=16..64", "layers=1", "dropout=0.1", "weight_decay=0.01", "batch_size=128")


def after_the_first(do: Callable[[], object]) -> Any:
    """A progress bar that does something once, when the first trial has ended."""

    @contextmanager
    def bar(_what: str, _unit: str) -> Iterator[Callable[[int, int], None]]:
        done: list[object] = []

        def update(ended: int, _of: int) -> None:
            if ended and not done:
                done.append(do())

        yield update

    return bar


@pytest.fixture(scope="module")
def networks(prepared: Path, cluster: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Findings]:
    """Trials of `mlp`; of its rates one is too low and one beyond all reason."""
    out = tmp_path_factory.mktemp("networks") / "run"
    rates = "learning_rate=0.01,1e-9,1e30"
    return out, search(prepared, out, "mlp", 8, rates, *NARROW, engine=RayEngine(address=cluster.address))


def test_the_table_the_page_and_the_run_are_those_of_a_search_here(networks: tuple[Path, Findings]) -> None:
    out, found = networks
    assert [row.number for row in found.rows] == list(range(8))
    assert found.best is not None
    assert found.best.settings["learning_rate"] == 0.01
    config = verify(out)
    assert config.tuning["settings"] == found.best.settings
    assert config.tuning["pruner"] == "ASHA"
    assert RunDirectory(out / "mlp").header.notes.validation_macro_f1 == pytest.approx(found.best.value)
    assert RunDirectory(out).openings == 0
    assert (out / "tuning" / "report.html").read_text().count('<tr><td class="n">') == 8
    assert len(rows(out)) == 8


def test_failed_trials_are_told_and_asha_ends_the_worst_early(networks: tuple[Path, Findings]) -> None:
    _, found = networks
    failed = [row for row in found.rows if row.state == "FAIL"]
    assert len(failed) >= 1
    assert all("no longer a finite number" in row.reason for row in failed)
    early = [row for row in found.rows if row.state == "PRUNED"]
    assert len(early) >= 1
    assert {(row.epochs, row.reason) for row in early} == {(3, "not among the best third after 3 epochs")}
    assert {row.epochs for row in found.rows if row.state == "COMPLETE"} == {5}


def test_a_node_that_dies_takes_no_trial_with_it_and_a_dataset_that_nodes_do_not_see_is_shipped(
    prepared: Path, cluster: Any, blind: RayEngine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "vestige")
    doomed = cluster.list_all_nodes()[-1]
    kill = after_the_first(lambda: cluster.remove_node(doomed, allow_graceful=False))
    settings = {**TREES, "rounds": 60}
    try:
        found = search(prepared, tmp_path / "run", "gbt", 4, engine=blind, settings=settings, progress=kill)
    finally:
        cluster.add_node(**NODE)
    assert [(row.number, row.state) for row in found.rows] == [(number, "COMPLETE") for number in range(4)]
    assert found.default is not None
    assert "does not see the dataset as this machine does" in caplog.text
    assert verify(tmp_path / "run").models == ("gbt",)


def test_a_person_is_told_what_a_search_here_tells_and_nothing_of_ray(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = vestige(
        "tune", prepared / "dataset", "--split", prepared / "split.json", "-m", "gbt", "--trials", 2,
        "--set", "rounds=4", "--engine", "ray", "--train-jobs", 2, "-o", out,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "2 trials of gbt: 2 complete, 0 ended early, 0 failed." in done.stdout
    told = [line for line in done.stderr.splitlines() if "vestige tune" not in line]
    assert sum("trial 0 of 2: " in line or "trial 1 of 2: " in line for line in told) == 2
    assert not [line for line in told if "ray" in line.lower()]
    assert "Traceback" not in done.stderr


def test_what_was_stopped_goes_on(prepared: Path, cluster: Any, tmp_path: Path) -> None:
    run, engine = tmp_path / "run", RayEngine(address=cluster.address)
    stop = after_the_first(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(StoppedError, match=r"stopped by SIGTERM; the [1-3] trials that have ended are kept"):
        search(prepared, run, "gbt", 5, engine=engine, settings=TREES, progress=stop)
    with pytest.raises(UsageError, match="pruner: ASHA -> median"):
        search(prepared, run, "gbt", 5, settings=TREES, resume=True)
    with studies.quiet():
        kept = {trial.number: trial.value for trial in studies.counted(studies.open_study(run / "tuning"))}
    found = search(prepared, run, "gbt", 5, engine=engine, settings=TREES, resume=True)
    assert len(found.rows) == 5
    assert {row.number: row.value for row in found.rows}.items() >= kept.items()
    assert sum(row.defaults for row in found.rows) == 1
    assert (run / "gbt" / "model.json").is_file()


def test_what_trials_of_before_had_reached_counts_for_the_next(tmp_path: Path) -> None:
    from vestige.tuning.on_node import EPOCH, SCORE
    from vestige.tuning.ray_tune import asha

    class Trial:
        trial_id = "next"

    studies.create(tmp_path)
    with studies.quiet():
        study = studies.open_study(tmp_path)
        for score in (0.9, 0.8, 0.7):
            trial = study.ask()
            trial.report(score, studies.WARMUP)
            study.tell(trial, score)
        told = []
        for score in (0.1, 0.95):
            scheduler = asha(study)
            scheduler.on_trial_add(None, Trial())
            told.append(scheduler.on_trial_result(None, Trial(), {EPOCH: studies.WARMUP, SCORE: score}))
    assert told == ["STOP", "CONTINUE"]


def test_what_is_wrong_with_the_data_ends_the_search(cluster: Any, tmp_path: Path) -> None:
    from vestige.tuning import ray_tune

    missing = tmp_path / "none"
    studies.create(tmp_path)
    task = Task(
        tmp_path, missing, missing, {}, TrainingPlan(("gbt",)), GradientBoostedTrees.space, {}, 4, tmp_path
    )
    ended: list[object] = []
    with studies.quiet():
        study = studies.open_study(tmp_path)
        with pytest.raises(DatasetError, match="none"):
            ray_tune.search(
                task, study, RayEngine(1, cluster.address), stopping=lambda: False, tell=ended.append
            )
    assert not ended


def test_without_ray_tune_the_command_to_install_it_is_told(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray.tune", None)
    with pytest.raises(UsageError, match=r"pip install .*'ray\[tune\]'"):
        search(prepared, tmp_path / "run", "gbt", 1, engine=RayEngine())
    assert not (tmp_path / "run").exists()
