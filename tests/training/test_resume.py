"""A training that was stopped, however rudely, goes on as if it had not been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import MakeParts
from vestige.errors import CheckpointError
from vestige.training import StoppedError, TrainingConfig, state, train
from vestige.training.history import Row

from . import child
from .conftest import assert_same_weights, weights, without_seconds
from .toy import ToyEncoder, encoded, gru

ROOT = Path(__file__).resolve().parents[2]
CONFIG = TrainingConfig(
    epochs=3, batch_size=64, learning_rate=0.02, accumulate=2, threads=1, cache_mb=0, patience=2
)


def signal_at(call: int, number: signal.Signals = signal.SIGTERM) -> Callable[[int], None]:
    """Sends this process a signal while the training windows' batch number `call` is encoded."""

    def trip(now: int) -> None:
        if now == call:
            assert threading.current_thread() is threading.main_thread()
            os.kill(os.getpid(), number)

    return trip


def uninterrupted(
    make_parts: MakeParts, tmp_path: Path, config: TrainingConfig = CONFIG
) -> tuple[dict[str, np.ndarray], list[Row]]:
    detector = gru()
    rows = train(detector, *make_parts(), config, tmp_path / "whole")
    return weights(detector), without_seconds(rows)


def run_child(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "tests.training.child", str(directory), *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def test_after_a_kill_in_the_middle_of_an_epoch_the_result_is_the_same_bit_for_bit(tmp_path: Path) -> None:
    process = run_child(tmp_path, "19")  # 1 call to look at sizes, 10 batches an epoch
    out, _ = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, out
    assert out == ""
    parts = encoded(tmp_path / "train", 0), encoded(tmp_path / "validation", 0)
    resumed, whole = gru(), gru()
    config = child.CONFIG.model_copy(update={"patience": 0})
    rows = train(resumed, *parts, config, tmp_path / "run", resume=True)
    encoder = parts[0].encoder
    assert isinstance(encoder, ToyEncoder)
    encoded_again = encoder.calls
    assert len(encoded_again) == 1 + (4 + 10), "it went on in the second epoch, after the third step"
    assert without_seconds(rows) == without_seconds(train(whole, *parts, config, tmp_path / "whole"))
    assert_same_weights(weights(resumed), weights(whole))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_saves_the_state_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path) -> None:
    process = run_child(tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "under_way").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == StoppedError.exit_code, out
    assert f"stopped by {number.name}; its state is saved" in out
    assert "--resume" in out
    assert (tmp_path / "run" / "resume.safetensors").is_file()


@pytest.mark.parametrize("call", [2, 3, 6, 8, 10, 12])
def test_wherever_it_is_stopped_the_result_is_the_same(
    make_parts: MakeParts, tmp_path: Path, call: int
) -> None:
    # One call looks at sizes, five batches make an epoch: 6 is an epoch's last batch.
    with pytest.raises(StoppedError, match="its state is saved"):
        train(gru(), *make_parts(trip=signal_at(call)), CONFIG, tmp_path / "run")
    resumed = gru()
    rows = train(resumed, *make_parts(), CONFIG, tmp_path / "run", resume=True)
    expected_weights, expected_rows = uninterrupted(make_parts, tmp_path)
    assert without_seconds(rows) == expected_rows
    assert_same_weights(weights(resumed), expected_weights)


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_stop_during_validation_loses_nothing(make_parts: MakeParts, tmp_path: Path, epoch: int) -> None:
    ours, theirs = make_parts()
    trip = signal_at(1 + epoch)  # one call looks at sizes, one batch is a validation
    stopped = encoded(tmp_path / "validation", 0, trip=trip)
    with pytest.raises(StoppedError, match="its state is saved"):
        train(gru(), ours, stopped, CONFIG, tmp_path / "run")
    resumed = gru()
    rows = train(resumed, ours, theirs, CONFIG, tmp_path / "run", resume=True)
    expected_weights, expected_rows = uninterrupted(make_parts, tmp_path)
    assert without_seconds(rows) == expected_rows
    assert_same_weights(weights(resumed), expected_weights)


def test_a_stop_during_the_validation_that_would_end_training_early_loses_nothing(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"epochs": 20, "patience": 1})
    expected_weights, expected_rows = uninterrupted(make_parts, tmp_path, config)
    assert len(expected_rows) < 20
    ours, theirs = make_parts()
    stopped = encoded(tmp_path / "validation", 0, trip=signal_at(1 + len(expected_rows)))
    with pytest.raises(StoppedError, match="its state is saved"):
        train(gru(), ours, stopped, config, tmp_path / "run")
    resumed = gru()
    rows = train(resumed, ours, theirs, config, tmp_path / "run", resume=True)
    assert without_seconds(rows) == expected_rows
    assert_same_weights(weights(resumed), expected_weights)


def test_ctrl_c_saves_and_a_second_one_stops_at_once(make_parts: MakeParts, tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match=r"stopped by SIGINT; its state is saved\n.*--resume"):
        train(gru(), *make_parts(trip=signal_at(3, signal.SIGINT)), CONFIG, tmp_path / "run")

    def twice(now: int) -> None:
        if now == 3:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(StoppedError, match="stopped at once; nothing was saved yet"):
        train(gru(), *make_parts(trip=twice), CONFIG, tmp_path / "other")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_training_is_not_repeated(make_parts: MakeParts, tmp_path: Path) -> None:
    first, again = gru(), gru()
    rows = train(first, *make_parts(), CONFIG, tmp_path / "run")
    (tmp_path / "run" / "history.csv").unlink()
    assert train(again, *make_parts(), CONFIG, tmp_path / "run", resume=True) == rows
    assert_same_weights(weights(again), weights(first))
    assert (tmp_path / "run" / "history.csv").is_file()


