"""Detectors side by side: what is paired, what is refused, what seeds add."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from tests.evaluation.made_up import made_up
from vestige.evaluation.bootstrap import draw
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.versus import Compared, Contender, differences, measure, set_side_by_side
from vestige.evaluation.versus_page import render, sentence, significant


def contender(name: str, *tests: Predictions) -> Contender:
    return Contender(name, "realistic", tests)


def noisy(test: Predictions, seed: int, share: float = 0.1) -> Predictions:
    """The same detector trained with another seed: some of its windows said otherwise."""
    rng = np.random.default_rng(seed)
    turned = rng.random(len(test)) < share
    return replace(test, proba=np.where(turned[:, None], test.proba[:, ::-1], test.proba))


@pytest.fixture(scope="module")
def good() -> Predictions:
    return made_up(1_200, seed=9, skill=2.5, recordings=30)


@pytest.fixture(scope="module")
def bad() -> Predictions:
    return made_up(1_200, seed=9, skill=0.5, recordings=30)


@pytest.fixture(scope="module")
def compared(good: Predictions, bad: Predictions) -> Compared:
    return set_side_by_side(
        [
            contender("good", *(noisy(good, seed) for seed in range(4))),
            contender("bad", *(noisy(bad, seed) for seed in range(4))),
            contender("again", *(noisy(good, seed) for seed in range(4))),
        ],
        resamples=500,
    )


def test_what_differs_is_found_and_what_does_not_is_not(compared: Compared) -> None:
    by_pair = {(pair.first, pair.second): pair for pair in compared.pairs}
    assert len(by_pair) == 3
    wide, none = by_pair["good", "bad"], by_pair["good", "again"]
    assert wide.p_adjusted is not None
    assert wide.p_adjusted < 0.01
    assert wide.gap.low is not None
    assert wide.gap.low > 0
    assert none.gap.estimate == 0
    assert none.p_adjusted == 1
    assert {(pair.first, pair.second) for pair in significant(compared)} == {
        ("good", "bad"),
        ("bad", "again"),
    }
    assert "better than 1 of the other 2" in sentence(compared)


def test_a_detector_beside_itself_is_not_said_to_be_the_best(good: Predictions) -> None:
    alone = set_side_by_side([contender("good", good)], resamples=50)
    assert "no other detector" in sentence(alone)
    twice = set_side_by_side([contender("good", good), contender("copy", good)], resamples=50)
    assert sentence(twice).startswith("Both have the same macro F1")


def test_a_best_one_that_another_equals_is_named_with_it(compared: Compared) -> None:
    assert "as again has" in sentence(compared)


def test_a_detector_without_a_figure_is_said_to_have_none(compared: Compared) -> None:
    def having(*estimates: float | None) -> Compared:
        row = compared.contenders[0]
        rows = [
            row.model_copy(update={
                "name": f"d{n}", "figure": row.figure.model_copy(update={"estimate": estimate})
            })
            for n, estimate in enumerate(estimates)
        ]  # fmt: skip
        return compared.model_copy(update={"contenders": rows, "pairs": []})

    assert sentence(having(None)) == "d0 has no macro F1; there is no other detector to compare it with."
    assert sentence(having(None, None)) == "d0, d1 have no macro F1."
    assert sentence(having(0.5, None)) == "d0 has macro F1 0.500; d1 has no macro F1."
    assert sentence(having(0.5, 0.5, None)) == "d0, d1 have the same macro F1, 0.500; d2 has no macro F1."
    assert sentence(having(0.0, None, 0.5)).startswith("d2 has the highest macro F1, 0.500; it is not shown")
    # Three digits are shown: what looks equal is equal.
    assert sentence(having(0.50001, 0.50002)) == "Both have the same macro F1, 0.500."
    assert "d1 has no macro F1" in render(having(0.5, None))
    assert "d0 has no macro F1" in render(having(None))


def test_adjusted_by_holm_over_all_pairs(compared: Compared) -> None:
    ps = sorted(pair.p for pair in compared.pairs if pair.p is not None)
    assert len(ps) == 3
    first = min(pair.p_adjusted or 1 for pair in compared.pairs)
    assert first == pytest.approx(min(1.0, 3 * ps[0]))


def test_the_figure_is_the_mean_over_seeds_and_their_deviation_is_told(
    compared: Compared, good: Predictions
) -> None:
    figures = [measure(noisy(good, seed), "macro_f1") for seed in range(4)]
    row = compared.contenders[0]
    assert row.figure.estimate == pytest.approx(np.mean(figures))
    assert row.seed_sd == pytest.approx(np.std(figures, ddof=1))
    assert row.split_sd is None
    assert compared.seeds == 4


def test_seeds_that_differ_widen_the_interval(good: Predictions) -> None:
    def width(*tests: Predictions) -> float:
        found = set_side_by_side([contender("a", *tests)]).contenders[0].figure
        assert found.low is not None
        assert found.high is not None
        return found.high - found.low

    # Two trainings of which one failed: clusters alone would call that certain.
    assert width(good, noisy(good, 0, share=0.5)) > 1.5 * width(good, good)


def test_other_test_parts_are_refused_with_how_they_differ(good: Predictions) -> None:
    renamed = good.recordings.with_columns(pl.col("id").str.replace("app0.log", "other.log"))
    told = differences(good, replace(good, recordings=renamed))
    assert told == [
        "1 test recordings are of the first alone: host0/app0.log",
        "1 test recordings are of the second alone: host0/other.log",
    ]
    assert "windows are cut or pooled otherwise" in differences(good, good.select(np.arange(0, 1_200, 2)))[0]
    assert differences(good, replace(good, position=good.position + 1)) == ["the windows end at other steps"]
    turned = replace(good, label=1 - good.label)
    assert differences(good, turned) == ["1,200 windows have another label"]
    assert "classes are" in differences(good, replace(good, classes=("normal", "attack")))[0]
    assert differences(good, noisy(good, 1)) == []
    with pytest.raises(ValueError, match="same test windows"):
        set_side_by_side([contender("a", good), contender("b", turned)])


def test_average_precision_is_compared_on_the_same_resamples(good: Predictions, bad: Predictions) -> None:
    found = set_side_by_side([contender("a", good), contender("b", bad)], metric="average_precision")
    pair = found.pairs[0]
    assert pair.gap.estimate == pytest.approx(
        measure(good, "average_precision") - measure(bad, "average_precision")
    )
    assert pair.gap.low is not None
    assert pair.gap.low > 0


def test_no_p_where_the_clusters_cannot_be_trusted() -> None:
    few = made_up(600, seed=1, recordings=4)
    found = set_side_by_side([contender("a", few), contender("b", noisy(few, 0))])
    assert found.pairs[0].p is None
    assert "no difference can be shown" in sentence(found)


def test_the_page_is_self_contained_and_shows_hostile_names_as_text(good: Predictions) -> None:
    name = "<img src=x onerror=alert(1)>"
    page = render(set_side_by_side([contender(name, good), contender("b", noisy(good, 0))], resamples=100))
    assert "<img" not in page
    assert "&lt;img" in page
    assert 'id="figure-gaps"' in page
    assert "default-src &#39;none&#39;" in page


def test_resamples_are_drawn_once_for_all(good: Predictions) -> None:
    weights = draw(30, 10, 0)
    assert np.array_equal(weights, draw(30, 10, 0))
    one, other = (set_side_by_side([contender("a", good)], seed=0) for _ in range(2))
    assert one.contenders == other.contenders
