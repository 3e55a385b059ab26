"""Times: ISO in its variants, epoch numbers by unit and magnitude, exact to the nanosecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.sources.events.options import TimeUnit
from vestige.sources.events.times import BAD, TimeReader

T = 1_772_438_400 * 10**9
"""2026-03-02T08:00:00Z."""


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-03-02T08:00:00Z", T),
        ("2026-03-02T08:00:00", T),
        (" 2026-03-02 08:00:00 ", T),
        ("2026-03-02T09:00:00+01:00", T),
        ("2026-03-02T03:30:00-0430", T),
        ("2026-03-02T08:00:00.123456789Z", T + 123_456_789),
        ("2026-03-02 08:00:00,5", T + 500_000_000),
        ("2026-03-02T08:00:00.1234567891Z", T + 123_456_789),
        ("2026-03-02 08:00:00 UTC", T),
        ("2026-03-02T08:00", T),
        ("2026-03-02", T - 8 * 3600 * 10**9),
        ("20260302T080000Z", T),
        ("Mar 2, 2026 @ 08:00:00.250", T + 250_000_000),
        ("1772438400", T),
        ("1772438400.25", T + 250_000_000),
        ("1772438400.123456789", T + 123_456_789),
        ("1772438400000", T),
        ("1772438400000000", T),
        ("1772438400000000001", T + 1),
        ("1.7724384E9", T),
        ("1.7724384e+12", T),
        ("0", 0),
    ],
)
def test_auto_reads_what_siems_write(text: str, ns: int) -> None:
    assert TimeReader().read(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "-5", "2026-13-02T08:00:00Z", "2026-02-30", "2026-03-02T25:00:00Z", "1969-12-31T23:59:59Z",
        "9999-01-01T00:00:00Z", "2026-03-02T08:00:00Zulu", "9" * 30, "1e99", "1772438400 s", "NaN",
        "２０２６-03-02", "0000-01-01", "2026-03-02T08:00:00+1",
    ],
)  # fmt: skip
def test_what_is_no_time_is_bad(text: str) -> None:
    assert TimeReader().read(text) == BAD


def test_a_unit_decides_whatever_the_magnitude() -> None:
    texts: dict[TimeUnit, str] = {"s": "12.5", "ms": "12500", "us": "12500000", "ns": "12500000000"}
    for unit, text in texts.items():
        assert TimeReader(unit).read(text) == 12_500_000_000
        assert TimeReader(unit).read("2026-03-02") == BAD
    assert TimeReader("iso").read("1772438400") == BAD


MOMENTS = st.datetimes(datetime(1970, 1, 3), datetime(2261, 1, 1))  # noqa: DTZ001 - zones are added below
OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.lists(st.tuples(MOMENTS, OFFSETS), max_size=20))
def test_iso_times_are_exact_and_remembering_seconds_changes_nothing(
    moments: list[tuple[datetime, timezone]],
) -> None:
    reader = TimeReader()
    for moment, zone in moments:
        aware = moment.replace(tzinfo=zone)
        since = aware - datetime(1970, 1, 1, tzinfo=UTC)
        expected = (since // timedelta(microseconds=1)) * 1000
        assert reader.read(aware.isoformat()) == expected
        assert TimeReader().read(aware.isoformat(" ")) == expected


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_bad(text: str) -> None:
    assert TimeReader().read(text) >= BAD
