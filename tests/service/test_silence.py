"""What should have come and did not: a heartbeat that stops, a log that falls silent."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import ORDER
from tests.service.conftest import lines as service_lines
from vestige.checkpoint import load
from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Learnt
from vestige.pipeline.learn import learn
from vestige.pipeline.recipe import encoder_of, to_learn_from
from vestige.reading.looks import NormalEncoder
from vestige.reading.silence import Silences
from vestige.scoring.silence import Heard
from vestige.scoring.windows import judge
from vestige.service.feedback import dismiss
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
from vestige.sources import registry

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
BEAT = "heartbeat of node is fine"
ONCE = WatchOptions(once=True, idle_s=0.05)


def lines(count: int, begin: datetime = BEGIN, *, without: tuple[float, float] = (0.0, 0.0)) -> Iterator[str]:
    """Lines of an application, one to three seconds apart, and every 30 s a heartbeat, but between two
    moments (in seconds)."""
    rng, now, beat = random.Random(0), begin, begin
    for number in range(count):
        now += timedelta(seconds=rng.choice((1, 2, 3)))
        while beat <= now:
            if not without[0] <= (beat - begin).total_seconds() < without[1]:
                yield f"{beat:%Y-%m-%dT%H:%M:%S}Z web watchdog[1]: {BEAT}\n"
            beat += timedelta(seconds=30)
        message = ORDER[number % len(ORDER)].format(n=number, k=rng.randrange(1, 9))
        yield f"{now:%Y-%m-%dT%H:%M:%S}Z web app[7]: {message}\n"


@pytest.fixture(scope="module")
def steady(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Learnt from 4,000 lines with a heartbeat."""
    home = tmp_path_factory.mktemp("steady")
    (home / "app.log").write_text("".join(lines(4_000)))
    source, budget = registry.get("logs"), Budget.parse("1/day")
    learn(source, home / "app.log", home / "normal", options=source.options(), budget=budget, plants=0)
    return home / "normal"


def learnt_from(evidence: Path, place: Path) -> Silences:
    """What all of the evidence says of silences."""
    source = registry.get("logs")
    windows = source.prepare(evidence, place, to_learn_from(source, source.options()))
    found = encoder_of(source, windows).silences
    assert found is not None
    return found


def silences_of(detector: Path) -> Silences:
    encoder = load(detector).encoder
    assert isinstance(encoder, NormalEncoder)
    assert encoder.silences is not None
    return encoder.silences


def rows(home: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    return [row for row in found if "silence" in row]


def watch(detector: Path, home: Path) -> list[dict[str, Any]]:
    sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
    Watch.start(detector, [home / "app.log"], [sink], state=home / "state", options=ONCE).run()
    return rows(home)


def test_a_heartbeat_that_stops_is_told_where_its_log_goes_on(steady: Path, tmp_path: Path) -> None:
    begin = BEGIN + timedelta(days=1)
    (tmp_path / "app.log").write_text("".join(lines(600, begin, without=(600.0, 1e9))))
    (alert,) = watch(steady, tmp_path)
    assert alert["alert"]
    assert alert["silence"]["event"] == BEAT
    assert not alert["silence"]["over"]
    assert alert["reasons"][0]["look"] == "silence"
    assert "never silent for longer than 30 s" in alert["reasons"][0]["says"]
    assert alert["expected"] == [{"event": BEAT, "p": 1.0}]
    assert alert["incident"]
    # Told once, however long it goes on, and in how many lives.
    with (tmp_path / "app.log").open("a") as file:
        file.writelines(lines(600, begin + timedelta(seconds=1_300), without=(0.0, 1e9)))
    assert len(watch(steady, tmp_path)) == 1


def test_a_heartbeat_that_stopped_for_a_while_is_told_once_it_is_read(steady: Path, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("".join(lines(1_000, BEGIN, without=(500.0, 1_400.0))))
    (alert,) = watch(steady, tmp_path)
    assert alert["silence"] == {"event": BEAT, "seconds": 930.0, "over": True}


def test_nothing_is_told_of_what_goes_on(steady: Path, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("".join(lines(1_500, BEGIN + timedelta(days=2))))
    assert watch(steady, tmp_path) == []


def test_a_silence_that_was_dismissed_is_hidden(steady: Path, tmp_path: Path) -> None:
    (tmp_path / "app.log").write_text("".join(lines(600, BEGIN, without=(600.0, 1e9))))
    (alert,) = watch(steady, tmp_path)
    dismiss(tmp_path / "state", alert["incident"], "it was switched off", scope="template")
    with (tmp_path / "app.log").open("a") as file:
        begin = BEGIN + timedelta(days=2)
        file.writelines(lines(600, begin, without=(300.0, 1e9)))
    assert len(watch(steady, tmp_path)) == 1


def heard(detector: Path, log: Path, *, least_s: float = 0.0, live: bool = True) -> Heard:
    """What listened to all of a log, at the moment 100 of its clock."""
    loaded, judged = judge(detector, [log])
    assert isinstance(loaded.encoder, NormalEncoder)
    found = Heard.of(loaded.encoder, 1e-4)
    assert found is not None
    found = replace(found, least_by_clock_s=least_s)
    for batch in judged:
        assert found.take(batch, 100.0, live=live) == []
    return found


def test_by_the_clock_a_log_falls_silent_before_what_it_holds(steady: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(400)))
    found = heard(steady, log)
    bound = silences_of(steady).bound_s(silences_of(steady).of_log("app.log"), 1e-4)
    assert 3.0 < bound < 30.0
    assert found.pass_clock(100.0 + 0.9 * bound) == []
    (silent,) = found.pass_clock(100.0 + 1.1 * bound)
    assert silent.event is None
    assert "anything in this log" in silent.row()["reasons"][0]["says"]
    found.told(silent, really=True)
    # Everything in it is silent now, which is nothing new; once it is heard from, it is listened to again.
    assert found.pass_clock(1e6) == []
    again = heard(steady, log)
    assert len(again.pass_clock(1e6)) == 1


def test_what_is_held_back_is_asked_about_again_when_it_is_longer(steady: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(400)))
    found = heard(steady, log)
    (silent,) = found.pass_clock(200.0)
    found.told(silent, really=False)
    assert found.pass_clock(299.0) == []
    assert len(found.pass_clock(301.0)) == 1


def test_writers_that_gather_lines_and_logs_of_long_ago_are_not_silent(steady: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(400)))
    gathered = heard(steady, log, least_s=60.0)
    assert gathered.pass_clock(159.0) == []
    assert len(gathered.pass_clock(161.0)) == 1
    assert heard(steady, log, live=False).pass_clock(1e6) == []


