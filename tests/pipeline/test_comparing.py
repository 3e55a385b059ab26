"""Detectors of trained runs, compared; and trained again with other seeds and by other splits."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vestige.cli.main import app
from vestige.errors import UsageError
from vestige.pipeline import run as whole
from vestige.pipeline.comparing import contenders
from vestige.pipeline.fitting import TrainingPlan
from vestige.reading.windows import WindowSet
from vestige.runs.options import JudgeOptions
from vestige.splits import make
from vestige.training.config import TrainingConfig


def trained(prepared: Path, split: Path, out: Path) -> Path:
    """Small trees in both views; nobody judged them yet."""
    plan = TrainingPlan(
        ("gbt",), view="both", settings={"gbt.rounds": 3}, training=TrainingConfig(device="cpu")
    )
    whole.train(prepared / "dataset", split, out, plan=plan, judge=JudgeOptions(), jobs=1)
    return out


@pytest.fixture(scope="module")
def run(prepared: Path) -> Path:
    return trained(prepared, prepared / "split.json", prepared / "compared")


def test_seeds_and_splits_of_one_run_on_the_command_line(run: Path, tmp_path: Path) -> None:
    asked = ["compare", str(run), "--seeds", "2", "--splits", "2", "--trained", str(tmp_path)]
    page = tmp_path / "compare.html"
    told = CliRunner(env={"COLUMNS": "120"}).invoke(app, [*asked, "-o", str(page)])
    assert told.exit_code == 0, told.output
    assert "realistic/gbt" in told.output
    assert page.stat().st_size > 1_000_000
    header = tmp_path / "compared" / "seed-1" / "oracle" / "gbt" / "model.json"
    before = header.stat().st_mtime_ns
    found = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    # What was trained is taken up again.
    assert header.stat().st_mtime_ns == before
    assert (found["seeds"], found["splits"]) == (2, 2)
    assert [one["name"] for one in found["contenders"]] == ["oracle/gbt", "realistic/gbt"]
    assert [one["view"] for one in found["contenders"]] == ["oracle", "realistic"]
    assert [len(one["by_seed"]) for one in found["contenders"]] == [2, 2]
    assert [len(one["by_split"]) for one in found["contenders"]] == [2, 2]
    assert found["contenders"][0]["split_sd"] is not None
    assert found["clusters"]["unit"] == "recording"
    assert len(found["pairs"]) == 1


def test_another_test_part_is_refused_with_how_it_differs(run: Path, prepared: Path, tmp_path: Path) -> None:
    split, _ = make("random", WindowSet.open(prepared / "dataset"), seed=5)
    split.save(tmp_path / "other.json")
    other = trained(prepared, tmp_path / "other.json", tmp_path / "other")
    with pytest.raises(UsageError, match="test recordings are of the first alone"):
        contenders([run, other])
    assert len(contenders([other / "oracle" / "gbt", other / "realistic" / "gbt"])) == 2


def test_what_is_named_twice_counts_once(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = contenders([run, run / "oracle" / "gbt"])
    assert [one.name for one in found] == [f"{run}:oracle/gbt", f"{run}:realistic/gbt"]
    assert [each.getMessage() for each in caplog.records] == [
        f"{run / 'oracle' / 'gbt'} is named twice and counts once"
    ]


def test_a_model_that_is_nowhere_is_refused(run: Path) -> None:
    with pytest.raises(UsageError, match="no detector to compare"):
        contenders([run], models=["gru"])


def test_a_detector_by_itself_is_refused_with_what_judges_it(run: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    shutil.copytree(run / "realistic" / "gbt", alone)
    (alone / "config.json").unlink()
    with pytest.raises(UsageError, match="has no test part that others share") as refused:
        contenders([alone, run])
    assert f"vestige evaluate {alone} --on EVIDENCE" in (refused.value.remedy or "")