def test_nothing_to_resume_starts_afresh_and_says_so(
    make_parts: MakeParts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="vestige.training")
    resumed = gru()
    rows = train(resumed, *make_parts(), CONFIG, tmp_path / "run", resume=True)
    assert "nothing to resume" in caplog.text
    assert "starts afresh" in caplog.text
    assert without_seconds(rows) == uninterrupted(make_parts, tmp_path)[1]


def test_without_resume_an_old_state_is_not_used(make_parts: MakeParts, tmp_path: Path) -> None:
    with pytest.raises(StoppedError, match="its state is saved"):
        train(gru(), *make_parts(trip=signal_at(8)), CONFIG, tmp_path / "run")
    with pytest.raises(StoppedError, match="its state is saved"):
        train(gru(), *make_parts(trip=signal_at(3)), CONFIG, tmp_path / "run")
    rows = train(gru(), *make_parts(), CONFIG, tmp_path / "run", resume=True)
    assert without_seconds(rows) == uninterrupted(make_parts, tmp_path)[1]


@pytest.fixture
def stopped(make_parts: MakeParts, tmp_path: Path) -> Path:
    with pytest.raises(StoppedError, match="its state is saved"):
        train(gru(), *make_parts(trip=signal_at(3)), CONFIG, tmp_path / "run")
    return tmp_path / "run" / "resume.safetensors"


def truncated(whole: bytes) -> bytes:
    return whole[: len(whole) // 2]


def one_bit_turned(whole: bytes) -> bytes:
    return whole[:-100] + bytes([whole[-100] ^ 1]) + whole[-99:]


def edited(whole: bytes) -> bytes:
    return whole.replace(b'\\"step\\": ', b'\\"step\\":9', 1)


def another_format(whole: bytes) -> bytes:
    return whole.replace(b"vestige-resume/2", b"vestige-resume/9")


@pytest.mark.parametrize("damage", [truncated, one_bit_turned, edited, another_format, lambda _: b""])
def test_a_damaged_state_is_refused_with_its_name_and_a_remedy(
    make_parts: MakeParts, tmp_path: Path, stopped: Path, damage: Callable[[bytes], bytes]
) -> None:
    whole = stopped.read_bytes()
    assert damage(whole) != whole
    stopped.write_bytes(damage(whole))
    with pytest.raises(CheckpointError, match=r"resume\.safetensors: .*\n.*without --resume"):
        train(gru(), *make_parts(), CONFIG, tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    "place",
    [("loader", "epoch"), ("loader", "batch"), ("best", "epoch"), ("best", "loss"), ("step",), ("windows",),
     ("elapsed",), ("finished",), ("random", "numpy"), ("random", "python")],
)  # fmt: skip
def test_no_number_of_a_state_is_believed(stopped: Path, place: tuple[str, ...]) -> None:
    """Sealed again, so that the digest does not stand in the way."""
    saved = state.read(stopped)
    for value in (-(10**19), 10**19, 10**400, "x", None, True):
        harmless: dict[tuple[str, ...], set[object]]
        harmless = {("finished",): {True}, ("best", "loss"): {10**19, -(10**19)}}
        if value in harmless.get(place, set()):
            continue
        plain = json.loads(json.dumps(saved.plain))
        inside = plain
        for key in place[:-1]:
            inside = inside[key]
        inside[place[-1]] = value
        state.write(stopped, state.State(plain, saved.tensors))
        with pytest.raises(
            CheckpointError, match=r"resume\.safetensors: cannot be read(?s:.)*without --resume"
        ):
            state.read(stopped)


def test_another_training_is_refused_naming_what_differs(
    make_parts: MakeParts, tmp_path: Path, stopped: Path
) -> None:
    changed = CONFIG.model_copy(update={"batch_size": 32})
    with pytest.raises(CheckpointError, match="batch_size: 64 -> 32"):
        train(gru(), *make_parts(), changed, tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match=r"gru\.hidden: 8 -> 9"):
        train(gru(hidden=9), *make_parts(), CONFIG, tmp_path / "run", resume=True)
    ours, theirs = make_parts()
    with pytest.raises(CheckpointError, match="data: "):
        train(gru(), theirs, ours, CONFIG, tmp_path / "run", resume=True)
    assert stopped.exists(), "a refusal leaves the state alone"


def test_how_often_states_are_saved_may_change(make_parts: MakeParts, tmp_path: Path, stopped: Path) -> None:
    config = CONFIG.model_copy(update={"checkpoint_minutes": 0.0, "cache_mb": 64})
    rows = train(gru(), *make_parts(), config, tmp_path / "run", resume=True)
    assert without_seconds(rows) == uninterrupted(make_parts, tmp_path)[1]


def test_the_state_is_plain_safetensors(stopped: Path) -> None:
    size = int.from_bytes(stopped.read_bytes()[:8], "little")
    header = json.loads(stopped.read_bytes()[8 : 8 + size])
    plain = json.loads(header["__metadata__"]["vestige"])
    assert plain["loader"] == {"epoch": 0, "batch": 2}
    assert plain["finished"] is False
    assert {name.split(".")[0] for name in header} == {
        "__metadata__", "module", "optimizer", "random", "epoch"
    }  # fmt: skip
