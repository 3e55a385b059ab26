"""Intervals come from whole clusters, drawn again and again; where that says nothing, so do they."""

from __future__ import annotations

import time

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats
from sklearn import metrics as sk

from tests.evaluation.made_up import made_up
from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import interval_result, rate_result
from vestige.evaluation.metrics import grouped_confusion


def test_the_same_seed_draws_the_same_resamples() -> None:
    np.testing.assert_array_equal(bootstrap.draw(7, 50, seed=3), bootstrap.draw(7, 50, seed=3))
    assert (bootstrap.draw(7, 50, seed=3) != bootstrap.draw(7, 50, seed=4)).any()
    assert (bootstrap.draw(7, 50).sum(axis=1) == 7).all()


def test_samples_equal_the_measure_on_windows_drawn_cluster_by_cluster() -> None:
    test = made_up(300, recordings=6, skill=1.0)
    weights = bootstrap.draw(6, 20)
    counts = grouped_confusion(test.label, test.predicted, test.recording, 2, 6)
    f1 = bootstrap.macro_f1_samples(counts, weights)
    precision, area = bootstrap.ranking_samples(test.score, test.positive, test.recording, weights)
    alert = test.score > 0.5
    recall = bootstrap.rate_samples(alert & test.positive, test.positive, test.recording, weights)
    for r, row in enumerate(weights):
        drawn = np.repeat(np.arange(300), row[test.recording].astype(int))
        true, score = test.positive[drawn], test.score[drawn]
        assert f1[r] == pytest.approx(sk.f1_score(test.label[drawn], test.predicted[drawn], average="macro"))
        assert precision[r] == pytest.approx(sk.average_precision_score(true, score))
        assert area[r] == pytest.approx(sk.roc_auc_score(true, score))
        assert recall[r] == pytest.approx(sk.recall_score(true, alert[drawn]))


def test_a_resample_without_a_class_is_void_not_flattering() -> None:
    per_cluster = np.array([[[10, 0], [0, 0]], [[10, 0], [5, 0]]])
    samples = bootstrap.macro_f1_samples(per_cluster, np.array([[2.0, 0.0], [1.0, 1.0]]))
    assert np.isnan(samples[0])
    assert samples[1] < 0.5
    found = bootstrap.interval(0.4, samples)
    assert (found.void, found.low, found.high) == (1, samples[1], samples[1])


@pytest.mark.parametrize("count", [4, 12, 1_000])
def test_intervals_of_few_clusters_are_widened_as_student_would(count: int) -> None:
    wide = stats.t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1))
    assert stats.norm.ppf(bootstrap.tail_of(0.95, count)) == pytest.approx(-wide)
    few = stats.t.ppf(0.975, 3) * np.sqrt(count / (count - 1))
    assert stats.norm.ppf(bootstrap.tail_of(0.95, count, 3.0)) == pytest.approx(-few)
    assert bootstrap.tail_of(0.95) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        (np.tile([-1.0, 1.0], 20), 35, 39),
        (np.r_[np.zeros(38), -1.0, 1.0], 3.5, 5),
        (np.r_[np.tile([-1.0, 1.0], 18), np.tile([-4.0, 4.0], 2)], 20, 30),
    ],
)
def test_degrees_of_freedom_are_those_of_the_clusters_that_bear_it(
    given: NDArray[np.float64], low: float, high: float
) -> None:
    """All give alike; two of 40 give all, a kurtosis of 20; four of 40 give most, a kurtosis of 4.24."""
    weights = bootstrap.draw(40, 4_000)
    samples = weights @ given / 40
    assert low <= bootstrap.freedom(samples, weights) <= high
    # Void resamples, and those that were not taken, say nothing of it.
    samples[::5] = np.nan
    assert low <= bootstrap.freedom(samples[:3_000], weights) <= high


def test_what_nothing_moves_has_as_many_degrees_of_freedom_as_clusters_less_one() -> None:
    assert bootstrap.freedom(np.ones(100), bootstrap.draw(8, 100)) == 7
    assert bootstrap.freedom(np.full(100, np.nan), bootstrap.draw(8, 100)) == 7


def test_the_interval_of_a_mean_of_ten_clusters_holds_it_more_often_for_being_widened() -> None:
    rng, held = np.random.default_rng(0), {"plain": 0, "widened": 0}
    for trial in range(600):
        means = rng.normal(size=10)
        weights = bootstrap.draw(10, 400, seed=trial)
        samples = weights @ means / 10
        for name, known in (("plain", None), ("widened", weights)):
            found = bootstrap.interval(float(means.mean()), samples, weights=known)
            held[name] += found.low <= 0 <= found.high
    assert held["plain"] / 600 < 0.9
    assert 0.91 <= held["widened"] / 600 <= 0.98


