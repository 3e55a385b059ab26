"""What goes wrong while a watch runs: each is told, nothing is lost, and watching goes on where it can."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import ODD, lines
from tests.service.test_watch import EVERY, watch
from vestige.checkpoint import load
from vestige.service.follow import Follower
from vestige.service.watch import Watch
from vestige.sources import registry


def recordings(found: list[dict[str, Any]]) -> Counter[str]:
    return Counter(row["recording"] for row in found)


def test_evidence_of_another_source_is_told_to_be_so(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "episode.parquet").write_bytes(b"PAR1" + bytes(range(256)) * 2)
    assert watch(detector, logs, tmp_path) == []
    assert "episode.parquet cannot be read now: it is no text" in caplog.text
    assert "nothing could be read: the detector was learnt from logs, and reads nothing else" in caplog.text
    caplog.clear()
    # Where there is nothing, that is told instead.
    assert watch(detector, tmp_path / "missing", tmp_path) == []
    assert "missing: cannot be read: No such file" in caplog.text
    (tmp_path / "bare").mkdir()
    (tmp_path / "empty.log").touch()
    (tmp_path / "bare" / "later").mkdir()
    (tmp_path / "bare" / "later" / "app.log").touch()
    assert watch(detector, tmp_path / "bare", tmp_path) == []
    assert watch(detector, tmp_path / "empty.log", tmp_path) == []
    assert "learnt from" not in caplog.text


def test_a_clock_that_steps_back_is_told_once_and_all_is_judged(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "app.log"
    back = [*lines(100, start=50_000), *lines(100, start=3_000, odd=(3_050,)), *lines(50, start=50_100)]
    log.write_text("".join([*back, *lines(30, start=3_100)]))
    found = watch(detector, log, tmp_path)
    assert [row["line"] for row in found] == list(range(1, 281))
    (alert,) = (row for row in found if ODD.split(" at ", 1)[0] in row["text"])
    assert alert["alert"]
    told = [record.message for record in caplog.records if "goes back" in record.message]
    assert len(told) == 1
    assert told[0].startswith("app.log: its time goes back by 26 h (line 101, offset ")
    assert "2 steps came with a time before that of the one before" in caplog.text


def test_unreadable_lines_at_the_beginning_end_nothing(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(f"this is no message, number {number}\n" for number in range(150)))
    assert watch(detector, log, tmp_path) == []
    assert "app.log" in caplog.text
    with log.open("a") as file:
        file.writelines(lines(300, start=3_000))
    found = watch(detector, log, tmp_path)
    assert [row["line"] for row in found] == list(range(151, 451))
    assert "lines that belong to no message, such as those before the first one: 150" in caplog.text


def test_evidence_that_disappears_and_comes_back_is_read_on(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs, away = tmp_path / "logs", tmp_path / "away"
    logs.mkdir()
    log = logs / "app.log"
    log.write_text("".join(lines(100, start=3_000)))
    follower = Follower(registry.get("logs").reader(load(detector).schema), [logs])

    def steps() -> int:
        follower.scan()
        found = sum(map(len, follower.read()))
        for followed in follower.open.values():
            followed.heard -= 60.0
        return found + sum(map(len, follower.release(30.0)))

    assert steps() == 100
    # A file system that is gone for a while: what is there again is the same.
    logs.rename(away)
    assert [steps() for _ in range(3)] == [0, 0, 0]
    assert "logs: cannot be read: No such file or directory; it is waited for" in caplog.text
    away.rename(logs)
    with log.open("a") as file:
        file.writelines(lines(20, start=3_100))
    assert sum(steps() for _ in range(3)) == 20
    # A file that is deleted, and written anew, is another one.
    log.unlink()
    assert sum(steps() for _ in range(3)) == 0
    log.write_text("".join(lines(30, start=4_000)))
    assert sum(steps() for _ in range(3)) == 30
    follower.close()
    # So it is between two lives.
    state = tmp_path / "state"
    assert recordings(watch(detector, logs, tmp_path)) == {"app.log": 30}
    shutil.rmtree(logs)
    assert recordings(watch(detector, logs, tmp_path)) == {"app.log": 30}
    logs.mkdir()
    log.write_text("".join(lines(30, start=4_000)))
    with log.open("a") as file:
        file.writelines(lines(7, start=4_030))
    again = watch(detector, logs, tmp_path)
    assert recordings(again) == {"app.log": 37}
    assert state.is_dir()


def test_a_sink_that_is_not_there_keeps_what_it_did_not_take(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from vestige.service.sinks import make_all

    log = tmp_path / "app.log"
    log.write_text("".join(lines(100, start=3_000, odd=(3_050,))))
    out = tmp_path / "new" / "out.jsonl"
    sinks = make_all([f"jsonl:{out}", "syslog+tcp://127.0.0.1:1"], tmp_path / "state")
    Watch.start(detector, [log], sinks, state=tmp_path / "state", options=EVERY).run()
    assert len(out.read_text().splitlines()) > 100
    assert "rows wait in" in caplog.text
    assert "nothing is taken since" in caplog.text
