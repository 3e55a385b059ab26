"""Detectors saved at paths of one's choice, and judged again without training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.pipeline.conftest import FAST, succeed, vestige
from vestige import errors
from vestige.evaluation.results import RunResults


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector trained, saved elsewhere, and not judged; with the sets it was trained on."""
    out = tmp_path_factory.mktemp("model_transfer")
    how = ["--format", "bgl", "--split", "host", *FAST, "-m", "gru"]
    kept = ["--save-model", out / "kept/m.json", "--save-weights", out / "kept/w.bin"]
    said = succeed(
        "run",
        "logs",
        corpus,
        *how,
        *kept,
        "--output-sets",
        out / "sets.json",
        "--skip-test",
        "-o",
        out / "run",
    )
    assert "not judged" in said
    assert "not judged: vestige evaluate" in succeed("inspect", out / "run")
    assert not (out / "run/metrics.json").exists()
    return out


def test_a_detector_from_elsewhere_is_judged_without_training(
    trained: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "again"
    use = ["--use-model", trained / "kept/m.json", "--use-weights", trained / "kept/w.bin"]
    sets = ["--input-sets", trained / "sets.json"]
    succeed("run", "logs", corpus, "--format", "bgl", *use, *sets, *FAST, "-o", out)
    again = RunResults.load(out / "metrics.json")
    succeed("evaluate", trained / "run", "--resamples", 200)
    first = RunResults.load(trained / "run/metrics.json")
    assert [one.name for one in again.models] == ["gru"]
    assert again.models[0].confusion == first.models[0].confusion
    assert again.models[0].macro_f1 == first.models[0].macro_f1
    told = {one.name: one for one in again.audit}["trained_elsewhere"]
    assert told.status == "warn"
    assert "gru" in told.detail
    assert "trained_elsewhere" not in {one.name for one in first.audit}
    assert not (out / "gru/history.csv").exists()
    picked = json.loads((trained / "sets.json").read_text())
    assert json.loads((out / "split.json").read_text())["assignment"]["test"] == picked["test"]
    shutil.copytree(out, tmp_path / "moved")
    succeed("inspect", tmp_path / "moved" / "gru")


def test_a_detector_of_other_inputs_is_refused(trained: Path, corpus: Path, tmp_path: Path) -> None:
    use = ["--use-model", trained / "kept/m.json", "--use-weights", trained / "kept/w.bin"]
    other = ["--format", "bgl", "--window-size", 2]
    done = vestige("run", "logs", corpus, *other, *use, *FAST, "-o", tmp_path / "r")
    assert done.returncode == errors.CheckpointError.exit_code, done.stderr
    assert "mean something else" in done.stderr


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        (["--use-weights", "w.bin"], errors.UsageError, "--use-weights needs --use-model"),
        (["--save-model", "m.json"], errors.UsageError, "go together"),
        (
            ["--save-model", "m.json", "--save-weights", "w", "-m", "gbt", "-m", "gru"],
            errors.UsageError,
            "2 det",
        ),
        (["--use-model", "nowhere.json"], errors.CheckpointError, "no such checkpoint header"),
        (["--input-sets", "nowhere.json"], errors.SplitError, "cannot read the sets"),
        (["--output-sets", "s.json", "--split", "time"], errors.SplitError, "divides recordings"),
        (["--output-sets", "taken.json"], errors.OutputError, "already exists"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_is_written(
    corpus: Path, tmp_path: Path, given: list[str], kind: type[errors.VestigeError], says: str
) -> None:
    (tmp_path / "taken.json").write_text("mine")
    done = vestige("run", "logs", corpus, "--format", "bgl", *FAST, *given, "-o", "r", cwd=tmp_path)
    assert done.returncode == kind.exit_code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert [one.name for one in tmp_path.iterdir()] == ["taken.json"]
