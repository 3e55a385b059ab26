"""Detectors trained in parallel stop with their states saved: asked to, or when their parent is killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import cast

import pytest

from tests.warm import PIPE, Program
from vestige.errors import CheckpointError
from vestige.pipeline.fitting import TrainingPlan
from vestige.pipeline.parallel import Task
from vestige.runs.config import RunConfig
from vestige.training import StoppedError

NAMES = ("mlp", "cnn")
STATE = "resume.safetensors"
ENDLESS = ["-m", "mlp", "-m", "cnn", "--device", "cpu", "--epochs", "1000", "--patience", "0", "-t", "1"]


def begin(prepared: Path, out: Path, *more: str) -> Program:
    """Start to train, in a session of its own."""
    told = ["--split", str(prepared / "split.json"), "--train-jobs", "2", "-o", str(out), *more]
    command = ["train", prepared / "dataset", *ENDLESS, *told]
    return Program(command, stderr=PIPE, start_new_session=True)


def history(out: Path, name: str) -> list[str]:
    file = out / name / "history.csv"
    return file.read_text().splitlines() if file.is_file() else []


def wait(training: Program, out: Path, epochs: dict[str, int]) -> None:
    """Until each detector has ended more epochs than that."""
    deadline = time.monotonic() + 200
    while any(len(history(out, name)) - 1 <= count for name, count in epochs.items()):
        assert training.poll() is None, training.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def await_newer(out: Path, saved: dict[str, int]) -> None:
    """Until each detector has saved its state anew: by itself it does so after minutes."""
    deadline = time.monotonic() + 100
    while any((out / name / STATE).stat().st_mtime_ns == then for name, then in saved.items()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_all_save_their_states_whoever_is_stopped(prepared: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    first = begin(prepared, out)
    wait(first, out, dict.fromkeys(NAMES, 0))
    os.killpg(first.pid, signal.SIGINT)  # what a terminal does: to every process at once
    _, said = first.communicate(timeout=100)
    assert first.returncode == StoppedError.exit_code, said
    assert "stopped by SIGINT; what each detector has learnt is saved" in said
    assert all((out / name / STATE).is_file() for name in NAMES)
    before = {name: history(out, name) for name in NAMES}
    saved = {name: (out / name / STATE).stat().st_mtime_ns for name in NAMES}

    again = begin(prepared, out, "--resume")
    try:
        wait(again, out, {name: len(rows) - 1 for name, rows in before.items()})
        again.kill()
        await_newer(out, saved)
    finally:
        os.killpg(again.pid, signal.SIGKILL)
        again.communicate()
    for name in NAMES:
        assert history(out, name)[: len(before[name])] == before[name]

    (out / "mlp" / STATE).write_bytes(b"damaged")
    broken = begin(prepared, out, "--resume")
    _, said = broken.communicate(timeout=200)
    assert broken.returncode == CheckpointError.exit_code, said
    assert str(out / "mlp" / STATE) in said


@pytest.mark.parametrize(
    ("models", "view", "needed"),
    [(("gbt", "gru"), "both", ("pytorch_lightning",)), (("gbt", "logistic"), "realistic", ())],
)
def test_what_networks_need_is_imported_before_processes_part(
    models: tuple[str, ...], view: str, needed: tuple[str, ...], tmp_path: Path
) -> None:
    plan = TrainingPlan(models, view=view)
    task = Task(tmp_path, plan, cast(RunConfig, None), {}, resume=False, stop=tmp_path)
    assert task.worker_modules == needed
