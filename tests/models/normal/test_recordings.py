"""Whole recordings, judged by what is normal for their like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vestige.errors import SplitError
from vestige.models.normal import habits
from vestige.models.normal.habits import MOST_DISTINCT, ORDER, STRETCH, UNIT, RecordingTally
from vestige.models.normal.recordings import (
    COUNTED_IF_LONG,
    COUNTED_IF_SHORT,
    LOOKS,
    LearningBounds,
    RecordingModel,
)

IntArray = NDArray[np.int64]
SIZE = 40
"""Token ids of the tests: 2 to 21 are usual, the others were never seen."""


def walks(count: int, seed: int, *, least: int = 20, most: int = 120) -> list[IntArray]:
    """Recordings of one program: from each event to the next in a ring of twenty, now and then leaping over
    one, some recordings more often than others."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(least, most, count)
    found = []
    for length in lengths.tolist():
        leaps = rng.random(length) < rng.uniform(0.0, 0.4)
        found.append((rng.integers(20) + np.cumsum(1 + leaps)) % 20 + 2)
    return found


@pytest.fixture(scope="module")
def model() -> RecordingModel:
    """What is normal of 300 recordings."""
    return RecordingModel.fit(walks(300, 0), SIZE)


def p_of(model: RecordingModel, tokens: list[int] | IntArray) -> float:
    """The p-value of one recording."""
    return float(model.judge([np.array(tokens, dtype=np.int64)]).p_value[0])


def test_each_kind_of_planted_recording_is_found_by_the_look_that_is_for_it(model: RecordingModel) -> None:
    rng = np.random.default_rng(5)
    base = walks(1, 9, least=80, most=81)[0]
    planted = {
        "order.quartile": rng.permutation(base),  # the same events out of order
        "rarity.recordings": np.r_[base, np.full(8, 30)],  # an event that nobody ever had
        "neighbours": np.resize([2, 3], 80),  # known events and order, a mix that nobody has
    }
    judged = model.judge([*planted.values(), base])
    assert (judged.p_value[:3] < 0.01).all()
    assert judged.p_value[3] > 0.1
    for row, look in enumerate(planted):
        rare = judged.rareness_of_looks[row, LOOKS.index(look)]
        assert rare > -np.log(0.02), look


def test_p_values_of_what_is_normal_are_uniform(model: RecordingModel) -> None:
    p = model.judge(walks(500, 1)).p_value
    for alpha in (0.05, 0.1, 0.25, 0.5):
        # Drawn twice: to calibrate with, and now.
        spread = np.sqrt(alpha * (1 - alpha) * (1 / 500 + 1 / 300))
        assert abs((p <= alpha).mean() - alpha) < 3.3 * spread, alpha


def test_copies_within_learning_do_not_make_what_is_new_and_normal_strange() -> None:
    model = RecordingModel.fit(walks(100, 0) * 4, SIZE)
    p = model.judge(walks(400, 1)).p_value
    for alpha in (0.05, 0.1, 0.25):
        spread = np.sqrt(alpha * (1 - alpha) * (1 / 400 + 1 / 100))
        assert (p <= alpha).mean() < alpha + 3.3 * spread, alpha


def test_a_copy_of_a_learnt_recording_is_no_stranger_than_others(model: RecordingModel) -> None:
    p = model.judge(walks(300, 0)).p_value
    assert (p <= 0.05).mean() <= 0.05


def test_an_attack_in_learning_does_not_make_the_next_one_normal() -> None:
    rng = np.random.default_rng(2)

    def attack() -> IntArray:
        base = walks(1, int(rng.integers(1000)), least=30, most=31)[0]
        return np.concatenate([base, rng.permutation(10) + 25])

    learnt = [*walks(285, 0), *(attack() for _ in range(15))]  # 5% of it is an attack
    model = RecordingModel.fit(learnt, SIZE)
    attacks = model.judge([attack() for _ in range(20)]).rareness
    normals = model.judge(walks(200, 1)).rareness
    assert (attacks[:, None] > normals).mean() > 0.97


def changing(days: int, seed: int) -> list[list[IntArray]]:
    """Recordings of some days, with one event that no other day has."""
    return [[np.r_[walk, day + 25] for walk in walks(100, seed + day)] for day in range(days)]


