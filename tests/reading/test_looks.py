"""How far a text is from known ones, and how long what came took."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.reading.novelty import Novelty
from vestige.reading.pace import LEAST_SPREAD, Pace, gap_and_span, hour_of
from vestige.reading.steps import NO_TIME

KNOWN = (
    "session opened for user <*> by <num>",
    "session closed for user <*>",
    "connection from <ip> port <num>",
)
SECOND = 10**9


def test_a_known_text_has_no_distance_a_kin_some_and_a_stranger_much() -> None:
    novelty = Novelty.of(KNOWN)
    texts = [KNOWN[0], "session opened for user mallory by <num>", "segfault at 0 in libc", ""]
    distance, which = novelty.nearest(texts)
    assert distance[0] == pytest.approx(0, abs=1e-9)
    assert 0 < distance[1] < 0.5
    assert distance[2] > 0.8
    assert distance[3] == 1
    assert which.tolist()[:2] == [0, 0]
    assert which[3] == -1


def test_numbers_within_words_make_no_difference() -> None:
    distance, _ = Novelty.of(("worker-12 started",)).nearest(["worker-7 started", "worker-1234 started"])
    assert distance == pytest.approx([0, 0], abs=1e-9)


def test_nothing_known_makes_everything_new() -> None:
    distance, which = Novelty.of(()).nearest(["anything"])
    assert (distance.tolist(), which.tolist()) == ([1.0], [-1])


@given(st.lists(st.text(max_size=80), max_size=8), st.lists(st.text(max_size=80), max_size=8))
def test_distances_are_shares_whatever_the_texts(known: list[str], texts: list[str]) -> None:
    distance, which = Novelty.of(known).nearest(texts)
    assert ((distance >= 0) & (distance <= 1)).all()
    assert ((which >= -1) & (which < max(len(known), 1))).all()


def test_gaps_and_spans_are_those_of_steps_with_times() -> None:
    t_ns = np.array([[0, 1, 3], [0, 1, 3], [5, NO_TIME, 9]]) * np.where(
        np.array([[1, 1, 1], [1, 1, 1], [1, 0, 1]]), SECOND, 1
    )
    t_ns[2, 1] = NO_TIME
    real = np.array([[True, True, True], [False, True, True], [True, True, True]])
    gap, span = gap_and_span(t_ns, real)
    assert np.exp(gap)[:2] == pytest.approx([2, 2])
    assert np.isnan(gap[2])
    assert np.exp(span)[[0, 2]] == pytest.approx([3, 4])
    assert np.isnan(span[1])  # the window is not full


def _pace() -> Pace:
    rng = np.random.default_rng(0)
    tokens = np.repeat([2, 3], 2_000)
    gap = np.where(tokens == 2, np.log(10), np.log(600)) + rng.normal(0, 0.1, 4_000)
    hour = rng.integers(0, 24, 4_000)
    gap[hour == 3] += np.log(6)
    return Pace.fit(tokens, gap, np.full(4_000, np.nan), hour, 4)


def test_a_gap_is_long_for_its_own_event_and_hour() -> None:
    pace = _pace()
    asked = np.log([60.0, 60.0, 60.0])
    none = np.full(3, np.nan)
    found = pace.strangeness(np.array([2, 3, 2]), asked, none, np.array([12, 12, 3]))
    assert found[0, 0] > 5  # six times as long as is usual at noon
    assert found[1, 0] == 0  # 600 s are usual before the other event
    assert found[2, 0] < 1  # and at three o'clock everything takes six times as long
    assert (found[:, 1] == 0).all()


def test_a_pace_survives_its_state_and_a_damaged_one_is_refused() -> None:
    pace = _pace()
    state = {name: getattr(pace, name).tolist() for name in ("gap", "span", "hours")}
    assert np.array_equal(Pace.of(state).gap, pace.gap)
    assert (pace.gap[:, 1:] >= LEAST_SPREAD).all()
    with pytest.raises(ValueError, match="cannot be"):
        Pace.of({**state, "hours": [[0, 0]]})


def test_the_hour_of_no_time_is_the_first() -> None:
    assert hour_of(np.array([NO_TIME, 0, 25 * 3_600 * SECOND])).tolist() == [0, 0, 1]
