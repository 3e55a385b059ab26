"""Following files that rotation renames, copies and cuts short: every line is read, and none twice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.service.conftest import lines
from tests.service.test_follow import append, following
from vestige.service.follow import Follower
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.format import load
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
    own = LogReader(schema_for(RuleSet((load("linux"),), LabelRule("none")), length=2, stride=1))
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
