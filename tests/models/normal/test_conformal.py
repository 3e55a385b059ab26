"""Ranks, tails, and their sum."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vestige.models.normal.conformal import POINTS, Tail, fisher, folds, out_of_fold

VALUES = arrays.arrays(np.float64, st.integers(1, 300), elements=st.floats(-1e6, 1e6))


def test_the_p_value_of_what_lies_below_the_tail_is_its_rank() -> None:
    tail = Tail.fit(np.arange(1000.0))
    # 500 of 1,000 are at least as high as 500.
    assert np.exp(tail.log_p(np.array([500.0, 0.0, -1.0]))).tolist() == pytest.approx([501 / 1001, 1.0, 1.0])


def test_what_is_beyond_everything_is_the_rarer_the_further_it_lies() -> None:
    rng = np.random.default_rng(0)
    tail = Tail.fit(rng.exponential(size=5_000))
    p = np.exp(tail.log_p(np.array([8.0, 12.0, 16.0])))
    # An exponential tail is what the values have: e^-8 = 3.4e-4, e^-12 = 6.1e-6, e^-16 = 1.1e-7.
    assert (np.abs(np.log(p) + np.array([8, 12, 16])) < [2.0, 3.0, 4.0]).all()
    assert (np.diff(p) < 0).all()


def test_a_few_values_above_many_equal_ones_make_the_tail() -> None:
    values = np.r_[np.zeros(995), [0.1, 0.2, 0.3, 0.4, 0.5]]
    tail = Tail.fit(values, least_scale=0.05)
    p = np.exp(tail.log_p(np.array([0.0, 0.05, 0.3, 3.0])))
    assert p[0] == 1.0
    assert p[1] < 0.01  # five of 1,000 are above
    assert p[3] < p[2] < p[1]


def test_nothing_but_equal_values_leaves_the_rank_alone() -> None:
    tail = Tail.fit(np.zeros(99), least_scale=0.1)
    assert np.exp(tail.log_p(np.array([0.0, 1e-9]))).tolist() == pytest.approx([1.0, 0.01])


@given(VALUES, VALUES)
def test_p_values_are_chances_and_never_rise(calibration: np.ndarray, values: np.ndarray) -> None:
    found = Tail.fit(calibration).log_p(np.sort(values))
    assert np.isfinite(found).all()
    assert (found <= 0).all()
    assert (np.diff(found) <= 1e-12).all()


@given(VALUES, VALUES)
@example(np.array([5e-324, -2.2e-311]), np.array([0.0]))
@example(np.array([-2.2e-313, 0.0, -1.0]), np.array([-5e-324, 0.0]))
def test_without_ties_nothing_is_rarer_than_by_rank(calibration: np.ndarray, values: np.ndarray) -> None:
    tail = Tail.fit(calibration)
    found = tail.rareness_without_ties(np.sort(values))
    assert (found <= tail.rareness(np.sort(values)) + 1e-9).all()
    assert (np.diff(found) >= -1e-12).all()


def test_without_ties_what_is_stranger_is_rarer_in_the_middle_of_the_ranks_too() -> None:
    tail = Tail.fit(np.arange(1000.0))
    values = np.array([100.0, 100.25, 100.5, 101.0])
    assert len(set(tail.rareness(values))) == 2
    assert (np.diff(tail.rareness_without_ties(values)) > 0).all()


@given(VALUES)
def test_a_tail_survives_its_arrays(calibration: np.ndarray) -> None:
    tail = Tail.fit(calibration)
    again = Tail.of(tail.arrays())
    assert np.array_equal(again.log_p(calibration), tail.log_p(calibration))


def test_arrays_of_no_tail_are_refused() -> None:
    good = Tail.fit(np.arange(10.0)).arrays()
    for name, bad in (
        ("values", good["values"][::-1].copy()),
        ("reached", good["reached"][::-1].copy()),
        ("tail", np.array([10.0, 1.0, 5.0, 0.0])),
        ("tail", np.array([10.0, np.nan, 5.0, 1.0])),
    ):
        with pytest.raises(ValueError, match="calibration"):
            Tail.of({**good, name: bad})


def test_a_long_calibration_is_kept_short_and_says_the_same() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=100_000)
    tail = Tail.fit(values)
    assert len(tail.values) <= POINTS
    asked = np.array([-2.0, 0.0, 1.0, 2.0, 3.0])
    exact = [(np.sum(values >= at) + 1) / (len(values) + 1) for at in asked]
    assert np.exp(tail.log_p(asked)) == pytest.approx(exact, rel=0.05)


def test_p_values_out_of_fold_are_even() -> None:
    rng = np.random.default_rng(2)
    p = np.exp(out_of_fold(rng.normal(size=30_000), least_scale=1e-9))
    for level in (0.001, 0.01, 0.1, 0.5):
        assert np.mean(p <= level) == pytest.approx(level, rel=0.3)


def test_folds_hold_everything_once() -> None:
    for n in (1, 2, 3, 10):
        covered = np.concatenate([np.arange(n)[part] for part in folds(n)])
        assert covered.tolist() == list(range(n))


def test_fisher_adds() -> None:
    assert fisher(np.log(np.array([[0.5, 0.5], [1.0, 1.0]]))).tolist() == pytest.approx([4 * np.log(2), 0.0])


def test_the_strangest_do_not_tie() -> None:
    rng = np.random.default_rng(3)
    tail = Tail.fit(np.sort(rng.exponential(size=400)))
    asked = np.linspace(tail.values[-20], tail.values[-1] + 5, 500)
    assert (np.diff(tail.log_p(asked)) < 0).all()
    # At the values of the calibration themselves it is the rank.
    assert np.exp(tail.log_p(tail.values[-3:])) * 401 == pytest.approx([4, 3, 2])


def test_windows_and_recordings_have_one_rule_and_the_rarest_does_not_tie() -> None:
    tail = Tail.fit(np.arange(100.0), least_scale=1e-3)
    asked = np.array([-1.0, 50.0, 97.5, 99.0, 101.0, 1e6, 2e6])
    rare = tail.rareness(asked)
    assert (np.diff(rare) > 0).all()
    assert rare[0] == 0.0
    assert tail.log_p(asked[:5]) == pytest.approx(-rare[:5])
    # As a p-value what is rarer than 1e-300 is no longer told apart.
    assert tail.log_p(asked[5:]).tolist() == [np.log(1e-300)] * 2
