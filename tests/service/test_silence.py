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

import numpy as np
import pytest

from tests.service.conftest import ORDER
from tests.service.conftest import lines as service_lines
from vestige.checkpoint import load
from vestige.evaluation.budget import Budget
from vestige.evaluation.learnt import FILE, Learnt
from vestige.pipeline.falling_silent import WHOLE, _told
from vestige.pipeline.learn import learn
from vestige.pipeline.recipe import encoder_of, to_learn_from
from vestige.reading.looks import NormalEncoder
from vestige.reading.silence import Silences, _whole
from vestige.scoring.normal import NormalScorer
from vestige.scoring.silence import MOST_LOGS, Heard
from vestige.scoring.windows import judge
from vestige.service.feedback import dismiss
from vestige.service.follow import still_followed
from vestige.service.sinks import make
from vestige.service.watch import MOST_LAST, Watch, WatchOptions
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


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """400 lines with a heartbeat."""
    place = tmp_path / "app.log"
    place.write_text("".join(lines(400)))
    return place


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


def started(detector: Path, home: Path, *evidence: Path) -> Watch:
    """A watch that does not run yet."""
    sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
    return Watch.start(detector, evidence, [sink], state=home / "state", options=ONCE)


def watch(detector: Path, home: Path) -> list[dict[str, Any]]:
    started(detector, home, home / "app.log").run()
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


def test_by_the_clock_a_log_falls_silent_before_what_it_holds(steady: Path, log: Path) -> None:
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


def test_what_is_held_back_is_asked_about_again_when_it_is_longer(steady: Path, log: Path) -> None:
    found = heard(steady, log)
    (silent,) = found.pass_clock(200.0)
    found.told(silent, really=False)
    assert found.pass_clock(299.0) == []
    assert len(found.pass_clock(301.0)) == 1


def test_writers_that_gather_lines_and_logs_of_long_ago_are_not_silent(steady: Path, log: Path) -> None:
    gathered = heard(steady, log, least_s=60.0)
    assert gathered.pass_clock(159.0) == []
    assert len(gathered.pass_clock(161.0)) == 1
    assert heard(steady, log, live=False).pass_clock(1e6) == []


def test_listening_goes_on_where_it_stood(steady: Path, log: Path) -> None:
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


LATER = f"2099-01-01T00:00:00Z web app[7]: {ORDER[0].format(n=1, k=1)}\n"


def test_each_log_of_a_host_falls_silent_by_itself(steady: Path, log: Path, tmp_path: Path) -> None:
    (silent,) = heard(steady, log).pass_clock(1_000.0)
    watch = started(steady, tmp_path, log)
    found = watch._silent([silent, replace(silent, recording="other.log"), silent])
    watch._close()
    assert [row["recording"] for row in found if "silence" in row] == ["app.log", "other.log"]


def test_what_was_not_shown_mutes_no_other(steady: Path, log: Path) -> None:
    found = heard(steady, log)
    (silent,) = found.pass_clock(1_000.0)
    for shown in (False, True):
        found.told(replace(silent, slot=0), really=True, shown=shown)
        assert found.logs["app.log"].told_quiet == shown


def test_an_outage_is_told_once(steady: Path, log: Path) -> None:
    found = heard(steady, log)
    mine = found.logs["app.log"]
    (silent,) = found.pass_clock(1_000.0)
    found.told(silent, really=True)
    mine.ask_s[:-1] = 0.5
    assert found.pass_clock(1e6) == []
    # Nor does the time for which the log was silent count for what it holds, once it is back.
    before = mine.active_s
    back = [line.split("Z ", 1)[1] for line in lines(30) if BEAT not in line][:3]
    later = (BEGIN + timedelta(hours=1, seconds=second) for second in range(3))
    log.write_text("".join(f"{at:%Y-%m-%dT%H:%M:%S}Z {text}" for at, text in zip(later, back, strict=True)))
    _, judged = judge(steady, [log])
    for batch in judged:
        found.take(batch, 2e6, live=True)
    assert mine.active_s - before == 2.0


