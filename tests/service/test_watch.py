"""Watching a log that is written on, rotated, cut short and killed over: every line is judged once."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import ORDER, lines
from tests.small_logs import trained
from vestige import scoring
from vestige.checkpoint import load
from vestige.errors import CheckpointError, OutputError, UsageError
from vestige.evidence.files import EvidenceFile
from vestige.reading.steps import Evidence, Listing, StepBlock, Unit
from vestige.service import identity
from vestige.service.feedback import INCIDENTS, dismiss, kept
from vestige.service.follow import BLOCK_STEPS, Follower
from vestige.service.sinks import Sink, make
from vestige.service.watch import MANY, Watch, WatchOptions
from vestige.sources import registry

EVERY = WatchOptions(once=True, every=True, idle_s=0.05)


def watch(detector: Path, evidence: Path, home: Path, options: WatchOptions = EVERY) -> list[dict[str, Any]]:
    """One life of a watch over `evidence`; all rows of alerts and steps so far."""
    sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
    Watch.start(detector, [evidence], [sink], state=home / "state", options=options).run()
    return rows(home)


def rows(home: Path) -> list[dict[str, Any]]:
    """What stands in the file of alerts, without what is said of incidents and of the promise."""
    found = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    return [row for row in found if "kind" not in row]


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


class Writing(Sink):
    """Writes a line for each row that it takes, and a new file now and then: as fast as a watch reads."""

    spec = "writing"

    def __init__(self, log: Path) -> None:
        self._log, self.taken = log, list[dict[str, Any]]()

    def write(self, taken: Sequence[dict[str, Any]]) -> None:
        begin = 3_300 + len(self.taken)
        assert begin < 10_000, "it reads on and on"
        self.taken += taken
        with self._log.open("a") as file:
            file.writelines(lines(len(taken), start=begin))
        shutil.copy(self._log, self._log.with_name(f"other-{begin}.log"))


def test_what_is_held_back_is_judged_when_the_next_look_finds_that_nothing_came(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, looks, sleep = tmp_path / "app.log", 0, time.sleep
    log.write_text("".join(lines(50, start=3_000)))

    def until_the_next_look(seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        sleep(seconds)

    monkeypatch.setattr("vestige.service.watch.time.sleep", until_the_next_look)
    found = watch(detector, log, tmp_path, WatchOptions(every=True))
    assert looks == 2
    assert judged(found) == at_once(detector, [log])


@pytest.mark.parametrize("named", [False, True])
def test_once_goes_to_the_end_of_what_was_there_however_fast_it_grows(
    detector: Path, tmp_path: Path, *, named: bool
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    log = logs / "app.log"
    log.write_text("".join(lines(300, start=3_000)))
    evidence = log if named else logs
    writing = Writing(log)
    Watch.start(detector, [evidence], [writing], state=tmp_path / "state", options=EVERY).run()
    assert [row["line"] for row in writing.taken if "kind" not in row] == list(range(1, 301))
    # What came meanwhile is there for the next one.
    found = watch(detector, evidence, tmp_path)
    assert [row["line"] for row in found if row["recording"] == "app.log"] == list(range(301, 601))


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


def test_files_of_several_directories_may_be_called_alike(detector: Path, tmp_path: Path) -> None:
    for name, start in (("a", 3_000), ("b", 4_000)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "app.log").write_text("".join(lines(30, start=start)))
    for more in (0, 20):
        for name in ("a", "b"):
            with (tmp_path / name / "app.log").open("a") as file:
                file.writelines(lines(more, start=5_000))
        sink = make(f"jsonl:{tmp_path / 'out.jsonl'}", tmp_path / "state")
        both = [tmp_path / "a", tmp_path / "b"]
        Watch.start(detector, both, [sink], state=tmp_path / "state", options=EVERY).run()
    files = Counter(row["file"] for row in rows(tmp_path))
    assert files == {str(tmp_path / name / "app.log"): 50 for name in ("a", "b")}


def test_files_keep_their_names_whatever_else_is_watched(detector: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    made = 3_000
    for place in (first, second):
        place.mkdir()
    for number, paths in enumerate(
        ([first], [first, second], [second, first], [second], [first / "app.log"])
    ):
        for place in (first, second):
            with (place / "app.log").open("a") as file:
                file.writelines(lines(20, start=made))
            made += 20
        if number == 2:
            (first / "app.log").rename(first / "app.log.1")
            (first / "app.log").write_text("".join(lines(20, start=made)))
            made += 20
        sink = make(f"jsonl:{tmp_path / 'out.jsonl'}", tmp_path / "state")
        Watch.start(detector, paths, [sink], state=tmp_path / "state", options=EVERY).run()
    found = rows(tmp_path)
    # Of the second, the last lines came while nobody watched it.
    read = [first / "app.log.1", first / "app.log", tmp_path / "read.log"]
    read[2].write_text("".join((second / "app.log").read_text().splitlines(keepends=True)[:80]))
    assert judged(found) == at_once(detector, read)
    names = Counter(row["recording"] for row in found)
    assert names == {"app.log": 60 + 60, str(second / "app.log"): 80}


def test_an_incident_closes_after_a_quiet_hour_without_another_alert(detector: Path, tmp_path: Path) -> None:
    log, state = tmp_path / "app.log", tmp_path / "state"
    log.write_text("".join(lines(40, start=3_000, odd=(3_020,))))
    watch(detector, log, tmp_path, WatchOptions(once=True))
    assert [row["state"] for row in kept(state).rows.values()] == ["open"]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    with log.open("a") as file:
        for number in range(3_040, 4_900):
            message = ORDER[number % len(ORDER)].format(n=number, k=1 + number % 8)
            file.write(f"{begin + timedelta(seconds=2 * number):%Y-%m-%dT%H:%M:%S}Z web app[7]: {message}\n")
    watch(detector, log, tmp_path, WatchOptions(once=True))
    told = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["state"] for row in told if row.get("kind") == "incident"] == ["opened", "closed"]
    assert len(rows(tmp_path)) == 1, "nothing else alerted"


def test_what_was_too_short_to_be_read_is_read_by_a_later_watch(detector: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    first, *rest = lines(60, start=3_000)
    log.write_text(first[:30])
    assert watch(detector, log, tmp_path) == []
    with log.open("a") as file:
        file.write("".join(f"{number} is no message\n" for number in range(300)))
    assert watch(detector, log, tmp_path) == []
    log.write_text(first + "".join(rest))
    assert len(watch(detector, log, tmp_path)) == 60


def test_dismissed_alerts_leave_the_budget_to_others(detector: Path, tmp_path: Path) -> None:
    odd = tuple(range(3_020, 3_220, 2))
    log = tmp_path / "app.log"
    log.write_text("".join(lines(400, start=3_000, odd=odd)))
    before = watch(detector, log, tmp_path)
    dismiss(tmp_path / "state", "000001", "a known fault", scope="template")
    # A message of another kind comes last: with the budget spent it would be held back.
    again = tmp_path / "again"
    again.mkdir()
    (again / "state").mkdir()
    shutil.copy(tmp_path / "state" / "exceptions.toml", again / "state")
    after = watch(detector, log, again)
    hidden = [row for row in after if "dismissed" in row]
    segfaults = [row for row in after if "segfault" in row["text"]]
    assert len(segfaults) == len(odd)
    assert [row for row in segfaults if row["p_value"] < 1e-5 and "dismissed" not in row] == []
    assert len(hidden) > sum(row["alert"] for row in before), "none of them was held back"
    spent = json.loads((again / "state" / "state.json").read_text())["budget"]["spent"]
    assert spent["alerts"] == sum(row["alert"] for row in after) < 10


ODD = tuple(range(3_020, 9_000, 61))
LIFE = """
import sys
from pathlib import Path
from vestige.service.sinks import Sink, make
from vestige.service.watch import MANY, Watch, WatchOptions
detector, evidence, home = map(Path, sys.argv[1:])
sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
options = WatchOptions(every=True, idle_s=60.0, save_s=0.1)
Watch.start(detector, [evidence], [sink], state=home / "state", options=options).run()
"""


def test_killed_at_any_moment_every_line_is_judged_once(detector: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    logs = tmp_path / "logs"
    logs.mkdir()
    log, made, old = logs / "app.log", 3_000, 0
    log.touch()
    state = tmp_path / "state" / "state.json"
    for life in range(3):
        saved = state.stat().st_mtime_ns if life else 0
        # A process of its own: a fork of this one would wait forever for locks of its threads.
        child = subprocess.Popen([sys.executable, "-c", LIFE, detector, logs, tmp_path])
        # It saves its state when it begins: from then on it reads and writes.
        end = time.monotonic() + 60
        while not state.exists() or state.stat().st_mtime_ns == saved:
            assert child.poll() is None
            assert time.monotonic() < end
            time.sleep(0.01)
        until = time.monotonic() + rng.uniform(0.2, 1.0)
        # It is killed in the middle of its work, also where this machine is slow.
        out, before = tmp_path / "out.jsonl", (tmp_path / "out.jsonl").stat().st_size
        while time.monotonic() < until or (out.stat().st_size == before and time.monotonic() < end):
            count = rng.randrange(1, 40)
            with log.open("a") as file:
                file.writelines(lines(count, start=made, odd=ODD))
            made += count
            time.sleep(0.02)
        child.kill()
        child.wait()
        if life % 2:
            old += 1
            log.rename(logs / f"app.log.{old}")
            log.write_text("".join(lines(200, start=made, odd=ODD)))
            made += 200
    assert len(rows(tmp_path)) > 100  # the lives before were not idle
    found = watch(detector, logs, tmp_path)
    wanted = at_once(detector, sorted(logs.iterdir()))
    assert judged(found) == wanted
    assert sum(wanted.values()) == made - 3_000
    told = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    kept = [json.loads(line) for line in (tmp_path / "state" / INCIDENTS).read_text().splitlines()]
    assert kept == [row for row in told if row.get("kind") == "incident"]
    assert len({(row["id"], row["state"]) for row in kept}) == len(kept) > 0
    assert sum(row["kind"] == "drift" for row in told if "kind" in row) == 1


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


def test_a_second_watch_of_a_state_takes_nothing_from_the_first(detector: Path, tmp_path: Path) -> None:
    log, home = tmp_path / "app.log", tmp_path
    log.write_text("".join(lines(50, start=3_000)))
    watch(detector, log, home)
    sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
    first = Watch.start(detector, [log], [sink], state=home / "state", options=EVERY)
    sink.write([{"text": "written since"}])
    with pytest.raises(OutputError, match="another process"):
        watch(detector, log, home)
    assert rows(home)[-1] == {"text": "written since"}
    first.run()
    assert len(rows(home)) == 51


def test_a_pipe_that_begins_with_lines_of_something_else_is_read_once_and_to_its_end(
    detector: Path, tmp_path: Path
) -> None:
    text = "".join([*(f"banner {number} of a shell\n" for number in range(150)), *lines(900, start=3_000)])
    command = [sys.executable, "-m", "vestige", "watch", str(detector), "-", "--all", "--state"]
    for life in range(2):
        # Without --once: it ends because the pipe does.
        told = subprocess.run(
            [*command, str(tmp_path / "state")], input=text, capture_output=True, text=True, timeout=60,
            check=True,
        )  # fmt: skip
        found = [json.loads(line) for line in told.stdout.splitlines()]
        steps = [row for row in found if row.get("kind") != "incident"]
        # The other end of a pipe that was closed may still write to another one.
        assert (life, len(steps), steps[0]["line"]) == (life, 900, 151)
        assert "its beginning fits no format" in " ".join(told.stderr.split())


def test_what_is_not_there_is_told_and_what_cannot_be_read_is_told_once(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "app.log"
    follower = Follower(registry.get("logs").reader(load(detector).schema), [log, tmp_path / "typo"])
    log.write_text("".join(f"{number} is no message\n" for number in range(30)))
    for _ in range(3):
        follower.scan()
        with log.open("a") as file:
            file.writelines(f"nor is {number}\n" for number in range(300))
    assert not list(follower.read())
    told = [record.message for record in caplog.records]
    assert len([text for text in told if "typo: cannot be read" in text]) == 1
    assert len([text for text in told if "app.log cannot be read now" in text]) == 1
    # It is looked at whenever it has grown.
    with log.open("a") as file:
        file.writelines(lines(9_000, start=3_000))
    log.write_text(log.read_text()[-300_000:])
    follower.scan()
    assert sum(map(len, follower.read())) > 1_000
    follower.close()
    caplog.clear()
    follower = Follower(registry.get("logs").reader(load(detector).schema), [tmp_path / "typo"], once=True)
    follower.scan()
    assert "nothing of it was read" in caplog.text


def test_what_comes_again_is_counted_and_not_told_again(detector: Path, tmp_path: Path) -> None:
    log, odd = tmp_path / "app.log", tuple(range(3_010, 3_300, 5))
    text = list(lines(300, start=3_000, odd=odd))
    log.write_text("".join(text[:200]))
    watch(detector, log, tmp_path)
    log.write_text("".join(text))
    # The second life remembers what the first one told.
    found = [row for row in watch(detector, log, tmp_path) if "segfault" in row["text"]]
    told = [row for row in found if row["alert"]]
    again = [row for row in found if "repeats" in row]
    assert len(told) == 1
    assert len(again) >= 50
    assert {row["repeats"] for row in again} == {told[0]["incident"]}
    assert not any(row["alert"] or "key" in row for row in again)
    assert "key" not in told[0]


def test_a_quiet_file_is_released_while_others_go_on(detector: Path, tmp_path: Path) -> None:
    for seed, name in enumerate(("busy", "quiet")):
        (tmp_path / f"{name}.log").write_text("".join(lines(30, start=3_000, seed=seed)))
    follower = Follower(registry.get("logs").reader(load(detector).schema), [tmp_path])
    follower.scan()
    assert sum(map(len, follower.read())) == 58
    follower.open["quiet.log"].heard -= 100.0
    # The last message of a file may go on: of the one that was quiet, it is taken to be whole, once.
    (block,) = follower.release(50.0)
    assert (block.file, len(block)) == ("quiet.log", 1)
    assert not list(follower.release(50.0))
    assert [block.file for block in follower.release()] == ["busy.log"]
    follower.close()


class Backlog(Follower):
    """Notes how many steps were read whenever quiet files were asked for; ends where all was read."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.steps = 0
        self.asked: list[int] = []

    @property
    def ended(self) -> bool:
        return True

    def read(self) -> Iterator[StepBlock]:
        for block in super().read():
            self.steps += len(block)
            yield block

    def release(self, quiet_s: float | None = None) -> Iterator[StepBlock]:
        self.asked += [] if quiet_s is None else [self.steps]
        return super().release(quiet_s)


