"""Messages whose times cannot be read: they have none, are told of, and stand where the one before does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.reading.raw import live
from vestige.engine import LocalEngine
from vestige.evidence.defects import DETAIL, LeftOut
from vestige.reading.prepare import prepare as read
from vestige.reading.steps import NO_TIME
from vestige.reading.times import rfc3339
from vestige.reading.windows import WindowSet
from vestige.sources.logs.clock import MOST_NAMED
from vestige.sources.logs.options import LogOptions
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.source import LogSource

GOOD = "2015-10-18 18:00:{second:02},250 INFO [main] a.B: step\n"
BAD = "2015-13-18 18:00:00,250 INFO [main] a.B: step\n"


def prepare(log: Path, out: Path, **options: Any) -> WindowSet:
    options = {"format": "hadoop", "label": "none", **options}
    return LogSource().prepare(log, out, LogOptions(**options), engine=LocalEngine(1))


def test_a_time_that_cannot_be_read_is_no_other_time(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text(BAD + GOOD.format(second=1) + BAD + GOOD.format(second=3))
    windows = prepare(log, tmp_path / "d")
    first, second = 1_445_191_201_250_000_000, 1_445_191_203_250_000_000
    assert windows.t_ns.tolist() == [NO_TIME, first, NO_TIME, second]
    assert windows.placed_ns.tolist() == [first, first, first, second]
    assert windows.streams.at("t_ns", windows.target_step).tolist() == [first, first, first, second]
    assert windows.recordings.row(0, named=True)["t_start_ns"] == first
    left_out = LeftOut.of_notes(windows.notes, tmp_path)
    assert [(told.file, told.row, told.what) for told in left_out.first] == [
        ("app.log", 1, DETAIL), ("app.log", 3, DETAIL),
    ]  # fmt: skip
    assert windows.notes["bad_times"] == 2
    batches = list(live([log], windows.schema))
    assert np.concatenate([batch.t_ns for batch in batches]).tolist() == windows.t_ns.tolist()


def test_the_first_are_named_and_all_counted_in_parts_as_in_the_whole(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(GOOD.format(second=n % 60) + BAD for n in range(3 * MOST_NAMED)))
    whole = prepare(log, tmp_path / "whole")
    reader = LogReader.of_corpus(log, LogOptions(format="hadoop", label="none"))
    reader.part_bytes = 700
    reader.small = 0
    read(reader, log, tmp_path / "parts", engine=LocalEngine(2))
    parts = WindowSet.open(tmp_path / "parts")
    assert np.array_equal(whole.t_ns, parts.t_ns)
    for windows in (whole, parts):
        left_out = LeftOut.of_notes(windows.notes, tmp_path)
        assert [told.row for told in left_out.first] == [2 * (n + 1) for n in range(MOST_NAMED)]
        assert left_out.counts == {DETAIL: 3 * MOST_NAMED}
        assert windows.notes["bad_times"] == 3 * MOST_NAMED


@pytest.mark.parametrize("name", ["plain"])
def test_lines_without_times_are_not_of_1970_and_nothing_is_wrong_with_them(
    tmp_path: Path, name: str
) -> None:
    log = tmp_path / "notes.log"
    log.write_text("first\nsecond\n")
    windows = prepare(log, tmp_path / "d", format=name)
    assert rfc3339(windows.t_ns) == [None, None]
    assert windows.recordings.row(0, named=True)["t_start_ns"] is None
    assert windows.notes["bad_times"] == 0
    assert LeftOut.of_notes(windows.notes, tmp_path).counts == {}
