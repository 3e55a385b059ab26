"""Every detector in both views: one run, one table, one report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipeline.conftest import succeed, vestige
from vestige.errors import UsageError
from vestige.evaluation.results import RunResults
from vestige.models import registry
from vestige.pipeline.fitting import TrainingPlan
from vestige.runs.directory import RunDirectory
from vestige.schema import Input, Schema
from vestige.sources.telemetry.layout import schema_for
from vestige.sources.telemetry.options import TelemetryOptions

NAMES = ["realistic/gbt", "realistic/mlp", "oracle/gbt", "oracle/mlp"]
MODELS = ["-m", "gbt", "-m", "mlp", "--view", "both"]
BRIEF = ["--epochs", 2, "--device", "cpu", "--set", "gbt.rounds=8"]


@pytest.fixture(scope="module")
def run(prepared: Path) -> Path:
    """Two models in two views, trained in parallel and judged."""
    out = prepared / "run"
    split = ["--split", prepared / "split.json"]
    told = succeed("train", prepared / "dataset", *split, *MODELS, *BRIEF, "--train-jobs", 2, "-o", out)
    assert "validation macro F1" in told
    assert told.count("oracle") == 2
    told = succeed("evaluate", out, "--resamples", 200)
    assert "model against model" in told
    assert "first alert in" in told
    return out


@pytest.fixture(scope="module")
def results(run: Path) -> RunResults:
    return RunResults.load(run / "metrics.json")


def test_each_detector_has_its_folder_by_view(run: Path) -> None:
    for name in NAMES:
        config = json.loads((run / name / "config.json").read_text())
        view, model = name.split("/")
        assert (config["view"], config["models"]) == (view, [model])
        assert (run / name / "predictions.parquet").is_file()
        assert json.loads((run / name / "model.json").read_text())["view"] == view


def test_all_stand_in_one_table_beside_the_baselines_of_their_view(results: RunResults) -> None:
    assert [one.name for one in results.models] == NAMES
    assert [one.name for one in results.baselines] == [
        f"{view}/{name}" for view in ("realistic", "oracle") for name in ("majority", "means")
    ]
    assert {one.model: one.baseline.partition("/")[0] for one in results.comparisons} == {
        name: name.partition("/")[0] for name in NAMES
    }


def test_the_verdict_is_of_what_a_deployed_agent_can_run(run: Path, results: RunResults) -> None:
    unusable = {one.name: one.unusable for one in results.detectors if not one.usable}
    assert unusable == {
        "realistic/majority": "gives everything the same score",
        **dict.fromkeys(
            ("oracle/majority", "oracle/means", "oracle/gbt", "oracle/mlp"),
            "reads what no deployed agent can see",
        ),
    }
    assert results.verdict is not None
    assert results.verdict.detector in {"realistic/means", "realistic/gbt", "realistic/mlp"}
    assert results.verdict.score == f"vestige score {run / results.verdict.detector} NEW_EVIDENCE"
    assert results.headline is not None
    assert results.headline.model.startswith("realistic/")
    assert set(RunDirectory.open(run / "oracle").kept) == {
        name for name in unusable if name.startswith("oracle/")
    }


def test_the_oracle_sees_more(run: Path) -> None:
    kept = {}
    for name in NAMES:
        mask = json.loads((run / name / "model.json").read_text())["model"]["keep_mask"]
        kept[name] = sum(mask["summary"]) if mask else 276
    assert kept == {name: 156 if name.startswith("realistic") else 276 for name in NAMES}


def test_pairs_and_beginnings_are_in_the_results(results: RunResults) -> None:
    kinds = [one.kind for one in results.pairs]
    assert (kinds.count("models"), kinds.count("views")) == (2, 2)
    for one in results.models:
        assert one.onset is not None
        assert one.onset.classes == ["infecting", "infected_running", "dormant"]
        assert [late.fpr for late in one.onset.delays] == [0.001, 0.01, 0.05]
        assert {point.seconds for point in one.onset.trust} >= {-5.0, 0.0, 5.0}


def test_one_of_them_is_judged_and_put_to_work_by_itself(run: Path, prepared: Path) -> None:
    assert "oracle" not in succeed("evaluate", run / "realistic" / "gbt", "--resamples", 100)
    episode = next((prepared / "store").rglob("manifest.json")).parent
    rows = succeed("score", run / "oracle" / "gbt", episode).splitlines()
    first = json.loads(rows[0])
    assert first["second"] == 10
    assert 0 <= first["score"] <= 1
    refused = vestige("score", run, episode)
    assert refused.returncode == 2
    assert "oracle/gbt" in refused.stderr


def test_the_folder_of_a_view_shows_its_detectors(run: Path) -> None:
    told = succeed("inspect", run / "oracle")
    assert f"trainedin{run / 'oracle'}" in "".join(told.split())
    assert [name in told for name in ("gbt", "mlp", "realistic")] == [True, True, False]
    assert f"vestige inspect {run}" in told
    assert vestige("inspect", run.parent).returncode == 2


def test_a_run_that_was_cut_off_goes_on(prepared: Path, run: Path) -> None:
    """One detector is missing: only that one is trained again, and comes out the same."""
    gone = run / "oracle" / "mlp" / "weights.safetensors"
    before = gone.read_bytes()
    (run / "oracle" / "mlp" / "model.json").unlink()
    again = ["--train-jobs", 1, "-t", 1, "--resume", "-o", run]
    done = vestige("train", prepared / "dataset", "--split", prepared / "split.json", *MODELS, *BRIEF, *again)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("finished earlier") == 3
    assert gone.read_bytes() == before


def test_all_means_the_standard_detectors_that_fit() -> None:
    plan = TrainingPlan(("all",), view="both").over(schema_for(TelemetryOptions()))
    assert plan.models == registry.STANDARD["classify"]
    assert len(plan.names) == 12
    assert TrainingPlan(("gru", "all")).over(schema_for(TelemetryOptions())).models[0] == "gru"


def test_all_means_the_models_of_the_task() -> None:
    tokens = Schema("made-up", 1, ("normal", "anomaly"), 4, 1, (), (Input("tokens", "tokens"),))
    plan = TrainingPlan(("all",), "next").over(tokens)
    assert set(plan.models) == set(registry.fitting(tokens, "next")) - set(registry.BASELINES)
    assert "next_transformer" in plan.models
    with pytest.raises(UsageError, match="--model all: none of next_gru"):
        TrainingPlan(("all",), "next").over(schema_for(TelemetryOptions()))
