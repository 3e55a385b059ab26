"""Intervals come from whole recordings, or from blocks of time, and say when there are too few."""

from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn import metrics as sk

from tests.evaluation.made_up import made_up
from vestige.evaluation import bootstrap
from vestige.evaluation.bootstrap import clusters, clusters_of
from vestige.evaluation.metrics import grouped_confusion


def test_recordings_are_the_clusters() -> None:
    found = clusters_of(made_up(recordings=12))
    assert (found.unit, found.count, found.trusted) == ("recording", 12, True)
    assert found.description == "12 recordings"


def test_a_single_stream_is_cut_into_contiguous_blocks_in_order_of_position() -> None:
    position = np.random.default_rng(0).permutation(3_000)
    found = clusters(np.zeros(3_000), position, position % 2, np.arange(3_000) * 60_000_000_000)
    assert (found.unit, found.count, found.trusted) == ("block", 30, True)
    assert found.description == (
        "30 contiguous blocks of about 100 windows of a single recording, about 1.7 hours each"
    )
    np.testing.assert_array_equal(found.ids[np.argsort(position)], np.arange(3_000) // 100)


@pytest.mark.parametrize(("n", "count"), [(5, 5), (400, 20), (100_000, 50)])
def test_there_are_20_to_50_blocks_but_never_an_empty_one(n: int, count: int) -> None:
    found = clusters(np.zeros(n), np.arange(n), np.arange(n) % 2)
    assert found.count == count
    assert (np.bincount(found.ids, minlength=count) > 0).all()


def test_few_recordings_are_not_trusted() -> None:
    found = clusters_of(made_up(recordings=9))
    assert not found.trusted
    assert found.reason == "only 9 recordings (at least 10 are needed)"


def test_few_recordings_with_anomalies_are_not_trusted() -> None:
    recording = np.arange(200) // 10
    found = clusters(recording, np.arange(200), (recording < 4).astype(int))
    assert found.reason == "only 4 of 20 recordings hold anomalies (at least 5 are needed)"
    turned = clusters(recording, np.arange(200), (recording >= 4).astype(int))
    assert turned.reason == "only 4 of 20 recordings hold normal windows (at least 5 are needed)"


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


def test_no_usable_resample_gives_no_interval() -> None:
    found = bootstrap.interval(0.4, np.full(10, np.nan))
    assert found.void == 10
    assert np.isnan([found.low, found.high]).all()


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
