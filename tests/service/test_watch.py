"""Watching a log that is written on, rotated, cut short and killed over: every line is judged once."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import lines
from vestige import scoring
from vestige.errors import CheckpointError, UsageError
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions

EVERY = WatchOptions(once=True, every=True, idle_s=0.05)


def watch(detector: Path, evidence: Path, home: Path, options: WatchOptions = EVERY) -> list[dict[str, Any]]:
    """One life of a watch over `evidence`; all rows of alerts and steps so far."""
    sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
    Watch.start(detector, [evidence], [sink], state=home / "state", options=options).run()
    return rows(home)


def rows(home: Path) -> list[dict[str, Any]]:
    """What stands in the file of alerts, without what is said of incidents."""
    found = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    return [row for row in found if row.get("kind") != "incident"]


def judged(found: list[dict[str, Any]]) -> Counter[tuple[str, float]]:
    """Which message had which p-value, wherever it stood."""
    return Counter((row["text"], row["p_value"]) for row in found)


def at_once(detector: Path, files: list[Path]) -> Counter[tuple[str, float]]:
    """The same of one run over everything."""
    return judged([row for file in files for row in scoring.score(detector, [file])])


def test_a_file_that_grows_is_judged_as_if_it_had_been_whole(detector: Path, tmp_path: Path) -> None:
    text = "".join(lines(300, start=3_000, odd=(3_150,)))
    logs = tmp_path / "logs"
    logs.mkdir()
    log = logs / "app.log"
    cuts = (0, 1_000, 1_003, 9_000, len(text))
    for before, upto in pairwise(cuts):
        with log.open("a") as file:
            file.write(text[before:upto])
        found = watch(detector, logs, tmp_path)
    corrected = [row for row in found if not row.get("corrects")]
    wanted = at_once(detector, [log])
    # A line that was cut off is judged as far as it had come, and again when the rest of it is there.
    assert not wanted - judged(found)
    assert len(corrected) - len(text.splitlines()) in range(4)
    (alert,) = [row for row in found if row["alert"] and "segfault" in row["text"]]
    assert alert["incident"]
    assert alert["reasons"]


def test_nothing_of_a_rotated_file_is_read_twice_or_lost(detector: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    log = logs / "app.log"
    log.write_text("".join(lines(100, start=3_000)))
    assert len(watch(detector, logs, tmp_path)) == 100
    with log.open("a") as file:
        file.writelines(lines(50, start=3_100))
    log.rename(logs / "app.log.1")
    log.write_text("".join(lines(60, start=3_150)))
    found = watch(detector, logs, tmp_path)
    assert len(found) == 210
    assert not at_once(detector, [logs / "app.log.1", log]) - judged(found)
    assert len(watch(detector, logs, tmp_path)) == 210


def test_a_file_cut_short_behind_its_copy_goes_on_in_the_copy(detector: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    log = logs / "app.log"
    log.write_text("".join(lines(100, start=3_000)))
    watch(detector, logs, tmp_path)
    with log.open("a") as file:
        file.writelines(lines(40, start=3_100))
    shutil.copy(log, logs / "app.log.1")
    log.write_text("".join(lines(30, start=3_140)))  # the same inode, other content
    found = watch(detector, logs, tmp_path)
    assert not at_once(detector, [logs / "app.log.1", log]) - judged(found)
    assert len(found) == 170


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_every_line_is_judged_once(detector: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    logs = tmp_path / "logs"
    logs.mkdir()
    log, made, old = logs / "app.log", 3_000, 0
    log.touch()
    follow = WatchOptions(every=True, idle_s=60.0)
    for life in range(6):
        child = os.fork()
        if not child:
            try:
                watch(detector, logs, tmp_path, follow)
            finally:
                os._exit(1)
        until = time.monotonic() + rng.uniform(0.3, 1.0)
        while time.monotonic() < until:
            count = rng.randrange(1, 40)
            with log.open("a") as file:
                file.writelines(lines(count, start=made))
            made += count
            time.sleep(0.02)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if life % 2:
            old += 1
            log.rename(logs / f"app.log.{old}")
            log.write_text("".join(lines(200, start=made)))
            made += 200
    found = watch(detector, logs, tmp_path)
    wanted = at_once(detector, sorted(logs.iterdir()))
    assert judged(found) == wanted
    assert sum(wanted.values()) == made - 3_000


def test_a_state_of_another_detector_or_a_damaged_one_is_refused(detector: Path, tmp_path: Path) -> None:
    logs = tmp_path / "app.log"
    logs.write_text("".join(lines(20)))
    watch(detector, logs, tmp_path)
    other = tmp_path / "other"
    shutil.copytree(detector, other)
    header = other / "model.json"
    state = tmp_path / "state" / "state.json"
    state.write_text(state.read_text().replace('"detector":"', '"detector":"0'))
    with pytest.raises(UsageError, match="another detector"):
        watch(detector, logs, tmp_path)
    state.write_text(state.read_text()[:100])
    with pytest.raises(CheckpointError, match="cannot be read"):
        watch(detector, logs, tmp_path)
    assert header.is_file()
