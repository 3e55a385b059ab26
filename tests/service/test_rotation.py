"""Following files that rotation renames, copies and cuts short: every line is read, and none twice."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import lines
from tests.service.test_follow import append, following
from vestige.checkpoint import load
from vestige.errors import EvidenceError
from vestige.service.follow import Follower
from vestige.service.identity import HEAD_BYTES
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


BANNER = "".join(f"2026-01-01T00:00:00Z web app[7]: banner {at} of this machine\n" for at in range(30))


def test_logs_that_begin_alike_are_files_of_their_own(detector: Path, tmp_path: Path) -> None:
    assert len(BANNER) > HEAD_BYTES
    for name, start in (("a.log", 3_000), ("b.log", 4_000)):
        append(tmp_path / name, BANNER, *lines(100, start=start))
    follower = following(detector, tmp_path)
    steps = looked(follower)
    append(tmp_path / "b.log", *lines(20, start=5_000))
    steps += looked(follower)
    assert steps + sum(map(len, follower.release())) == 280
    follower.close()


def test_a_copy_is_not_read_until_it_goes_on_otherwise(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    append(tmp_path / "a.log", BANNER, *lines(100, start=3_000))
    follower = following(detector, tmp_path)
    steps = looked(follower)
    shutil.copy(tmp_path / "a.log", tmp_path / "a.log.1")
    with caplog.at_level("INFO", logger="vestige"):
        assert looked(follower) == 0
        assert [record.levelname for record in caplog.records if "a.log.1" in record.message] == ["INFO"]
        shutil.copy(tmp_path / "a.log", tmp_path / "b.log")
        assert looked(follower) == 0
        assert [record.levelname for record in caplog.records if "b.log" in record.message] == ["WARNING"]
    state = json.loads(json.dumps(follower.state()))
    follower.close()
    append(tmp_path / "b.log", *lines(20, start=4_000))
    follower = Follower(registry.get("logs").reader(load(detector).schema), [tmp_path], state=state)
    steps += looked(follower)
    assert steps + sum(map(len, follower.release())) == 130 + 150
    follower.close()


def test_what_was_packed_and_begins_like_others_is_not_read_again(detector: Path, tmp_path: Path) -> None:
    log, old = tmp_path / "app.log", tmp_path / "app.log.1"
    append(log, BANNER, *lines(100, start=3_000))
    follower = following(detector, tmp_path)
    steps = looked(follower)
    log.rename(old)
    append(log, BANNER)
    steps += looked(follower)
    append(log, *lines(50, start=4_000))
    steps += looked(follower)
    with gzip.open(tmp_path / "app.log.1.gz", "wb") as packed:
        packed.write(old.read_bytes())
    old.unlink()
    steps += looked(follower)
    assert steps + sum(map(len, follower.release())) == 210
    follower.close()


def test_a_short_file_cut_short_behind_its_copy_is_read_once(detector: Path, tmp_path: Path) -> None:
    log, text = tmp_path / "app.log", list(lines(12, start=3_000))
    append(log, *text[:6])
    assert log.stat().st_size < HEAD_BYTES
    follower = following(detector, tmp_path)
    steps = looked(follower)
    append(log, *text[6:8])
    shutil.copy(log, tmp_path / "app.log.1")
    steps += looked(follower)
    log.write_text("")
    steps += sum(map(len, follower.read()))
    steps += looked(follower)
    append(log, *text[8:])
    steps += looked(follower)
    assert steps + sum(map(len, follower.release())) == 12
    follower.close()


def test_where_a_file_cannot_be_opened_for_a_while_its_place_is_kept(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "app.log"
    append(log, *lines(100, start=3_000))
    follower = following(detector, tmp_path)
    steps = looked(follower)
    state = json.loads(json.dumps(follower.state()))
    follower.close()
    append(log, *lines(20, start=3_100))
    reader = registry.get("logs").reader(load(detector).schema)

    def refused(*_: Any, **__: Any) -> None:
        raise EvidenceError("cannot be read: too many open files", where=str(log))

    follower = Follower(reader, [tmp_path], state=state)
    with monkeypatch.context() as patch:
        patch.setattr(reader, "open", refused)
        assert looked(follower) == 0
        append(log, *lines(20, start=3_120))
        assert looked(follower) == 0
    steps += looked(follower)
    assert steps + sum(map(len, follower.release())) == 140
    follower.close()


def test_a_new_file_may_have_the_inode_of_one_that_was_packed_and_deleted(
    detector: Path, tmp_path: Path
) -> None:
    log, packed = tmp_path / "app.log", tmp_path / "app.log.1.gz"
    text = list(lines(153, start=3_000))
    append(log, *text[:100])
    follower = following(detector, tmp_path)
    follower.scan()
    steps = sum(map(len, follower.read()))
    stood = follower.state()
    follower.close()
    packed.write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    other = tmp_path / "other.log"
    append(other, *text[100:])
    # Which inode a file gets is for the file system to choose.
    stood["open"][0]["identity"]["inode"] = other.stat().st_ino
    follower = Follower(registry.get("logs").reader(load(detector).schema), [tmp_path], state=stood)
    assert steps + looked(follower) + sum(map(len, follower.release())) == 153
    follower.close()
