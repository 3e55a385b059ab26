"""From raw files to a judged detector to scored lines, as one types it."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest

from tests.pipeline.conftest import FAST, succeed, vestige
from tests.warm import Program
from vestige import checkpoint, errors
from vestige.evaluation.report import IN_FULL
from vestige.evaluation.results import RunResults
from vestige.pipeline.experiment import Experiment
from vestige.pipeline.predicting import macro_f1_of, predict
from vestige.pipeline.run import verify
from vestige.reading.windows import WindowSet
from vestige.runs.directory import RunDirectory

BASELINES = {"majority", "new_token", "lookup", "length", "counts", "logistic"}
OF_A_RUN = {
    "config.json", "dataset", "split.json", "metrics.json", "report.html", "log.jsonl", "gbt", "gru",
    "plotly.min.js", "run.toml", "openings.jsonl", *BASELINES,
}  # fmt: skip
OF_A_MODEL = {
    "config.json", "model.json", "split.json", "history.csv", "predictions.parquet", "metrics.json",
    "report.html", "log.jsonl",
}  # fmt: skip


def test_reports_share_one_script(finished: Path) -> None:
    for page in (finished / "report.html", finished / "gbt/report.html"):
        text = page.read_text(encoding="utf-8")
        (address,) = re.findall(r'<script src="([^"]+)">', text)
        assert (page.parent / address).resolve() == (finished / "plotly.min.js").resolve()
        assert page.stat().st_size < 300_000


def test_a_run_leaves_everything_about_each_detector(finished: Path) -> None:
    assert {one.name for one in finished.iterdir()} == OF_A_RUN
    assert {one.name for one in (finished / "gru").iterdir()} == OF_A_MODEL | {"weights.safetensors"}
    assert {one.name for one in (finished / "gbt").iterdir()} == OF_A_MODEL | {"booster.ubj"}
    assert {one.name for one in (finished / "lookup").iterdir()} == {
        "config.json", "model.json", "split.json", "weights.safetensors",
    }  # fmt: skip


def test_models_stand_beside_every_baseline_with_intervals(finished: Path) -> None:
    results = RunResults.load(finished / "metrics.json")
    assert {one.name for one in results.models} == {"gbt", "gru"}
    assert {one.name for one in results.baselines} == BASELINES
    for one in results.detectors:
        bounds = [one.macro_f1.low, one.macro_f1.estimate, one.macro_f1.high]
        assert bounds == sorted(bound for bound in bounds if bound is not None)
    assert results.headline is not None
    assert results.synthetic
    assert results.source == "logs"
    assert results.audit
    assert all(one.status != "fail" for one in results.audit)


def test_every_judged_detector_is_kept_and_says_what_it_was_judged_by(finished: Path) -> None:
    run = RunDirectory.open(finished)
    results = run.results
    assert results is not None
    assert set(run.detectors) == {"gbt", "gru"}
    assert set(run.kept) == {"gbt", "gru", *BASELINES}
    experiment = Experiment.open(run.dataset, run.split)
    for result in results.baselines:
        loaded = checkpoint.load(run.kept[result.name], schema=experiment.windows.schema)
        again = predict(loaded.detector, run.test_part(loaded))
        assert macro_f1_of(again) == result.macro_f1.estimate
        assert (loaded.threshold, loaded.header.policy) == (result.threshold.value, result.threshold.policy)
        assert int((again.score >= result.threshold.value).sum()) == result.alerting.tp + result.alerting.fp
        assert loaded.header.notes.validation_macro_f1 == result.validation_macro_f1
        assert bool(result.unusable) == (result.name == "majority")


def test_a_baseline_is_put_to_work_like_any_detector(finished: Path, corpus: Path) -> None:
    judged = pl.read_parquet(finished / "gbt" / "predictions.parquet")
    name = judged["file"].unique().sort()[0]
    rows = [json.loads(line) for line in succeed("score", finished / "logistic", corpus / name).splitlines()]
    assert len(rows) == judged.filter(pl.col("file") == name).height
    assert {row["alert"] for row in rows} <= {True, False}
    assert "logistic" in succeed("inspect", finished / "logistic")


def test_a_damaged_baseline_is_found(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    (copy / "lookup" / "weights.safetensors").write_bytes(b"{}")
    with pytest.raises(errors.CheckpointError, match=r"lookup.*expected"):
        verify(copy)


def test_a_run_ends_with_a_verdict_wherever_it_is_shown(finished: Path) -> None:
    verdict = RunResults.load(finished / "metrics.json").verdict
    assert verdict is not None
    assert verdict.outcome == "none"
    assert verdict.why[0].startswith("The evidence was written by vestige itself")
    assert verdict.score == f"vestige score {finished / verdict.detector} NEW_EVIDENCE"
    shown = succeed("inspect", finished)
    page = (finished / "report.html").read_text(encoding="utf-8")
    for text in (verdict.title, verdict.score, *verdict.commands):
        assert text in shown
        assert text in page


def test_the_report_stands_alone_and_says_it_is_synthetic(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert "synthetic" in page.lower()
    assert "http-equiv" in page
    assert 'src="http' not in page
    assert (finished / "gru" / "report.html").is_file()


def test_predictions_say_where_each_window_lies(finished: Path) -> None:
    frame = pl.read_parquet(finished / "gbt" / "predictions.parquet")
    assert {"file", "line", "offset", "label", "proba_anomaly", "predicted", "alert"} <= set(frame.columns)
    results = RunResults.load(finished / "metrics.json")
    assert frame.height == results.models[0].windows


def test_the_log_is_json_lines_from_reading_on(finished: Path) -> None:
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    messages = " ".join(row["message"] for row in rows)
    assert "read: " in messages
    assert "split by host" in messages


@pytest.mark.parametrize("model", ["gbt", "gru"])
def test_scores_are_those_of_the_evaluation(finished: Path, corpus: Path, model: str) -> None:
    judged = pl.read_parquet(finished / model / "predictions.parquet")
    name = judged["file"].unique().sort()[0]
    rows = [
        json.loads(line)
        for line in succeed("score", finished / model, corpus / name, "--format", "bgl").splitlines()
    ]
    mine = judged.filter(pl.col("file") == name).sort("line")
    assert [row["line"] for row in rows] == mine["line"].to_list()
    assert [row["offset"] for row in rows] == mine["offset"].to_list()
    assert [row["alert"] for row in rows] == mine["alert"].to_list()
    assert [row["most_probable_class"] for row in rows] == mine["predicted"].to_list()
    difference = pl.Series([row["score"] for row in rows]) - mine["proba_anomaly"]
    assert difference.abs().to_numpy().max() < 1e-5


def test_standard_input_scores_like_the_file(finished: Path, corpus: Path) -> None:
    file = corpus / "web-1" / "app.log"
    plain = succeed("score", finished / "gbt", file).splitlines()
    piped = succeed("score", finished / "gbt", "-", input=file.read_text())
    without = [{k: v for k, v in json.loads(line).items() if k != "file"} for line in plain]
    assert [
        {k: v for k, v in json.loads(line).items() if k != "file"} for line in piped.splitlines()
    ] == without


def test_alerts_go_to_a_file_that_is_there_whole(finished: Path, corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "alerts.jsonl"
    succeed("score", finished / "gbt", corpus / "web-1", "--alerts-only", "-o", out)
    alerts = [json.loads(line)["alert"] for line in out.read_text().splitlines()]
    assert len(alerts) > 0
    assert all(alerts)


def test_evaluating_again_gives_the_same_numbers(finished: Path, tmp_path: Path) -> None:
    again = tmp_path / "run"
    shutil.copytree(finished, again)
    succeed("evaluate", again, "--resamples", 200)
    before, after = (RunResults.load(one / "metrics.json") for one in (finished, again))
    assert after.detectors == before.detectors
    assert after.comparisons == before.comparisons
    assert after.verdict is not None
    assert before.verdict is not None
    assert after.verdict.why == before.verdict.why
    assert after.verdict.score == before.verdict.score.replace(str(finished), str(again))


def test_the_verbs_one_by_one_give_what_run_gives(finished: Path, corpus: Path, tmp_path: Path) -> None:
    succeed("prepare", "logs", corpus, "--format", "bgl", "-j", 1, "-o", tmp_path / "dataset")
    succeed("split", tmp_path / "dataset", "--split", "host", "-o", tmp_path / "split.json")
    succeed(
        "train",
        tmp_path / "dataset",
        "--split",
        tmp_path / "split.json",
        "-m",
        "gbt",
        *FAST[:-2],
        "-o",
        tmp_path / "run",
    )
    succeed("evaluate", tmp_path / "run", "--resamples", 200)
    one, other = (RunResults.load(path / "metrics.json") for path in (finished, tmp_path / "run"))
    assert other.models[0] == one.models[0]
    assert "dataset" in succeed("inspect", tmp_path / "dataset")
    assert "gbt" in succeed("inspect", tmp_path / "run" / "gbt")


def test_a_killed_run_resumes_to_the_same_detector(corpus: Path, tmp_path: Path) -> None:
    call = [
        "run",
        "logs",
        str(corpus),
        "--format",
        "bgl",
        "--split",
        "host",
        "-m",
        "gru",
        "--checkpoint",
        "0",
    ]
    call += [*FAST, "--epochs", "3"]
    succeed(*call, "-o", tmp_path / "whole")
    running = Program([*call, "-o", tmp_path / "cut"], stderr=subprocess.DEVNULL)
    state = tmp_path / "cut" / "gru" / "resume.safetensors"
    deadline = time.monotonic() + 120
    while not state.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait()
    succeed(*call, "-o", tmp_path / "cut", "--resume")
    one, other = (tmp_path / name / "gru" / "weights.safetensors" for name in ("whole", "cut"))
    assert one.read_bytes() == other.read_bytes()


def test_a_random_split_is_labelled_wherever_it_is_shown(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shown = succeed(
        "run", "logs", corpus, "--format", "bgl", "--split", "random", *FAST, "-m", "gbt", "-o", out
    )
    assert "in-distribution" in shown.lower()
    assert "in-distribution" in (out / "report.html").read_text(encoding="utf-8").lower()
    assert RunResults.load(out / "metrics.json").split.in_distribution


def test_with_every_baseline_named_as_a_model_they_are_still_compared(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    named = ("majority", "new_token", "lookup", "length", "counts", "logistic")
    models = [option for name in named for option in ("-m", name)]
    succeed("run", "logs", corpus, "--format", "bgl", "--split", "host", *FAST, *models, "-o", out)
    results = RunResults.load(out / "metrics.json")
    assert {(one.name, one.role) for one in results.detectors} == {
        (name, "model and baseline") for name in named
    }
    assert {one.model for one in results.comparisons} == set(named)
    assert {one.outcome for one in results.comparisons} == {"not better"}
    assert results.headline is not None
    assert results.headline.sentence.startswith(f"{results.headline.baseline} is itself the best baseline")
    page = (out / "report.html").read_text(encoding="utf-8")
    led = re.findall(r'href="\./([^"]+)"', page)
    assert len(led) == len(named) - IN_FULL
    for address in led:
        assert "Score along time" in (out / address).read_text(encoding="utf-8")
    alone = RunResults.load(out / "majority" / "metrics.json")
    assert [one.name for one in alone.models] == ["majority"]
    assert {one.name for one in alone.baselines} == set(named) - {"majority"}


def test_no_template_is_on_two_sides_of_a_template_split(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    succeed("run", "logs", corpus, "--format", "bgl", "--split", "template", *FAST, "-m", "gbt", "-o", out)
    split = json.loads((out / "split.json").read_text())["assignment"]
    assert not set(split["train"]) & set(split["test"])
    checks = {one.name: one.status for one in RunResults.load(out / "metrics.json").audit}
    assert "fail" not in checks.values()


def test_the_same_file_twice_is_found_by_the_audit(corpus: Path, tmp_path: Path) -> None:
    leaky = tmp_path / "corpus"
    for host in ("web-1", "web-2", "web-3"):
        (leaky / host).mkdir(parents=True)
        source = corpus / "web-1" / "app.log"
        shutil.copy(source if source.exists() else corpus / "web-1" / "app.log.gz", leaky / host)
    call = [
        "run",
        "logs",
        leaky,
        "--format",
        "bgl",
        "--split",
        "host",
        *FAST,
        "-m",
        "gbt",
        "-o",
        tmp_path / "run",
    ]
    refused = vestige(*call)
    assert refused.returncode == errors.LeakageError.exit_code
    assert "--allow-leakage" in refused.stderr
    succeed(*call, "--overwrite", "--allow-leakage")
    assert RunResults.load(tmp_path / "run" / "metrics.json").leakage_allowed


def test_a_run_is_never_replaced_by_accident(finished: Path, corpus: Path) -> None:
    before = sorted(one.stat().st_mtime_ns for one in finished.rglob("*"))
    done = vestige("run", "logs", corpus, "--format", "bgl", *FAST, "-o", finished)
    assert done.returncode == errors.OutputError.exit_code
    assert "--overwrite" in done.stderr
    assert sorted(one.stat().st_mtime_ns for one in finished.rglob("*")) == before


def test_a_compressed_corpus_gives_the_same_windows(corpus: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    shutil.copytree(corpus, packed)
    for file in list(packed.rglob("*.log")):
        file.with_name(file.name + ".gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    sets = []
    for name, path in (("a", corpus), ("b", packed)):
        succeed("prepare", "logs", path, "--format", "bgl", "-j", 1, "-o", tmp_path / name)
        sets.append(WindowSet.open(tmp_path / name))
    assert sets[0].label.tolist() == sets[1].label.tolist()
    assert (sets[0].streams["raw"] == sets[1].streams["raw"]).all()
