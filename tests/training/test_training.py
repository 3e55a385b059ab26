"""What `train` promises of a training that nobody interrupts."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from rich.console import Console
from sklearn.metrics import f1_score

from tests.training.conftest import MakeParts
from vestige.errors import SplitError, UsageError
from vestige.nn.products import can_round
from vestige.training import TrainingConfig, TrainingError, discard_resume_state, loop, train
from vestige.training.history import macro_f1
from vestige.training.loop import threads_for

from .conftest import assert_same_weights, weights, without_seconds
from .toy import gru

CONFIG = TrainingConfig(epochs=3, batch_size=64, learning_rate=0.01, threads=1)


def test_a_gru_learns_and_its_history_is_on_disk(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts(1500, 400, noise=0.0)
    detector = gru(hidden=16)
    rows = train(detector, *parts, CONFIG.model_copy(update={"epochs": 8}), tmp_path / "run")
    assert rows[-1]["val_macro_f1"] > 0.95
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    with (tmp_path / "run" / "history.csv").open() as file:
        on_disk = list(csv.DictReader(file))
    columns = ["epoch", "step", "train_loss", "val_loss", "val_macro_f1", "learning_rate", "seconds"]
    assert list(on_disk[0]) == columns
    assert [float(row["val_macro_f1"]) for row in on_disk] == [row["val_macro_f1"] for row in rows]
    assert [row["step"] for row in rows[:2]] == [24, 48]


def test_the_detector_keeps_the_weights_of_its_best_epoch(make_parts: MakeParts, tmp_path: Path) -> None:
    _, validation = parts = make_parts()
    detector = gru()
    rows = train(
        detector, *parts, CONFIG.model_copy(update={"epochs": 8, "learning_rate": 0.05}), tmp_path / "run"
    )
    best = max(row["val_macro_f1"] for row in rows)
    predicted = detector.predict(validation.batch(names=detector.input_names))
    assert not detector.module.training
    assert f1_score(validation.label, predicted, average="macro") == pytest.approx(best)


def test_the_last_weights_are_kept_where_that_is_asked(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts(noise=0.5)
    setting = CONFIG.model_copy(update={"epochs": 8, "learning_rate": 0.05, "checkpoint_best": False})
    last, best = gru(), gru()
    rows = train(last, *parts, setting, tmp_path / "last")
    train(best, *parts, setting.model_copy(update={"checkpoint_best": True}), tmp_path / "best")
    predicted = last.predict(parts[1].batch(names=last.input_names))
    assert f1_score(parts[1].label, predicted, average="macro") == pytest.approx(rows[-1]["val_macro_f1"])
    assert max(row["val_macro_f1"] for row in rows) > rows[-1]["val_macro_f1"]
    assert any(not np.array_equal(weights(last)[name], weights(best)[name]) for name in weights(last))


def test_two_trainings_under_one_seed_are_equal_bit_for_bit(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts()
    one, same, other = gru(), gru(), gru()
    rows = [
        train(one, *parts, CONFIG, tmp_path / "one"),
        train(same, *parts, CONFIG, tmp_path / "same"),
        train(other, *parts, CONFIG.model_copy(update={"seed": 1}), tmp_path / "other"),
    ]
    assert_same_weights(weights(one), weights(same))
    assert without_seconds(rows[0]) == without_seconds(rows[1]) != without_seconds(rows[2])


def test_a_set_larger_than_memory_trains_to_the_same_numbers(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts()
    in_memory, gathered = gru(), gru()
    train(in_memory, *parts, CONFIG, tmp_path / "one")
    train(gathered, *parts, CONFIG.model_copy(update={"cache_mb": 0}), tmp_path / "two")
    assert_same_weights(weights(in_memory), weights(gathered))


def test_accumulated_batches_make_the_step_of_one_large_batch(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts(300)  # 5 batches of 64: the last step takes one batch of 44 and one of 0
    config = {"epochs": 2, "clip": 0.0}
    large, small = gru(dropout=0.0), gru(dropout=0.0)
    rows = train(large, *parts, CONFIG.model_copy(update={**config, "batch_size": 128}), tmp_path / "one")
    halves = train(small, *parts, CONFIG.model_copy(update={**config, "accumulate": 2}), tmp_path / "two")
    assert [row["step"] for row in halves] == [row["step"] for row in rows] == [3, 6]
    for name, values in weights(large).items():
        np.testing.assert_allclose(weights(small)[name], values, atol=2e-5, err_msg=name)


def test_training_stops_when_macro_f1_no_longer_rises(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts(1500, noise=0.0)
    config = CONFIG.model_copy(update={"epochs": 30, "patience": 2, "learning_rate": 0.02})
    rows = train(gru(dropout=0.0), *parts, config, tmp_path / "run")
    scores = [row["val_macro_f1"] for row in rows]
    assert len(rows) < 30
    assert len(rows) - (np.argmax(scores) + 1) == 2


@pytest.mark.parametrize("n", [40, 64])
def test_a_set_of_a_single_batch_trains(make_parts: MakeParts, tmp_path: Path, n: int) -> None:
    rows = train(gru(), *make_parts(n), CONFIG, tmp_path / "run")
    assert [row["step"] for row in rows] == [1, 2, 3]


def test_the_learning_rate_warms_up_and_falls_to_zero(make_parts: MakeParts, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 10, "warmup": 0.3, "patience": 0})
    rates = [row["learning_rate"] for row in train(gru(), *make_parts(), config, tmp_path / "run")]
    assert np.argmax(rates) in (2, 3)
    assert max(rates) == pytest.approx(0.01, rel=0.01)
    assert rates[-1] < 1e-4


def test_one_class_is_refused_before_anything_is_written(make_parts: MakeParts, tmp_path: Path) -> None:
    parts = make_parts(noise=0.0, one_class=True)
    with pytest.raises(SplitError, match="every training window is 'normal'"):
        train(gru(), *parts, CONFIG, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_empty_part_is_refused(make_parts: MakeParts, tmp_path: Path) -> None:
    ours, theirs = make_parts()
    empty = theirs.over(theirs.windows.select(np.arange(0)))
    with pytest.raises(SplitError, match="the validation part has no windows"):
        train(gru(), ours, empty, CONFIG, tmp_path / "run")


def test_a_loss_that_is_no_number_is_an_error_with_advice(make_parts: MakeParts, tmp_path: Path) -> None:
    detector = gru()
    with torch.no_grad():
        detector.module.get_parameter("head.weight").fill_(float("inf"))
    with pytest.raises(
        TrainingError, match=r"no longer a finite number \(epoch 1.*\n.*--learning-rate 0.001"
    ):
        train(detector, *make_parts(), CONFIG, tmp_path / "run")
    assert not list((tmp_path / "run").glob("*"))


def test_no_cuda_is_said_plainly(make_parts: MakeParts, tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UsageError, match="no CUDA device"):
        train(gru(), *make_parts(), CONFIG.model_copy(update={"device": "cuda"}), tmp_path / "run")


ROUNDED = CONFIG.model_copy(update={"precision": "bf16", "epochs": 1, "device": "cpu"})


def test_bf16_rounds_products_and_keeps_weights_in_single_precision(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    if not can_round():
        pytest.skip("PyTorch does not multiply in bfloat16 here")
    backends: Any = torch.backends
    products, seen = backends.mkldnn.matmul, set()
    before = products.fp32_precision
    detector = gru()
    detector.module.register_forward_pre_hook(lambda *_: seen.add(products.fp32_precision))
    rows = train(detector, *make_parts(), ROUNDED, tmp_path / "run")
    assert np.isfinite(rows[0]["val_loss"])
    assert seen == {"bf16"}
    assert products.fp32_precision == before
    assert {weight.dtype for weight in detector.module.parameters()} == {torch.float32}


def test_bf16_is_refused_where_it_would_be_no_faster(
    make_parts: MakeParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "can_round", lambda: False)
    with pytest.raises(UsageError, match=r"AVX-512 BF16 or AMX.*\n.*--precision auto"):
        train(gru(), *make_parts(), ROUNDED, tmp_path / "run")


@pytest.mark.parametrize(
    ("settings", "cores", "threads"),
    [
        ({}, 2, 2),
        ({}, 1, 1),
        ({"batch_size": 256}, 64, 16),
        ({"batch_size": 31}, 8, 1),
        ({"batch_size": 4}, 8, 1),
        ({"threads": 3}, 2, 3),
        ({"threads": 1, "batch_size": 4096}, 64, 1),
    ],
)
def test_a_thread_a_core_with_enough_windows_unless_told_otherwise(
    settings: dict[str, Any], cores: int, threads: int
) -> None:
    assert threads_for(TrainingConfig(**settings), cores) == threads


def test_the_callers_random_numbers_threads_and_signals_are_left_alone(
    make_parts: MakeParts, tmp_path: Path
) -> None:
    import signal

    parts = make_parts()
    threads = torch.get_num_threads()
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    expected = random.random(), np.random.random(), torch.rand(1)
    random.seed(5), np.random.seed(5), torch.manual_seed(5)
    train(gru(), *parts, CONFIG.model_copy(update={"epochs": 1, "threads": 3}), tmp_path / "run")
    assert (random.random(), np.random.random(), torch.rand(1)) == expected
    assert torch.get_num_threads() == threads
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_nothing_but_the_history_and_the_state_is_written_and_nothing_is_said(
    make_parts: MakeParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    parts = make_parts()
    train(gru(), *parts, CONFIG, tmp_path / "run")
    new = {one.name for one in set(tmp_path.iterdir()) - before}
    assert new == {"train", "validation", "run"}
    assert {one.name for one in (tmp_path / "run").iterdir()} == {"history.csv", "resume.safetensors"}
    discard_resume_state(tmp_path / "run")
    assert {one.name for one in (tmp_path / "run").iterdir()} == {"history.csv"}
    assert capfd.readouterr() == ("", "")


def test_a_terminal_sees_a_progress_bar(
    make_parts: MakeParts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def terminal() -> Console:
        return Console(stderr=True, force_terminal=True, force_interactive=True)

    # Whatever the environment of the tests is: this is about the bar, not about who looks on.
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("vestige.training.progress.console", terminal)
    monkeypatch.setattr("vestige.training.loop.on_terminal", lambda: True)
    train(gru(), *make_parts(), CONFIG, tmp_path / "run")
    assert "3/3" in capfd.readouterr().err
    train(gru(), *make_parts(), CONFIG, tmp_path / "quiet", progress=False)
    assert capfd.readouterr().err == ""


def test_macro_f1_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    for n_classes in (2, 5):
        truth, predicted = rng.integers(0, n_classes, (2, 50))
        expected = f1_score(truth, predicted, average="macro")
        assert macro_f1(truth, predicted, n_classes) == pytest.approx(expected)
    assert macro_f1(np.zeros(4, int), np.zeros(4, int), 3) == 1.0


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"warmup": 1.0}, {"learning_rate": 0}, {"epoch": 3}])
def test_a_wrong_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TrainingConfig(**wrong)


def test_neither_torch_nor_lightning_is_imported_before_a_neural_detector_trains() -> None:
    code = """
import sys
from vestige.training import TrainingConfig, train
TrainingConfig()
from vestige.models.fitting import FittedDetector
class Trivial(FittedDetector):
    name = "trivial"
    predict_proba = state_for_checkpoint = save_sidecar = load_sidecar = None
    def fit(self, train, validation, *, seed=0, progress=None):
        return [{"round": 0, "train_loss": 0.5}]
from pathlib import Path
from types import SimpleNamespace
import numpy as np, tempfile
class Part(SimpleNamespace):
    def __len__(self): return 2
part = Part(label=np.array([0, 1], np.uint8))
with tempfile.TemporaryDirectory() as name:
    rows = train(Trivial((), 2), part, part, TrainingConfig(), Path(name), resume=True)
    text = (Path(name) / "history.csv").read_text()
assert rows == [{"round": 0, "train_loss": 0.5}] and text == "round,train_loss\\n0,0.5\\n", text
heavy = {"torch", "pytorch_lightning", "lightning_fabric"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=60)
