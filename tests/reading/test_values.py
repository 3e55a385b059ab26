"""Values in slots: which are known, and how strange a new one or a number out of range is."""

from __future__ import annotations

import json
import math
import tracemalloc
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.conftest import MakeWindows
from vestige.reading.digests import Streams
from vestige.reading.slot_counts import of_kinds
from vestige.reading.steps import NO_TIME
from vestige.reading.values import NONE, KnownValues, Values, number_value, text_value

ONE = np.zeros(1, np.int64)


def texts(*names: str) -> Values:
    return np.array([text_value(name.encode()) for name in names], np.uint64)


def numbers(*values: float) -> Values:
    return np.array([number_value(value) for value in values], np.uint64)


def learnt(*columns: Values, kind: NDArray[np.int64] | None = None, **options: Any) -> KnownValues:
    """What a kind of step had in its slots, or steps of these kinds."""
    return KnownValues.of(np.zeros(len(columns[0]), np.int64) if kind is None else kind, columns, **options)


def new(known: KnownValues, *values: Values, kind: int = 0) -> float:
    return float(known.strangeness(ONE + kind, np.stack(values, axis=1))[0, 0])


def beyond(known: KnownValues, value: float) -> float:
    """By how many spreads."""
    return float(np.expm1(known.strangeness(ONE, numbers(value)[:, None])[0, 1]))


def test_a_new_value_is_strange_where_there_were_few() -> None:
    known = learnt(texts(*["root", "daemon"] * 100))
    assert new(known, texts("root")) == 0.0
    # No value came once; none came first in the later half of 100.
    assert new(known, texts("mallory")) == pytest.approx(-math.log(0.5 / 101))


def test_where_values_are_rarely_seen_again_a_new_one_is_not_strange() -> None:
    known = learnt(texts(*map(str, range(300))))
    assert new(known, texts("another")) == 0.0


def test_the_more_often_new_ones_came_the_less_strange_one_is() -> None:
    # Good and Turing: 10 of 400 values came once, all of them in the first half.
    once = texts(*[str(number) for number in range(10)], *["usual"] * 390)
    assert new(learnt(once), texts("other")) == pytest.approx(-math.log(10.5 / 401))


