"""Probabilities that validation agrees with, and the boundary where macro F1 is best."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from vestige.models.logits import softmax
from vestige.models.ngrams.calibration import best_boundary, by_recording, calibrate


def drawn(n: int, share: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits of two classes that know the label up to noise, and labels of which `share` are anomalies."""
    rng = np.random.default_rng(seed)
    label = (rng.random(n) < share).astype(np.int64)
    evidence = 2 * (2 * label - 1) + rng.normal(size=n)
    return np.stack([np.zeros(n), evidence], axis=1), label


def macro_f1(logits: np.ndarray, label: np.ndarray) -> float:
    return float(f1_score(label, softmax(logits).argmax(axis=1), average="macro"))


def test_the_boundary_moves_to_where_macro_f1_is_better() -> None:
    logits, label = drawn(4000, 0.05)
    logits[:, 1] += 3  # far too eager
    found = calibrate(logits, label)
    unseen, truth = drawn(4000, 0.05, seed=1)
    unseen[:, 1] += 3
    assert macro_f1(found.scale * unseen + found.bias, truth) > macro_f1(unseen, truth) + 0.2


def test_perfect_logits_keep_finite_probabilities() -> None:
    label = np.array([0] * 50 + [1] * 5)
    logits = np.stack([1000.0 * (label == 0), 1000.0 * (label == 1)], axis=1)
    found = calibrate(logits, label)
    assert np.isfinite([found.scale, *found.bias, found.loss]).all()
    assert macro_f1(found.scale * logits + found.bias, label) == 1


@pytest.mark.parametrize("label", [[0, 0, 0], [1, 1, 1], [0]])
def test_one_class_or_one_verdict_is_survived(label: list[int]) -> None:
    truth = np.array(label)
    logits = np.random.default_rng(0).normal(size=(len(truth), 2))
    found = calibrate(logits, truth)
    assert np.isfinite([found.scale, *found.bias]).all()
    assert by_recording(logits, truth, np.arange(len(truth)))[0].shape == logits.shape


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_the_boundary_is_the_best_of_all(scores: list[float]) -> None:
    score = np.array(scores)

    def expected(boundary: float) -> float:
        above, n, total = score > boundary, len(score), score.sum()
        hits, alerts = score[above].sum(), above.sum()
        quiet = (n - alerts) - (total - hits)
        return float(2 * hits / (alerts + total) + 2 * quiet / (n - alerts + n - total))

    found = best_boundary(score)
    distinct = np.unique(score)
    middles = (distinct[1:] + distinct[:-1]) / 2
    between = [one for one, low in zip(middles, distinct, strict=False) if one > low]
    if between:
        assert expected(found) == pytest.approx(max(expected(one) for one in between))


def test_recordings_are_ranked_by_their_worst_window_where_one_is_enough() -> None:
    rng = np.random.default_rng(0)
    recording = np.repeat(np.arange(40), 50)
    label = np.repeat(np.arange(40) % 2, 50)
    evidence = rng.normal(size=2000)
    evidence[::50] += 9 * label[::50]  # one window in fifty tells
    logits, truth = by_recording(np.stack([np.zeros(2000), evidence], axis=1), label, recording)
    assert truth.tolist() == [0, 1] * 20
    assert logits[:, 1] == pytest.approx(evidence.reshape(40, 50).max(axis=1))


def test_recordings_are_ranked_by_the_mean_where_every_window_tells_a_little() -> None:
    rng = np.random.default_rng(0)
    recording, label = np.repeat(np.arange(40), 50), np.repeat(np.arange(40) % 2, 50)
    evidence = label + rng.normal(size=2000)
    logits, _ = by_recording(np.stack([np.zeros(2000), evidence], axis=1), label, recording)
    assert logits[:, 1] == pytest.approx(evidence.reshape(40, 50).mean(axis=1))