def test_a_line_from_the_future_ends_no_listening(steady: Path, tmp_path: Path) -> None:
    whole = list(lines(800, without=(600.0, 1e9)))
    (tmp_path / "app.log").write_text("".join([*whole[:200], LATER, *whole[200:]]))
    (alert,) = watch(steady, tmp_path)
    assert alert["silence"]["event"] == BEAT
    # One that is read last of all is taken back when all that follows is of before.
    log = tmp_path / "b" / "app.log"
    log.parent.mkdir()
    log.write_text("".join([*whole[:200], LATER]))
    found = heard(steady, log)
    log.write_text("".join(whole[200:250]))
    _, judged = judge(steady, [log])
    before = found.logs["app.log"].active_s
    for batch in judged:
        found.take(batch, 101.0, live=True)
    mine = found.logs["app.log"]
    assert mine.now_s < (BEGIN + timedelta(days=1)).timestamp()
    assert 50.0 < mine.active_s - before < 150.0


def test_lines_from_the_future_are_no_reason_to_learn_no_habit(tmp_path: Path) -> None:
    whole = list(lines(4_000))
    log = tmp_path / "app.log"
    log.write_text("".join(whole))
    right = learnt_from(log, tmp_path / "right")
    log.write_text("".join([*whole[:2_000], LATER, *whole[2_000:], LATER]))
    wrong = learnt_from(log, tmp_path / "wrong")
    assert wrong.span_s == right.span_s
    assert len(wrong.bounds_s(1e-3)) == len(right.bounds_s(1e-3)) > 0
    assert wrong.logs["app.log"].longest_s == right.logs["app.log"].longest_s
    # A log all of which is from the future says nothing of when the others ended.
    assert _whole([(0.0, 9e3), (1.0, 1e4), (3e9, 3e9 + 10)]) == (0.0, 1e4)
    assert _whole([(0.0, 9e3), (1.0, 1e4), (1e4, 2e4)]) == (0.0, 2e4)


def test_a_single_line_ahead_of_its_time_makes_nothing_silent(steady: Path, tmp_path: Path) -> None:
    begin, log = BEGIN + timedelta(days=1), tmp_path / "app.log"
    whole = list(lines(400, begin))
    late = begin + timedelta(minutes=76)
    early = f"{late:%Y-%m-%dT%H:%M:%S}Z web app[7]: connection of worker 1 closed\n"
    log.write_text("".join(whole[:200]))
    found = heard(steady, log)
    mine = found.logs["app.log"]
    # A log that is silent for hours now and then, although what it holds comes steadily.
    mine.most_s = float("inf")
    told = []
    for text in ([early], whole[200:300], [early], whole[300:], [early]):
        log.write_text("".join(text))
        _, judged = judge(steady, [log])
        for batch in judged:
            told += found.take(batch, 100.0, live=True)
        found.restore(json.loads(json.dumps(found.to_dict(100.0))), 100.0)
        found.logs["app.log"].most_s = float("inf")
    assert not told
    # What came last shows how late it is, also where it was kept back.
    (silent,) = found.pass_clock(100.0 + 3_600.0)
    assert (silent.event, silent.silence_s) == (None, 3_600.0)
    assert silent.at_ns / 1e9 == (late + timedelta(hours=1)).timestamp()
    # Where the log goes on from there, so did time: what it holds did not come.
    log.write_text("".join(lines(50, late, without=(0.0, 1e9))))
    _, judged = judge(steady, [log])
    missed = [silent for batch in judged for silent in found.take(batch, 100.0, live=True)]
    (beat,) = (silent for silent in missed if silent.event == BEAT)
    assert 3_600.0 < beat.silence_s < 4_000.0


def test_a_clock_that_was_not_set_at_first_is_no_reason_to_learn_no_habit(tmp_path: Path) -> None:
    whole, log = list(lines(4_000)), tmp_path / "app.log"
    log.write_text("".join(whole))
    right = learnt_from(log, tmp_path / "right")
    unset = list(lines(5, datetime(1970, 1, 1, tzinfo=UTC)))
    image = next(lines(1, BEGIN - timedelta(days=300)))
    for number, first in enumerate((unset[:1], unset, [image])):
        log.write_text("".join([*first, *whole]))
        wrong = learnt_from(log, tmp_path / f"wrong-{number}")
        assert wrong.span_s == right.span_s
        assert wrong.bounds_s(1e-3) == pytest.approx(right.bounds_s(1e-3), rel=0.01)
        assert wrong.logs["app.log"].longest_s == right.logs["app.log"].longest_s