def test_the_calibration_in_spans_of_time_knows_that_things_change() -> None:
    *learnt, later = changing(4, 0)
    recordings = [walk for day in learnt for walk in day]

    def alarming(*, in_time: bool) -> float:
        p = RecordingModel.fit(recordings, SIZE, in_time=in_time).judge(later).p_value
        return float((p <= 0.05).mean())

    # Of the fourth day as many are rare as were of each of the three, seen from the other two.
    assert alarming(in_time=True) < 0.2
    assert alarming(in_time=False) > 0.5


def test_an_attack_that_fills_a_span_of_time_does_not_make_the_next_one_normal() -> None:
    rng = np.random.default_rng(2)

    def attack() -> IntArray:
        return np.concatenate([walks(1, int(rng.integers(1000)))[0], rng.permutation(10) + 25])

    learnt = [*walks(270, 0), *(attack() for _ in range(15)), *walks(15, 5)]
    model = RecordingModel.fit(learnt, SIZE, in_time=True)
    attacks = model.judge([attack() for _ in range(20)]).rareness
    normals = model.judge(walks(200, 1)).rareness
    assert (attacks[:, None] > normals).mean() > 0.95


def test_copies_of_one_recording_in_a_span_of_their_own_can_be_learnt_from() -> None:
    same = [np.resize([2, 3, 4], 50)] * 200
    model = RecordingModel.fit([*same, *walks(40, 0)], SIZE, in_time=True)
    judged = model.judge([same[0], walks(1, 9)[0]])
    assert np.isfinite(judged.rareness).all()
    assert judged.rareness[0] < judged.rareness[1]


def test_what_is_too_strange_for_a_p_value_still_has_an_order(model: RecordingModel) -> None:
    rng = np.random.default_rng(3)
    base = walks(1, 9, least=400, most=401)[0]
    stranger = [np.r_[base, rng.integers(22, SIZE, n)] for n in (50, 100, 200, 400, 800)]
    rareness = model.judge(stranger).rareness
    assert (np.diff(rareness) > 0).all()
    assert np.isfinite(rareness).all()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6))
def test_pieces_give_what_the_whole_gives(model: RecordingModel, cuts: list[int]) -> None:
    whole = walks(1, 4, least=400, most=401)[0]
    tally = model.tally()
    for piece in np.split(whole, sorted(cuts)):
        tally.add(piece)
    expected = model.tally()
    expected.add(whole)
    assert_same(tally, expected)
    assert model.judge_tallies([tally]).rareness[0] == model.judge([whole]).rareness[0]


def test_an_event_at_a_time_gives_what_the_whole_gives(model: RecordingModel) -> None:
    whole = walks(1, 4, least=700, most=701)[0]
    tally, expected = (RecordingTally(model.habits, most_surprises=100) for _ in range(2))
    for event in whole:
        tally.add(np.array([event]))
    expected.add(whole)
    assert_same(tally, expected)
    assert sum(map(len, tally._kept)) == 88  # every eighth of 700


def assert_same(tally: RecordingTally, expected: RecordingTally) -> None:
    """Both hold the same, bit for bit."""
    assert tally.looks().tolist() == expected.looks().tolist()
    assert tally.codes.tolist() == expected.codes.tolist()
    assert (tally.length, tally.left_out) == (expected.length, expected.left_out)


def test_a_long_recording_of_many_kinds_is_kept_in_bounded_memory() -> None:
    size = 2_000
    rng = np.random.default_rng(0)
    model = RecordingModel.fit([rng.integers(2, 50, 20) for _ in range(60)], size)
    whole = rng.integers(2, size, 150_000)
    tally = model.tally()
    for piece in np.split(whole, [1, 70_000, 70_100, 149_999]):
        tally.add(piece)
    expected = model.tally()
    expected.add(whole)
    assert_same(tally, expected)
    assert len(tally.codes) == MOST_DISTINCT
    # All that did not fit is counted: every event is an n-gram, and so is every pair and every three.
    grams = habits.gram_codes(whole, np.zeros(ORDER - 1, dtype=np.int64), 0, size)
    assert len(grams) == 3 * len(whole) - 3
    assert tally.left_out == (~np.isin(grams, tally.codes)).sum()
    assert sum(map(len, tally._kept)) <= habits.MOST_SURPRISES
    assert len(tally._kept) <= habits.MOST_PIECES
    assert model.judge_tallies([tally]).p_value[0] < 0.01


