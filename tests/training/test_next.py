"""Training for the task `next`: on benign windows, by the loss of what comes last."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vestige.errors import SplitError, UsageError
from vestige.models import registry
from vestige.models.fitting import benign
from vestige.models.neural import NeuralDetector
from vestige.models.next_token import NextToken
from vestige.training import StoppedError, TrainingConfig, train
from vestige.training.config import MIN_STEPS

from .conftest import Parts, assert_same_weights, weights, without_seconds
from .toy import TOKENS, encoded

CONFIG = TrainingConfig(epochs=4, batch_size=64, learning_rate=0.02, threads=1)
SMALL = {"hidden": 12, "embedding": 8, "dropout": 0.3}


def built(name: str = "next_gru", **hyper: Any) -> NeuralDetector:
    detector = registry.get(name).build((TOKENS,), 2, **{**SMALL, **hyper})
    assert isinstance(detector, NeuralDetector)
    return detector


@pytest.fixture
def parts(tmp_path: Path) -> Parts:
    return (
        encoded(tmp_path / "train", 1_500, chain=0.9),
        encoded(tmp_path / "validation", 500, chain=0.9, seed=1),
    )


def test_the_next_token_is_learnt_and_the_history_says_what_its_columns_are(
    parts: Parts, tmp_path: Path
) -> None:
    rows = train(built(), *parts, CONFIG.model_copy(update={"epochs": 10}), tmp_path / "run")
    assert list(rows[0]) == [
        "epoch", "step", "train_loss", "val_loss", "val_top1", "learning_rate", "seconds"
    ]  # fmt: skip
    assert rows[-1]["val_top1"] > 0.8
    assert rows[-1]["val_loss"] < rows[0]["val_loss"]


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(parts: Parts, tmp_path: Path) -> None:
    detector = built()
    config = CONFIG.model_copy(update={"epochs": 30, "learning_rate": 0.1, "patience": 3})
    rows = train(detector, *parts, config, tmp_path / "run")
    assert isinstance(detector, NextToken)
    normal = benign(parts[1], "validation")
    found = detector.surprise(normal.batch(names=detector.input_names)).mean()
    losses = [row["val_loss"] for row in rows]
    assert found == pytest.approx(min(losses), rel=1e-5)
    assert len(rows) == 30 or len(rows) - (int(np.argmin(losses)) + 1) == 3


def test_windows_that_are_not_benign_are_never_seen(parts: Parts, tmp_path: Path) -> None:
    whole, normal = built(), built()
    rows = train(whole, *parts, CONFIG, tmp_path / "whole")
    ours, theirs = (benign(part, "") for part in parts)
    again = train(normal, ours, theirs, CONFIG, tmp_path / "normal")
    assert 0 < (parts[0].label > 0).mean() < 1
    assert without_seconds(rows) == without_seconds(again)
    assert_same_weights(weights(whole), weights(normal))


def test_benign_windows_alone_are_enough(tmp_path: Path) -> None:
    ours, theirs = (encoded(tmp_path / n, 200, one_class=True, chain=0.9) for n in ("train", "validation"))
    assert not ours.label.any()
    assert train(built(), ours, theirs, CONFIG, tmp_path / "run")


def test_no_benign_windows_are_refused(parts: Parts, tmp_path: Path) -> None:
    hostile = parts[1].over(parts[1].windows.select(parts[1].label > 0))
    with pytest.raises(SplitError, match=r"the validation part has no 'normal' windows"):
        train(built(), parts[0], hostile, CONFIG, tmp_path / "run")


def test_a_window_of_one_step_has_nothing_to_predict_from(tmp_path: Path) -> None:
    short = encoded(tmp_path / "train", 100, length=1)
    with pytest.raises(UsageError, match=r"there are none\n.*at least 2 steps"):
        train(built(), short, short, CONFIG, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "hyper"),
    [
        ("stochastic_array_lstm", {"k": 2, "selection": "sample"}),
        ("next_stochastic_array_lstm", {"k": 2, "selection": "lane"}),
        ("next_attention_array_lstm", {"k": 2, "layers": 2}),
    ],
)
def test_arrays_that_draw_lanes_and_forget_tokens_resume_bit_for_bit(
    parts: Parts, tmp_path: Path, name: str, hyper: dict[str, Any]
) -> None:
    config = CONFIG.model_copy(update={"epochs": 2, "cache_mb": 0})

    def stop(call: int) -> None:
        if call == 9:
            os.kill(os.getpid(), signal.SIGTERM)

    whole, resumed = built(name, **hyper), built(name, **hyper)
    expected = train(whole, *parts, config, tmp_path / "whole")
    tripping = encoded(tmp_path / "train", 0, trip=stop)
    with pytest.raises(StoppedError):
        train(built(name, **hyper), tripping, parts[1], config, tmp_path / "run")
    rows = train(resumed, *parts, config, tmp_path / "run", resume=True)
    assert without_seconds(rows) == without_seconds(expected)
    assert_same_weights(weights(resumed), weights(whole))


def test_a_small_corpus_is_gone_through_more_often_unless_told_otherwise() -> None:
    default = TrainingConfig()
    assert default.epochs_of(10_000) == 20
    assert default.epochs_of(5) * 5 >= MIN_STEPS > (default.epochs_of(5) - 1) * 5
    assert TrainingConfig(epochs=3).epochs_of(5) == 3


def test_patience_grows_with_the_epochs_unless_told_otherwise() -> None:
    default = TrainingConfig()
    assert [default.patience_of(epochs) for epochs in (3, 20, 200)] == [5, 5, 50]
    assert TrainingConfig(patience=0).patience_of(200) == 0
    assert TrainingConfig(patience=2).patience_of(200) == 2
