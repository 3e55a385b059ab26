"""`vestige tune` as a person types it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from tests.pipeline.conftest import succeed, vestige
from tests.warm import PIPE, Program
from vestige.errors import UsageError
from vestige.training import StoppedError
from vestige.tuning import study as studies

TOLD = "the search was stopped by SIGINT; the 0 trials that have ended are kept"


def test_a_search_says_what_it_found_and_what_to_do_next(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    told = succeed(
        "tune", prepared / "dataset", "--split", prepared / "split.json", "-m", "gbt", "--trials", 3,
        "--set", "rounds=4", "-t", 1, "--train-jobs", 2, "--space", "max_depth=2..4", "-o", out,
    )  # fmt: skip
    assert "3 trials of gbt: 3 complete, 0 ended early, 0 failed." in told
    assert "0 (defaults)" not in told  # the default depth is none of 2..4
    assert "The defaults were not among the trials that ended well." in told
    assert "the test part was opened 0 times" in told
    assert f"vestige evaluate {out}" in told
    assert (out / "tuning" / "report.html").is_file()
    assert (out / "gbt" / "model.json").is_file()


def test_what_cannot_be_searched_is_said_before_anything_is_read(tmp_path: Path) -> None:
    done = vestige("tune", tmp_path / "none", "-m", "gru", "--space", "cell=gru,lstm", "-o", tmp_path / "run")
    assert done.returncode == UsageError.exit_code
    assert "one of: source_dropout, embedding, hidden" in done.stderr


def test_ctrl_c_keeps_what_has_ended(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    endless = ["-m", "mlp", "--device", "cpu", "--epochs", "100000", "--patience", "0", "-t", "1"]
    where = [str(prepared / "dataset"), "--split", str(prepared / "split.json"), "-o", str(out)]
    running = Program(["tune", *where, *endless], stderr=PIPE, start_new_session=True)
    journal = out / "tuning" / studies.FILE
    deadline = time.monotonic() + 200
    while not journal.is_file() or b'"intermediate_value":' not in journal.read_bytes():
        assert running.poll() is None, running.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(running.pid, signal.SIGINT)
    _, said = running.communicate(timeout=100)
    assert running.returncode == StoppedError.exit_code, said
    assert " ".join(said.split()).count(TOLD) == 1
    assert "--resume" in said
    with studies.quiet():
        assert studies.take_up(studies.open_study(out / "tuning")) == 1
