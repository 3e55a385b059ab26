"""Evidence without labels in three parts: by time, by recordings, or each recording in three."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import MakeWindows, Recording
from vestige.errors import SplitError
from vestige.reading.steps import NO_TIME
from vestige.reading.windows import WindowSet
from vestige.splits import stages

HOUR_NS = 3_600 * 10**9
WHERE = Path("app.log")


def recordings(sizes: list[int], label: int = 0) -> list[Recording]:
    return [("host", "sample", "profile", np.full(size, label, dtype=np.uint8)) for size in sizes]


def rows_of(part: WindowSet) -> list[tuple[int, int]]:
    return list(zip(part.recording.tolist(), part.position.tolist(), strict=True))


def test_by_time_the_parts_follow_one_another(make_windows: MakeWindows) -> None:
    windows = make_windows(recordings([300, 200, 500]), gap_ns=HOUR_NS)
    parts = stages.part(windows)
    assert parts.how == "by time"
    assert [len(part) for part in (parts.learn, parts.calibrate, parts.check)] == [600, 200, 200]
    assert parts.learn.t_ns.max() < parts.calibrate.t_ns.min()
    assert parts.calibrate.t_ns.max() < parts.check.t_ns.min()


def test_nobody_sees_the_labels(make_windows: MakeWindows) -> None:
    parts = stages.part(make_windows(recordings([400], label=1)))
    for part in (parts.learn, parts.calibrate, parts.check):
        assert not part.label.any()
        assert not part.labelled


def test_without_times_many_recordings_stay_whole(make_windows: MakeWindows) -> None:
    windows = make_windows(recordings([40] * 20))
    windows = replace(windows, t_ns=np.full(len(windows), NO_TIME))
    parts = stages.part(windows, seed=3)
    assert parts.how.startswith("by whole recordings")
    of = [set(part.recording.tolist()) for part in (parts.learn, parts.calibrate, parts.check)]
    assert [len(names) for names in of] == [12, 4, 4]
    assert not of[0] & of[1] | of[0] & of[2] | of[1] & of[2]
    assert rows_of(parts.check) == rows_of(stages.part(windows, seed=3).check)
    assert rows_of(parts.check) != rows_of(stages.part(windows, seed=4).check)


def test_without_times_few_recordings_are_cut_in_three(make_windows: MakeWindows) -> None:
    windows = make_windows(recordings([300, 200]))
    windows = replace(windows, t_ns=np.full(len(windows), NO_TIME))
    parts = stages.part(windows)
    assert parts.how.startswith("each recording in three")
    for recording, size in ((0, 300), (1, 200)):
        positions = [
            part.position[part.recording == recording] for part in (parts.learn, parts.calibrate, parts.check)
        ]
        assert [len(some) for some in positions] == [size * 6 // 10, size // 5, size // 5]
        assert positions[0].max() < positions[1].min()
        assert positions[1].max() < positions[2].min()


def test_too_little_says_how_much_is_needed(make_windows: MakeWindows) -> None:
    with pytest.raises(SplitError, match=r"199 windows \(recordings: 2\).*needs 200 windows") as refused:
        stages.part(make_windows(recordings([100, 99])), where=WHERE)
    assert refused.value.where == WHERE
    assert "more evidence" in refused.value.remedy


def test_lopsided_evidence_is_refused(make_windows: MakeWindows) -> None:
    windows = make_windows(recordings([3] * 19 + [400]))
    windows = replace(windows, t_ns=np.full(len(windows), NO_TIME))
    with pytest.raises(SplitError, match=r"parted by whole recordings, there are \d+ windows to") as refused:
        stages.part(windows, where=WHERE)
    assert "of more recordings" in refused.value.remedy


def test_what_lies_together_is_not_copied_and_what_does_not_keeps_its_order(
    make_windows: MakeWindows,
) -> None:
    windows = make_windows(recordings([1000]))
    parts = stages.part(windows)
    for part in (parts.learn, parts.calibrate, parts.check):
        assert np.shares_memory(part.position, windows.position)
        assert part.label.strides == (0,)
    # Two recordings of the same hour: each stage has windows of both, which lie apart.
    windows = make_windows(recordings([500, 500]))
    parts = stages.part(windows)
    assert [len(part) for part in (parts.learn, parts.calibrate, parts.check)] == [600, 200, 200]
    cuts = np.sort(windows.t_ns)[[600, 800]]
    stage = np.searchsorted(cuts, windows.t_ns, side="right")
    for number, part in enumerate((parts.learn, parts.calibrate, parts.check)):
        expected = windows.select(np.flatnonzero(stage == number))
        assert rows_of(part) == rows_of(expected)
        assert part.t_ns.tolist() == expected.t_ns.tolist()