def test_new_ones_that_come_several_times_are_counted_in_the_later_half() -> None:
    # Sessions of four steps each: none came once, but every fourth value is a new one.
    known = learnt(texts(*[str(number // 4) for number in range(240)]))
    assert new(known, texts("next")) == pytest.approx(-math.log((30 + 0.5) / 121))


def test_steps_without_a_time_are_learnt_from_first_wherever_they_lie(make_windows: MakeWindows) -> None:
    n = 400
    windows = make_windows([("h", "s", "p", np.zeros(n))] * 2, length=1, gap_ns=10**12)
    windows = replace(
        windows,
        streams=Streams({"symbol": np.arange(2 * n)}),
        t_ns=np.where(windows.recording == 0, windows.t_ns + 1_700_000_000 * 10**9, NO_TIME),
    )
    dated, undated = texts(*["usual"] * n), texts(*[str(number % 10) for number in range(n)])
    kind = np.zeros(2 * n, np.int64)
    words = np.r_[dated, undated][:, None]
    found = KnownValues.fit(windows, kind, symbols="symbol", slots=None, words=words)
    assert found.surprise.tolist() == learnt(np.r_[undated, dated]).surprise.tolist()
    assert found.surprise.tolist() != learnt(np.r_[dated, undated]).surprise.tolist()


def test_kinds_and_slots_have_values_of_their_own() -> None:
    kind = np.arange(800) % 2
    first, second = texts(*["a", "b"] * 400), texts(*["c"] * 800)
    known = learnt(first, second, kind=kind)
    for number, own in enumerate(("a", "b")):
        assert new(known, texts(own), texts("c"), kind=number) == 0.0
        assert new(known, texts("c"), texts("c"), kind=number) > 5
        assert new(known, texts(own), texts(own), kind=number) > 5
    nothing = np.zeros((3, 2), np.uint64)
    assert not known.strangeness(np.array([0, 1, 0]), nothing).any()
    strangers = np.stack([texts("x", "x", "x"), texts("y", "y", "y")], axis=1)
    assert not known.strangeness(np.array([-1, 2, 1 << 40]), strangers).any()
    strangest = known.explain(np.array([0, 1, 7]), np.stack([texts(*"aax"), texts(*"xcx")], axis=1))
    assert strangest[:, 0].tolist() == [1, 0, -1]


def test_numbers_are_strange_by_how_far_beyond_the_range_they_are() -> None:
    known = learnt(numbers(*np.random.default_rng(7).uniform(10, 20, 500).tolist()))
    assert beyond(known, 10.5) == beyond(known, 19.5) == 0.0
    assert 0.9 < beyond(known, 30) < 1.2
    assert beyond(known, 30) < beyond(known, 300) < beyond(known, -3000)
    assert known.explain(ONE, numbers(30)[:, None]).tolist() == [[-1, 0]]


def test_skewed_numbers_go_by_their_logarithms() -> None:
    known = learnt(numbers(*np.exp(np.random.default_rng(7).normal(5, 1.5, 2000)).tolist()))
    assert known.log.tolist() == [True]
    assert beyond(known, 1e5) < 0.5
    assert 1 < beyond(known, 1e9) < 5


def test_one_outlier_does_not_make_everything_below_it_usual() -> None:
    known = learnt(numbers(*np.random.default_rng(7).uniform(10, 20, 500).tolist(), 1e12))
    assert beyond(known, 1e9) > 100


def test_what_counts_up_has_no_range() -> None:
    known = learnt(numbers(*map(float, range(1000))))
    assert beyond(known, 1e9) == 0.0


def test_a_constant_number_has_a_range_and_another_one_is_new() -> None:
    known = learnt(numbers(*[443.0] * 300))
    assert known.strangeness(ONE, numbers(443)[:, None]).tolist() == [[0.0, 0.0]]
    assert new(known, numbers(8080)) > 5
    assert 0 < beyond(known, 444) < beyond(known, 8080)


def test_words_are_further_slots() -> None:
    kind = np.zeros(300, np.int64)
    known = KnownValues.of(kind, [texts(*["a"] * 300), texts(*["ann", "bob", "eve"] * 100)])
    values, words = texts("a", "a")[:, None], texts("bob", "mallory")[:, None]
    assert (known.strangeness(kind[:2], values, words)[:, 0] > 0).tolist() == [False, True]
    assert known.explain(kind[:2], values, words)[:, 0].tolist() == [-1, 1]


def test_no_more_than_so_many_values_are_kept_and_they_are_the_frequent_ones() -> None:
    column = texts(*["often"] * 300, *["sometimes"] * 60, *["seldom"] * 40)
    known = learnt(column, most_known=2)
    assert len(known.known) == 2
    assert new(known, texts("often")) == new(known, texts("sometimes")) == 0.0
    # 40 of 400 are not known any more, and "seldom" and "sometimes" first came in the later half.
    assert new(known, texts("seldom")) == pytest.approx(-math.log(40 / 401 + 2.5 / 201))


def test_it_comes_back_from_json() -> None:
    rng = np.random.default_rng(3)
    kind = rng.integers(0, 5, 2000)
    columns = [texts(*map(str, rng.integers(0, 9, 2000))), numbers(*rng.normal(size=2000).tolist())]
    known = learnt(*columns, kind=kind)
    again = KnownValues.from_dict(json.loads(json.dumps(known.to_dict(), allow_nan=False)))
    asked = np.stack([texts(*map(str, rng.integers(0, 12, 99))), numbers(*(9 * rng.normal(size=99)))], axis=1)
    strangeness = known.strangeness(kind[:99], asked)
    assert (strangeness > 0).any(axis=0).tolist() == [True, True]
    np.testing.assert_array_equal(again.strangeness(kind[:99], asked), strangeness)


@pytest.mark.parametrize(
    ("name", "value"),
    [("n_rows", 3), ("n_kinds", 0), ("n_known", -1), ("kind", "!"), ("slot", "AAAA"), ("surprise", 7),
     ("n_slots", 1 << 40)],
)  # fmt: skip
def test_a_damaged_state_is_refused(name: str, value: object) -> None:
    state = learnt(texts(*["a"] * 300)).to_dict()
    assert KnownValues.from_dict(state).known.shape == (1,)
    with pytest.raises(ValueError, match=r"cannot be|bytes|base64|not a"):
        KnownValues.from_dict(state | {name: value})


@pytest.mark.parametrize("n", [0, 1, 3])
def test_little_evidence_knows_nothing(n: int) -> None:
    kind = np.zeros(n, np.int64)
    if n == 3:
        kind -= 1
    known = KnownValues.of(kind, [texts(*["a"] * n)] * 2)
    strange = np.stack([texts("x", "y")] * 2, axis=1)
    assert known.strangeness(np.zeros(2, np.int64), strange).tolist() == [[0, 0]] * 2


@given(st.lists(st.integers(0, (1 << 64) - 1) | st.sampled_from([NONE, number_value(math.inf)]), min_size=1),
       st.integers(1, 400))  # fmt: skip
def test_whatever_comes_gives_finite_strangeness(values: list[int], times: int) -> None:
    column = np.array(values * times, np.uint64)
    known = learnt(column, kind=np.arange(len(column)) % 2)
    asked = np.array([*values, number_value(-math.inf), (1 << 64) - 1], np.uint64)
    found = known.strangeness(np.zeros(len(asked), np.int64), asked[:, None])
    assert found.shape == (len(asked), 2)
    assert np.isfinite(found).all()
    assert (found >= 0).all()
    json.dumps(known.to_dict(), allow_nan=False)


def test_some_kinds_at_a_time_are_learnt_as_all_at_once() -> None:
    rng = np.random.default_rng(3)
    kind = rng.integers(-1, 9, 4_000)
    columns = [
        np.array([number_value(x) for x in rng.integers(0, 30, 4_000).tolist()], np.uint64),
        texts(*rng.choice(["a", "b", "c", "d"], 4_000).tolist()),
    ]
    whole = learnt(*columns, kind=kind)
    assert len(whole.known) > 20
    for together in (1, 500, 1_300):
        assert learnt(*columns, kind=kind, together=together).to_dict() == whole.to_dict()


def test_kinds_are_taken_together_until_they_have_too_many_steps() -> None:
    bounds = np.array([0, 3, 3, 5, 20, 21])
    assert [(kinds.start, kinds.stop) for kinds in of_kinds(bounds, 5)] == [(0, 3), (3, 4), (4, 5)]
    assert [(kinds.start, kinds.stop) for kinds in of_kinds(np.array([0]), 5)] == [(0, 0)]


def test_what_is_held_is_of_some_kinds_at_a_time() -> None:
    n = 200_000
    rng = np.random.default_rng(1)
    kind = rng.integers(0, 40, n)
    column = rng.random(n).view(np.uint64)

    def held(together: int) -> int:
        tracemalloc.start()
        learnt(column, kind=kind, together=together)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    # All values at once take 60 bytes a step and more; the order of the steps, which is there anyway, 16.
    assert held(n // 20) < 32 * n < held(n)
