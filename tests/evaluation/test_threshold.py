"""The threshold keeps to its policy on validation, ties included."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.evaluation.made_up import made_up
from vestige.errors import UsageError
from vestige.evaluation.metrics import at_threshold
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.threshold import Policy, choose


def scored(score: list[float], positive: list[bool]) -> Predictions:
    base = made_up(len(score), label=np.array(positive, dtype=np.int64), recordings=2)
    p = np.array(score)
    return dataclasses.replace(base, proba=np.stack([1 - p, p], axis=1))


@pytest.mark.parametrize("text", ["fpr=0.01", "alerts=5", "f1"])
def test_a_policy_survives_its_text(text: str) -> None:
    assert str(Policy.parse(text)) == text


@pytest.mark.parametrize("text", ["", "fpr", "fpr=2", "fpr=x", "alerts=-1", "alerts=inf", "f1=0.3", "best"])
def test_no_policy_is_refused_with_advice(text: str) -> None:
    with pytest.raises(UsageError, match=r"fpr=0.01 \(false-positive rate\), alerts=5"):
        Policy.parse(text)


tied = st.lists(
    st.tuples(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.booleans()), min_size=2, max_size=60
).filter(lambda rows: not all(positive for _, positive in rows))


@given(tied, st.sampled_from([0.0, 0.01, 0.1, 0.5, 1.0]))
@settings(max_examples=200)
def test_the_false_positive_rate_never_exceeds_the_policy(
    rows: list[tuple[float, bool]], rate: float
) -> None:
    validation = scored([s for s, _ in rows], [p for _, p in rows])
    found = choose(validation, f"fpr={rate}")
    reached = at_threshold(validation.score, validation.positive, found.value)
    assert reached.fpr == found.validation_fpr
    assert reached.fpr <= rate
    lower = validation.score[validation.score < found.value]
    if len(lower):
        assert at_threshold(validation.score, validation.positive, lower.max()).fpr > rate


@given(tied, st.sampled_from([0.0, 5.0, 24.0, 1000.0]))
def test_alerts_never_exceed_the_budget(rows: list[tuple[float, bool]], budget: float) -> None:
    validation = scored([s for s, _ in rows], [p for _, p in rows])
    if validation.host_days() == 0:
        return
    found = choose(validation, f"alerts={budget}")
    assert found.validation_alerts / validation.host_days() <= budget
    assert found.validation_alerts == (validation.score >= found.value).sum()


def test_f1_finds_the_best_threshold_there_is() -> None:
    validation = made_up(200, skill=1.0)
    found = at_threshold(validation.score, validation.positive, choose(validation, "f1").value).macro_f1
    every = [at_threshold(validation.score, validation.positive, t).macro_f1 for t in validation.score]
    assert found == pytest.approx(max(every))


def test_the_threshold_lies_between_the_scores_it_parts() -> None:
    found = choose(scored([0.1, 0.2, 0.8, 0.9], [False, False, True, True]), "fpr=0")
    assert found.value == pytest.approx(0.5)
    assert (found.validation_fpr, found.validation_recall, found.validation_negatives) == (0.0, 1.0, 2)


@pytest.mark.parametrize("apart", [0.0, 1e-16, 5e-9, 1e-7])
@pytest.mark.parametrize("policy", ["fpr=0", "fpr=0.5", "fpr=1", "f1"])
def test_scores_that_rounding_alone_tells_apart_alert_together(policy: str, apart: float) -> None:
    """The same event in another batch: its score differs in the last digits, its alert does not."""
    equal = [0.5 + apart, 0.5, 0.5 - apart, 0.5, 0.5 + apart]
    validation = scored([*equal, 0.1, 0.9], [True, False, False, False, True, False, True])
    found = choose(validation, policy)
    noise = np.array([0.5 + 2e-7, 0.5 + apart, 0.5, 0.5 - apart, 0.5 - 2e-7])
    assert len(set((noise >= found.value).tolist())) == 1
    assert found.validation_alerts == (validation.score >= found.value).sum()


@pytest.mark.parametrize("tie", [0.0, 1e-9, 0.3, 0.5, 1 - 1e-9, 1.0])
def test_a_threshold_is_never_the_score_that_it_decides_on(tie: float) -> None:
    """Where all scores are one: above it under `fpr=0`, below it under `fpr=1`, never exactly there."""
    validation = scored([tie] * 4, [False, False, True, False])
    assert choose(validation, "fpr=0").value > tie
    lowest = choose(validation, "fpr=1")
    assert lowest.validation_alerts == 4
    assert lowest.value < tie or lowest.value == 0


def test_scores_that_differ_by_more_than_rounding_are_parted() -> None:
    for low, high in ((0.5, 0.5 + 1e-6), (1e-9, 1.1e-9), (1 - 1e-9, 1 - 0.9e-9)):
        found = choose(scored([low, high], [False, True]), "fpr=0")
        assert (found.validation_fpr, found.validation_recall) == (0.0, 1.0)


def test_a_threshold_that_leaves_scores_no_room_is_saturated() -> None:
    assert choose(scored([0.99995, 0.99997, 0.2], [False, True, False]), "fpr=0").saturated
    assert not choose(scored([0.5, 0.9, 0.2], [False, True, False]), "fpr=0").saturated


def test_a_top_score_shared_with_a_normal_window_silences_everything() -> None:
    found = choose(scored([1.0, 1.0, 0.1], [False, True, False]), "fpr=0.01")
    assert found.validation_alerts == 0
    assert found.value > 1


def test_too_few_negatives_for_the_rate_are_said_so() -> None:
    assert "cannot show a rate of 0.01" in choose(scored([0.1, 0.9], [False, True]), "fpr=0.01").note


@pytest.mark.parametrize(
    ("positive", "policy", "lacks"),
    [([True, True], "fpr=0.01", "normal windows"), ([False, False], "f1", "both normal and anomalous")],
)
def test_a_validation_part_that_cannot_carry_the_policy_is_refused(
    positive: list[bool], policy: str, lacks: str
) -> None:
    with pytest.raises(UsageError, match=f"lacks {lacks}"):
        choose(scored([0.1, 0.9], positive), policy)


def test_alerts_a_day_need_times() -> None:
    timeless = dataclasses.replace(scored([0.1, 0.9], [False, True]), t_ns=np.zeros(2, dtype=np.int64))
    with pytest.raises(UsageError, match="lacks times"):
        choose(timeless, "alerts=5")
