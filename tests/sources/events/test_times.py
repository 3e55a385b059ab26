"""Times: ISO in its variants, epoch numbers by unit and magnitude, exact to the nanosecond."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vestige.sources.events.options import TimeUnit
from vestige.sources.events.strptime import TimeFormat
from vestige.sources.events.times import BAD, TimeReader

T = 1_772_438_400 * 10**9
"""2026-03-02T08:00:00Z."""
HOUR = 3600 * 10**9
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("2026-03-02T08:00:00Z", T),
        ("2026-03-02T08:00:00", T),
        (" 2026-03-02 08:00:00 ", T),
        ("2026-03-02T09:00:00+01:00", T),
        ("2026-03-02T03:30:00-0430", T),
        ("2026-03-02T03:30:00\u221204:30", T),
        ("2/Mar/2026:03:30:00 \u22120430", T),
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
        ("/Date(1772438400250)/", T + 250_000_000),
        ("\\/Date(1772438400250+0200)\\/", T + 250_000_000),
        ("1772438400.123:4711", T + 123_000_000),
        ("audit(1772438400.123:4711)", T + 123_000_000),
        ("1772438400." + "25" + "0" * 300, T + 250_000_000),
        ("2026-03-02T08:00:00.25" + "0" * 100 + "Z", T + 250_000_000),
        ("1772438400250e-3", T + 250_000_000),
        ("17724384.0025E+2", T + 250_000_000),
        ("3/14/2026, 8:00:00.250 PM", T + 12 * DAY + 12 * HOUR + 250_000_000),
        ("3/14/2026 12:00 AM", T + 12 * DAY - 8 * HOUR),
        ("14/3/2026 12:00:00 p.\u00a0m.", T + 12 * DAY + 4 * HOUR),
        ("3/14/2026 12:00:00\u202fPM", T + 12 * DAY + 4 * HOUR),
        ("14/03/2026 08:00:00", T + 12 * DAY),
        ("3/3/26 8:00 a.m.", T + DAY),
        ("02.03.2026 08:00:00", T),
        ("2.3.2026, 08:00:00,250", T + 250_000_000),
        ("2026/03/02 08:00:00", T),
        ("2026-03-02 8:00:00 AM", T),
        ("2026-03-02 08:00:00 PM", T + 12 * HOUR),
        ("02/Mar/2026:08:00:00 +0000", T),
        ("02-Mar-2026 08:00:00.250", T + 250_000_000),
        ("Mon, 02 Mar 2026 09:00:00 +0100", T),
        ("Mon, 2 Mar 2026 08:00:00 GMT", T),
        ("March 2, 2026 8:00:00 AM", T),
        ("March 2, 2026 at 8:00 AM UTC", T),
        ("Mon Mar  2 08:00:00 2026", T),
        ("Mon Mar  2 08:00:00 2026 UTC", T),
        ("Mon Mar  2 08:00:00 UTC 2026", T),
        ("2026-03-02T09:00:00+01:00[Europe/Berlin]", T),
        ("2026-03-02 08:00:00 GMT", T),
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
        "1900-01-00T00:00:14Z", "18446743758090351616", "-1772438400", "/Date(-5)/", "3/4/2026 08:00:00",
        "13/13/2026", "3/14/2026 13:00 PM", "3/14/2026 0:00 AM", "2026-03-02T08:00:00 Eastern Daylight Time",
        "Mon Foo  2 08:00:00 2026", "2026-03-02 08:00:00 CEST", "30/Feb/2026:08:00:00 +0000",
    ],
)  # fmt: skip
def test_what_is_no_time_is_bad(text: str) -> None:
    assert TimeReader().read(text) == BAD


def test_ticks_of_dotnet_are_no_nanoseconds() -> None:
    assert TimeReader().read("638505760891230000") == 1_714_979_289_123_000_000
    assert TimeReader("ns").read("638505760891230000") == 638_505_760_891_230_000
    assert TimeReader().read("1714979289123000000") == 1_714_979_289_123_000_000


def test_letters_of_rfc_3339_may_be_small() -> None:
    assert TimeReader().read("2024-05-06t07:08:09.5z") == 1_714_979_289_500_000_000


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


@pytest.mark.parametrize("text", ["3/4/2026 08:00:00", "3-4-26 8:00 AM"])
def test_whoever_says_how_dates_begin_is_followed(text: str) -> None:
    assert TimeReader(day_first=False).read(text) == T + 2 * DAY
    assert TimeReader(day_first=True).read(text) == T + 32 * DAY
    reader = TimeReader()
    assert (reader.read(text), reader.dates.either, reader.dates.example) == (BAD, 1, text)


@pytest.mark.parametrize(
    ("layout", "text", "ns"),
    [
        ("%d/%m/%Y %I:%M:%S %p", "02/03/2026 08:00:00 AM", T),
        ("%d/%m/%Y %I:%M:%S.%f %p", "02/03/2026 08:00:00.25 PM", T + 12 * HOUR + 250_000_000),
        ("%m/%d/%y %H:%M", "03/02/26 08:00", T),
        ("%b %d %Y %T %z", "Mar  2 2026 10:00:00 +02:00", T),
        ("%b %d %Y %T %z", "Mar  2 2026 06:00:00 \u22122", BAD),
        ("%b %d %Y %T %z", "Mar  2 2026 06:00:00 \u221202", T),
        ("%A, %d %B %Y %H:%M", "Monday, 2 March 2026 08:00", T),
        ("%F", "2026-03-02", T - 8 * HOUR),
        ("%s.%f", "1772438400.000000001", T + 1),
        ("%Y%m%d%H%M%S", "20260302080000", T),
        ("%d.%m.%Y %T Eastern Time", "02.03.2026 08:00:00 Eastern Time", T),
        ("%Y %d %m%%", "2026 02 03%", T - 8 * HOUR),
    ],
)
def test_a_layout_of_ones_own(layout: str, text: str, ns: int) -> None:
    assert TimeReader(formats=(layout,)).read(f" {text} ") == ns
    assert TimeReader(formats=(layout,)).read(text + "x") == BAD
    assert TimeReader(formats=(layout,)).read("2026-03-02T08:00:00Z") == BAD


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("%H:%M", "must give a year"), ("%Y-%H", "must give a month"), ("%Y-%m", "must give a day"),
        ("%Q", "unknown directive %Q"), ("%d%d %m %Y", "%d comes twice"), ("%F %I:%M", "needs %p"),
        ("%Y-%m-%d %", "unknown directive"),
    ],
)  # fmt: skip
def test_a_wrong_layout_is_an_error(layout: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TimeFormat(layout)


@given(
    MOMENTS, st.sampled_from(["%d/%m/%Y %I:%M:%S.%f %p", "%m/%d/%Y %H:%M:%S.%f", "%d %B %Y %I:%M:%S.%f %p"])
)
def test_layouts_read_what_strftime_writes(moment: datetime, layout: str) -> None:
    since = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    expected = (since // timedelta(microseconds=1)) * 1000
    text = moment.strftime(layout)
    assert TimeFormat(layout).read(text) == expected
    assert TimeReader(day_first=layout.startswith("%d")).read(text) == expected


PIECES = st.sampled_from([*"0123456789/.-:, TZ+@", "Mar", "PM", "am", "Date(", ")", "e", "UTC", "\u202f"])


@given(st.lists(PIECES, max_size=24).map("".join), st.sampled_from([None, True, False]))
def test_anything_like_a_time_is_one_or_bad(text: str, day_first: bool | None) -> None:
    found = TimeReader(day_first=day_first).read(text)
    assert found == BAD or 0 <= found < 2**63
