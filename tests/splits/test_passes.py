"""Splits of more windows than fit into memory: what passes find is what sorting all of them would."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.conftest import MakeWindows
from tests.splits.test_splits import fleet, labels
from vestige import splits
from vestige.reading.collecting import Collector
from vestige.reading.dataset import DatasetWriter
from vestige.reading.steps import NO_TIME
from vestige.reading.windows import WindowSet
from vestige.schema import Input, Schema, Stream
from vestige.splits import PARTS, passes
from vestige.splits.split import random_codes

WINDOWS = 6_000_000
CHILD = """
import resource, sys
from pathlib import Path
import numpy, vestige.splits
from vestige.reading.windows import WindowSet

limit = int(sys.argv[2]) << 20
windows = WindowSet.open(Path(sys.argv[1]))
# Once before the limit: libraries begin their threads, which have memory of their own.
vestige.splits.plan(sys.argv[3], windows.select(slice(None, None, len(windows) // 4000)))
taken = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (taken + limit, taken + limit))
split, sides = vestige.splits.plan(sys.argv[3], windows)
print(*sides.windows.values(), sides.purged)
"""


class InPieces(WindowSet):
    """Gives pieces of a few windows: what is carried from one to the next matters then."""

    def pieces(self, size: int = 7) -> Iterator[WindowSet]:
        return super().pieces(min(size, 7))


def in_pieces(windows: WindowSet) -> WindowSet:
    """The same windows."""
    return InPieces(**{field.name: getattr(windows, field.name) for field in fields(windows)})


def test_a_rank_is_found_without_sorting() -> None:
    rng = np.random.default_rng(0)
    wide = rng.integers(-(2**63), 2**63 - 1, 999, dtype=np.int64)
    values = np.r_[wide, np.repeat(wide[:50], 3), [0, -1, -(2**63), 2**63 - 1]]

    def pieces() -> Iterator[NDArray[np.int64]]:
        return iter(np.array_split(values, 13))

    ranks = [0, 1, 500, 501, 502, len(values) - 1]
    expected = {rank: int(np.sort(values)[rank]) for rank in ranks}
    assert passes.at_ranks(pieces, ranks) == expected


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.95, 1.0])
def test_windows_stand_in_time_where_they_would_all_at_once(
    make_windows: MakeWindows, missing: float
) -> None:
    windows = in_pieces(make_windows(fleet(3)))
    gone = np.random.default_rng(1).random(len(windows)) < missing
    windows = replace(windows, t_ns=np.where(gone, NO_TIME, windows.t_ns))
    found = np.concatenate([times for _, times in passes.placed(windows)])
    assert np.array_equal(found, windows.placed_ns)


@pytest.mark.parametrize("recipe", ["time", "host", "sample", "random"])
def test_what_is_counted_is_what_the_parts_hold(make_windows: MakeWindows, recipe: str) -> None:
    windows = in_pieces(make_windows(fleet(4)))
    split, sides = splits.plan(recipe, windows)
    parts = split.parts(windows)
    assert [len(side) for side in parts.sides.values()] == list(sides.windows.values())
    assert np.array_equal(parts.counts.by_recording, sides.by_recording)
    assert (parts.purged, parts.left_out) == (sides.purged, sides.left_out)
    assert min(sides.windows.values()) > 0


def test_windows_drawn_singly_are_counted_as_they_are_drawn(make_windows: MakeWindows) -> None:
    windows = in_pieces(make_windows([("h", "s", "p", labels(400, 2))], length=4))
    split, sides = splits.plan("random", windows)
    assert split.unit == "window"
    parts = split.parts(windows)
    assert np.array_equal(parts.counts.by_recording, sides.by_recording)


def test_draws_begin_anywhere() -> None:
    whole = random_codes(1000, 3, (0.6, 0.2, 0.2))
    assert np.array_equal(random_codes(40, 3, (0.6, 0.2, 0.2), begin=333), whole[333:373])
    assert set(whole.tolist()) == {0, 1, 2}


def test_windows_in_any_order_are_split_alike(make_windows: MakeWindows) -> None:
    recordings = [("h", "s", "p", labels(300, 2)), ("g", "t", "p", labels(300, 2))]
    windows = in_pieces(make_windows(recordings, length=4))
    split, sides = splits.plan("time", windows)
    order = np.random.default_rng(2).permutation(len(windows))
    mixed = windows.select(order)
    assert passes.in_order(windows)
    assert not passes.in_order(mixed)
    ours, theirs = split.parts(mixed), split.parts(windows)
    assert ours.purged == theirs.purged == sides.purged > 0
    for part in PARTS:
        assert sorted(ours.sides[part].position) == theirs.sides[part].position.tolist()
        kept = np.isin(mixed.position, theirs.sides[part].position)
        assert np.array_equal(ours.sides[part].position, mixed.position[kept])


def test_an_index_that_is_too_large_lies_in_a_file(make_windows: MakeWindows) -> None:
    windows = make_windows(fleet(3))
    rows = np.arange(0, len(windows), 3)
    collector = Collector(windows, len(rows), in_memory=0)
    for some in np.array_split(rows, 5):
        collector.add(windows.select(some))
    found, expected = collector.finish(), windows.select(rows)
    for name in ("recording", "position", "label", "t_ns"):
        assert not getattr(found, name).flags.owndata
        assert np.array_equal(getattr(found, name), getattr(expected, name))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of `WINDOWS` windows in 40 recordings of 20 hosts."""
    path = tmp_path_factory.mktemp("large") / "dataset"
    schema = Schema(
        source="synthetic",
        version=1,
        classes=("normal", "class-1"),
        length=1,
        stride=1,
        streams=(Stream("event", "uint8"),),
        inputs=(Input("tokens", "tokens"),),
    )
    n = WINDOWS // 40
    rng = np.random.default_rng(0)
    event, label = np.zeros(n, dtype=np.uint8), (rng.random(n) < 0.1).astype(np.uint8)
    with DatasetWriter(path, schema) as writer:
        for number in range(40):
            writer.begin(id=f"r{number}", host=f"h{number % 20}")
            writer.extend({"event": event}, t_ns=np.arange(n) * 40 + number, label=label)
            writer.close_recording(f"{number:064x}")
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts the memory of a process on Linux")
@pytest.mark.parametrize("recipe", ["time", "host"])
def test_a_split_takes_no_memory_for_each_window(large: Path, recipe: str) -> None:
    # 24 MB are less than one column of eight bytes of these windows, and than five masks of them.
    command = [sys.executable, "-c", CHILD, str(large), "24", recipe]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    *sides, purged = map(int, done.stdout.split())
    assert sum(sides) + purged == WINDOWS
    assert min(sides) > WINDOWS // 10


def test_the_limit_of_memory_is_one(large: Path) -> None:
    code = CHILD.replace("split, sides =", "mask = numpy.ones(len(windows) * 8, bool)\nsplit, sides =")
    command = [sys.executable, "-c", code, str(large), "24", "time"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "MemoryError" in done.stderr
    assert len(WindowSet.open(large)) == WINDOWS
