"""`--precision bf16` of the verbs that score: what it changes, what it says, and where it is refused."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tests.engine.fake import FakeEngine
from tests.pipeline.conftest import vestige
from vestige import checkpoint, scoring
from vestige.errors import UsageError
from vestige.nn.products import can_round
from vestige.pipeline.experiment import Experiment
from vestige.pipeline.fitting import TrainingPlan
from vestige.pipeline.reduced_precision import quantize, round_products
from vestige.runs.directory import RunDirectory
from vestige.scoring import spread
from vestige.training import TrainingConfig

rounding = pytest.mark.skipif(not can_round(), reason="PyTorch does not multiply in bfloat16 here")
SAID = "scores are of products rounded to bfloat16; the threshold and the probabilities were chosen by scores"


@pytest.fixture
def log(corpus: Path) -> Path:
    return min(path for path in corpus.rglob("*.log") if path.is_file())


def scores(*arguments: object) -> tuple[list[dict[str, Any]], str]:
    done = vestige("score", *arguments)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.stderr


@rounding
def test_scores_are_of_rounded_products_where_asked_for_alone(finished: Path, log: Path) -> None:
    exact, quiet = scores(finished / "gru", log)
    rounded, told = scores(finished / "gru", log, "--precision", "bf16")
    assert SAID not in quiet
    assert SAID in told
    assert len(rounded) == len(exact) > 100
    apart = [abs(one["score"] - other["score"]) for one, other in zip(rounded, exact, strict=True)]
    assert 0 < max(apart) < 0.05
    assert scores(finished / "gru", log, "--precision", "32")[0] == exact


@rounding
def test_recordings_are_scored_with_rounded_products(finished: Path, log: Path) -> None:
    (exact,), _ = scores(finished / "gru", log, "--by-recording")
    (rounded,), told = scores(finished / "gru", log, "--by-recording", "--precision", "bf16")
    assert SAID in told
    assert 0 < abs(rounded["score"] - exact["score"]) < 0.05


@rounding
def test_a_watch_judges_with_rounded_products(finished: Path, log: Path) -> None:
    asked = ("watch", finished / "gru", log, "--once", "--all")
    exact, rounded = vestige(*asked), vestige(*asked, "--precision", "bf16")
    assert exact.returncode == rounded.returncode == 0, rounded.stderr
    assert SAID not in exact.stderr
    assert SAID in rounded.stderr
    assert len(rounded.stdout.splitlines()) > 100
    assert rounded.stdout != exact.stdout


@rounding
def test_a_watch_that_goes_on_in_another_precision_says_so(finished: Path, log: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"

    def told(*options: str) -> list[tuple[str, str]]:
        """What is said of the precision of the state."""
        done = vestige("watch", finished / "gru", log, "--once", "--state", state, *options)
        assert done.returncode == 0, done.stderr
        said = " ".join(done.stderr.split())
        return re.findall(r"the state is of a watch with --precision (\S+) and goes on with (\w+):", said)

    assert told() == []
    assert told("--precision", "bf16") == [("32", "bf16")]
    assert told("--precision", "bf16") == []
    assert told() == [("bf16", "32")]
    file = state / "state.json"
    older = {key: value for key, value in json.loads(file.read_text()).items() if key != "precision"}
    file.write_text(json.dumps(older))
    assert told() == []


@rounding
def test_a_run_is_judged_with_rounded_products_and_stays_as_it_is(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    header = (run / "gru" / "model.json").read_bytes()
    done = vestige("evaluate", run / "gru", "--precision", "bf16", "--resamples", "100")
    assert done.returncode == 0, done.stderr
    assert "gru, scores of products rounded to bfloat16: the same class for" in done.stderr
    assert (run / "gru" / "model.json").read_bytes() == header
    results = json.loads((run / "gru" / "metrics.json").read_text())
    said = "Scores of gru are of products rounded to bfloat16 (--precision bf16), and the thresholds shown"
    assert [warning for warning in results["warnings"] if warning.startswith(said)]
    assert said in (run / "gru" / "report.html").read_text()
    read = ["--on", corpus, "--read", "format=bgl", "--resamples", "100", "--json"]
    exact = vestige("evaluate", run / "gru", *read)
    rounded = vestige("evaluate", run / "gru", *read, "--precision", "bf16")
    assert rounded.returncode == 0, rounded.stderr
    assert SAID in rounded.stderr
    assert json.loads(rounded.stdout).keys() == json.loads(exact.stdout).keys()


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["score", "gbt"], "gbt has no network"),
        (["watch", "gbt"], "gbt has no network"),
        (["score", "gru", "--runtime", "onnx"], "leave out --runtime, or --precision"),
        (["watch", "gru", "--runtime", "onnx"], "leave out --runtime, or --precision"),
        (["score", "gru", "--quantize", "int8"], "rounded to bfloat16 (--precision), not both"),
        (["evaluate", "gru", "--quantize", "int8"], "rounded to bfloat16 (--precision), not both"),
        (["evaluate", "gru", "--threshold", "f1"], "which is one of scores in float32"),
        (["score", "gru", "--precision", "16"], "is not one of '32', 'bf16'"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, list) else "",
)
def test_what_cannot_be_rounded_is_refused_before_anything_is_said(
    finished: Path, log: Path, asked: list[str], says: str
) -> None:
    verb, name, *options = asked
    evidence = [] if verb == "evaluate" else [log]
    done = vestige(verb, finished / name, *evidence, "--precision", "bf16", *options)
    assert done.returncode == 2, done.stderr
    assert says in " ".join(done.stderr.split())
    assert done.stdout == ""


def test_a_run_is_refused_before_anything_is_predicted(finished: Path) -> None:
    loaded = {name: checkpoint.load(finished / name) for name in ("gru", "gbt")}
    unread = cast("Experiment", None)  # no window is needed to say so
    remedy = "name the folder of one that can: gru" if can_round() else "leave --precision out"
    with pytest.raises(UsageError) as refused:
        round_products(unread, loaded)
    assert remedy in refused.value.remedy
    with pytest.raises(UsageError, match="gru has no 8-bit form"):
        quantize(unread, loaded)


@pytest.mark.parametrize("precision", ["16", "bf16"])
@pytest.mark.parametrize("verb", ["train", "tune"])
def test_what_is_no_network_is_not_trained_in_another_precision(
    finished: Path, tmp_path: Path, verb: str, precision: str
) -> None:
    dataset, split = RunDirectory(finished).dataset, RunDirectory(finished).split_file
    asked = [verb, dataset, "--split", split, "-m", "gbt", "--precision", precision, "-o", tmp_path / "out"]
    done = vestige(*asked)
    assert done.returncode == 2, done.stderr
    assert f"--precision {precision} is of networks, and there is none to train among: gbt" in done.stderr
    assert "leave --precision out, or name a network" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_network_among_other_models_may_be_trained_in_another_precision() -> None:
    for models in (("gbt", "gru"), ("all",)):
        TrainingPlan(models, training=TrainingConfig(precision="bf16")).check()


def test_a_processor_that_does_not_round_is_told(finished: Path, log: Path) -> None:
    # oneDNN reads when it is first used which instructions it may take: a process of its own.
    done = subprocess.run(
        [sys.executable, "-m", "vestige", "score", finished / "gru", log, "--precision", "bf16"],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "needs a processor whose AVX-512 BF16 or AMX PyTorch uses" in done.stderr
    assert "leave --precision out" in done.stderr
    assert done.stdout == ""


@rounding
def test_workers_round_as_one_process_does(finished: Path, log: Path) -> None:
    run = finished / "gru"
    here = list(scoring.score(run, [log], rounded=True))
    assert list(spread.score(run, [log], FakeEngine(), rounded=True)) == here
    assert here != list(scoring.score(run, [log]))
    recordings = scoring.score_recordings(run, [log], rounded=True)
    assert spread.score_recordings(run, [log], FakeEngine(), rounded=True) == recordings


def test_a_form_that_workers_lack_is_no_defect_of_the_evidence(
    finished: Path, log: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copy(log, tmp_path / "a.log")
    logging.getLogger("vestige").propagate = True
    with pytest.raises(UsageError, match="gru has no 8-bit form"):
        list(spread.score(finished / "gru", [tmp_path], FakeEngine(), quantize=True))
    assert "was left out" not in caplog.text
