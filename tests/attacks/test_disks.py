"""A disk that is full, and a kill while something is replaced: advice, an exit code, and nothing lost."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from tests.attacks.effort import EFFORT
from vestige import storage
from vestige.errors import OutputError

OVERWRITING = """
import sys
from pathlib import Path
from vestige import storage
if sys.argv[2] == "two renames":
    storage.exchange = lambda one, other: False
path = Path(sys.argv[1])
print("begun", flush=True)
while True:
    with storage.atomic_directory(path, marker="m", overwrite=True) as working:
        (working / "m").write_text("whole")
"""


def tree(root: Path) -> dict[str, bytes]:
    """Every file below `root` with its content."""
    return {str(one.relative_to(root)): one.read_bytes() for one in sorted(root.rglob("*")) if one.is_file()}


def limited(limit: int) -> Callable[[], None]:
    """For a child: no file may grow beyond so many bytes, as on a full disk."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


def under_limit(limit: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vestige", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120, preexec_fn=limited(limit)
    )


@pytest.mark.parametrize("way", ["one exchange", "two renames"])
def test_a_directory_that_is_replaced_is_never_lost(way: str, tmp_path: Path) -> None:
    """Killed anywhere, the old one or the new one is there, or comes back with the next call."""
    path, rng = tmp_path / "run", random.Random(5)
    with storage.atomic_directory(path, marker="m") as working:
        (working / "m").write_text("whole")
    for _ in range(4 * EFFORT):
        command = [sys.executable, "-c", OVERWRITING, str(path), way]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "begun\n"
        time.sleep(rng.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        if way == "one exchange":
            assert (path / "m").read_text() == "whole"
        with storage.atomic_directory(path, marker="m", overwrite=True) as working:
            assert (path / "m").read_text() == "whole"
            (working / "m").write_text("whole")
    assert [one.name for one in tmp_path.iterdir()] == ["run"]


def test_the_only_copy_comes_back(tmp_path: Path) -> None:
    """Between two renames, where a system cannot exchange, what was there lies under another name."""
    path = tmp_path / "run"
    was = tmp_path / f".run.{2**30}.x.tmp" / "was"
    was.mkdir(parents=True)
    (was / "m").write_text("precious")
    with pytest.raises(ZeroDivisionError), storage.atomic_directory(path, marker="m"):
        raise ZeroDivisionError
    assert tree(tmp_path) == {"run/m": b"precious"}


def _fails_in_the_end(one: Path, two: Path) -> None:
    with storage.together():
        storage.write_text(one, "new")
        storage.write_text(two, "new")
        assert one.read_text() == "old"
        raise ZeroDivisionError


def test_files_of_one_call_land_together_or_not_at_all(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    storage.write_text(one, "old")
    with pytest.raises(ZeroDivisionError):
        _fails_in_the_end(one, two)
    assert tree(tmp_path) == {"one": b"old"}
    with storage.together():
        storage.write_text(one, "new")
        with storage.together():
            storage.write_text(two, "new")
        assert not two.exists()
    assert tree(tmp_path) == {"one": b"new", "two": b"new"}


def test_what_polars_says_of_a_full_disk_is_advice(tmp_path: Path) -> None:
    """It wraps what the system says into an error of its own."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    frame = pl.DataFrame({"a": [os.urandom(4000).hex()]})
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with (
            pytest.raises(OutputError, match="larger than it may be"),
            storage.atomic_file(tmp_path / "a.parquet") as working,
        ):
            frame.write_parquet(working)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert tree(tmp_path) == {}


def test_evidence_that_finds_no_room_leaves_nothing(small_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "dataset"
    done = under_limit(3000, "prepare", "logs", small_run / "corpus", "--format", "bgl", "-j", "1", "-o", out)
    assert done.returncode == OutputError.exit_code, done.stderr
    assert "remedy:" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_threshold_that_finds_no_room_changes_neither_metrics_nor_detector(attacked: Path) -> None:
    run = attacked / "run"
    before = tree(run)
    room = max(len(content) for name, content in before.items() if name.endswith("model.json"))
    metrics = json.loads((run / "metrics.json").read_text())
    done = under_limit(room // 2, "evaluate", run, "--threshold", "fpr=0.2")
    assert done.returncode == OutputError.exit_code, done.stderr
    after = tree(run)
    # That the test part was looked at again is counted, whatever came of it.
    assert after["openings.jsonl"].startswith(before["openings.jsonl"])
    grown = {"log.jsonl": b"", "openings.jsonl": b""}
    assert {**after, **grown} == {**before, **grown}
    assert json.loads((run / "metrics.json").read_text()) == metrics


@pytest.mark.parametrize(
    ("redirected", "code"),
    [(">&-", 8), ("> /dev/full", 8), ("<&- > /dev/null", 3)],
    ids=["output closed", "output full", "input closed"],
)
def test_scores_that_nobody_gets_are_no_success(redirected: str, code: int, small_run: Path) -> None:
    evidence = "-" if "<&-" in redirected else str(small_run / "corpus")
    command = f'exec "{sys.executable}" -m vestige score "{small_run}/run/gbt" "{evidence}" {redirected}'
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert "remedy:" in done.stderr