def test_recordings_without_events_and_of_one_are_judged(model: RecordingModel) -> None:
    judged = model.judge([np.empty(0, dtype=np.int64), np.array([2]), np.array([30])])
    assert judged.p_value[0] == 1.0
    assert judged.rareness_of_looks[0].tolist() == [0.0] * len(LOOKS)
    assert judged.p_value[2] < judged.p_value[1]
    assert len(model.judge([]).p_value) == 0


@pytest.mark.parametrize("tokens", [[-1], [SIZE], [2, 3, 2**40]])
def test_what_is_no_token_is_refused(model: RecordingModel, tokens: list[int]) -> None:
    with pytest.raises(ValueError, match="no token ids below 40"):
        model.judge([np.array(tokens)])
    with pytest.raises(ValueError, match="no token ids below 40"):
        model.tally().add(np.array(tokens))


def test_the_seed_decides(model: RecordingModel) -> None:
    new = walks(50, 1)
    again = RecordingModel.fit(walks(300, 0), SIZE).judge(new).rareness
    other = RecordingModel.fit(walks(300, 0), SIZE, seed=1).judge(new).rareness
    assert again.tolist() == model.judge(new).rareness.tolist()
    assert again.tolist() != other.tolist()


@pytest.mark.parametrize("recordings", [walks(59, 0), [np.array([2, 3])] * 100])
def test_too_few_or_hardly_any_different_ones_are_refused(recordings: list[IntArray]) -> None:
    with pytest.raises(SplitError, match="too few to say which are rare"):
        RecordingModel.fit(recordings, SIZE)


def test_learning_is_bounded_and_says_what_was_left_out() -> None:
    learnt = walks(200, 0)
    bounds = LearningBounds(recordings=80, of_one=100, references=30)
    model = RecordingModel.fit(learnt, SIZE, bounds=bounds)
    assert model.left_out == {
        "recordings": 120,
        "events of long recordings": sum(max(0, len(tokens) - 100) for tokens in learnt),
    }
    assert model.references.present.shape[0] == 30
    assert p_of(model, np.random.default_rng(0).permutation(walks(1, 9)[0])) < 0.02


def test_contexts_get_no_longer_than_there_is_room_for() -> None:
    learnt = walks(100, 0)
    whole = RecordingModel.fit(learnt, SIZE)
    bounded = RecordingModel.fit(learnt, SIZE, bounds=LearningBounds(grams=300))
    grams = sum(len(level.grams) for level in bounded.habits.levels)
    assert len(whole.habits.levels) == ORDER
    assert 1 < len(bounded.habits.levels) < ORDER
    assert grams <= 300
    new = walks(1, 9, least=400, most=401)
    tally = bounded.tally()
    for piece in np.split(new[0], [1, 3, 100]):
        tally.add(piece)
    judged = bounded.judge(new)
    assert bounded.judge_tallies([tally]).rareness.tolist() == judged.rareness.tolist()
    read = RecordingModel.read(bounded.arrays(), bounded.state())
    assert read.judge(new).rareness.tolist() == judged.rareness.tolist()


def test_it_is_the_same_when_read_back(model: RecordingModel) -> None:
    read = RecordingModel.read(model.arrays(), model.state())
    new = walks(50, 1)
    assert read.judge(new).rareness.tolist() == model.judge(new).rareness.tolist()
    assert read.state() == model.state()


