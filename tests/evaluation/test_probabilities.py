"""Probabilities that validation agrees with, and a verdict that may be unknown."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from vestige.checkpoint import Calibration, Conformal, Notes
from vestige.evaluation.bootstrap import draw
from vestige.evaluation.clusters import Clusters
from vestige.evaluation.judging import calibration_samples, open_set_result
from vestige.evaluation.metrics import calibrate
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.probabilities import (
    calibrated,
    conforms,
    effective_units,
    fit_calibration,
    fit_conformal,
    log_odds_of,
    p_values,
)


def judged(score: np.ndarray, label: np.ndarray, profile: list[str] | None = None) -> Predictions:
    n = len(label)
    profiles = profile or ["p"] * n
    recordings = pl.DataFrame({"id": [f"r{at}" for at in range(n)], "host": "h", "profile": profiles})
    return Predictions(
        ("normal", "anomaly"), label.astype(np.int64), np.stack([1 - score, score], axis=1),
        np.arange(n), recordings, np.arange(n), np.arange(n),
    )  # fmt: skip


def sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-z)))


def drawn(n: int, seed: int, confidence: float = 4.0) -> Predictions:
    """Labels that follow from log-odds z; scores that are `confidence` times as sure, and too high."""
    rng = np.random.default_rng(seed)
    z = rng.normal(-1, 1.5, n)
    return judged(sigmoid(confidence * z + 3), rng.random(n) < sigmoid(z))


def test_overconfident_scores_become_probabilities_and_keep_their_order() -> None:
    fitted = fit_calibration(drawn(4000, 0))
    assert fitted is not None
    assert fitted.scale == pytest.approx(1 / 4, rel=0.1)
    assert fitted.bias == pytest.approx(-3 / 4, rel=0.15)
    test = drawn(4000, 1)
    probability = calibrated(log_odds_of(test.proba), fitted)
    assert calibrate(test.score, test.positive).ece > 0.15
    assert calibrate(probability, test.positive).ece < 0.03
    assert (np.diff(probability[np.argsort(test.score, kind="stable")]) >= 0).all()


def test_a_perfect_ranking_is_no_certainty() -> None:
    score = np.r_[np.full(50, 0.001), np.full(50, 0.999)]
    fitted = fit_calibration(judged(score, np.r_[np.zeros(50), np.ones(50)]))
    assert fitted is not None
    probability = calibrated(log_odds_of(np.stack([1 - score, score], axis=1)), fitted)
    assert 0.005 < probability[0] < 0.03
    assert 0.97 < probability[-1] < 0.995


def test_scores_that_rank_the_wrong_way_round_say_the_share_of_anomalies() -> None:
    label = np.r_[np.ones(20), np.zeros(60)]
    fitted = fit_calibration(judged(np.linspace(0.1, 0.9, 80), label))
    assert fitted is not None
    assert calibrated(np.array([-5.0, 5.0]), fitted) == pytest.approx([0.25, 0.25])


@pytest.mark.parametrize("positives", [0, 4, 40])
def test_too_few_of_a_class_carry_no_calibration(positives: int) -> None:
    assert fit_calibration(judged(np.linspace(0, 1, 40), np.arange(40) < positives)) is None


def test_log_odds_tell_apart_what_scores_do_not() -> None:
    proba = np.array([[1e-20, 1 - 1e-20], [1e-30, 1.0], [1.0, 1e-25], [1.0, 0.0]])
    assert (1 - proba[:, 0])[0] == (1 - proba[:, 0])[1]
    found = log_odds_of(proba)
    assert found[0] < found[1]
    assert found[3] < found[2] < 0
    assert np.isfinite(found).all()


@pytest.mark.parametrize("level", [0.05, 0.2])
def test_no_more_of_a_class_are_denied_it_than_was_promised(level: float) -> None:
    """Also of the rarer class: the promise is of each by itself."""
    denied = []
    for seed in range(30):
        validation, test = drawn(300, seed), drawn(1000, 100 + seed)
        allowed = conforms(test.proba, fit_conformal(validation), level)
        denied.append([1 - allowed[test.label == k, k].mean() for k in (0, 1)])
    assert np.mean(denied, axis=0) == pytest.approx([level, level], abs=0.02)


def test_a_class_that_validation_lacks_denies_nothing() -> None:
    validation = judged(np.linspace(0.01, 0.2, 99), np.zeros(99))
    found = p_values(np.array([[0.5, 0.5], [0.9, 0.1]]), fit_conformal(validation))
    assert found[:, 1].tolist() == [1, 1]
    assert found[0, 0] == pytest.approx(1 / 100)
    assert found[1, 0] > 0.3


def test_of_many_values_evenly_spaced_ones_stand_for_all() -> None:
    validation, test = drawn(30_000, 0), drawn(500, 1)
    kept = fit_conformal(validation)
    assert [len(values) for values in kept.values] == [2000, 2000]
    whole = Conformal.model_construct(
        values=[np.sort(-np.log(validation.proba[validation.label == k, k])).tolist() for k in (0, 1)],
        counts=kept.counts,
    )
    assert p_values(test.proba, kept) == pytest.approx(p_values(test.proba, whole), abs=2e-3)


def test_what_a_type_held_out_gets_is_told_apart() -> None:
    validation = judged(
        np.r_[np.linspace(0, 0.3, 60), np.linspace(0.7, 1, 60)], np.arange(120) >= 60, ["known"] * 120
    )
    test = judged(np.array([0.1, 0.2, 0.5, 0.5]), np.array([0, 0, 1, 1]), ["known", "known", "new", "new"])
    found = open_set_result(validation, test)
    assert found.held_out == ["new"]
    rows = {row.name: (row.units, row.covered.estimate, row.unknown) for row in found.profiles}
    assert rows == {"known": (2, 1.0, 0.0), "new": (2, 0.0, 1.0)}


def test_intervals_of_calibration_are_those_of_resampled_windows() -> None:
    test, ids = drawn(200, 5), np.arange(200) // 10
    clusters = Clusters(ids=ids, count=20, unit="host", description="", trusted=True)
    weights = draw(20, 50, seed=0)
    brier, ece = calibration_samples(test.score, test.positive, clusters, weights)
    for row in (0, 7, 49):
        often = np.repeat(np.arange(200), weights[row].astype(int)[ids])
        again = calibrate(test.score[often], test.positive[often])
        assert (brier[row], ece[row]) == pytest.approx((again.brier, again.ece))


@pytest.mark.parametrize(
    "bad",
    [
        {"calibration": {"scale": -1, "bias": 0, "units": 9, "positives": 3}},
        {"calibration": {"scale": 1, "bias": 1e9, "units": 9, "positives": 3}},
        {"calibration": {"scale": 1, "bias": 0, "units": 9, "positives": 9}},
        {"conformal": {"values": [[0.2, 0.1], []], "counts": [2, 0]}},
        {"conformal": {"values": [[0.1]], "counts": [1, 0]}},
        {"conformal": {"values": [[0.1, 0.2]], "counts": [1]}},
        {"conformal": {"values": [[-0.1]], "counts": [1]}},
        {"pooling": {"kind": "top_k", "size": 0}},
    ],
)
def test_a_checkpoint_with_notes_that_cannot_be_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Notes.model_validate(bad)


def test_a_checkpoint_of_before_has_none_of_it() -> None:
    before = Notes.model_validate({"pooling": {"kind": "max", "boundary": 0.5, "size": 32}})
    assert before.calibration is None
    assert before.conformal is None
    assert Notes(calibration=Calibration(scale=1, bias=0, units=9, positives=3)).calibration is not None


def test_copies_of_one_recording_are_as_good_as_one() -> None:
    conformal = Conformal(
        values=[[0.1] * 60 + [0.2] * 20 + [0.3, 0.4], list(np.arange(50) / 50), []], counts=[82, 50, 0]
    )
    few, all_different, none = effective_units(conformal)
    assert few == pytest.approx(82**2 / (60**2 + 20**2 + 2))
    assert (all_different, none) == (50.0, 0.0)
