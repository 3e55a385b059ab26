"""A run appears when its evidence is read, split and audited; mistakes are said before anything is read."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import polars as pl
import pytest

from tests.pipeline.conftest import FAST, succeed, vestige
from tests.warm import PIPE, Program
from vestige import errors, storage


@pytest.mark.parametrize(
    ("mistake", "kind"),
    [
        (["--split", "nosuch"], errors.UsageError),
        (["--split", "time", "--hold-out", "node-1"], errors.UsageError),
        (["--hold-out", "node-1"], errors.UsageError),
        (["-m", "nosuch"], errors.UsageError),
        (["--view", "nosuch"], errors.UsageError),
        (["-m", "gru", "--set", "hidden=abc"], errors.UsageError),
        (["--threshold", "nosuch"], errors.UsageError),
        (["--device", "cuda"], errors.UsageError),
        (["--split", "host", "--hold-out", "nosuch"], errors.SplitError),
    ],
)
def test_a_mistake_leaves_nothing_and_the_next_call_works(
    corpus: Path, tmp_path: Path, mistake: list[str], kind: type[errors.VestigeError]
) -> None:
    file = corpus / "web-1" / "auth.log" if kind is errors.UsageError else corpus
    done = vestige("run", "logs", file, "--format", "bgl", *FAST, *mistake, "-o", tmp_path / "run")
    assert done.returncode == kind.exit_code, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_killed_reading_leaves_no_run_and_is_swept_by_the_next(tmp_path: Path, corpus: Path) -> None:
    big = tmp_path / "big.log"
    line = (
        "- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO cache parity error %d\n"
    )
    big.write_text("".join(line % i for i in range(400_000)))
    out = tmp_path / "runs" / "run"
    reading = Program(["run", "logs", big, "--format", "bgl", "-j", "1", "-o", out])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("runs/.run.*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.01)
    reading.send_signal(signal.SIGKILL)
    reading.wait()
    assert not out.exists()
    assert list(tmp_path.glob("runs/.run.*.tmp"))
    succeed("run", "logs", corpus, "--format", "bgl", "--split", "host", *FAST, "-m", "gbt", "-o", out)
    assert [one.name for one in (tmp_path / "runs").iterdir()] == ["run"]


def test_a_terminated_reading_cleans_up_after_itself(tmp_path: Path) -> None:
    big = tmp_path / "big.log"
    line = (
        "- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO cache parity error %d\n"
    )
    big.write_text("".join(line % i for i in range(400_000)))
    call = ["run", "logs", big, "--format", "bgl", "-j", "1", "-o", tmp_path / "run"]
    reading = Program(call, stderr=PIPE)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".run.*.tmp")) and time.monotonic() < deadline:
        time.sleep(0.01)
    reading.send_signal(signal.SIGTERM)
    _, said = reading.communicate()
    assert reading.returncode == 143
    assert "terminated" in said
    assert [one.name for one in tmp_path.iterdir()] == ["big.log"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--split", "time"], "split_options"),
        (["--window-size", "4"], "options"),
        (["-m", "lstm"], "models"),
        (["--seed", "9"], "training"),
        (["--threshold", "f1"], "threshold"),
    ],
)
def test_resuming_with_another_request_is_refused(
    finished: Path, corpus: Path, change: list[str], says: str
) -> None:
    call = ["run", "logs", corpus, "--format", "bgl", "--split", "host", *FAST, "-m", "gbt", "-m", "gru"]
    done = vestige(*call, *change, "-o", finished, "--resume")
    assert done.returncode == errors.UsageError.exit_code
    assert f"    {says}: " in done.stderr


def test_resuming_another_corpus_is_refused(finished: Path, corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(corpus, other)
    call = ["run", "logs", other, "--format", "bgl", "--split", "host", *FAST, "-m", "gbt", "-m", "gru"]
    done = vestige(*call, "-o", finished, "--resume")
    assert done.returncode == errors.UsageError.exit_code
    assert str(other) in done.stderr


def test_a_failed_overwrite_leaves_the_old_run_as_it_was(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    before = {one: one.read_bytes() for one in copy.rglob("*") if one.is_file()}
    call = ["run", "logs", corpus / "web-1" / "auth.log", "--format", "bgl", *FAST, "-o", copy, "--overwrite"]
    for mistake in (["-m", "nosuch"], ["--split", "host"]):
        assert vestige(*call, *mistake).returncode != 0
        assert {one: one.read_bytes() for one in copy.rglob("*") if one.is_file()} == before


def test_an_overwritten_run_holds_nothing_of_the_old_one(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    call = ["run", "logs", corpus, "--format", "bgl", "--split", "host", *FAST, "-m", "gbt"]
    succeed(*call, "-o", copy, "--overwrite")
    assert not (copy / "gru").exists()


def test_another_threshold_is_the_scorer_s_threshold_too(
    finished: Path, corpus: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    succeed("evaluate", copy, "--threshold", "fpr=0.2", "--resamples", 200)
    judged = pl.read_parquet(copy / "gbt" / "predictions.parquet").sort("file", "line")
    name = judged["file"][0]
    rows = [json.loads(line) for line in succeed("score", copy / "gbt", corpus / name).splitlines()]
    mine = judged.filter(pl.col("file") == name).sort("line")
    assert [row["alert"] for row in rows] == mine["alert"].to_list()
    before = pl.read_parquet(finished / "gbt" / "predictions.parquet")
    assert judged["alert"].sum() > before["alert"].sum()
    assert json.loads((copy / "config.json").read_text())["judge"]["threshold"] == "fpr=0.2"


def test_judging_again_keeps_the_run_s_own_threshold(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    succeed("evaluate", copy, "--threshold", "fpr=0.2", "--resamples", 200)
    header = (copy / "gbt" / "model.json").read_bytes()
    succeed("evaluate", copy)
    assert (copy / "gbt" / "model.json").read_bytes() == header


@pytest.mark.parametrize("damage", ["dataset/streams/message.npy", "split.json", "gbt/booster.ubj"])
def test_inspecting_a_run_checks_that_it_is_intact(finished: Path, tmp_path: Path, damage: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    assert vestige("inspect", copy).returncode == 0
    (copy / damage).write_bytes(b"{}")
    assert vestige("inspect", copy).returncode != 0


def test_a_run_at_work_is_neither_judged_nor_replaced(finished: Path, corpus: Path) -> None:
    before = {one: one.read_bytes() for one in finished.rglob("*") if one.is_file()}
    again = ["run", "logs", corpus, "--format", "bgl", "--split", "host", *FAST, "-m", "gbt", "-o", finished]
    with storage.locked(finished):
        for call in (["evaluate", finished], [*again, "--overwrite"]):
            done = vestige(*call)
            assert done.returncode == errors.OutputError.exit_code, done.stderr
            assert "another process is writing it" in done.stderr
    assert {one: one.read_bytes() for one in finished.rglob("*") if one.is_file()} == before
