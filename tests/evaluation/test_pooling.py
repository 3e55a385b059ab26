"""Where labels are the recording's, a recording is judged once, whatever the number of its windows."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.checkpoint.notes import SIZE, Pooling
from vestige.evaluation.pooling import (
    POOLINGS,
    best_pooling,
    by_recording,
    log_of,
    most_suspicious,
    pooled,
)
from vestige.evaluation.predictions import Predictions
from vestige.scoring.recordings import Tally


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
        t_ns=np.arange(n),
        novel=np.arange(n) % 2 == 0,
    )


@pytest.mark.parametrize(
    ("kind", "expected"), [("max", [0.9, 0.4]), ("mean", [0.5, 0.4]), ("mean_log_odds", [0.5, 0.4])]
)
def test_a_recording_is_scored_by_its_windows(kind: str, expected: list[float]) -> None:
    judged = by_recording(windows([[0.1, 0.9, 0.5], [0.4]], [1, 0]), Pooling(kind=kind))
    assert judged.score == pytest.approx(expected)
    assert judged.label.tolist() == [1, 0]
    assert judged.position.tolist() == [2, 3]
    assert judged.novel is not None
    assert judged.novel.tolist() == [False, False]
    assert judged.proba.sum(axis=1) == pytest.approx([1, 1])


def test_the_order_of_windows_does_not_matter() -> None:
    plain = windows([[0.1, 0.9, 0.5], [0.4], [0.2, 0.3]], [1, 0, 1])
    shuffled = plain.select(np.array([3, 5, 0, 2, 4, 1]))
    for pooling in POOLINGS:
        assert by_recording(shuffled, pooling).score == pytest.approx(by_recording(plain, pooling).score)


def test_the_pooling_is_chosen_by_what_ranks_validation_better() -> None:
    spikes = windows([[0.1, 0.9], [0.5, 0.6], [0.5, 0.6]], [1, 0, 0])
    assert best_pooling(spikes).kind == "max"
    drift = windows([[0.7, 0.7], [0.1, 0.9], [0.1, 0.8]], [1, 0, 0])
    assert best_pooling(drift).kind == "mean"
    steady = windows([[0.9, 0.9, 0.1], [0.999, 0.5, 0.4], [0.95, 0.5, 0.45]], [0, 1, 0])
    assert best_pooling(steady).kind == "max"
    tails = windows([[0.45, 0.45, 0.45], [0.01, 0.01, 0.95]], [1, 0])
    assert best_pooling(tails).kind == "mean"
    once = windows([[0.6, 0.6], [0.001, 0.99], [0.6, 0.58]], [1, 0, 0])
    assert by_recording(once, Pooling(kind="mean_log_odds")).score.argmax() == 0


def test_mean_log_odds_of_three_classes_are_a_normalised_geometric_mean() -> None:
    proba = np.array([[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]])
    judged = pooled(log_of(proba).mean(axis=0)[None], Pooling(kind="mean_log_odds"))[0]
    expected = np.sqrt(proba[0] * proba[1])
    assert judged == pytest.approx(expected / expected.sum())


def test_one_impossible_window_does_not_decide_mean_log_odds_alone() -> None:
    certain = windows([[1.0, 1e-3, 1e-3], [0.2, 0.2, 0.2]], [0, 1])
    assert np.isfinite(by_recording(certain, Pooling(kind="mean_log_odds")).proba).all()


def test_strange_windows_in_a_row_outweigh_single_ones() -> None:
    burst = [0.1] * 100 + [0.9] * SIZE + [0.1] * 100
    scattered = [0.99 if at % 8 == 0 else 0.1 for at in range(232)]
    judged = by_recording(
        windows([burst, scattered, [0.7, 0.5]], [1, 0, 0]), Pooling(kind="moving_average_max")
    )
    assert judged.score[0] == pytest.approx(0.9)
    assert judged.score[1] < 0.5
    assert judged.score[2] == pytest.approx(1 / (1 + np.sqrt(3 / 7)))


@given(
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=150), st.integers(1, 60), st.sampled_from([8, 32])
)
def test_the_highest_moving_average_is_the_same_however_the_windows_come(
    scores: list[float], size: int, of: int
) -> None:
    proba = np.stack([1 - np.array(scores), np.array(scores)], axis=1)
    pooling = Pooling(kind="moving_average_max", size=of)
    tally = Tally(pooling, np.zeros(2), np.zeros(2), np.zeros(2))
    for at in range(0, len(scores), size):
        tally._take_average(log_of(proba[at : at + size]))
        tally.windows += len(scores[at : at + size])
    assert tally.highest_average is not None
    found = pooled(tally.highest_average[None], pooling)[0]
    assert found == pytest.approx(by_recording(windows([scores], [1]), pooling).proba[0])


@given(
    st.lists(st.floats(0.001, 0.999), min_size=1, max_size=150),
    st.integers(1, 60),
    st.sampled_from([1, 8, 32]),
)
def test_the_most_suspicious_windows_are_the_same_however_they_come(
    scores: list[float], size: int, of: int
) -> None:
    proba = np.stack([1 - np.array(scores), np.array(scores)], axis=1)
    pooling = Pooling(kind="top_k", size=of)
    kept = np.empty((0, 2))
    for at in range(0, len(scores), size):
        kept = most_suspicious(np.concatenate([kept, log_of(proba[at : at + size])]), of)
    found = pooled(kept.mean(axis=0)[None], pooling)[0]
    assert found == pytest.approx(by_recording(windows([scores], [1]), pooling).proba[0])
    highest = np.log(np.sort(scores)[::-1][:of]).mean(), np.log(1 - np.sort(scores)[::-1][:of]).mean()
    assert found[1] == pytest.approx(1 / (1 + np.exp(highest[1] - highest[0])))


def test_the_size_of_the_moving_average_is_chosen_on_validation() -> None:
    short = [0.1] * 60 + [0.9] * 8 + [0.1] * 60
    long = [0.2] * 60 + [0.7] * 16 + [0.2] * 60
    spikes = [0.99, 0.01, 0.01] * 50
    validation = windows([short, long, spikes, [0.5] * 40], [1, 0, 0, 0])
    chosen = best_pooling(validation)
    assert (chosen.kind, chosen.size) == ("moving_average_max", 8)
    again = by_recording(windows([short, spikes], [1, 0]), chosen)
    assert again.predicted.tolist() == [1, 0]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_constant_says_nothing_however_long_recordings_are(pooling: Pooling) -> None:
    lengths = [1, 3, 7, 33, 100, 999, 5001]
    judged = by_recording(windows([[0.3] * n for n in lengths], [0, 1] * 3 + [0]), pooling)
    assert len(set(judged.score.tolist())) == 1


def test_the_boundary_is_where_validation_is_parted_best() -> None:
    """The highest of many windows lies above one half for nearly every recording."""
    validation = windows([[0.9, 0.6], [0.95, 0.9], [0.7, 0.1], [0.6, 0.8]], [1, 1, 0, 0])
    found = best_pooling(validation)
    assert found.kind == "max"
    assert 0.8 < found.boundary < 0.9
    assert by_recording(validation, Pooling(kind="max")).predicted.tolist() == [1, 1, 1, 1]
    judged = by_recording(validation, found)
    assert judged.predicted.tolist() == [1, 1, 0, 0]
    assert (np.argsort(judged.score) == np.argsort(by_recording(validation, Pooling(kind="max")).score)).all()


def test_without_both_classes_the_boundary_stays_at_one_half() -> None:
    assert best_pooling(windows([[0.9, 0.6], [0.2]], [0, 0])) == Pooling(kind="max")


def test_a_score_at_the_boundary_is_an_anomaly() -> None:
    equal = windows([[0.3], [0.3], [0.3]], [1, 1, 0])
    assert by_recording(equal, best_pooling(equal)).predicted.tolist() == [1, 1, 1]


def test_silence_is_kept_where_nothing_is_better() -> None:
    equal = windows([[0.3], [0.3], [0.3], [0.9]], [1, 0, 0, 0])
    found = best_pooling(equal)
    assert 0.9 < found.boundary < 1
    assert by_recording(equal, found).predicted.tolist() == [0, 0, 0, 0]
    assert by_recording(windows([[1.0], [1.0]], [1, 0]), best_pooling(equal)).predicted.tolist() == [1, 1]


def test_a_pooling_survives_a_checkpoint() -> None:
    pooling = Pooling(kind="moving_average_max", boundary=0.123, size=8)
    assert Pooling.model_validate(json.loads(pooling.model_dump_json())) == pooling


def test_a_pooling_says_what_it_takes_with_its_own_size() -> None:
    assert "of 8 windows in a row" in Pooling(kind="moving_average_max", size=8).sentence
    assert "0.123" in Pooling(kind="max", boundary=0.123).sentence
    assert "0.5" not in Pooling(kind="max").sentence
