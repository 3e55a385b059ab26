"""A preview of evidence in which recordings come mixed."""

from __future__ import annotations

from pathlib import Path

from vestige.reading.overview import Overview
from vestige.reading.preview import BLOCK_STEPS, Preview
from vestige.sources.events.options import EventOptions
from vestige.sources.events.source import EventSource


def test_sessions_of_equal_name_are_told_apart_as_in_a_dataset_however_steps_are_cut(tmp_path: Path) -> None:
    file, n = tmp_path / "hdfs_train", BLOCK_STEPS // 2
    file.write_text("".join(f"s{number // 2},1 2 3\n" for number in range(n)))
    reader = EventSource().corpus_reader(file, EventOptions(mapping="sessions"))
    overview = Overview(reader)
    rows = list(Preview(reader, file, overview).rows(None))
    assert (overview.steps, overview.recordings) == (4 * n, n)  # each session has an end of its own
    named = [f"s{number // 2}" + ("#2" if number % 2 else "") for number in range(n)]
    assert [row["recording"] for row in rows[::4]] == named
    assert {row["time"] for row in rows} == {None}
