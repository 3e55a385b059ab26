"""Reliability, Brier score, expected calibration error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss

from vestige.evaluation.metrics import calibrate


@given(st.integers(0, 10_000))
def test_brier_and_bins_are_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    score = rng.random(rng.integers(2, 200))
    positive = rng.random(len(score)) < score
    found = calibrate(score, positive)
    if positive.any() and not positive.all():
        assert found.brier == pytest.approx(brier_score_loss(positive, score), abs=1e-12)
    share, mean = calibration_curve(np.r_[positive, True, False], np.r_[score, 1.0, 0.0], n_bins=10)
    padded = calibrate(np.r_[score, 1.0, 0.0], np.r_[positive, True, False])
    np.testing.assert_allclose(padded.share, share, atol=1e-12)
    np.testing.assert_allclose(padded.score, mean, atol=1e-12)
    assert found.count.sum() == len(score)


def test_a_perfectly_calibrated_score_has_no_error() -> None:
    score = np.repeat([0.0, 0.25, 0.75, 1.0], 4)
    positive = np.array([0] * 4 + [1, 0, 0, 0] + [1, 1, 1, 0] + [1] * 4, dtype=bool)
    assert calibrate(score, positive).ece == pytest.approx(0)


def test_a_boastful_score_is_off_by_its_boast() -> None:
    assert calibrate(np.full(10, 0.9), np.arange(10) < 5).ece == pytest.approx(0.4)


def test_no_windows_have_no_calibration() -> None:
    found = calibrate(np.empty(0), np.empty(0, dtype=bool))
    assert np.isnan([found.brier, found.ece]).all()
