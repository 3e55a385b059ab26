"""Models against one another, on the same resamples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.evaluation.made_up import made_up
from vestige.evaluation.comparing import compare
from vestige.evaluation.judging import evaluate
from vestige.evaluation.pairs import compare_pairs, holm
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import DetectorResults, PairResult

SKILLS = {
    "realistic/gbt": 2.0, "realistic/gru": 0.3, "realistic/majority": 0.1,
    "oracle/gbt": 2.6, "oracle/gru": 0.305, "oracle/majority": 0.0,
}  # fmt: skip


@pytest.fixture(scope="module")
def judged() -> tuple[list[DetectorResults], dict[str, Predictions]]:
    tests = {name: made_up(1200, seed=9, skill=skill, recordings=30) for name, skill in SKILLS.items()}
    found = [
        evaluate(
            name,
            made_up(seed=5, skill=SKILLS[name]),
            test,
            kind="baseline" if "majority" in name else "model",
            resamples=200,
        ).model_copy(update={"view": name.partition("/")[0]})
        for name, test in tests.items()
    ]
    return found, tests


@pytest.fixture(scope="module")
def pairs(judged: tuple[list[DetectorResults], dict[str, Predictions]]) -> dict[tuple[str, str], PairResult]:
    return {(one.first, one.second): one for one in compare_pairs(*judged, resamples=200)}


def test_models_meet_within_a_view_and_with_themselves_across(
    pairs: dict[tuple[str, str], PairResult],
) -> None:
    assert {name: one.kind for name, one in pairs.items()} == {
        ("realistic/gbt", "realistic/gru"): "models",
        ("realistic/gbt", "oracle/gbt"): "views",
        ("realistic/gru", "oracle/gru"): "views",
        ("oracle/gbt", "oracle/gru"): "models",
    }


def test_a_clear_gap_is_significant_and_a_small_one_is_not(pairs: dict[tuple[str, str], PairResult]) -> None:
    clear, small = pairs["realistic/gbt", "realistic/gru"], pairs["realistic/gru", "oracle/gru"]
    assert clear.gap.low is not None
    assert clear.gap.low > 0
    assert clear.p == pytest.approx(2 / 10_001)
    assert clear.p_adjusted == pytest.approx(4 * 2 / 10_001)
    assert small.p_adjusted is not None
    assert small.p_adjusted > 0.01


@pytest.mark.parametrize("recordings", [1, 2, 9])
def test_no_gap_is_significant_where_the_resamples_cannot_be_trusted(recordings: int) -> None:
    few = np.arange(1200) * recordings // 1200
    tests = {}
    for name in ("realistic/gbt", "realistic/gru"):
        made = made_up(1200, seed=9, skill=SKILLS[name], recordings=30)
        tests[name] = replace(made, unit=few, unit_name="host")
    found = [evaluate(one, made_up(seed=5), test, kind="model", resamples=50) for one, test in tests.items()]
    (pair,) = compare_pairs(found, tests, resamples=100)
    assert pair.gap.estimate is not None
    assert pair.gap.estimate > 0.1
    assert (pair.p, pair.p_adjusted) == (None, None)


def test_a_model_is_compared_with_the_baselines_of_its_view(
    judged: tuple[list[DetectorResults], dict[str, Predictions]],
) -> None:
    found = compare(*judged, resamples=100)
    assert [(one.model, one.baseline) for one in found] == [
        (f"{view}/{name}", f"{view}/majority") for view in ("realistic", "oracle") for name in ("gbt", "gru")
    ]


def test_holm_by_hand() -> None:
    assert holm([0.01, None, 0.04, 0.03]) == [pytest.approx(0.03), None, 0.06, 0.06]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=20))
def test_holm_never_lowers_nor_reorders(ps: list[float]) -> None:
    adjusted = holm(ps)
    assert all(a is not None and p <= a <= 1 for p, a in zip(ps, adjusted, strict=True))
    ranked = [adjusted[row] for row in sorted(range(len(ps)), key=lambda row: ps[row])]
    assert ranked == sorted(one for one in adjusted if one is not None)
