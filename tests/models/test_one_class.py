"""Classical detectors of what is unlike normal windows, against their papers and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest as Fitted

from vestige.models.baselines.one_class import Ecod, IsolationForest, OovTrigrams, Stide, boundary
from vestige.schema import PAD, UNK, Feature, Input

FEATURES = tuple(Feature(f"{name}:mean") for name in "abc")


@pytest.mark.parametrize(
    ("strange", "anomalous", "low", "high"),
    [
        ([0.0, 0.1, 0.8, 0.9], [False, False, True, True], 0.1, 0.8),
        ([1.0, 1.0, 1.0, 0.0], [False, False, False, True], 1.0, 1.1),  # alerting on nothing is best
        ([0.0] * 99 + [1.0], [False] * 100, 0.0, 1.0),
    ],
)
def test_the_boundary_of_what_is_strange_is_where_macro_f1_is_best(
    strange: list[float], anomalous: list[bool], low: float, high: float
) -> None:
    assert low < boundary(np.array(strange), np.array(anomalous)) < high


def test_ecod_is_the_largest_sum_of_tails() -> None:
    spec = Input("summary", "summary", features=(Feature("a:mean"), Feature("b:mean")))
    detector = Ecod((spec,), 2)
    detector.arrays = {
        "sorted": np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]), "skew": np.array([1.0, -1.0]),
    }  # fmt: skip
    # Three known values and itself: left tails 4/4 and 1/4, right ones 1/4 and 4/4, by the skew 1/4 twice.
    found = detector.strangeness({"summary": np.array([[3.0, -1.0], [1.0, 1.0]], dtype=np.float32)})
    assert found == pytest.approx([2 * np.log(4), 2 * np.log(4 / 3)])


def test_an_isolation_forest_of_plain_arrays_scores_as_the_library_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    fitted = Fitted(n_estimators=100, random_state=0).fit(values)
    detector = IsolationForest((Input("summary", "summary", features=FEATURES),), 2)
    monkeypatch.setattr(detector, "sample", lambda _: values.astype(np.float64))
    detector.arrays = detector.learn(None, seed=0)  # type: ignore[arg-type]
    found = detector.strangeness({"summary": values})
    np.testing.assert_allclose(found, -fitted.score_samples(values), rtol=1e-9)


def test_stide_and_trigrams_count_what_was_never_seen() -> None:
    spec = Input("tokens", "tokens", vocabulary=tuple("pu") + tuple("abcdef"))
    known = np.array([[2, 3, 4, 5, 6, 7, 2]])
    batch = {"tokens": np.array([[2, 3, 4, 5, 6, 7, 2], [PAD, 2, 3, 4, 5, 6, 3], [2, 3, 4, 5, 6, 7, UNK]])}
    expected = {Stide: [0, 1, 0.5], OovTrigrams: [0, 1 / 10, 2 / 12]}
    for kind, shares in expected.items():
        detector = kind((spec,), 2)
        detector.arrays = {"known": np.unique(detector._grams({"tokens": known})[1])}
        np.testing.assert_allclose(detector.strangeness(batch), shares)
