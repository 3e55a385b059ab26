"""Around the beginning of an attack: sureness second by second, and how late the alert comes."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from rich.console import Console

from tests.evaluation.made_up import made_up_run
from vestige.evaluation.figures import DelayResult
from vestige.evaluation.onset import NEVER, Attacks, onset_result
from vestige.evaluation.pairs import compare_pairs
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.report import render
from vestige.evaluation.table import onset_table, pairs_table, results_table

S = 1_000_000_000
CLASSES = ("clean", "armed", "infecting")
STEPS, BEGIN = 40, 20
ATTACKS = Attacks((2,), np.full(30, 1000 * S))


def episodes(sure: np.ndarray, *, attacked: bool = True) -> Predictions:
    """Recordings of 40 windows, 5 s apart; the attack's probability `sure (recordings, 40)`."""
    n = len(sure)
    label = np.zeros((n, STEPS), dtype=np.int64)
    label[:, 10:BEGIN] = 1
    if attacked:
        label[:, BEGIN:] = 2
    p = sure.ravel()
    return Predictions(
        classes=CLASSES,
        label=label.ravel(),
        proba=np.stack([0.75 * (1 - p), 0.25 * (1 - p), p], axis=1),
        recording=np.repeat(np.arange(n), STEPS),
        recordings=pl.DataFrame({"id": [str(k) for k in range(n)], "host": ["h"] * n, "profile": ["p"] * n}),
        position=np.arange(n * STEPS),
        t_ns=np.tile((1000 + 5 * (np.arange(STEPS) - BEGIN)) * S, n),
    )


def rising(delays: list[float]) -> np.ndarray:
    """0.1 before the alert, 0.9 from so many seconds after the beginning."""
    seconds = 5.0 * (np.arange(STEPS) - BEGIN)
    return np.where(seconds[None] >= np.array(delays)[:, None], 0.9, 0.1)


def at_one_percent(delays: list[float]) -> DelayResult:
    validation = episodes(np.full((10, STEPS), 0.2))
    found = onset_result(validation, episodes(rising(delays)), ATTACKS, resamples=200)
    assert found is not None
    return found.delays[1]


def test_a_delay_is_counted_from_the_first_window_of_the_attack() -> None:
    found = at_one_percent([0.0] * 5 + [10.0] * 11 + [50.0] * 5)
    assert found.median_s is not None
    assert found.median_s.estimate == 10
    assert found.detected.estimate == 1
    assert found.reached_fpr == 0
    assert found.within == {"10": 16 / 21, "30": 16 / 21, "60": 1.0, "300": 1.0}


def test_resamples_with_one_median_are_no_certainty() -> None:
    found = at_one_percent([10.0] * 12).median_s
    assert found is not None
    assert (found.estimate, found.low, found.high, found.method) == (10, None, None, "none")


def test_a_missed_attack_is_an_infinite_delay_and_never_left_out() -> None:
    found = at_one_percent([5.0] * 8 + [math.inf] * 12)
    assert found.median_s is not None
    assert found.median_s.estimate is None
    assert found.detected.estimate == pytest.approx(0.4)
    half = at_one_percent([5.0] * 10 + [math.inf] * 10)
    assert half.median_s is not None
    assert half.median_s.estimate == 5, "not more than half were missed"
    some = at_one_percent([5.0] * 12 + [math.inf] * 8)
    assert some.median_s is not None
    assert some.median_s.estimate == 5
    assert some.median_s.high is None, "resamples in which most were missed"


def test_an_alert_before_the_beginning_is_no_detection_whatever_comes_after() -> None:
    sure = rising([20.0] * 12)
    sure[:6, :5] = 0.95
    sure[6:8] = 0.95
    validation = episodes(np.full((10, STEPS), 0.2))
    found = onset_result(validation, episodes(sure), ATTACKS, resamples=100)
    assert found is not None
    late = found.delays[1]
    assert late.already.estimate == pytest.approx(8 / 12)
    assert late.detected.estimate == late.within["30"] == pytest.approx(4 / 12)
    assert late.within["10"] == 0
    assert late.median_s is not None
    assert late.median_s.estimate == 20, "of those without an alert before"
    assert late.reached_fpr == pytest.approx((6 * 5 + 2 * BEGIN) / (12 * BEGIN))


