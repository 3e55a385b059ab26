"""Security events from an export to a judged detector, for both tasks; and sequences as published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tests.pipeline.conftest import FAST, succeed, vestige
from vestige.evaluation.results import RunResults


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("siem") / "export"
    succeed("simulate", "events", path, "--events", 4000, "--machines", 12, "--seed", 3)
    return path


def test_an_export_is_classified_beside_its_baselines(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    succeed("run", "events", export, "--split", "time", "-m", "array_lstm", *FAST, "-o", out)
    results = RunResults.load(out / "metrics.json")
    assert [one.name for one in results.models] == ["array_lstm"]
    assert results.synthetic
    assert results.audit
    assert all(one.status != "fail" for one in results.audit)


def test_the_next_event_is_predicted_and_surprise_alerts(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    succeed("run", "events", export, "--split", "time", "--task", "next", "-m", "lstm", *FAST, "-o", out)
    results = RunResults.load(out / "metrics.json")
    (model,) = results.models
    assert model.name == "next_lstm"
    assert {one.name for one in results.baselines} == {"next_frequency", "next_ngram"}
    shares = model.next_token
    assert shares is not None
    assert 0 <= shares.top1 <= shares.top5 <= shares.top10 <= 1
    judged = pl.read_parquet(out / "next_lstm" / "predictions.parquet")
    assert (judged["alert"] == (judged["predicted"] == "anomaly")).to_numpy().mean() > 0.99
    rows = [json.loads(line) for line in succeed("score", out / "next_lstm", export).splitlines()]
    assert len(rows) == 4000
    assert {"file", "line", "score", "most_probable_class", "alert", "surprise", "rank"} <= set(rows[0])
    by_surprise = sorted(rows, key=lambda row: row["surprise"])
    assert [row["score"] for row in by_surprise] == sorted(row["score"] for row in rows)
    agrees_by_machine(rows, succeed("score", out / "next_lstm", export, "--by-recording"))


def agrees_by_machine(events: list[dict[str, Any]], shown: str) -> None:
    machines = [json.loads(line) for line in shown.splitlines()]
    assert len(machines) == len({row["machine"] for row in events}) > 0
    scores = [one["score"] for one in machines]
    assert scores == sorted(scores, reverse=True)
    for one in machines:
        mine = [row for row in events if row["machine"] == one["machine"]]
        worst = max(mine, key=lambda row: row["score"])
        assert one["windows"] == len(mine)
        assert one["score"] == worst["score"]
        assert one["alerts"] == sum(row["alert"] for row in mine)
        assert one["alert"] == (one["alerts"] > 0)
        assert one["top5"] == pytest.approx(sum(row["rank"] < 5 for row in mine) / len(mine), abs=1e-5)
        assert one["mean_surprise"] == pytest.approx(
            sum(row["surprise"] for row in mine) / len(mine), abs=1e-5
        )
        assert one["worst"]["surprise"] == max(row["surprise"] for row in mine)
        assert any(row["line"] == one["worst"]["line"] for row in mine)


def test_sessions_are_judged_as_wholes(tmp_path: Path) -> None:
    corpus = tmp_path / "sessions"
    corpus.mkdir()
    normal = ["1 2 3 4 5 6", "1 2 3 3 4 5 6", "1 2 4 5 6"]
    odd = ["1 6 5 4 3 2", "2 1 2 1 2 1"]
    (corpus / "x_train").write_text("".join(f"n{i},{normal[i % 3]}\n" for i in range(60)))
    (corpus / "x_test_abnormal").write_text("".join(f"a{i},{odd[i % 2]}\n" for i in range(30)))
    out = tmp_path / "run"
    how = ["--mapping", "sessions", "--context", 5, "--split", "random", "--task", "next", "-m", "gru"]
    succeed("run", "events", corpus, *how, *FAST, "-o", out)
    results = RunResults.load(out / "metrics.json")
    judged = pl.read_parquet(out / "next_gru" / "predictions.parquet")
    assert judged["recording"].n_unique() == judged.height == results.models[0].windows > 0
    poolings = [detector.pooling for detector in results.detectors]
    assert {pooling.kind for pooling in poolings if pooling} <= {"max", "mean", "mean_log_odds"}
    assert None not in poolings
    assert (results.models[0].metrics["roc_auc"].estimate or 0) > 0.9
    (threshold,) = {one.threshold.value for one in results.models}
    shown = succeed("score", out / "next_gru", corpus, "--by-recording")
    of_session = {row["machine"]: row for row in map(json.loads, shown.splitlines())}
    assert len(of_session) == 90
    for name, alert in judged.select("recording", "alert").iter_rows():
        assert (of_session[name]["score"] >= threshold) == of_session[name]["alert"] == alert


def test_sessions_of_calls_are_judged_whole_and_scored_as_they_were_judged(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(90):
        attack = number % 3 == 0
        calls = rng.integers(3, 9, 40).tolist()
        calls[5:8] = calls[20:23] = [5, 4, 3] if attack else [3, 4, 5]
        folder = tmp_path / "c" / (f"Attack_Data_Master/Kind_{number % 5}" if attack else "Training_Data")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.txt").write_text(" ".join(map(str, calls)))
    quick = ("--set", "rounds=10", "--set", "reservoirs=1", "--threads", 1, "--resamples", 200)
    how = ("--mapping", "syscalls", "--anomalous-files", "Attack_Data_Master/*", "--split", "sample")
    succeed("run", "events", tmp_path / "c", *how, "-m", "blend", *quick, "-o", tmp_path / "run")
    (model,) = RunResults.load(tmp_path / "run" / "metrics.json").models
    assert model.pooling is not None
    assert model.pooling.kind == "whole"
    shown = succeed(
        "score", tmp_path / "run/blend", tmp_path / "c", "--mapping", "syscalls", "--by-recording"
    )
    rows = {row["recording"]: row for row in map(json.loads, shown.splitlines())}
    assert len(rows) == 90
    judged = pl.read_parquet(tmp_path / "run" / "blend" / "predictions.parquet")
    assert len(judged) == model.windows > 10
    for name, score, alert in judged.select("recording", "proba_anomaly", "alert").iter_rows():
        assert rows[name]["score"] == pytest.approx(score, abs=1e-9)
        assert rows[name]["alert"] == alert
    told = succeed("score", tmp_path / "run/blend", tmp_path / "c", "--by-recording", "--unknown", 0.2)
    verdicts = [json.loads(line) for line in told.splitlines()]
    assert len(verdicts) == 90
    for row in verdicts:
        left = [name for name, p_value in row["conformal"].items() if p_value > 0.2]
        assert row["verdict"] == (left[0] if len(left) == 1 else "unknown")
        assert 0 < row["probability"] < 1
    by_score = [row["probability"] for row in verdicts]
    assert by_score == sorted(by_score, reverse=True)
    assert model.open_set is not None
    assert {row.name for row in model.open_set.classes} == {"normal", "anomaly"}
    assert model.calibrated is not None
    doubted = vestige("score", tmp_path / "run/blend", tmp_path / "c", "--by-recording", "--unknown", 0.001)
    assert "--unknown 0.001 promises nothing of the class normal" in " ".join(doubted.stderr.split())
    assert vestige("score", tmp_path / "run/blend", tmp_path / "c", "--unknown", 0.05).returncode == 2
    refused = vestige("score", tmp_path / "run/blend", tmp_path / "c", "--mapping", "strace")
    assert refused.returncode == 2
    assert "was trained to read 'syscalls', not 'strace'" in refused.stderr
