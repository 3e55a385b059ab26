"""Masks, imputation, standardisation, hyper-parameters: what every detector shares."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.models.conftest import MakeParts
from vestige.errors import UsageError
from vestige.models.base import StandardizeStats, choose_inputs, keep_masks
from vestige.models.baselines.frequencies import Majority
from vestige.models.baselines.regressions import Length, Logistic
from vestige.models.fitting import class_weights, fit_standardize
from vestige.models.gbt import GradientBoostedTrees
from vestige.schema import Feature, Input, Schema

SUMMARY = Input("s", "summary", features=(Feature("a"), Feature("b", host_only=True), Feature("c")))


def test_missing_values_take_the_median_before_means_are_taken() -> None:
    stats = StandardizeStats.fit(np.array([[1.0], [np.nan], [3.0], [np.inf], [8.0]]))
    assert stats.medians == 3.0
    assert stats.means == np.float32((1 + 3 + 3 + 3 + 8) / 5)


def test_a_constant_or_empty_column_keeps_a_deviation_of_one() -> None:
    stats = StandardizeStats.fit(np.array([[5.0, np.nan], [5.0, np.nan]]))
    assert stats.stds.tolist() == [1.0, 1.0]
    assert stats.medians.tolist() == [5.0, 0.0]


def test_channels_are_standardised_over_windows_and_time() -> None:
    X_BCT = np.random.default_rng(0).normal(size=(50, 3, 8)) * [[1], [10], [100]] + 5
    stats = StandardizeStats.fit(X_BCT, axis=(0, 2))
    out = stats.apply(X_BCT, channel_axis=-2)
    assert np.allclose(out.mean(axis=(0, 2)), 0, atol=1e-4)
    assert np.allclose(out.std(axis=(0, 2)), 1, atol=1e-4)


@given(arrays(np.float32, (4, 3), elements=st.floats(width=32)))
def test_whatever_goes_in_finite_numbers_come_out(X: np.ndarray) -> None:
    stats = StandardizeStats.fit(np.array([[0, 1, 2], [3, 1, np.nan]]))
    assert np.isfinite(stats.apply(X, channel_axis=-1)).all()


def test_statistics_survive_json_exactly() -> None:
    stats = StandardizeStats.fit(np.random.default_rng(0).normal(size=(9, 4)))
    back = StandardizeStats.from_dict(json.loads(json.dumps(stats.to_dict())))
    assert len(stats.to_dict()) > 1
    assert all(np.array_equal(getattr(stats, name), getattr(back, name)) for name in stats.to_dict())


def test_the_realistic_view_leaves_host_only_features_out_and_the_oracle_none() -> None:
    assert keep_masks((SUMMARY,), "realistic")["s"].tolist() == [True, False, True]
    assert keep_masks((SUMMARY,), "oracle") == {}


def test_a_view_that_leaves_nothing_is_refused() -> None:
    hidden = Input("s", "summary", features=(Feature("a", host_only=True),))
    with pytest.raises(UsageError, match="leaves no feature of s"):
        keep_masks((hidden,), "realistic")
    with pytest.raises(UsageError, match="unknown view 'real'"):
        keep_masks((hidden,), "real")


def test_selected_inputs_are_masked_and_finite_and_unknown_tokens_become_unk() -> None:
    tokens = Input("t", "tokens", vocabulary=("<pad>", "<unk>", "x"))
    detector = Majority.build((SUMMARY, tokens), 2)
    chosen = detector.select({"s": np.array([[np.nan, 1, 1e300]]), "t": np.array([[0, 2, 3, -1]])})
    assert chosen["s"].tolist() == [[0, 0]]
    assert chosen["t"].tolist() == [[0, 2, 1, 1]]


def test_inputs_that_do_not_fit_are_refused_with_what_would() -> None:
    schema = Schema("logs", 1, ("a", "b"), 4, 1, (), (Input("t", "tokens"),))
    with pytest.raises(UsageError, match="gbt takes summary; this logs dataset has tokens"):
        choose_inputs(GradientBoostedTrees, schema)


def test_a_detector_of_certain_features_refuses_a_summary_without_them() -> None:
    schema = Schema("telemetry", 1, ("a", "b"), 4, 1, (), (SUMMARY,))
    with pytest.raises(UsageError, match="length or words"):
        choose_inputs(Length, schema)


def test_a_detector_of_certain_features_masks_the_others() -> None:
    spec = Input("s", "summary", features=(Feature("word:x"), Feature("length"), Feature("unknown_words")))
    assert Logistic.build((spec,), 2).keep_mask["s"].tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("hyper", "message"),
    [
        ({"depth": 3}, "no hyper-parameter 'depth'"),
        ({"max_depth": "deep"}, "max_depth must be a whole number, not 'deep'"),
    ],
)
def test_a_wrong_hyper_parameter_is_refused_with_those_there_are(hyper: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as refusal:
        GradientBoostedTrees.build((SUMMARY,), 2, **hyper)
    assert "learning_rate" in refusal.value.remedy


def test_hyper_parameters_may_come_as_words_from_the_command_line() -> None:
    detector = GradientBoostedTrees.build((SUMMARY,), 2, max_depth="3", learning_rate="0.5")
    assert detector.hyper.model_dump()["max_depth"] == 3


def test_class_weights_are_balanced_and_zero_for_a_class_that_never_came() -> None:
    label = np.array([0] * 90 + [2] * 10, dtype=np.uint8)
    assert class_weights(label, 3).tolist() == pytest.approx([100 / 180, 0, 5])


def test_statistics_of_a_large_corpus_come_from_a_seeded_sample(
    make_parts: MakeParts,
) -> None:
    parts = make_parts("tensor")
    first, again, other = (GradientBoostedTrees.build(parts.train.schema.inputs, 2) for _ in range(3))
    fit_standardize(first, parts.train, seed=1, most=1)
    fit_standardize(again, parts.train, seed=1, most=1)
    assert first.header()["standardize"] == again.header()["standardize"]
    fit_standardize(other, parts.train, seed=1, most=10**6)
    whole = parts.train.batch()["tensor"][:, :2]
    assert np.allclose(other.standardize["tensor"].means, np.nanmean(whole, axis=(0, 2)), atol=0.02)


def test_standardisation_sees_training_windows_only(make_parts: MakeParts) -> None:
    parts = make_parts("tensor")
    detector = GradientBoostedTrees.build(parts.train.schema.inputs, 2)
    fit_standardize(detector, parts.train)
    expected = StandardizeStats.fit(parts.train.batch()["tensor"][:, :2], axis=(0, 2))
    assert detector.standardize["tensor"].to_dict() == expected.to_dict()