def test_false_alarms_buy_no_early_detections() -> None:
    validation = episodes(np.full((10, STEPS), 0.2))
    always = onset_result(validation, episodes(np.full((12, STEPS), 0.9)), ATTACKS, resamples=100)
    assert always is not None
    late = always.delays[1]
    assert (late.already.estimate, late.detected.estimate) == (1, 0)
    assert set(late.within.values()) == {0.0}
    assert late.median_s is None


def test_an_alert_after_the_attack_is_over_is_no_detection() -> None:
    test = episodes(rising([50.0] * 12))
    over = test.t_ns >= 1030 * S
    found = onset_result(
        episodes(np.full((10, STEPS), 0.2)), replace(test, label=np.where(over, 0, test.label)), ATTACKS
    )
    assert found is not None
    assert found.delays[1].detected.estimate == 0


def test_every_attack_is_detected_or_missed_or_was_alarmed_before() -> None:
    rng = np.random.default_rng(3)
    validation, test = (episodes(rng.random((20, STEPS)) ** 4) for _ in range(2))
    found = onset_result(validation, test, ATTACKS, resamples=50)
    assert found is not None
    assert len(found.delays) > 0
    for late in found.delays:
        alert = test.proba[:, 2].reshape(20, STEPS) >= late.threshold
        before, after = alert[:, :BEGIN].any(axis=1), alert[:, BEGIN:].any(axis=1)
        assert late.already.estimate == before.mean()
        assert late.detected.estimate == (after & ~before).mean()


def test_trust_is_the_probability_of_the_true_class() -> None:
    found = onset_result(episodes(np.full((10, STEPS), 0.2)), episodes(rising([10.0] * 12)), ATTACKS)
    assert found is not None
    means = {one.seconds: one.mean for one in found.trust}
    assert means[-60.0] == pytest.approx(0.75 * 0.9), "clean"
    assert means[-50.0] == means[-5.0] == pytest.approx(0.25 * 0.9), "armed"
    assert means[0.0] == means[5.0] == pytest.approx(0.1)
    assert means[10.0] == pytest.approx(0.9)
    assert {one.recordings for one in found.trust} == {12}


def test_the_interval_widens_with_disagreement() -> None:
    sure = np.where(np.arange(20)[:, None] % 2, 0.9, 0.1) * np.ones(STEPS)
    found = onset_result(episodes(np.full((10, STEPS), 0.2)), episodes(sure), ATTACKS, resamples=500)
    assert found is not None
    point = next(one for one in found.trust if one.seconds == 0)
    assert point.low is not None
    assert point.high is not None
    assert 0.2 < point.low < 0.5 < point.high < 0.8


def test_without_a_beginning_in_the_test_part_there_is_nothing_to_say() -> None:
    quiet = episodes(np.full((12, STEPS), 0.2), attacked=False)
    never = Attacks((2,), np.full(12, NEVER))
    assert onset_result(quiet, quiet, never) is None
    cut = episodes(rising([0.0] * 12))
    later = cut.select(cut.t_ns > 1000 * S)
    assert onset_result(quiet, later, ATTACKS) is None, "a cut in time left the beginning on another side"


def test_report_and_tables_show_beginnings_and_pairs() -> None:
    results, details = made_up_run()
    found = onset_result(
        episodes(np.full((10, STEPS), 0.2)), episodes(rising([5.0] * 8 + [math.inf] * 12)), ATTACKS
    )
    detectors = [one.model_copy(update={"onset": found}) for one in results.detectors]
    pairs = compare_pairs(results.detectors, details.tests, resamples=100)
    shown = results.model_copy(update={"detectors": detectors, "pairs": pairs})
    page = render(shown, details)
    assert "seconds since the attack began" in page
    assert "never" in page
    assert "Model against model" in page
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(pairs_table(shown), onset_table(shown))
    text = console.export_text()
    assert "never" in text
    assert "20 attacks" in text
    assert "wanted FPR of 1%" in text
    assert "40%" in text
    assert "seconds since the attack began" not in render(results, details)


def test_profiles_that_are_not_tested_are_named_wherever_figures_are() -> None:
    results, details = made_up_run()
    sentence = "2 of 3 profiles are tested: the test part has no kernel"
    assert sentence in render(results, details)
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(results_table(results))
    assert sentence in console.export_text()