def test_listening_goes_on_where_it_stood(steady: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(400)))
    before = heard(steady, log)
    plain = json.loads(json.dumps(before.to_dict(103.0)))
    for more_s, silent in ((0.0, 0), (1_000.0, 1)):
        after = replace(before, logs={})
        after.restore(plain, 5.0, more_s=more_s)
        assert after.logs["app.log"].last_s.tolist() == before.logs["app.log"].last_s.tolist()
        assert len(after.pass_clock(5.5)) == silent


def test_sessions_that_end_are_no_habit(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    for session in range(40):
        begin = BEGIN + timedelta(seconds=300 * session)
        (logs / f"session-{session:02d}x.log").write_text("".join(lines(50, begin)))
    found = learnt_from(logs, tmp_path / "dataset")
    assert found.bounds_s(1e-3) == {}
    assert found.bound_s(found.of_log("session-00x.log"), 1e-3) == float("inf")


def test_rotated_files_are_one_log(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    whole = list(lines(4_000))
    (logs / "app.log.1").write_text("".join(whole[:1_000]))
    (logs / "app.log").write_text("".join(whole[1_000:]))
    log = tmp_path / "app.log"
    log.write_text("".join(whole))
    of_two, of_one = learnt_from(logs, tmp_path / "of two"), learnt_from(log, tmp_path / "of one")
    assert list(of_two.logs) == ["app.log"]
    assert of_two.logs["app.log"].to_list() == pytest.approx(of_one.logs["app.log"].to_list())
    habits = ([habit.to_list() for habit in each.kinds.values()] for each in (of_two, of_one))
    assert sorted(next(habits)) == sorted(next(habits))


def test_learning_says_what_it_would_tell_of_silences(steady: Path) -> None:
    found = Learnt.load(steady / FILE).silences
    assert found is not None
    assert (found.kinds, found.logs, found.of_logs, found.came) == (5, 1, 1, 0)
    assert 0 < found.found <= found.stops == 6
    assert found.told_after_s == sorted(found.told_after_s)


LIFE = """
import sys
from pathlib import Path
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
detector, evidence, home = map(Path, sys.argv[1:])
sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
watch = Watch.start(detector, [evidence], [sink], state=home / "state", options=WatchOptions(idle_s=0.1))
watch.heard.least_by_clock_s = 0.5
watch.run()
"""


def test_a_log_that_falls_silent_is_told_before_its_next_line(steady: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    whole = list(lines(400, datetime.now(UTC).replace(microsecond=0)))
    log.write_text("".join(whole[:390]))
    child = subprocess.Popen([sys.executable, "-c", LIFE, steady, log, tmp_path])
    end = time.monotonic() + 120
    state = tmp_path / "state" / "state.json"
    while not state.exists() or json.loads(state.read_text())["steps"] < 389:
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
    with log.open("a") as file:
        file.writelines(whole[390:])
    while not rows(tmp_path):
        assert child.poll() is None
        assert time.monotonic() < end
        time.sleep(0.2)
    child.send_signal(signal.SIGTERM)
    assert child.wait() == 0
    (alert,) = rows(tmp_path)
    assert alert["silence"]["event"] is None
    assert alert["line"] == len(whole)


def test_an_alert_that_is_corrected_counts_once(detector: Path, tmp_path: Path) -> None:
    log, state = tmp_path / "app.log", tmp_path / "state"
    log.write_text("".join(service_lines(40, start=3_000, odd=(3_039,))))
    watch(detector, tmp_path)
    with log.open("a") as file:
        file.write("  at the second line of the same message\n" + next(service_lines(1, start=3_040)))
    watch(detector, tmp_path)
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    alerts = [row for row in found if row.get("alert")]
    assert [row.get("corrects", False) for row in alerts] == [False, True]
    saved = json.loads((state / "state.json").read_text())
    assert saved["alerts"] == 1
    assert [day[1] for day in saved["daily"].values()] == [1]
    (incident,) = saved["incidents"]["open"]
    assert (incident["alerts"], len(incident["evidence"])) == (1, 1)
    assert sum(raised["alerts"] for raised in incident["raised"]) == 1
