"""`vestige score`: what it refuses before it prints a line, and what its rows are called."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.conftest import VESTIGE, succeed, vestige
from tests.terminal import everything
from tests.warm import PIPE, Program
from vestige import errors
from vestige.evidence.files import MARKER
from vestige.evidence.simulated import BEGINS
from vestige.scoring import check_device, score
from vestige.sources.logs.templates import Matcher

HEAD = "- 1117838570 2005.06.03 R02 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO cache parity error {}\n"


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    found = []
    for name in ("d1", "d2"):
        (tmp_path / name).mkdir()
        found.append(tmp_path / name / "app.log")
        found[-1].write_text("".join(map(HEAD.format, range(30))))
    return found


def refused(done: subprocess.CompletedProcess[str], kind: type[errors.VestigeError], *says: str) -> None:
    assert done.returncode == kind.exit_code, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    for one in says:
        assert one in done.stderr


def test_a_directory_of_misfits_is_an_error(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "c").mkdir()
    for name in "ab":
        (tmp_path / "c" / f"{name}.log").write_text("nothing of the kind\n" * 9)
    done = vestige("score", finished / "gbt", tmp_path / "c")
    refused(done, errors.EvidenceError, "c/a.log:1: 9 of", "the detector reads logs, as vestige inspect")


def test_files_are_called_by_the_paths_as_given(finished: Path, logs: list[Path], tmp_path: Path) -> None:
    shown = succeed("score", finished / "gbt", "d1/app.log", "d2/app.log", cwd=tmp_path)
    assert {json.loads(line)["file"] for line in shown.splitlines()} == {"d1/app.log", "d2/app.log"}


def test_scores_of_simulated_evidence_say_so(finished: Path, logs: list[Path], tmp_path: Path) -> None:
    assert "synthetic" not in vestige("score", finished / "gbt", logs[0]).stderr
    (tmp_path / MARKER).write_bytes(BEGINS)
    assert "the evidence is synthetic" in vestige("score", finished / "gbt", logs[0]).stderr


def test_a_missing_path_is_found_before_the_first_line(
    finished: Path, logs: list[Path], tmp_path: Path
) -> None:
    done = vestige("score", finished / "gbt", logs[0], tmp_path / "d3" / "none.log")
    refused(done, errors.EvidenceError, str(tmp_path / "d3" / "none.log"))
    assert "the detector reads" not in done.stderr


def test_an_existing_output_stays_unless_told_otherwise(
    finished: Path, logs: list[Path], tmp_path: Path
) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    refused(vestige("score", finished / "gbt", logs[0], "-o", out), errors.OutputError, "--overwrite")
    assert out.read_text() == "mine"
    succeed("score", finished / "gbt", logs[0], "-o", out, "--overwrite")
    assert len(out.read_text().splitlines()) == 30


def test_scores_of_a_stream_are_in_the_file_as_they_come_and_stay_after_a_kill(
    finished: Path, tmp_path: Path
) -> None:
    out = tmp_path / "made" / "scores.jsonl"
    with Program(["score", finished / "gbt", "-", "-o", out], stdin=PIPE) as running:
        assert running.stdin is not None
        running.stdin.write("".join(map(HEAD.format, range(3000))))
        running.stdin.flush()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (out.exists() and out.read_text().count("\n") >= 1000):
            time.sleep(0.1)
        assert running.poll() is None, "the stream has not ended, and neither has the program"
        running.kill()
    # What a kill may cut off is the line that was being written.
    rows = [json.loads(line) for line in out.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert len(rows) >= 1000
    assert [row["line"] for row in rows] == list(range(1, len(rows) + 1))
    assert [path.name for path in out.parent.iterdir()] == [out.name]


def test_the_last_message_of_a_pipe_is_scored_after_a_quiet_time(finished: Path, tmp_path: Path) -> None:
    call = ["score", finished / "gbt", "-", "--idle", "300ms"]
    out = tmp_path / "scores.jsonl"
    with out.open("w") as file, Program(call, stdin=PIPE, stdout=file) as running:
        assert running.stdin is not None
        running.stdin.write("".join(map(HEAD.format, range(3))))
        running.stdin.flush()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and out.read_text().count("\n") < 3:
            time.sleep(0.1)
        assert running.poll() is None, "the pipe is still open"
        shown = [json.loads(line)["line"] for line in out.read_text().splitlines()]
        running.stdin.close()
        assert running.wait(timeout=30) == 0
    assert shown == [1, 2, 3]
    assert len(out.read_text().splitlines()) == 3, "no message is told twice"


def test_an_earlier_file_outlives_a_stream_of_misfits(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("mine")
    done = vestige(
        "score", finished / "gbt", "-", "-o", out, "--overwrite", input="nothing of the kind\n" * 9
    )
    assert done.returncode == errors.EvidenceError.exit_code, done.stderr
    assert out.read_text() == "mine"


def test_what_is_read_is_never_replaced(finished: Path, logs: list[Path], tmp_path: Path) -> None:
    before = logs[0].read_bytes()
    (tmp_path / "link.log").symlink_to(logs[0])
    os.link(logs[0], tmp_path / "hard.log")
    for given, out in [
        (logs[0], logs[0]),
        (logs[0], tmp_path / "link.log"),
        (logs[0], tmp_path / "hard.log"),
        (tmp_path, logs[0]),
        (logs[1], finished / "gbt" / "model.json"),
    ]:
        done = vestige("score", finished / "gbt", given, "-o", out, "--overwrite")
        refused(done, errors.OutputError, "is left alone")
    assert logs[0].read_bytes() == before


@pytest.mark.parametrize("model", ["gbt", "gru"])
@pytest.mark.parametrize("device", ["cuda:99", "tpu"])
def test_a_device_that_is_not_there(finished: Path, logs: list[Path], model: str, device: str) -> None:
    done = vestige("score", finished / model, logs[0], "--device", device)
    refused(done, errors.UsageError, device, "remedy")


def test_a_format_that_the_detector_does_not_read_is_refused(finished: Path, logs: list[Path]) -> None:
    done = vestige("score", finished / "gbt", logs[0], "--format", "hadoop")
    refused(done, errors.UsageError, "trained to read 'bgl', not 'hadoop'", "remedy")
    expected = succeed("score", finished / "gbt", logs[0])
    for named in ("bgl", "auto", " bgl "):
        assert succeed("score", finished / "gbt", logs[0], "--format", named) == expected


def test_the_processor_is_always_there() -> None:
    check_device("cpu")


def test_a_run_of_one_detector_is_that_detector(finished: Path, logs: list[Path], tmp_path: Path) -> None:
    refused(vestige("score", finished, logs[0]), errors.UsageError, "gbt, gru", str(finished / "gbt"))
    shutil.copytree(finished / "gbt", tmp_path / "run" / "gbt")
    assert succeed("score", tmp_path / "run", logs[0]) == succeed("score", finished / "gbt", logs[0])


def test_a_reader_that_has_enough_ends_it_quietly(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "long.log").write_text("".join(map(HEAD.format, range(20_000))))
    call = f"{VESTIGE} score {finished / 'gbt'} {tmp_path / 'long.log'} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, check=True)
    first, code = done.stdout.splitlines()
    assert json.loads(first)["line"] == 1
    assert (code, done.stderr) == ("0", "")


def test_templates_are_indexed_once_however_long_the_log_is(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    build = Matcher.__init__

    def counted(self: Matcher, *rest: Any) -> None:
        built.append(1)
        build(self, *rest)

    monkeypatch.setattr(Matcher, "__init__", counted)
    (tmp_path / "long.log").write_text("".join(map(HEAD.format, range(20_000))))
    assert sum(1 for _ in score(finished / "gbt", [tmp_path / "long.log"])) == 20_000
    assert len(built) == 1


def test_ctrl_c_says_interrupted(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    call = ["prepare", "logs", fifo, "--format", "bgl", "-o", tmp_path / "d"]
    with Program(call, stderr=PIPE) as running, fifo.open("w") as pipe:
        pipe.write("".join(map(HEAD.format, range(400))))
        pipe.flush()
        deadline = time.monotonic() + 60
        while list(tmp_path.iterdir()) == [fifo] and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, shown = running.communicate(timeout=30)
    assert running.returncode == 130
    assert shown.splitlines()[-1] == "interrupted"
    assert list(tmp_path.iterdir()) == [fifo]


def test_a_bar_shows_on_a_terminal_unless_the_scores_go_there(
    finished: Path, logs: list[Path], tmp_path: Path
) -> None:
    told = ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
    environment = {name: value for name, value in os.environ.items() if name not in told} | {"TERM": "xterm"}
    shown = []
    for to_terminal in (False, True):
        main, terminal = pty.openpty()
        with (tmp_path / "out.jsonl").open("w") as file:
            running = subprocess.Popen(
                [VESTIGE, "score", finished / "gbt", logs[0]],
                stdout=terminal if to_terminal else file, stderr=terminal, env=environment,
            )  # fmt: skip
        os.close(terminal)
        shown.append(everything(main))
        assert running.wait() == 0
    assert "scoring" in shown[0]
    assert "scoring" not in shown[1]


def test_reasons_of_alerts_are_told_in_scores_metrics_and_report(finished: Path, corpus: Path) -> None:
    rows = list(score(finished / "gru", [corpus], explain=True))
    alerts = [row for row in rows if row["alert"]]
    assert alerts
    assert all("reasons" not in row for row in rows if not row["alert"])
    assert any(row["reasons"] for row in alerts)
    for row in alerts:
        assert all(set(why) == {"step", "what", "contribution", "says"} for why in row["reasons"])
        assert all(why["contribution"] > 0 and why["step"] <= 0 for why in row["reasons"])
    results = json.loads((finished / "metrics.json").read_text())
    named = [one for one in results["detectors"] if one["reasons"]]
    assert {"gbt", "gru"} <= {one["name"] for one in named}
    tested = {one["name"]: one["deletion"] for one in named if one["deletion"] is not None}
    assert "gbt" in tested
    assert len(tested["gbt"]["named"]) == len(tested["gbt"]["random"]) == 5
    page = (finished / "report.html").read_text()
    assert "Are the reasons any good?" in page
    assert "because of" in page


def test_reasons_are_of_windows_and_of_this_process(finished: Path, logs: list[Path]) -> None:
    refused(
        vestige("score", finished / "gbt", logs[0], "--explain", "--by-recording"),
        errors.UsageError,
        "--explain",
    )
