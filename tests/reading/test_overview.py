"""What the steps of evidence show to be doubtful."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.reading.toy import ToyOptions, ToyReader, ToySource
from vestige.reading.overview import MOST_TEXTS, Overview
from vestige.reading.steps import NO_TIME, RecordingInfo, StepBlock
from vestige.reading.symbols import TextSymbols

S = 10**9
DAY = 1_767_225_600
"""2026-01-01, Unix seconds."""


def reader() -> ToyReader:
    return ToySource().corpus_reader(Path(), ToyOptions())


def steps(
    seconds: Sequence[int | None],
    texts: Sequence[str] = (),
    *,
    host: str = "box",
    recording: str = "a.log",
    label: Sequence[int] | None = None,
    first_line: int = 1,
) -> StepBlock:
    n = len(seconds)
    named = list(dict.fromkeys(texts or ["up"] * n))
    rows = [named.index(text) + 1 for text in texts or ["up"] * n]
    return StepBlock(
        recordings=(RecordingInfo(recording, host=host),),
        recording=np.zeros(n, dtype=np.uint32),
        values={"code": np.array(rows, dtype=np.uint32)},
        t_ns=np.array([NO_TIME if s is None else s * S for s in seconds], dtype=np.int64),
        label=None if label is None else np.array(label, dtype=np.uint8),
        symbols=TextSymbols(named),
        file=recording,
        place={"line": np.arange(first_line, first_line + n, dtype=np.int64)},
        ended=np.array([False]),
    )


def of(*blocks: StepBlock) -> Overview:
    overview = Overview(reader())
    for block in blocks:
        overview.add(block, block.file)
    return overview


def test_it_counts_steps_recordings_and_hosts_and_when_they_were() -> None:
    overview = of(steps([DAY + 5, DAY + 9]), steps([DAY + 7], recording="b.log", host="other"))
    assert (overview.steps, overview.recordings, overview.hosts) == (3, 2, {"box", "other"})
    assert overview.time_range == ["2026-01-01T00:00:05.000000000Z", "2026-01-01T00:00:09.000000000Z"]
    assert overview.warnings() == []


def test_times_that_run_backwards_are_counted_within_a_recording_and_over_blocks() -> None:
    overview = of(
        steps([DAY + 100, DAY + 101, DAY + 90]),
        steps([DAY + 50], recording="b.log"),
        steps([DAY + 89, DAY + 95, DAY + 200_000, DAY + 94], first_line=4),
    )
    assert overview.warnings() == ["times run backwards at 3 steps, by at most 2.3 days; the first: a.log:3"]


def test_a_step_without_a_time_is_told_and_is_not_before_or_after_another() -> None:
    overview = of(steps([DAY, None, DAY + 1]))
    assert overview.warnings() == ["1 of 3 steps has no time"]
    assert overview.time_range == ["2026-01-01T00:00:00.000000000Z", "2026-01-01T00:00:01.000000000Z"]


def test_where_no_step_has_a_time_there_is_no_range_and_nothing_doubtful() -> None:
    overview = of(steps([None, None]))
    assert (overview.time_range, overview.without_time, overview.warnings()) == (None, 2, [])


def test_hosts_that_are_levels_streams_or_numbers_are_doubtful() -> None:
    hosts = [
        "[error]:",
        "INFO",
        "stdout",
        "0",
        "<WARN>",
        "web-1",
        "10.0.0.7",
        "error-host",
        "info.example.org",
    ]
    overview = of(*(steps([DAY], host=host, recording=f"{host}-0.log") for host in hosts))
    assert overview.warnings() == [
        "what was taken for a host looks like a level, a stream or a number: '0', '<WARN>', 'INFO', "
        "'[error]:', 'stdout'"
    ]


def test_one_kind_for_nearly_all_and_a_kind_for_nearly_each_are_doubtful() -> None:
    same = of(steps(range(DAY, DAY + 100), ["login"] * 97 + ["a", "b", "c"]))
    assert same.warnings() == ["nearly all steps (97.0%) are of one kind: 'login'"]
    own = of(steps(range(DAY, DAY + 100), [f"message {number}" for number in range(100)]))
    assert own.warnings() == ["nearly every step is of a kind of its own: 100 kinds in 100 steps"]
    mixed = of(steps(range(DAY, DAY + 100), ["a", "b", "c", "d"] * 25))
    assert mixed.warnings() == []
    few = of(steps(range(DAY, DAY + 20), ["login"] * 20))
    assert few.warnings() == []


def test_texts_are_kept_up_to_a_bound() -> None:
    overview = Overview(reader())
    for start in range(0, 3 * MOST_TEXTS, 1000):
        overview.add(steps(range(1, 1001), [f"{start + n} {'x' * 5000}" for n in range(1000)]), "a.log")
    assert len(overview._texts) == MOST_TEXTS
    assert max(map(len, overview._texts)) == 1000


def test_one_class_only_is_doubtful_and_no_labels_are_not() -> None:
    assert of(steps([DAY, DAY + 1], label=[0, 0])).warnings() == [
        "every step that has a label is normal: there is nothing to tell apart"
    ]
    assert of(steps([DAY, DAY + 1], label=[0, 1])).warnings() == []
    assert of(steps([DAY, DAY + 1])).summary()["labels"] is None


def test_a_clock_that_was_not_set_is_doubtful() -> None:
    (said,) = of(steps([0, 7, DAY])).warnings()
    assert said.startswith("2 steps of 3 would be of before 1990: their clock was not set")


def test_a_host_by_the_name_of_its_file_is_none_that_anything_named() -> None:
    assert of(steps([DAY], host="error", recording="apache/error.log.gz")).warnings() == []
    assert len(of(steps([DAY], host="error", recording="app.log")).warnings()) == 1


def test_a_recording_is_counted_once_however_a_block_is_sliced() -> None:
    n = 6
    block = StepBlock(
        recordings=tuple(RecordingInfo(f"s{number // 2}", key=f"f:{number}") for number in range(n)),
        recording=np.arange(n, dtype=np.uint32),
        values={"code": np.ones(n, dtype=np.uint32)},
        t_ns=np.arange(n, dtype=np.int64) + DAY * S,
        label=None,
        symbols=TextSymbols(["up"]),
        file="f",
        place={},
        ended=np.ones(n, dtype=np.bool_),
    )
    overview = of(*(block.slice(start, start + 1) for start in range(n)))
    assert (overview.steps, overview.recordings) == (n, n)
