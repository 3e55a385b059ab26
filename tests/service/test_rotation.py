"""Following files that rotation renames, copies and cuts short: every line is read, and none twice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.service.conftest import lines
from tests.service.test_follow import append, following
from vestige.checkpoint import load
from vestige.service.follow import Follower
from vestige.sources import registry
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.format import load as format_of
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.schema import schema_for


def looked(follower: Follower, times: int = 4) -> int:
    """How many steps come of some looks, with a quiet minute before each."""
    steps = 0
    for _ in range(times):
        for followed in follower.open.values():
            followed.heard -= 60.0
        follower.scan()
        steps += sum(map(len, follower.read()))
    return steps


def test_files_of_a_rotated_log_without_a_year_are_read_once(tmp_path: Path) -> None:
    for name, day in (("syslog.1", 1), ("syslog", 2)):
        append(tmp_path / name, *(f"Jan  {day} 00:00:{at:02} web app: {at}\n" for at in range(30)))
    own = LogReader(schema_for(RuleSet((format_of("linux"),), LabelRule("none")), length=2, stride=1))
    follower = Follower(own, [tmp_path], once=True)
    follower.scan()
    steps = sum(map(len, follower.read()))
    assert steps + sum(map(len, follower.release())) == 60
    follower.close()


def test_a_file_cut_short_while_it_is_followed_goes_on_in_its_copy(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, text = tmp_path / "app.log", list(lines(153, start=3_000))
    append(log, *text[:100])
    follower = following(detector, tmp_path)
    follower.scan()
    steps = sum(map(len, follower.read()))
    append(log, *text[100:120])
    shutil.copy(log, tmp_path / "app.log.1")
    log.write_text("")
    append(log, *text[120:])
    steps += sum(map(len, follower.read()))
    steps += looked(follower)
    assert steps + sum(map(len, follower.release())) == 153
    assert "app.log was cut short while it was followed: it is read anew" in caplog.text
    follower.close()


def test_a_renamed_file_that_is_written_on_after_its_end_is_read_on(detector: Path, tmp_path: Path) -> None:
    log, old, text = tmp_path / "app.log", tmp_path / "app.log.1", list(lines(230, start=3_000))
    append(log, *text[:100])
    follower = following(detector, tmp_path)
    follower.scan()
    steps = sum(map(len, follower.read()))
    log.rename(old)
    append(log, *text[190:])
    steps += looked(follower)
    assert "app.log" in follower.done
    append(old, *text[100:150])
    steps += looked(follower)
    # Nor is what comes behind a restart, after another rotation.
    state = json.loads(json.dumps(follower.state()))
    follower.close()
    old.rename(tmp_path / "app.log.2")
    log.rename(old)
    append(tmp_path / "app.log.2", *text[150:190])
    follower = Follower(registry.get("logs").reader(load(detector).schema), [tmp_path], state=state)
    steps += looked(follower, times=6)
    assert steps + sum(map(len, follower.release())) == 230
    assert looked(follower) == 0
    follower.close()