def test_where_few_clusters_bear_a_mean_its_interval_is_wider_still() -> None:
    weights = bootstrap.draw(40, 4_000)
    many, few = np.tile([-1.0, 1.0], 20), np.r_[np.zeros(38), -1.0, 1.0] * np.sqrt(20)
    assert few.std() == pytest.approx(many.std())
    wide, narrow = (bootstrap.interval(0.0, weights @ one / 40, weights=weights) for one in (few, many))
    assert wide.high - wide.low > 1.1 * (narrow.high - narrow.low)


def test_no_usable_resample_gives_no_interval() -> None:
    found = bootstrap.interval(0.4, np.full(10, np.nan))
    assert found.void == 10
    assert np.isnan([found.low, found.high]).all()


@pytest.mark.parametrize(("hits", "count"), [(0, 7), (7, 7), (3, 7), (1, 1), (0, 500)])
def test_exact_bounds_are_those_of_clopper_and_pearson(hits: int, count: int) -> None:
    found = stats.binomtest(hits, count).proportion_ci(0.95, "exact")
    assert bootstrap.exact_bounds(hits / count, count) == pytest.approx((found.low, found.high), abs=1e-12)


@pytest.mark.parametrize(("hit", "low", "high"), [(False, 0.0, 0.1684), (True, 0.8316, 1.0)])
def test_a_rate_that_no_resample_can_move_is_bounded_by_the_clusters_concerned(
    hit: bool, low: float, high: float
) -> None:
    """55 normal windows without an alert in 20 of 25 blocks are 20 quiet blocks, not a rate of exactly 0."""
    ids = np.arange(75) % 25
    whole = (ids < 20) & (np.arange(75) < 70)
    found = rate_result(float(hit), np.full(75, hit) & whole, whole, ids, bootstrap.draw(25, 200))
    assert [found.low, found.high] == pytest.approx([low, high], abs=1e-4)
    assert (found.method, found.note.split(":")[0]) == ("exact", "exact bounds on 20 clusters")


def test_a_rate_alike_in_all_clusters_is_bounded_too() -> None:
    ids, part = np.repeat(np.arange(10), 2), np.arange(20) % 2 == 0
    found = rate_result(0.5, part, np.ones(20, bool), ids, bootstrap.draw(10, 200))
    assert (found.low, found.high) == pytest.approx(stats.binomtest(5, 10).proportion_ci(0.95, "exact"))


def test_the_bounds_cover_a_rare_rate_where_the_bootstrap_claims_certainty() -> None:
    """Clusters alert wholly or not at all, 5% of them: 12 clusters often show none."""
    covered = 0
    for seed in range(300):
        alert = np.repeat(np.random.default_rng(seed).random(12) < 0.05, 5)
        ids, every = np.repeat(np.arange(12), 5), np.ones(60, bool)
        found = rate_result(alert.mean(), alert, every, ids, bootstrap.draw(12, 200, seed))
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.05 <= found.high
    assert covered / 300 >= 0.9


def test_equal_resamples_of_any_other_measure_give_no_interval_and_say_why() -> None:
    found = interval_result(1.0, np.ones(100))
    assert (found.estimate, found.low, found.high, found.method) == (1.0, None, None, "none")
    assert "not certainty" in found.note
    assert interval_result(0.5, np.linspace(0.4, 0.6, 100)).method == "bootstrap"
    assert interval_result(float("nan"), np.full(5, np.nan)).method == "bootstrap"


def test_dependent_windows_widen_the_interval() -> None:
    """100 recordings whose windows are copies of one another are worth 100 windows, not 10,000."""
    rng = np.random.default_rng(1)
    recording = np.repeat(np.arange(100), 100)
    hit = rng.random(100) < 0.7
    positive = np.ones(10_000, dtype=bool)
    weights = bootstrap.draw(100)
    by_recording = bootstrap.interval(
        0.7, bootstrap.rate_samples(hit[recording], positive, recording, weights)
    )
    assert by_recording.high - by_recording.low == pytest.approx(2 * 1.96 * np.sqrt(0.7 * 0.3 / 100), rel=0.2)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rate = np.repeat(rng.beta(4, 2, size=60), 20)
        hit = rng.random(1_200) < rate
        ids = np.repeat(np.arange(60), 20)
        samples = bootstrap.rate_samples(hit, np.ones(1_200, bool), ids, bootstrap.draw(60, 300, seed))
        found = bootstrap.interval(hit.mean(), samples)
        covered += found.low <= 4 / 6 <= found.high
    assert 0.90 <= covered / 200 <= 0.98


def test_a_thousand_resamples_of_100_000_windows_take_less_than_a_second() -> None:
    rng = np.random.default_rng(0)
    label, said, ids = rng.integers(0, 4, 100_000), rng.integers(0, 4, 100_000), np.arange(100_000) // 100
    started = time.process_time()
    counts = grouped_confusion(label, said, ids, 4, 1_000)
    samples = bootstrap.macro_f1_samples(counts, bootstrap.draw(1_000))
    assert time.process_time() - started < 1
    assert samples.shape == (1_000,)