def changed(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Any:
    """A test's parameter: the array of this name, changed."""
    return pytest.param(name, change, id=f"{name}")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        changed("events", lambda array: array[:-1]),
        changed("events", lambda array: array.astype(np.float64)),
        changed("recordings", lambda array: -array - 1),
        changed("codes", lambda array: array[::-1].copy()),
        changed("holding", lambda array: array + 10_000),
        changed("present.indices", lambda array: array + 100_000),
        changed("present.indptr", lambda array: array + 1),
        changed("present.indptr", lambda array: array[::-1].copy()),
        changed("n", lambda array: array[:0]),
        changed("order.0.grams", lambda array: array[::-1].copy()),
        changed("order.1.counts", lambda array: array * 0),
        changed("tail.0.values", lambda array: array[::-1].copy()),
        changed("tail.5.tail", lambda array: array * np.nan),
    ],
)
def test_damaged_arrays_are_refused(
    model: RecordingModel, name: str, change: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    arrays = model.arrays()
    arrays[name] = change(arrays[name])
    with pytest.raises(ValueError, match=r"\w"):
        RecordingModel.read(arrays, model.state())
    with pytest.raises(ValueError, match=r"\w"):
        RecordingModel.read({key: array for key, array in arrays.items() if key != name}, model.state())


@pytest.mark.parametrize("state", [{}, {"size": 3, "n": 1, "left_out": {}}, {"size": 40, "n": True}])
def test_damaged_state_is_refused(model: RecordingModel, state: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        RecordingModel.read(model.arrays(), state)


def test_of_long_recordings_the_order_counts_and_of_short_ones_what_they_are_made_of(
    model: RecordingModel,
) -> None:
    assert model.counted == COUNTED_IF_SHORT
    long = RecordingModel.fit(walks(90, 0, least=150, most=300), SIZE)
    assert long.counted == COUNTED_IF_LONG
    base = walks(1, 9, least=400, most=401)[0]
    judged = long.judge([np.random.default_rng(0).permutation(base), base])
    assert judged.p_value[0] < 0.01
    assert judged.p_value[1] > 0.1
    assert judged.rareness_of_looks.shape == (2, len(LOOKS))


def test_the_lowest_stretch_is_the_one_whose_mean_surprise_is_least(model: RecordingModel) -> None:
    at = LOOKS.index("order.lowest") - 1
    for length in (1, STRETCH - 1, STRETCH, 350):
        tokens = walks(1, length, least=length, most=length + 1)[0]
        tally = model.tally()
        for piece in np.array_split(tokens, 5):
            tally.add(piece)
        surprise = model.habits.surprise(tokens, np.full(ORDER - 1, 0)) * UNIT
        stretch = min(STRETCH, length)
        means = [surprise[begin : begin + stretch].mean() for begin in range(length - stretch + 1)]
        assert tally.looks()[at] == pytest.approx(min(means))


def test_a_model_of_an_earlier_version_and_looks_that_there_are_not_are_refused(
    model: RecordingModel,
) -> None:
    arrays, state = model.arrays(), model.state()
    with pytest.raises(ValueError, match="earlier version: learn again"):
        RecordingModel.read({**arrays, "counts.indices": arrays["present.indices"]}, state)
    for bad in ([], ["order.mean", "order.mean"], ["order.best"]):
        with pytest.raises(ValueError, match="counted"):
            RecordingModel.read(arrays, {**state, "counted": bad})


def test_how_often_an_n_gram_comes_says_nothing_of_neighbours_and_whether_it_comes_does(
    model: RecordingModel,
) -> None:
    ring = np.arange(20) + 2
    once, often = np.r_[ring, ring], np.tile(ring, 10)
    strange = np.r_[ring[:10], ring[9::-1], ring]  # the same events, half of them backwards
    neighbours = model.judge([once, often, strange]).strangeness[:, LOOKS.index("neighbours")]
    assert neighbours[0] == pytest.approx(neighbours[1])
    assert neighbours[2] > 2 * neighbours[0]


def test_n_grams_of_many_kinds_of_events_stay_numbers_and_differ() -> None:
    before = np.zeros(ORDER - 1, dtype=np.int64)
    for size, longest in ((1 << 20, 3), ((1 << 20) + 1, 2), (1 << 24, 2)):
        tokens = np.array([size - 1, size - 2, size - 1, 2], dtype=np.int64)
        codes = habits.gram_codes(tokens, before, 0, size)
        assert len(codes) == sum(len(tokens) - n for n in range(longest))
        assert codes.min() >= 0
        # Of four events three are different, and so is every pair and every three.
        assert len(np.unique(codes)) == 3 + 3 + (2 if longest == 3 else 0)
