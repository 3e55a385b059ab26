"""A small dataset, and searches of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import prepared
from vestige.pipeline.fitting import TrainingPlan
from vestige.runs.options import JudgeOptions
from vestige.training import TrainingConfig
from vestige.tuning.findings import Findings
from vestige.tuning.search import Search, tune

__all__ = ["prepared"]
BRIEF = TrainingConfig(epochs=5, device="cpu", threads=1)


def search(
    prepared: Path,
    out: Path,
    model: str,
    trials: int,
    *overrides: str,
    settings: dict[str, Any] | None = None,
    **how: Any,
) -> Findings:
    """Search in this process's workers."""
    plan = TrainingPlan(
        (model,), settings=settings or {}, training=how.pop("training", BRIEF), command="search"
    )
    split = how.pop("split", prepared / "split.json")
    wanted = Search(plan, overrides, trials)
    return tune(prepared / "dataset", split, out, search=wanted, judge=JudgeOptions(), **how)


TREES = {"rounds": 6, "threads": 1}
"""Few and quick ones."""


@pytest.fixture(scope="session")
def trees(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished search of five trials of `gbt`."""
    out = tmp_path_factory.mktemp("searched") / "run"
    search(prepared, out, "gbt", 5, settings=TREES)
    return out
