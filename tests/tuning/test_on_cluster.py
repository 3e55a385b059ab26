"""A search on a Ray cluster of three nodes on this machine finds, keeps, tells and goes on as one here does."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.engine.test_ray import NODES, STORE_BYTES, blind, cluster, engine
from tests.tuning.conftest import TREES, search
from vestige.engine import ClusterError
from vestige.engine.cluster import RayEngine
from vestige.errors import UsageError, VestigeError
from vestige.pipeline.run import verify
from vestige.runs.directory import RunDirectory
from vestige.training import StoppedError, TrainingConfig
from vestige.tuning import study as studies
from vestige.tuning.cluster import QUIET
from vestige.tuning.findings import Findings

for setting, value in QUIET.items():
    os.environ.setdefault(setting, value)
pytest.importorskip("ray.tune", reason="Ray Tune is not installed: pip install 'ray[tune]'", exc_type=ImportError)
__all__ = ["blind", "cluster", "engine"]
NARROW = ("hidden=16..64", "layers=1", "dropout=0.1", "weight_decay=0.01", "batch_size=128")


def journal_of(run: Path) -> list[tuple[str, int]]:
    """How the trials of a run ended, and after how many epochs."""
    with studies.quiet():
        study = studies.open_study(run / "tuning")
        return [
            (trial.state.name, max(trial.intermediate_values, default=0)) for trial in studies.counted(study)
        ]


@pytest.fixture(scope="module")
def networks(
    prepared: Path, cluster: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Findings]:
    """Sixteen trials of `mlp`; of its rates one is too low and one beyond all reason."""
    out = tmp_path_factory.mktemp("networks") / "run"
    rates = "learning_rate=0.01,1e-9,1e30"
    engine = RayEngine(address=cluster.address)
    return out, search(prepared, out, "mlp", 16, rates, *NARROW, engine=engine)


def test_the_table_the_page_and_the_run_are_those_of_a_search_here(networks: tuple[Path, Findings]) -> None:
    out, found = networks
    assert len(found.rows) == 16
    assert found.rows[0].number == 0
    assert found.best is not None
    assert found.best.settings["learning_rate"] == 0.01
    config = verify(out)
    assert config.tuning["settings"] == found.best.settings
    assert config.tuning["pruner"] == "ASHA"
    assert RunDirectory(out / "mlp").header.notes.validation_macro_f1 == pytest.approx(found.best.value)
    assert RunDirectory(out).openings == 0
    assert (out / "tuning" / "report.html").read_text().count('<tr><td class="n">') == 16
    assert (out / "tuning" / "trials.csv").read_text().count("\n") == 17


def test_failed_trials_are_told_and_asha_ends_the_worst_early(networks: tuple[Path, Findings]) -> None:
    _, found = networks
    failed = [row for row in found.rows if row.state == "FAIL"]
    assert len(failed) >= 1
    assert all("no longer a finite number" in row.reason for row in failed)
    early = [row for row in found.rows if row.state == "PRUNED"]
    assert len(early) >= 1
    assert {row.epochs for row in early} == {3}
    assert all(row.reason == "not among the best third after 3 epochs" for row in early)
    assert {row.epochs for row in found.rows if row.state == "COMPLETE"} == {5}