def test_habits_of_kinds_that_are_not_known_are_refused(steady: Path) -> None:
    plain = silences_of(steady).to_dict()
    number, habit = next(iter(plain["kinds"].items()))
    assert int(number) in Silences.from_dict(plain, 5).kinds
    for wrong in ("100000000000", "5", "-1"):
        with pytest.raises(ValueError, match="a kind"):
            Silences.from_dict(plain | {"kinds": {wrong: habit}}, 5)


def test_what_was_heard_is_checked_before_it_is_taken_up(steady: Path, log: Path) -> None:
    found = heard(steady, log)
    (good,) = found.to_dict(100.0).values()
    for wrong in ({"last_s": {"-1": 0.0}}, {"last_s": {"99": 0.0}}, {"told": [-2]}, {"told": [99]}):
        with pytest.raises(ValueError, match="a kind"):
            found.restore({"app.log": good | wrong}, 5.0)
    with pytest.raises(ValueError, match="more than"):
        found.restore({str(number): good for number in range(MOST_LOGS + 1)}, 5.0)


def test_of_alerts_that_may_be_corrected_those_that_came_last_are_kept(steady: Path, tmp_path: Path) -> None:
    watch = started(steady, tmp_path, tmp_path / "app.log")
    watch.promise = None
    for number in range(MOST_LAST + 10):
        watch._alert({"recording": str(number), "time": None, "dismissed": "000001"})
    watch._close()
    assert list(watch._last) == [str(number) for number in range(10, MOST_LAST + 10)]


def test_listening_goes_on_when_paths_come_or_go(
    steady: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, other = tmp_path / "app.log", tmp_path / "other"
    other.mkdir()
    log.write_text("".join(lines(400)))
    watch(steady, tmp_path)
    assert not json.loads((tmp_path / "state" / "state.json").read_text())["heard"]["app.log"]["live"]
    again = started(steady, tmp_path, log, other)
    again._close()
    assert again.heard is not None
    # Whoever looks now and then follows what was going on when all was read first.
    assert again.heard.logs["app.log"].live
    with caplog.at_level("INFO"):
        anew = started(steady, tmp_path, other)
    anew._close()
    assert anew.heard is not None
    assert anew.heard.logs == {}
    assert "silences are listened for anew" in caplog.text
    names = {"/a/app.log": "app.log", "/b/x.log.1": "x.log.1", "/b/x.log": "x.log"}
    assert still_followed({"app.log": 1, "x.log": 2}, names, {"/b"}) == {"app.log": 1}


def test_what_ended_before_the_first_of_several_looks_is_not_followed(steady: Path, log: Path) -> None:
    before = heard(steady, log, least_s=60.0, live=False)
    plain = before.to_dict(101.0)["app.log"]
    after = replace(before, logs={})
    saved = {"app.log": plain, "ended.log": plain | {"now_s": plain["now_s"] - 86_400.0}}
    after.restore(saved, 5.0, more_s=1_000.0, once=True)
    assert [silent.recording for silent in after.pass_clock(5.0)] == ["app.log"]


def test_a_correction_takes_back_no_window_of_another_log(steady: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(50)))
    loaded, judged = judge(steady, [log])
    (batch,) = judged
    scorer = NormalScorer.of(loaded)
    assert scorer is not None
    (name,) = batch.batch.recordings
    spent, windows = scorer.budget, len(batch.batch)
    scorer.alerts(batch)
    for recording, taken in ((name.id, 1), ("other.log", 1), ("other.log", 2)):
        changed = replace(batch.batch, corrects=True, recordings=(name._replace(id=recording),))
        before = scorer.budget.spent.windows
        scorer.alerts(replace(batch, batch=changed))
        expected = windows - (recording == name.id or taken == 2)
        assert spent.spent.windows - before == expected


@pytest.mark.parametrize(("most_s", "told"), [(20.0, 0), (float("inf"), 1)])
def test_silences_of_the_check_are_counted_in_active_time(steady: Path, most_s: float, told: int) -> None:
    steps = np.r_[np.arange(100.0), np.arange(1_100.0, 1_200.0)]
    came = {("a", WHOLE): steps, ("a", 0): np.r_[0.0, 30.0, 60.0, 90.0, 1_101.0, 1_130.0, 1_160.0]}
    assert _told(came, {0: 50.0}, {"a": most_s}, silences_of(steady)) == told
