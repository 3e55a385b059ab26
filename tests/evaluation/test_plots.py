"""Figures hold what is drawn, in as little room as looks the same."""

from __future__ import annotations

import base64
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.evaluation.made_up import made_up
from vestige.evaluation import plots
from vestige.evaluation.judging import evaluate
from vestige.evaluation.plots import PRECISION
from vestige.reading.steps import NO_TIME


def distances(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """How far each of the points `(N, 2)` is from a line through corners `(M, 2)`, as `(N,)`."""
    starts, runs = corners[:-1], np.diff(corners, axis=0)
    along = ((points[:, None] - starts) * runs).sum(axis=2) / np.maximum((runs**2).sum(axis=1), 1e-300)
    nearest = starts + np.clip(along, 0, 1)[..., None] * runs
    return np.asarray(np.linalg.norm(points[:, None] - nearest, axis=2).min(axis=1))


def test_a_curve_keeps_its_corners_alone_and_looks_the_same() -> None:
    detector = evaluate("gru", made_up(seed=5), made_up(3_000, seed=9), resamples=20)
    curve = detector.curves[0]
    (drawn,) = plots.roc([detector])["traces"]
    assert 2 < len(drawn["x"]) < len(curve.fpr)
    away = distances(np.column_stack([curve.fpr, curve.tpr]), np.column_stack([drawn["x"], drawn["y"]]))
    assert away.max() < 4 * PRECISION


def test_of_stairs_the_corners_are_drawn_and_of_nothing_nothing() -> None:
    detector = evaluate("gru", made_up(seed=5), made_up(seed=9), resamples=20)

    def drawn(fpr: list[float], tpr: list[float]) -> tuple[list[float], list[float]]:
        curve = detector.curves[0].model_copy(update={"fpr": fpr, "tpr": tpr})
        (trace,) = plots.roc([detector.model_copy(update={"curves": [curve]})])["traces"]
        return trace["x"].tolist(), trace["y"].tolist()

    assert drawn([0, 0, 0, 0.5, 1], [0, 0.5, 1, 1, 1]) == ([0, 0, 1], [0, 1, 1])
    assert drawn([0, 1, 0], [0, 1, 0]) == ([0, 1, 0], [0, 1, 0])
    assert drawn([], []) == ([], [])


def test_three_classes_and_windows_without_times_are_drawn() -> None:
    three = ("benign", "dos", "scan")
    test = made_up(classes=three, seed=9)
    test = replace(test, t_ns=np.zeros(len(test), dtype=np.int64), novel=None)
    one = evaluate("gru", made_up(classes=three, seed=5), test, resamples=20)
    assert plots.along_time(test, 0.5)["layout"]["xaxis"]["type"] == "linear"
    curves = plots.class_curves(one)
    assert curves is not None
    assert [trace["name"] for trace in curves["traces"]] == list(three)


def test_many_points_are_thinned_but_the_highest_scores_stay() -> None:
    test = made_up(30_000)
    figure = plots.along_time(test, 0.5)
    normal = figure["traces"][0]
    assert len(normal["steps"]) == len(normal["y"]) <= plots.MOST_POINTS
    assert max(normal["y"]) == pytest.approx(test.score[~test.positive].max(), abs=1e-5)


def test_packed_numbers_are_16_bits_each_that_decimals_of_four_digits_survive() -> None:
    numbers = np.array([0.0, 0.1234, 0.5, 0.9999, 1.0])
    data = base64.b64decode(plots.packed(numbers))
    assert len(data) == 2 * len(numbers)
    read = [int.from_bytes(data[at : at + 2], "little") / plots.GRID for at in range(0, len(data), 2)]
    assert read == numbers.tolist()
    for outside in (-0.001, 1.001, np.nan):
        with pytest.raises(ValueError, match="within"):
            plots.packed(np.array([0.5, outside]))


def test_times_are_steps_that_add_up_and_windows_without_a_time_are_not_drawn() -> None:
    test = made_up(30, share=0.0)
    t_ns = test.t_ns[::-1] + 1_700_000_000_123_456_789
    t_ns[4] = NO_TIME
    (normal, _) = plots.along_time(replace(test, t_ns=t_ns), 0.5)["traces"]
    known = np.delete(np.arange(30), 4)[::-1]
    assert normal["step_ms"] == 1_000
    assert np.cumsum(normal["steps"]).tolist() == (t_ns[known] // 1_000_000_000).tolist()
    assert normal["y"] == pytest.approx(test.score[known], abs=1e-5)


def test_times_of_a_few_hours_are_drawn_to_the_millisecond() -> None:
    test = made_up(30, share=0.0)
    t_ns = test.t_ns // 1_000 + 123_456_789
    (normal, anomalous) = plots.along_time(replace(test, t_ns=t_ns), 0.5)["traces"]
    assert normal["step_ms"] == 1
    assert np.cumsum(normal["steps"]).tolist() == (t_ns // 1_000_000).tolist()
    assert anomalous["steps"] == []


def test_a_history_with_gaps_is_drawn_and_one_of_a_single_epoch_is_not() -> None:
    frame = pl.DataFrame({"epoch": [1, 2], "train_loss": [1.0, None], "val_macro_f1": [0.5, float("nan")]})
    figure = plots.history(frame)
    assert figure is not None
    assert [trace["y"] for trace in figure["traces"]] == [[1.0, None], [0.5, None]]
    # Below it is the title of the axis, further or nearer as the figure is small or large.
    assert figure["layout"]["legend"] == {"orientation": "h", "y": 1.02, "yanchor": "bottom"}
    assert plots.history(frame.head(1)) is None