def test_a_backlog_of_one_file_holds_back_no_other(detector: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(6_500, start=3_000)))
    watch = Watch.start(detector, [log], [])
    watch.follower = follower = Backlog(watch.loaded.reader(), [log])
    watch.run()
    assert MANY <= follower.asked[0] <= BLOCK_STEPS
    assert watch.steps == 6_500


def test_what_is_waited_for_is_told_once(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "empty.log").touch()
    (tmp_path / "odd.log").write_text("- what is this -\n")
    (tmp_path / "app.log").write_text("".join(lines(30, start=3_000)))
    reader = load(detector).reader()
    follower = Follower(reader, [tmp_path])
    with caplog.at_level("INFO", logger="vestige"):
        follower.scan()
        assert sum(map(len, follower.read())) == 29
        follower.tell_waiting(60.0)
        assert len(caplog.records) == 1
        for _ in range(2):
            follower.scan()
            follower.tell_waiting(0.0)
    told = sorted(record.getMessage() for record in caplog.records)
    assert [text.partition(":")[0] for text in told] == ["empty.log", "odd.log"]
    assert "nothing came yet" in told[0]
    assert "too few, or too strange" in told[1]
    follower.close()


def test_a_pipe_with_a_name_is_told_and_not_waited_for(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    os.mkfifo(tmp_path / "pipe")  # opening it would wait for ever, and for no signal
    (tmp_path / "app.log").write_text("".join(lines(30, start=3_000)))
    watched = [tmp_path / "pipe", tmp_path / "app.log"]
    follower = Follower(registry.get("logs").reader(load(detector).schema), watched, once=True)
    follower.scan()
    assert sum(map(len, follower.read())) in {29, 30}
    follower.close()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [text.partition(";")[0] for text in told] == [
        f"{tmp_path / 'pipe'}: is neither a file nor a directory"
    ]


def test_a_watch_that_failed_does_not_say_that_files_were_too_short(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "app.log").write_text("".join(lines(300, start=3_000)))
    sink = make("jsonl:/dev/full", None)
    with pytest.raises(OutputError, match="cannot be written"):
        Watch.start(detector, [tmp_path], [sink], state=None, options=EVERY).run()
    assert "nothing of it was read" not in caplog.text


class Closing(Sink):
    """Says that it was closed, and may fail to."""

    spec = "closing"

    def __init__(self, *, fails: bool) -> None:
        self._fails, self.closed = fails, False

    def write(self, taken: Sequence[dict[str, Any]]) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        self.closed = True
        if self._fails:
            raise OutputError("cannot be closed")


def test_where_a_sink_cannot_be_closed_the_others_are(detector: Path, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("".join(lines(30, start=3_000)))
    sinks = [Closing(fails=True), Closing(fails=False)]
    with pytest.raises(OutputError, match="cannot be closed"):
        Watch.start(detector, [tmp_path], sinks, state=None, options=EVERY).run()
    assert all(sink.closed for sink in sinks)


def test_each_file_of_a_directory_that_is_not_read_is_told(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "app.log").write_text("".join(lines(30, start=3_000)))
    (tmp_path / "damaged.log.gz").write_bytes(b"\x1f\x8bno deflated data")
    (tmp_path / "short.log").write_text("nothing that looks like a message\n")
    (tmp_path / "empty.log").touch()
    (tmp_path / "packed.log.xz").write_bytes(b"\xfd7zXZ\x00")
    follower = Follower(registry.get("logs").reader(load(detector).schema), [tmp_path], once=True)
    follower.scan()
    assert sum(map(len, follower.read())) in {29, 30}
    follower.scan()
    follower.tell_unread()
    follower.close()
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    named = ["damaged.log.gz", "empty.log", "packed.log.xz", "short.log"]
    assert sorted(text.split()[0].rstrip(":") for text in told) == named


@dataclass
class Numbers:
    """A stream of a directory's numbers that never ends: each once."""

    position: int
    defects: tuple[()] = ()
    ended: bool = False
    summary: dict[str, Any] = field(default_factory=dict)

    @property
    def taken(self) -> int:
        return self.position

    def read(self, most: int) -> list[int] | None:
        """Those that were not read yet."""
        left = list(range(self.position, most))[:3]
        self.position += len(left)
        return left if self.position < 9 and left else None

    def close(self) -> None:
        """Nothing is held."""


class Directories:
    """Lists a recording that is a directory."""

    def units(self, _: object) -> Listing[Unit]:
        """The only one."""
        return Listing([Unit("run", "run", None, named=False)])

    def open(self, _: Unit, *, resume: int | None = None) -> Numbers:
        """Its numbers from where it was left."""
        return Numbers(resume or 0)


def test_a_recording_that_is_a_directory_goes_on_where_it_was_left(tmp_path: Path) -> None:
    reader: Any = Directories()
    first = Follower(reader, [tmp_path], once=True)
    first.scan()
    # One block of each at a time: what is new can be looked for in between.
    assert [list(block) for block in first.read()] == [[0, 1, 2]]  # type: ignore[call-overload]
    assert [list(block) for block in first.read()] == [[3, 4, 5]]  # type: ignore[call-overload]
    assert list(first.read()) == []
    left: Any = first.open["run"].stream.position
    first.scan()
    assert first.ended
    second = Follower(reader, [tmp_path], once=True, state=json.loads(json.dumps(first.state())))
    second.scan()
    assert second.open["run"].stream.position == left > 0


def test_what_was_read_is_not_opened_at_every_look(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    with gzip.open(logs / "app.log.1.gz", "wt") as packed:
        packed.writelines(lines(40, start=3_000))
    loaded = load(detector)
    follower = Follower(registry.get("logs").reader(loaded.schema), [logs], once=True)
    opened: list[str] = []
    head = identity._head

    def counted(file: EvidenceFile, most: int) -> bytes:
        opened.append(file.id)
        return head(file, most)

    monkeypatch.setattr(identity, "_head", counted)
    for _ in range(5):
        follower.scan()
        list(follower.read())
    follower.close()
    # Once to know it, and once to see that it is the one that was read.
    assert opened == ["app.log.1.gz"] * 2


def test_what_was_just_read_to_its_end_is_not_read_again(detector: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(50, start=3_000)))
    reader = registry.get("logs").reader(load(detector).schema)
    (unit,) = reader.units(Evidence((log,), "live")).units
    stream = reader.open(unit)
    steps = 0
    while (block := stream.read(4_096)) is not None:
        steps += len(block)
        # As a kill may leave it: what was read last is saved, and that it has ended is not known yet.
        position = json.loads(json.dumps(stream.position))
    assert steps == 50
    stream.close()
    again = reader.open(unit, resume=position)
    assert again.read(4_096) is None
    assert again.ended
    again.close()


def test_alerts_of_a_detector_that_learnt_labels_tell_the_message_and_why(tmp_path: Path) -> None:
    detector, log = trained(tmp_path, "logistic")
    found = watch(detector, log, tmp_path, WatchOptions(once=True))
    alerts = [row for row in found if row["alert"]]
    assert alerts
    assert all(row["text"] in log.read_text() for row in alerts)
    assert all({"host", "incident", "reasons"} <= row.keys() for row in alerts)
    assert all(
        {"step", "what", "contribution"} <= reason.keys() for row in alerts for reason in row["reasons"]
    )
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    told = [row["reasons"] for row in rows if row.get("kind") == "incident" and row["state"] == "opened"]
    assert told
    # What the page and `vestige incidents` show of it.
    assert all(reason["says"].endswith("nats") for reasons in told for reason in reasons)
    assert any(told)


def test_what_a_detector_compiles_is_there_before_anything_is_followed(tmp_path: Path) -> None:
    detector, _ = trained(tmp_path, "blend")
    script = (
        "import sys; from pathlib import Path\n"
        "from vestige.models.blend import kernels; from vestige.service.watch import Watch\n"
        "before = len(kernels.advance_each.signatures)\n"
        "Watch.start(Path(sys.argv[1]), [Path(sys.argv[2])], [])\n"
        "print(before, len(kernels.advance_each.signatures))\n"
    )
    call = [sys.executable, "-c", script, str(detector), str(tmp_path / "nothing-yet.log")]
    done = subprocess.run(call, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == "0 1\n", done.stderr
