"""Where labels are the recording's, a recording is judged once, whatever the number of its windows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from vestige.evaluation.predictions import Predictions
from vestige.evaluation.recordings import WAYS, best_way, by_recording, log_of, pooled


def windows(scores: list[list[float]], labels: list[int]) -> Predictions:
    """One list of window scores a recording."""
    recording = np.repeat(np.arange(len(scores)), [len(one) for one in scores])
    score = np.array([value for one in scores for value in one])
    n = len(score)
    return Predictions(
        classes=("normal", "anomaly"),
        label=np.array(labels)[recording],
        proba=np.stack([1 - score, score], axis=1),
        recording=recording,
        recordings=pl.DataFrame({"id": [f"r{i}" for i in range(len(scores))], "host": "h", "profile": "p"}),
        position=np.arange(n),
        t_wall_ns=np.arange(n),
        novel=np.arange(n) % 2 == 0,
    )


@pytest.mark.parametrize(("how", "expected"), [("max", [0.9, 0.4]), ("mean", [0.5, 0.4]), ("log_odds", [0.5, 0.4])])
def test_a_recording_is_scored_by_its_windows(how, expected):
    judged = by_recording(windows([[0.1, 0.9, 0.5], [0.4]], [1, 0]), how)
    assert judged.score == pytest.approx(expected)
    assert judged.label.tolist() == [1, 0]
    assert judged.position.tolist() == [2, 3]
    assert judged.novel.tolist() == [False, False]
    assert judged.proba.sum(axis=1) == pytest.approx([1, 1])


def test_the_order_of_windows_does_not_matter():
    plain = windows([[0.1, 0.9, 0.5], [0.4], [0.2, 0.3]], [1, 0, 1])
    shuffled = plain.select(np.array([3, 5, 0, 2, 4, 1]))
    for how in WAYS:
        assert by_recording(shuffled, how).score == pytest.approx(by_recording(plain, how).score)


def test_the_way_is_chosen_by_what_ranks_validation_better():
    spikes = windows([[0.1, 0.9], [0.5, 0.6], [0.5, 0.6]], [1, 0, 0])
    assert best_way(spikes) == "max"
    drift = windows([[0.7, 0.7], [0.1, 0.9], [0.1, 0.8]], [1, 0, 0])
    assert best_way(drift) == "mean"
    steady = windows([[0.9, 0.9, 0.1], [0.999, 0.5, 0.4], [0.95, 0.5, 0.45]], [0, 1, 0])
    assert best_way(steady) == "max"
    tails = windows([[0.45, 0.45, 0.45], [0.01, 0.01, 0.95]], [1, 0])
    assert best_way(tails) == "mean"
    once = windows([[0.6, 0.6], [0.001, 0.99], [0.6, 0.58]], [1, 0, 0])
    assert by_recording(once, "log_odds").score[0] == max(by_recording(once, "log_odds").score)


def test_mean_log_odds_of_three_classes_are_a_normalised_geometric_mean():
    proba = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])
    judged = pooled(log_of(proba).mean(axis=0)[None], "log_odds")[0]
    expected = np.sqrt(proba[0] * proba[1])
    assert judged == pytest.approx(expected / expected.sum())


def test_one_impossible_window_does_not_decide_mean_log_odds_alone():
    certain = windows([[1.0, 1e-3, 1e-3], [0.2, 0.2, 0.2]], [0, 1])
    assert np.isfinite(by_recording(certain, "log_odds").proba).all()
