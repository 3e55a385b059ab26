"""Several detectors trained at a time: asked to stop, each saves its state, and --resume goes on from it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from tests.pipeline.conftest import VESTIGE
from tests.pipeline.test_both_views import prepared  # noqa: F401 - a fixture
from vestige.errors import CheckpointError
from vestige.training import StoppedError

NAMES = ("mlp", "cnn")
ENDLESS = ["-m", "mlp", "-m", "cnn", "--device", "cpu", "--epochs", "1000", "--patience", "0", "-t", "1"]


def begin(prepared: Path, out: Path, *more: str) -> subprocess.Popen[str]:  # noqa: F811
    """Start to train, in a session of its own."""
    told = ["--split", str(prepared / "split.json"), "--train-jobs", "2", "-o", str(out), *more]
    command = [str(VESTIGE), "train", str(prepared / "dataset"), *ENDLESS, *told]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def history(out: Path, name: str) -> list[str]:
    file = out / name / "history.csv"
    return file.read_text().splitlines() if file.is_file() else []


def wait(training: subprocess.Popen[str], out: Path, epochs: dict[str, int]) -> None:
    """Until each detector has ended more epochs than that."""
    deadline = time.monotonic() + 200
    while any(len(history(out, name)) - 1 <= count for name, count in epochs.items()):
        assert training.poll() is None, training.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_all_save_their_states_whoever_gets_the_signal(prepared: Path, tmp_path: Path) -> None:  # noqa: F811
    out = tmp_path / "run"
    first = begin(prepared, out)
    wait(first, out, dict.fromkeys(NAMES, 0))
    first.send_signal(signal.SIGTERM)
    _, said = first.communicate(timeout=100)
    assert first.returncode == StoppedError.exit_code, said
    assert "stopped by SIGTERM; its state is saved" in said
    assert all((out / name / "resume.safetensors").is_file() for name in NAMES)
    before = {name: history(out, name) for name in NAMES}

    again = begin(prepared, out, "--resume")
    wait(again, out, {name: len(rows) - 1 for name, rows in before.items()})
    os.killpg(again.pid, signal.SIGINT)  # what a terminal does: to every process at once
    _, said = again.communicate(timeout=100)
    assert again.returncode == StoppedError.exit_code, said
    assert "stopped by SIGINT; its state is saved" in said
    assert said.count("resumed in epoch") == 2
    for name in NAMES:
        assert history(out, name)[: len(before[name])] == before[name]

    saved = (out / "cnn" / "resume.safetensors").stat().st_mtime_ns
    (out / "mlp" / "resume.safetensors").write_bytes(b"damaged")
    broken = begin(prepared, out, "--resume")
    _, said = broken.communicate(timeout=200)
    assert broken.returncode == CheckpointError.exit_code, said
    assert (out / "cnn" / "resume.safetensors").stat().st_mtime_ns >= saved
