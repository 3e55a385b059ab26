"""Years of logs whose times name none."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vestige.engine import LocalEngine
from vestige.evidence.files import EvidenceFile
from vestige.reading.prepare import prepare as read
from vestige.reading.windows import WindowSet
from vestige.sources.logs import years
from vestige.sources.logs.clock import FRAME_YEAR, Clock
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.parse import Rules
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.source import LogSource

WRITTEN = datetime(2026, 11, 28, 12, tzinfo=UTC)


def write(path: Path, *days: str, written: datetime = WRITTEN) -> Path:
    """A syslog with a line a day."""
    text = "".join(f"{day} box su[{n}]: fine\n" for n, day in enumerate(days))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    os.utime(path, (written.timestamp(), written.timestamp()))
    return path


def prepare(log: Path, out: Path, **options: Any) -> WindowSet:
    options = {"format": "rfc3164", "label": "none", **options}
    return LogSource().prepare(log, out, LogOptions(**options), engine=LocalEngine(1))


def days(windows: WindowSet) -> list[str]:
    return [str(moment)[:10] for moment in windows.t_ns.view("datetime64[ns]")]


CASES = {
    "the last line is of the last year that fits": (
        {}, ["Nov 30 10:00:00", "Dec 31 23:59:59", "Jan  1 00:00:01", "Aug 27 10:00:00"],
        ["2025-11-30", "2025-12-31", "2026-01-01", "2026-08-27"],
    ),
    "nothing is later than the day it was written": (
        {}, ["Nov 27 10:00:00", "Dec 24 10:00:00"], ["2025-11-27", "2025-12-24"],
    ),
    "but for the zone it was written in": ({}, ["Nov 29 01:00:00"], ["2026-11-29"]),
    "a day given": (
        {"year": "2021-12-12"}, ["Feb 29 10:00:00", "Dec 12 10:00:00", "Feb  2 10:00:00", "Dec 12 23:00:00"],
        ["2020-02-29", "2020-12-12", "2021-02-02", "2021-12-12"],
    ),
    "a leap year": ({}, ["Feb 28 10:00:00", "Feb 29 10:00:00", "Mar  1 10:00:00"],
        ["2024-02-28", "2024-02-29", "2024-03-01"],
    ),
    "a year given is that of the first line": (
        {"year": "2019"}, ["Dec 31 10:00:00", "Jan  1 10:00:00"], ["2019-12-31", "2020-01-01"],
    ),
    "lines out of order": (
        {"year": "2015"}, ["Feb 21 12:00:00", "Jan 11 12:00:00", "Feb 21 12:00:00", "Jan 31 12:00:00"],
        ["2015-02-21", "2015-01-11", "2015-02-21", "2015-01-31"],
    ),
    "a clock that begins in 1970 at each start": (
        {"year": "2021"},
        ["Nov 20 09:00:00", "Jan  1 00:00:05", "Nov 20 09:05:00", "Jan  1 01:00:07", "Jan  2 01:00:07",
         "Nov 25 09:00:00", "Dec 30 10:00:00", "Jan  1 00:00:03", "Jan 20 10:00:00"],
        ["2021-11-20", "2021-01-01", "2021-11-20", "2021-01-01", "2021-01-02", "2021-11-25", "2021-12-30",
         "2022-01-01", "2022-01-20"],
    ),
    "the same west of Greenwich": (
        {"year": "2021"}, ["Feb 10 09:00:00", "Dec 31 19:00:05", "Feb 10 09:05:00", "Jun  1 10:00:00"],
        ["2021-02-10", "2020-12-31", "2021-02-10", "2021-06-01"],
    ),
    "a file that begins with a clock that was not set": (
        {"year": "2021"}, ["Jan  1 00:00:05", "Dec 20 10:00:00", "Jan  1 00:00:07", "Jan  3 10:00:00"],
        ["2021-01-01", "2021-12-20", "2022-01-01", "2022-01-03"],
    ),
    "two clocks in a file, one of them months behind": (
        {"year": "2015"},
        ["Aug 21 10:00:00", "Jan 11 08:00:00", *["Aug 21 11:00:00", "Jan 11 09:00:00"] * 3, "Aug 22 10:00:00",
         "Dec 31 10:00:00", "Jan  1 10:00:00", "Jan 12 10:00:00"],
        ["2015-08-21", "2016-01-11", *["2015-08-21", "2015-01-11"] * 3, "2015-08-22", "2015-12-31",
         "2016-01-01", "2016-01-12"],
    ),
    "a clock that nobody ever sets": ({}, ["Jan  1 00:00:05", "Jan  1 00:01:05"], ["2026-01-01"] * 2),
}  # fmt: skip


@pytest.mark.parametrize(("options", "lines", "expected"), CASES.values(), ids=CASES)
def test_years(tmp_path: Path, options: dict[str, Any], lines: list[str], expected: list[str]) -> None:
    log = write(tmp_path / "messages", *lines)
    assert days(prepare(log, tmp_path / "d", **options)) == expected


def test_what_was_assumed_is_told_and_what_was_given_is_not(tmp_path: Path) -> None:
    log = write(tmp_path / "messages", "Dec 31 23:59:59", "Jan  1 00:00:01")
    (told,) = prepare(log, tmp_path / "d").notes["warnings"]
    assert "2025 to 2026 is assumed, by the day the file was last written (2026-11-28)" in told
    assert "warnings" not in prepare(log, tmp_path / "e", year="2025").notes


def test_two_29_februaries_that_cannot_both_be_are_told(tmp_path: Path) -> None:
    lines = ["Feb 29 10:00:00", "Nov  1 10:00:00", "Feb 28 10:00:00", "Feb 29 10:00:00"]
    windows = prepare(write(tmp_path / "messages", *lines), tmp_path / "d")
    assert "1 times of a 29 February are then of no day" in windows.notes["warnings"][0]
    assert days(windows).count("NaT") == 1
    assert windows.notes["left_out_counts"] == {"a detail": 1}


def test_files_of_a_rotated_log_agree_though_all_were_copied_today(tmp_path: Path) -> None:
    root = tmp_path / "c"
    write(root / "syslog", "Jan 10 10:00:00", "Feb  1 10:00:00")
    write(root / "syslog.1", "Dec 10 10:00:00", "Jan 10 09:00:00")
    write(root / "syslog.2.gz", "Oct  1 10:00:00", "Nov 10 10:00:00")
    write(root / "other", "Nov 10 10:00:00")
    windows = prepare(root, tmp_path / "d")
    of = dict(zip(windows.recordings["id"], np.split(np.array(days(windows)), [1, 3, 5]), strict=True))
    assert of["other"].tolist() == ["2026-11-10"]
    assert of["syslog"].tolist() == ["2026-01-10", "2026-02-01"]
    assert of["syslog.1"].tolist() == ["2025-12-10", "2026-01-10"]
    assert of["syslog.2.gz"].tolist() == ["2025-10-01", "2025-11-10"]
    given = prepare(root, tmp_path / "e", year="2008")
    assert days(given)[1:] == [
        "2009-01-10", "2009-02-01", "2008-12-10", "2009-01-10", "2008-10-01", "2008-11-10",
    ]  # fmt: skip
    reader = LogReader.of_corpus(root, LogOptions(format="rfc3164", label="none", year="2008"))
    reader.small = 0
    read(reader, root, tmp_path / "f", engine=LocalEngine(2))
    assert np.array_equal(WindowSet.open(tmp_path / "f").t_ns, given.t_ns)


def test_a_rotated_file_is_called_by_its_day_and_numbers_alone_are_no_rotation(tmp_path: Path) -> None:
    dated = write(tmp_path / "c" / "messages-20150104", "Dec 30 10:00:00", "Jan  4 03:00:00")
    windows = prepare(dated, tmp_path / "d")
    assert days(windows) == ["2014-12-30", "2015-01-04"]
    assert "the day in the file's name (2015-01-04)" in windows.notes["warnings"][0]
    hosts = [EvidenceFile(tmp_path / name, name, None) for name in ("10.0.0.1", "10.0.0.2", "a.log", "b.log")]
    assert years.rotated(hosts) == {}


def test_a_table_of_lines_was_written_when_its_lines_were(tmp_path: Path) -> None:
    table = tmp_path / "logs.csv"
    table.write_text(
        'file,raw\nauth.log,"Dec 31 23:59:59 box su: on"\nauth.log,"Jan  1 00:00:01 box su: on"\n'
    )
    old = datetime(2015, 6, 1, tzinfo=UTC).timestamp()
    os.utime(table, (old, old))
    assert days(prepare(table, tmp_path / "d")) == ["2014-12-31", "2015-01-01"]


def test_a_file_of_nothing_but_new_years_is_read(tmp_path: Path) -> None:
    log = write(tmp_path / "c" / "messages", *["Aug 21 10:00:00", "Jan 20 10:00:00", "Jul 25 10:00:00"] * 200)
    write(tmp_path / "c" / "messages.1", *["Aug 25 10:00:00", "Jan 10 10:00:00"] * 200)
    for windows in (prepare(log, tmp_path / "d"), prepare(tmp_path / "c", tmp_path / "e", year="1970")):
        known = windows.t_ns.view("datetime64[ns]")
        assert known.min() > np.datetime64("1900-01-01")
        assert known.max() < np.datetime64("2200-01-01")


def test_json_objects_whose_times_name_no_year_are_dated_alike(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    moments = ["Dec 31 23:59:59", "Jan  1 00:00:01", "2026-01-02T00:00:00Z", "Jan  3 00:00:00"]
    log.write_text("".join(f'{{"time": "{moment}", "msg": "on"}}\n' for moment in moments))
    os.utime(log, (WRITTEN.timestamp(), WRITTEN.timestamp()))
    windows = prepare(log, tmp_path / "d", format="auto")
    assert days(windows) == ["2025-12-31", "2026-01-01", "2026-01-02", "2026-01-03"]
    assert "2025 to 2026 is assumed" in windows.notes["warnings"][0]


def test_lines_that_name_their_year_bound_it_for_those_before(tmp_path: Path) -> None:
    log = tmp_path / "syslog"
    old = [f"{day} 10:00:0{n} box su[{n}]: fine\n" for day in ("Dec 30", "Jan  2") for n in range(3)]
    new = [f"2025-01-0{n}T10:00:00Z box su[7]: fine\n" for n in (4, 5)]
    log.write_text("".join([*old, *new]))
    os.utime(log, (WRITTEN.timestamp(), WRITTEN.timestamp()))
    windows = prepare(log, tmp_path / "d", format="auto")
    assert days(windows) == [*["2024-12-30"] * 3, *["2025-01-02"] * 3, "2025-01-04", "2025-01-05"]
    told = "2024 to 2025 is assumed, by the lines behind them that name theirs"
    assert any(told in warning for warning in windows.notes["warnings"])


FRAMES = st.lists(
    st.integers(0, 366 * 24 * 12 - 1).map(
        lambda at: int(np.datetime64(f"{FRAME_YEAR}-01-01", "ns").astype(np.int64)) + at * 300 * 10**9
    ),
    max_size=40,
)


@settings(max_examples=200, deadline=None)
@given(FRAMES, st.integers(0, 40))
def test_years_do_not_depend_on_where_blocks_are_cut(frames: list[int], cut: int) -> None:
    values = np.array(frames, dtype=np.int64)
    whole, parts = Clock(2020), Clock(2020)
    first = parts.set(values[:cut])
    later = Clock(**json.loads(json.dumps(parts.to_dict())))
    assert np.array_equal(np.concatenate([first, later.set(values[cut:])]), whole.set(values))
    assert whole == later


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=90), st.integers(1, 40))
def test_a_log_in_order_is_dated_as_it_was_written(gaps: list[int], step: int) -> None:
    moments = [datetime(2013, 5, 1, 12, tzinfo=UTC)]
    for gap in gaps:
        moments.append(moments[-1] + timedelta(days=gap, minutes=step))
    lines = b"".join(f"{when:%b %d %H:%M:%S} box su: x\n  y\n".encode() for when in moments)
    rules = Rules(load("rfc3164"), LabelRule("none"))
    pieces = [lines[at : at + 97] for at in range(0, len(lines), 97)]
    extent = years._extent(pieces, rules)
    assert extent.years == moments[-1].year - 2013
    first = extent.latest(moments[-1].date() + timedelta(days=1))
    # A 29 February that is there decides; otherwise the day does.
    assert first == 2013
