"""Times of steps, of which some may have none."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vestige.reading.steps import NO_TIME
from vestige.reading.times import duration, placed, rfc3339, span, tells_apart


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_a_step_without_a_time_stands_at_the_known_one_before_it_else_after_it() -> None:
    t_ns = ints(NO_TIME, 5, NO_TIME, 3, NO_TIME, NO_TIME, 8)
    recording = ints(0, 0, 0, 0, 1, 2, 2)
    assert placed(t_ns, recording).tolist() == [5, 5, 5, 3, NO_TIME, 8, 8]


@given(st.lists(st.tuples(st.integers(0, 3), st.one_of(st.just(NO_TIME), st.integers(0, 9))), max_size=30))
def test_steps_are_placed_as_if_one_looked_for_each_alone(steps: list[tuple[int, int]]) -> None:
    found = placed(ints(*(when for _, when in steps)), ints(*(of for of, _ in steps)))
    for at, (of, when) in enumerate(steps):
        known = [
            (number, other) for number, (its, other) in enumerate(steps) if its == of and other != NO_TIME
        ]
        before = [other for number, other in known if number <= at]
        after = [other for number, other in known if number > at]
        wanted = when
        if when == NO_TIME:
            wanted = before[-1] if before else next(iter(after), NO_TIME)
        assert found[at] == wanted


def test_spans_are_of_known_times() -> None:
    assert span(ints(NO_TIME, 4, 2)) == (2, 4)
    assert span(ints(NO_TIME)) is span(ints()) is None
    assert tells_apart(ints(NO_TIME, 4, 2))
    assert not tells_apart(ints(NO_TIME, 4))


def test_no_time_is_no_text() -> None:
    assert rfc3339(ints(NO_TIME, 1_500_000_000_000_000_007)) == [None, "2017-07-14T02:40:00.000000007Z"]


def test_spans_are_told_in_two_digits() -> None:
    spans = (0.0004, 0.25, 9.96, 90, 7_200, 100_000, 200_000, 4e9, float("nan"))
    assert [duration(seconds) for seconds in spans] == [
        "0.4 ms", "250 ms", "10 s", "1.5 min", "2 h", "28 h", "2.3 days", "46,296 days", "an unknown time",
    ]  # fmt: skip
