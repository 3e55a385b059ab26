"""`vestige train --devices 2` as a person types it: two processes of CPUs learn what one learns."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.pipeline.conftest import succeed
from tests.terminal import HIDES, on_terminal
from tests.warm import PIPE, Program
from vestige.training import StoppedError

MODEL, STATE, EPOCHS = "collaborative", "resume.safetensors", 5
SMALL = ("hidden=16", "embedding=8", "projection=16", "heads=2", "dropout=0", "token_dropout=0")
"""A transformer without dropout: two processes draw other masks than one."""
UNSEEN = "modality_adaptation.mlp.linear.bias"
"""What is added to all that a softmax is taken of: nothing says where it goes but rounding."""
Words = Callable[..., list[str]]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Words:
    """What is typed to train into a folder on so many devices, 64 windows at a time together."""
    place = tmp_path_factory.mktemp("devices")
    succeed("simulate", "logs", place / "logs", "--hosts", 3, "--messages", 2000, "--seed", 3)
    succeed("prepare", "logs", place / "logs", "--format", "bgl", "-j", 1, "-o", place / "dataset")
    succeed("split", place / "dataset", "--split", "time", "-o", place / "split.json")
    settings = [word for setting in SMALL for word in ("--set", setting)]

    def typed(out: Path, devices: int, *more: str) -> list[str]:
        return [
            "train", str(place / "dataset"), "--split", str(place / "split.json"), "-m", MODEL, *settings,
            "--device", "cpu", "--devices", str(devices), "-b", str(64 // devices), "-t", "1",
            "--epochs", str(EPOCHS), "--epoch-windows", "320", "--patience", "0", "-o", str(out), *more,
        ]  # fmt: skip

    return typed


@dataclass(frozen=True)
class Training:
    """A training that was stopped twice and went on: what was said each time, and shown at the end."""

    run: Path
    said: tuple[str, str]
    shown: str


@pytest.fixture(scope="module")
def training(words: Words, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """By two processes: stopped as a terminal does it, then as a system does, then not."""
    out = tmp_path_factory.mktemp("two") / "run"
    first = stopped(words(out, 2), out, lambda group: os.killpg(group, signal.SIGINT))
    second = stopped(words(out, 2, "--resume"), out, lambda parent: os.kill(parent, signal.SIGTERM))
    assert 2 <= len(rows(out)) < EPOCHS
    return Training(out, (first, second), on_terminal(words(out, 2, "--resume")))


def stopped(command: list[str], out: Path, stop: Callable[[int], None]) -> str:
    """Stop a training, in a session of its own, once one more epoch is over; returns what it said."""
    training = Program(command, stderr=PIPE, start_new_session=True)
    before, deadline = len(rows(out)), time.monotonic() + 200
    while len(rows(out)) <= before:
        assert training.poll() is None, training.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    stop(training.pid)
    _, said = training.communicate(timeout=100)
    assert training.returncode == StoppedError.exit_code, said
    assert (out / MODEL / STATE).is_file()
    wait_for_all(training.pid, deadline)
    return said


def wait_for_all(session: int, deadline: float) -> None:
    """Until the last process of a session has ended: one that keeps count for Python does a moment later."""
    while of_session(session):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def of_session(number: int) -> list[int]:
    """The processes of a session that have not ended. Who is to collect an orphan may be this one, which does
    not wait for it (benchmarks make the process a parent of orphans), so one that has ended may be listed."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            _, _, fields = (process / "stat").read_text().rpartition(")")
            state, _, _, session = fields.split()[:4]
            if int(session) == number and state != "Z":
                found.append(int(process.name))
    return found


def weights(run: Path) -> dict[str, np.ndarray]:
    return load_file(run / MODEL / "weights.safetensors")


def rows(run: Path) -> list[list[float]]:
    """What each epoch came to, but for its seconds."""
    file = run / MODEL / "history.csv"
    told = file.read_text().splitlines()[1:] if file.is_file() else []
    return [[float(cell) for cell in row.split(",")[:-1]] for row in told]


def test_whoever_is_stopped_says_why_once(training: Training) -> None:
    for said, name in zip(training.said, ("SIGINT", "SIGTERM"), strict=True):
        assert said.count(f"stopped by {name}") == 1
        assert "Traceback" not in said


def test_ctrl_c_while_the_others_are_being_started_ends_all(words: Words, tmp_path: Path) -> None:
    training = Program(words(tmp_path / "run", 2), stderr=PIPE, start_new_session=True)
    deadline = time.monotonic() + 100
    while len(of_session(training.pid)) < 2:
        assert training.poll() is None, training.communicate()[1]
        assert time.monotonic() < deadline
    os.killpg(training.pid, signal.SIGINT)
    _, said = training.communicate(timeout=100)
    assert training.returncode == 130, said
    assert "Traceback" not in said
    wait_for_all(training.pid, deadline)


def test_two_processes_give_what_one_gives_with_twice_the_batch(
    words: Words, training: Training, tmp_path: Path
) -> None:
    succeed(*words(tmp_path / "one", 1))
    ours, theirs = rows(training.run), rows(tmp_path / "one")
    assert len(ours) == len(theirs) == EPOCHS
    for row, other in zip(ours, theirs, strict=True):
        assert row == pytest.approx(other, rel=1e-3)
    found, expected = weights(training.run), weights(tmp_path / "one")
    assert found.keys() == expected.keys()
    for name in [name for name in found if UNSEEN not in name]:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-3, err_msg=name)


def test_two_processes_have_one_log_and_one_bar(training: Training) -> None:
    log = (training.run / MODEL / "log.jsonl").read_text()
    told = [json.loads(line)["message"] for line in log.splitlines()]
    epochs = [line.partition(":")[0] for line in told if line.startswith("epoch ")]
    assert epochs == [f"epoch {number}/{EPOCHS}" for number in range(1, EPOCHS + 1)]
    assert training.shown.count(HIDES) == 1
    assert training.shown.count(f"epoch {EPOCHS}/{EPOCHS}: loss") == 1
