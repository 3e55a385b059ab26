"""The numbers agree with scikit-learn's to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as sk

from vestige.evaluation.metrics import (
    Sweep,
    at_threshold,
    confusion,
    grouped_confusion,
    macro_f1,
    per_class,
)

EXACT = 1e-12
labels = st.integers(1, 80).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.int64, n, elements=st.integers(0, 4)),
        hnp.arrays(np.int64, n, elements=st.integers(0, 4)),
    )
)
# A few repeated scores, so that ties are the rule.
scored = st.integers(2, 80).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.float64, n, elements=st.sampled_from([0.0, 0.1, 0.5, 0.5000001, 0.9, 1.0])),
        hnp.arrays(np.bool_, n),
    )
)


@given(labels)
def test_macro_f1_is_scikit_learns_over_the_union_of_labels(pair: tuple[np.ndarray, np.ndarray]) -> None:
    true, said = pair
    expected = sk.f1_score(true, said, average="macro", zero_division=0)
    assert float(macro_f1(confusion(true, said, 5))) == pytest.approx(expected, abs=EXACT)


@given(labels)
def test_per_class_precision_recall_f1_are_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    true, said = pair
    expected = sk.precision_recall_fscore_support(true, said, labels=range(5), zero_division=0)
    np.testing.assert_allclose(
        np.stack(per_class(confusion(true, said, 5))), np.stack(expected[:3]), atol=EXACT
    )


@given(labels)
def test_confusion_is_scikit_learns_and_sums_over_groups(pair: tuple[np.ndarray, np.ndarray]) -> None:
    true, said = pair
    expected = sk.confusion_matrix(true, said, labels=range(5))
    np.testing.assert_array_equal(confusion(true, said, 5), expected)
    group = np.arange(len(true)) % 3
    np.testing.assert_array_equal(grouped_confusion(true, said, group, 5, 3).sum(axis=0), expected)


@given(scored)
def test_areas_are_scikit_learns_with_ties(pair: tuple[np.ndarray, np.ndarray]) -> None:
    score, positive = pair
    assume(positive.any() and not positive.all())
    sweep = Sweep.of(score, positive)
    assert sweep.average_precision == pytest.approx(sk.average_precision_score(positive, score), abs=EXACT)
    assert sweep.roc_auc == pytest.approx(sk.roc_auc_score(positive, score), abs=EXACT)


@given(scored)
def test_curves_are_scikit_learns(pair: tuple[np.ndarray, np.ndarray]) -> None:
    score, positive = pair
    assume(positive.any() and not positive.all())
    sweep = Sweep.of(score, positive)
    fpr, tpr, thresholds = sk.roc_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(sweep.fpr, fpr[1:], atol=EXACT)
    np.testing.assert_allclose(sweep.recall, tpr[1:], atol=EXACT)
    np.testing.assert_allclose(sweep.thresholds, thresholds[1:], atol=EXACT)
    precision, recall, _ = sk.precision_recall_curve(positive, score, drop_intermediate=False)
    np.testing.assert_allclose(sweep.precision[::-1], precision[:-1], atol=EXACT)
    np.testing.assert_allclose(sweep.recall[::-1], recall[:-1], atol=EXACT)


@given(scored, st.sampled_from([0.0, 0.001, 0.01, 0.05, 0.3, 1.0]))
@settings(max_examples=200)
def test_recall_at_a_fixed_rate_is_the_best_that_keeps_to_it(
    pair: tuple[np.ndarray, np.ndarray], rate: float
) -> None:
    score, positive = pair
    assume(positive.any() and not positive.all())
    point = Sweep.of(score, positive).at_fpr(rate)
    reached = at_threshold(score, positive, point.threshold)
    assert (reached.recall, reached.fpr) == (point.recall, point.fpr)
    assert reached.fpr <= rate
    lower = score[score < point.threshold]
    if len(lower):
        assert at_threshold(score, positive, lower.max()).fpr > rate


def test_measures_without_a_value_are_nan_not_zero() -> None:
    silent = at_threshold(np.array([0.1, 0.2]), np.array([False, False]), 0.5)
    assert np.isnan([silent.precision, silent.recall]).all()
    assert silent.fpr == 0
    only_negatives = Sweep.of(np.array([0.1, 0.2]), np.array([False, False]))
    assert np.isnan([only_negatives.average_precision, only_negatives.roc_auc]).all()
    assert np.isnan(macro_f1(np.zeros((2, 2))))
    empty = Sweep.of(np.empty(0), np.empty(0, dtype=bool))
    assert np.isnan([empty.average_precision, empty.roc_auc]).all()


def test_a_class_only_ever_predicted_counts_as_zero() -> None:
    assert float(macro_f1(confusion(np.array([0, 0]), np.array([0, 1]), 3))) == pytest.approx((2 / 3 + 0) / 2)


def test_macro_f1_at_a_threshold_judges_alert_or_silence() -> None:
    score, positive = np.array([0.1, 0.6, 0.7, 0.9]), np.array([False, False, True, True])
    assert at_threshold(score, positive, 0.5).macro_f1 == pytest.approx(
        sk.f1_score(positive, score >= 0.5, average="macro")
    )
