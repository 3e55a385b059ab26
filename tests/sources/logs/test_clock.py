"""Times of log lines."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.sources.logs.clock import BAD, FRAME_YEAR, Clock, TimeParser, dated, shape


def ns(
    year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0, *, nanoseconds: int = 0
) -> int:
    moment = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    return int(moment.timestamp()) * 1_000_000_000 + nanoseconds


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001
def test_times_are_exact_to_the_microsecond(moment: datetime) -> None:
    parser = TimeParser(["%Y-%m-%d", "%H:%M:%S.%f"])
    whole = ns(moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    texts = (f"{moment.year:04}-{moment:%m-%d}", f"{moment:%H:%M:%S}.")
    assert parser.parse(texts, f"{moment:%f}") == whole + moment.microsecond * 1000


@pytest.mark.parametrize(
    ("layouts", "texts", "expected"),
    [
        (["%y%m%d", "%H%M%S"], ("081109", "203615"), ns(2008, 11, 9, 20, 36, 15)),
        (["%a %b %d %H:%M:%S %Y"], ("Sun Dec  4 04:47:44 2005",), ns(2005, 12, 4, 4, 47, 44)),
        (["%s"], ("1131566461",), 1_131_566_461 * 10**9),
        (["%Y-%m-%dT%H:%M:%S%z"], ("2020-02-29T12:00:00+02:30",), ns(2020, 2, 29, 9, 30)),
        (["%Y-%m-%dT%H:%M:%S%z"], ("2020-02-29T12:00:00Z",), ns(2020, 2, 29, 12)),
        (["%Y-%m-%d"], ("2021-02-29",), BAD),
        (["%Y-%m-%d"], ("9999-01-01",), BAD),
        (["%Y-%m-%d %H"], ("2020-01-01 24",), BAD),
        (["%b %d"], ("Foo 1",), BAD),
        (["%s"], ("99999999999",), BAD),
    ],
)
def test_layouts(layouts: list[str], texts: tuple[str, ...], expected: int) -> None:
    assert TimeParser(layouts).parse(texts, None) == expected


@pytest.mark.parametrize(
    ("layouts", "reason"),
    [(["%H:%M"], "a day"), (["%d %H"], "a month"), (["%Y %m %d", "%Y"], "twice")],
)
def test_layouts_that_name_no_time_are_refused(layouts: list[str], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        TimeParser(layouts)


@pytest.mark.parametrize(("text", "milliseconds"), [("9", 9), ("09", 9), ("96", 96), ("606", 606), ("0", 0)])
def test_milliseconds_need_no_leading_zeros(text: str, milliseconds: int) -> None:
    parser = TimeParser(["%Y%m%d-%H:%M:%S:%L"])
    assert parser.parse(("20171223-22:15:35:",), text) == ns(2017, 12, 23, 22, 15, 35) + milliseconds * 10**6
    with pytest.raises(ValueError, match="at the end"):
        shape("%L %H")


@pytest.mark.parametrize(("layout", "reason"), [("%Q", "unknown directive"), ("%f %H", "at the end")])
def test_unknown_directives_are_refused(layout: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        shape(layout)


def syslog(*texts: str) -> np.ndarray:
    parser = TimeParser(["%b", "%d", "%H:%M:%S"])
    return np.array([parser.parse(tuple(text.split()), None) for text in texts])


LINES = (
    "Feb 29 10:00:00",
    "Nov 3 10:00:00",
    "Dec 31 23:59:59",
    "Jan 1 00:00:00",
    "Dec 31 23:59:59",
    "Mar 1 1:2:3",
)


@pytest.mark.parametrize("cut", range(len(LINES) + 1))
def test_a_new_year_is_noticed_and_a_straggler_of_the_old_one_too(cut: int) -> None:
    # There was no 29 February in 2007.
    clock = Clock(2007)
    times = [*clock.set(syslog(*LINES[:cut])), *clock.set(syslog(*LINES[cut:]))]
    assert times == [
        BAD,
        ns(2007, 11, 3, 10),
        ns(2007, 12, 31, 23, 59, 59),
        ns(2008, 1, 1),
        ns(2007, 12, 31, 23, 59, 59),
        ns(2008, 3, 1, 1, 2, 3),
    ]


@given(st.lists(st.one_of(st.just(BAD), st.integers(0, 10**18)), max_size=20), st.integers(0, 20))
def test_a_message_without_a_time_stands_where_the_one_before_it_does(times: list[int], cut: int) -> None:
    values = np.array(times, dtype=np.int64)
    clock = Clock(None, last_ns=7)
    assert clock.set(values).tolist() == times
    got = [*clock.place(values[:cut]), *clock.place(values[cut:])]
    expected, last = [], 7
    for when in times:
        last = last if when == BAD else when
        expected.append(last)
    assert got == expected


@given(
    st.lists(
        st.tuples(
            st.datetimes(min_value=datetime(FRAME_YEAR, 1, 1), max_value=datetime(FRAME_YEAR, 12, 31, 23)),  # noqa: DTZ001
            st.integers(min_value=1970, max_value=2200),
        ),
        min_size=1,
        max_size=9,
    ),
    st.booleans(),
)
def test_a_time_moves_into_its_year_or_is_of_no_day(found: list[tuple[datetime, int]], alike: bool) -> None:
    if alike:
        found = [(moment, found[0][1]) for moment, _ in found]
    expected = []
    for moment, year in [*found, (datetime(FRAME_YEAR, 2, 29, 1), found[0][1])]:  # noqa: DTZ001
        try:
            moved = moment.replace(year=year, tzinfo=UTC)
        except ValueError:
            expected.append(BAD)
            continue
        whole = ns(moved.year, moved.month, moved.day, moved.hour, moved.minute, moved.second)
        expected.append(whole + moved.microsecond * 1000)
    moments = [moment for moment, _ in found] + [datetime(FRAME_YEAR, 2, 29, 1)]  # noqa: DTZ001
    frame = np.array(moments, "datetime64[ns]").astype(np.int64)
    years = np.array([year for _, year in found] + [found[0][1]], np.int64)
    assert dated(frame, years).tolist() == expected
