"""What people say of incidents: exceptions that hide, expire and are read back, and examples."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.service.conftest import lines
from vestige.cli.main import app
from vestige.errors import CheckpointError, DefinitionError, OutputError, UsageError
from vestige.service import exceptions, feedback, state
from vestige.service.exceptions import Dismissal, Exceptions
from vestige.service.incidents import MOST_EVIDENCE, Incidents, Raised, Row
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions

CRASH = "kernel: segfault at <num> in process <num>"
HOSTILE = 'a"]\n[[exception]]\nhost = "web" \x1b[31m\u202e \ud800 <*>'


def alert(second: int, event: str = CRASH, *, host: str = "web", looks: tuple[str, ...] = ("order",)) -> Row:
    """An alert about an event that is of no known template."""
    reasons = [{"look": look, "p_value": 0.001, "says": f"{look}: {event}"} for look in looks]
    nearest = {"text": "request <num> begins", "distance": 0.9}
    time = f"2026-01-01T{10 + second // 3600}:{second // 60 % 60:02d}:{second % 60:02d}.000000000Z"
    return {"time": time, "host": host, "recording": "app.log", "file": "app.log", "line": second,
            "text": event, "p_value": 1e-5, "alert": True, "event": event, "reasons": reasons,
            "nearest": nearest}  # fmt: skip


Keep = Callable[..., Path]


@pytest.fixture
def keep(tmp_path: Path) -> Keep:
    """Keeps the incidents of alerts in a directory, as a watch does that was stopped."""

    def write(*alerts: Row, dismissed: dict[str, int] | None = None) -> Path:
        found = Incidents()
        sink = feedback.sink(tmp_path)
        for each in alerts:
            sink.write(found.take(each))
        sink.close()
        state.save(
            tmp_path, "0", {"incidents": found.to_dict(), "dismissed": dismissed or {}, "promise": None}
        )
        return tmp_path

    return write


def test_incidents_are_listed_as_they_are_now(keep: Keep) -> None:
    home = keep(alert(0), alert(1), alert(2, host="db"), alert(3_500))
    found = feedback.kept(home)
    assert [(row["id"], row["host"], row["alerts"], row["state"]) for row in found.rows.values()] == [
        ("000001", "web", 3, "open"),
        ("000002", "db", 1, "open"),
    ]
    assert [row["id"] for row in feedback.chosen(found, host="db")] == ["000002"]
    assert feedback.chosen(found, since_s=60.0) == []
    assert len(feedback.chosen(found, since_s=1e10)) == 2
    assert found.find("2")["id"] == "000002"
    for unknown in ("3", "web", "\x1b[31m"):
        with pytest.raises(UsageError, match="there is no incident"):
            found.find(unknown)


def test_a_line_that_is_being_written_is_no_error_and_a_damaged_one_is_counted(keep: Keep) -> None:
    home = keep(alert(0), alert(7_200))
    file = home / feedback.INCIDENTS
    first = file.read_text().splitlines()[0]
    file.write_text(f'{file.read_text()}{{"id": 7}}\n[]\n{first.replace("web", "db")[:-20]}')
    found = feedback.kept(home)
    assert [(row["id"], row["state"]) for row in found.rows.values()] == [
        ("000001", "closed"),
        ("000002", "open"),
    ]
    assert found.unread == 2
    assert "2 lines" in found.told()[-1]


def test_what_is_no_state_is_refused(keep: Keep, tmp_path: Path) -> None:
    for verb in (feedback.kept, lambda home: feedback.dismiss(home, "1", "why")):
        with pytest.raises(UsageError, match="state"):
            verb(tmp_path / "elsewhere")
        with pytest.raises(UsageError, match="holds no state of a watch"):
            verb(tmp_path)
    home = keep(alert(0))
    (home / state.FILE).write_text('{"format": "vestige-watch/2", "detector": "0", "incidents": []}')
    with pytest.raises(CheckpointError, match="cannot be taken up"):
        feedback.kept(home)


def test_dismissing_says_what_it_would_have_hidden(keep: Keep) -> None:
    home = keep(alert(0), alert(1), alert(2, host="db"), alert(3, "disk full", host="mail"), alert(4))
    past = {}
    for scope in ("both", "entity", "template"):
        past[scope] = feedback.dismiss(home, "000001", "a test", scope=scope).past
        (home / exceptions.FILE).unlink()
    assert (past["both"].hidden, past["both"].whole, past["both"].incidents) == (3, 1, 3)
    assert past["entity"] == past["both"]
    assert (past["template"].hidden, past["template"].whole) == (4, 2)
    assert str(past["both"]) == ("would have hidden 3 of 5 alerts: 1 of 3 incidents whole, 0 in part")


def test_alerts_of_an_incident_that_differ_are_hidden_in_part(keep: Keep) -> None:
    home = keep(alert(0), alert(5, looks=("novelty.distance", "order"), host="db"))
    done = feedback.dismiss(home, "1", "a test", scope="template")
    # The other one was raised by a look that nobody has dismissed.
    assert (done.past.hidden, done.past.alerts) == (1, 2)
    home = keep(*(alert(second, f"event {second}") for second in range(MOST_EVIDENCE + 5)))
    (home / exceptions.FILE).unlink()
    done = feedback.dismiss(home, "1", "a test")
    assert (done.uncounted, done.past.hidden, done.past.part) == (5, MOST_EVIDENCE, 1)


def test_a_weak_reason_by_chance_is_no_other_way(keep: Keep) -> None:
    home = keep(alert(0, looks=("novelty.distance", "order")))
    entry = feedback.dismiss(home, "1", "a test").entry
    again = alert(9, looks=("pace.burst", "order", "novelty.distance"))
    again["reasons"][0]["p_value"] = 0.04
    assert entry.hides("web", Raised.of(again))
    again["reasons"][0]["p_value"] = 0.009
    assert not entry.hides("web", Raised.of(again))
    assert Raised.of({"reasons": [{"look": "order", "p_value": 0.04}]}).looks == ["order"]
    assert Raised.of({"reasons": []}).looks == ["score"]


def test_an_exception_expires(keep: Keep) -> None:
    home = keep(alert(0))
    with pytest.raises(UsageError, match="9999"):
        feedback.dismiss(home, "1", "never", expires_s=1e15)
    entry = feedback.dismiss(home, "1", "a test", expires_s=3_600.0).entry
    (read,) = exceptions.load(home)
    assert read.expires is not None
    now = datetime.now(UTC)
    assert read.holds(now)
    assert not read.holds(now + timedelta(hours=2))
    assert read.hides("web", Raised.of(alert(9)))
    assert abs(read.expires - entry.made - timedelta(hours=1)) < timedelta(seconds=2)  # type: ignore[operator]
    with pytest.raises(UsageError, match="dismissed already"):
        feedback.dismiss(home, "1", "again")
    with pytest.raises(UsageError, match="dismissed already"):
        feedback.confirm(home, "1")
    text = (home / exceptions.FILE).read_text()
    (home / exceptions.FILE).write_text(text.replace("expires = 20", "expires = 19"))
    assert len(exceptions.load(home)) == 1
    assert Exceptions.of(home).hiding(alert(9)) is None
    assert "0 exceptions in force, 1 expired" in feedback.kept(home).told()[1]
    feedback.dismiss(home, "1", "once more")
    assert len(exceptions.load(home)) == 2


def test_what_an_attacker_wrote_is_no_wildcard_and_no_toml(keep: Keep) -> None:
    home = keep(alert(0, HOSTILE), alert(3_000, "<*>", host="db"))
    feedback.dismiss(home, "1", HOSTILE)
    feedback.dismiss(home, "2", "a test")
    text = (home / exceptions.FILE).read_text()
    assert "\x1b" not in text
    assert "\u202e" not in text
    first, second = exceptions.load(home)
    assert first.events == (HOSTILE.replace("\ud800", "\ufffd"),)
    assert first.hides("web", Raised.of(alert(5, HOSTILE)))
    assert second.events == ("<*>",)
    assert not second.hides("db", Raised.of(alert(5, "anything", host="db")))
    with pytest.raises(UsageError, match="--because is empty"):
        feedback.dismiss(home, "1", " \n")


@settings(max_examples=50)
@given(st.lists(st.text(), min_size=1, max_size=3), st.text(min_size=1), st.text())
def test_an_entry_reads_as_it_was_written(events: list[str], because: str, host: str) -> None:
    entry = Dismissal(id="1", because=because, host=host, events=tuple(events))
    (read,) = exceptions.parse(entry.toml(), Path("x.toml"))
    assert read == entry


def test_a_template_stands_for_words() -> None:
    entry = Dismissal(id="a", because="b", templates=("user <*> logged in",))
    texts = ("user bob logged in", "user bob smith logged in", "user logged in", "user eve logged out")
    assert [entry.hides("any", Raised(text, None, ["order"])) for text in texts] == [
        True,
        False,
        False,
        False,
    ]
    known = alert(0, "user bob logged in") | {"nearest": {"text": "user <*> logged in", "distance": 0}}
    assert Raised.of(known).template == "user <*> logged in"
    assert entry.hides("any", Raised.of(known))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[exception]]\nid = "7"\nhost = "web"\n', r"exception 1 \(7\): because: is missing"),
        ('[[exception]]\nid = "7"\nbecause = "x"\n', r"exception 1 \(7\): it would hide everything"),
        (
            '[[exception]]\nid = "7"\nbecause = "x"\nhots = "w"\n',
            r"exception 1 \(7\): hots: there is",
        ),
        ('[[exception]]\nid = "7"\nbecause = "x"\nevents = []\n', r"exception 1 \(7\): events: Tuple"),
        ('[[exception]]\nid = "7"\nbecause = "x"\nhost = "w"\nexpires = "?"\n', r"\(7\): expires: "),
        ("exceptions = 1\n", "exceptions: only entries"),
        ("exception = 1\n", "exception: only entries"),
        ("exception = [1]\n", "exception 1: "),
        ("[[exception\n", "not TOML"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / exceptions.FILE).write_text(text)
    with pytest.raises(DefinitionError, match=says) as raised:
        exceptions.load(tmp_path)
    assert str(tmp_path / exceptions.FILE) in str(raised.value)


def test_a_file_that_is_changed_is_taken_up_and_a_wrong_one_leaves_what_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("logging.Logger.propagate", True, raising=False)
    found = Exceptions.of(tmp_path)
    assert found.hiding(alert(0)) is None
    path = tmp_path / exceptions.FILE
    path.write_text('[[exception]]\nid = "7"\nbecause = "x"\nhost = "web"\nexpires = 2999-01-01\n')
    found.refresh()
    hiding = found.hiding(alert(0))
    assert hiding is not None
    assert hiding.id == "7"
    path.write_text("[[exception]]\n")
    found.refresh()
    assert found.hiding(alert(0)) is hiding
    path.unlink()
    found.refresh()
    assert found.hiding(alert(0)) is None


def test_confirmed_incidents_are_kept_as_examples(keep: Keep) -> None:
    home = keep(alert(0), alert(1, host="db"), alert(2, host="mail"), dismissed={"000002": 4})
    feedback.confirm(home, "1", "a stolen key")
    feedback.dismiss(home, "2", "a test")
    (example,) = map(json.loads, (home / feedback.CONFIRMED).read_text().splitlines())
    assert (example["id"], example["because"], example["alerts"]) == ("000001", "a stolen key", 1)
    assert example["evidence"][0]["text"] == CRASH
    assert feedback.kept(home).told() == [
        "3 incidents (3 open): 1 confirmed, 1 dismissed, 1 of which nobody said anything",
        "1 exception in force, 0 expired; they have hidden 4 alerts",
    ]
    for verb in (lambda: feedback.confirm(home, "1"), lambda: feedback.dismiss(home, "1", "why")):
        with pytest.raises(UsageError, match="confirmed already"):
            verb()


def _dismiss(home: Path, number: int) -> None:
    feedback.dismiss(home, str(number), f"person {number}")


def test_two_people_at_once_both_are_heard(keep: Keep) -> None:
    home = keep(*(alert(number, host=f"host-{number}") for number in range(6)))
    context = multiprocessing.get_context("fork")
    people = [context.Process(target=_dismiss, args=(home, number)) for number in range(1, 7)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    assert [person.exitcode for person in people] == [0] * 6
    said = {entry.because for entry in exceptions.load(home)}
    assert said == {f"person {number}" for number in range(1, 7)}


def told(*words: str | Path) -> str:
    """What a command prints."""
    return CliRunner().invoke(app, list(map(str, words)), catch_exceptions=False).output


def test_an_incident_says_how_often_it_came_again(keep: Keep) -> None:
    home = keep(alert(0))
    assert "repeat" not in told("incidents", home, "1")
    found = feedback.kept(home)
    sink = feedback.sink(home)
    sink.write([found.rows["000001"] | {"state": "closed", "repeats": 2}])
    sink.close()
    assert ", 2 repeats" in told("incidents", home, "1")
    sink = feedback.sink(home)
    sink.write([found.rows["000001"] | {"state": "closed", "repeats": "many"}])
    sink.close()
    assert (feedback.kept(home).rows["000001"]["repeats"], feedback.kept(home).unread) == (2, 1)


def test_a_narrow_terminal_shows_why_an_incident_is_one(keep: Keep, monkeypatch: pytest.MonkeyPatch) -> None:
    home = keep(alert(0))
    monkeypatch.setenv("COLUMNS", "60")
    shown = told("incidents", home)
    heading = shown.partition("┡")[0]
    assert "strongest" in heading
    assert "last" not in heading
    assert "a wider terminal also shows: last" in shown
    for columns in ("40", "60", "110", "80"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = told("incidents", home)
        assert shown.startswith("┏")
        assert shown.splitlines()[0].endswith("┓")
        assert max(map(len, shown.splitlines()[:3])) <= int(columns)
        assert "strongest reason" in shown
    assert "2026-01-01T10:00:00Z" in shown


def test_what_evidence_holds_is_shown_as_plain_text(keep: Keep) -> None:
    home = keep(alert(0, HOSTILE), alert(1, host="db\x1b[2J"), alert(2, host="[red]x"))
    shown = [
        told("incidents", home),
        told("incidents", home, "1"),
        told("dismiss", home, "1", "--because", "x"),
    ]
    for text in (*shown, told("confirm", home, "2")):
        assert not set(text) & {"\x1b", "\u202e", "\ud800"}
    assert "[red]x" in shown[0]
    assert 'order: a"]\\x0a[[exception]]' in shown[1]
    hidden = "would have hidden 1 of 3 alerts: 1 of 3 incidents whole, 0 in part"
    assert hidden in " ".join(shown[2].split())  # a terminal may fold it
    rows = list(map(json.loads, told("incidents", home, "--json").splitlines()))
    assert [(row["id"], row["said"]) for row in rows] == [
        ("000001", "dismissed"),
        ("000002", "confirmed"),
        ("000003", None),
    ]


def test_a_list_says_what_it_leaves_out(keep: Keep) -> None:
    home = keep(alert(0), alert(1, host="db"))
    text = told("incidents", home, "--host", "db", "--since", "99999d")
    assert "000002" in text
    assert "000001" not in text
    assert "1 others are not shown" in text
    assert "2 incidents (2 open): 0 confirmed, 0 dismissed, 2 of which nobody said anything" in text
    assert "2 others are not shown" in told("incidents", home, "--since", "7d")


def watched(detector: Path, log: Path, *, every: bool = False) -> list[dict[str, Any]]:
    """One life of a watch; all lines so far."""
    home = log.parent
    sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
    options = WatchOptions(once=True, every=every, idle_s=0.05)
    Watch.start(detector, [log], [sink], state=home / "state", options=options).run()
    return [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]


def test_a_dismissed_alert_is_counted_and_not_told(detector: Path, tmp_path: Path) -> None:
    log, home = tmp_path / "app.log", tmp_path / "state"
    log.write_text("".join(lines(200, start=3_000, odd=(3_150,))))
    (known,) = [row["incident"] for row in watched(detector, log) if "segfault" in row.get("text", "")]
    assert feedback.dismiss(home, known, "a crash that is known").past.hidden
    with log.open("a") as file:
        file.writelines(lines(200, start=3_200, odd=(3_250, 3_350)))
    before = len(watched(detector, log)), feedback.kept(home)
    assert before[1].dismissed == {known: 2}
    with log.open("a") as file:
        file.writelines(lines(100, start=3_400, odd=(3_450,)))
    rows = watched(detector, log, every=True)
    (hidden,) = [row for row in rows[before[0] :] if row.get("dismissed")]
    assert (hidden["dismissed"], hidden["alert"]) == (known, False)
    assert hidden["reasons"]
    assert "incident" not in hidden
    found = feedback.kept(home)
    assert found.dismissed == {known: 3}
    assert found.rows[known]["alerts"] == before[1].rows[known]["alerts"]


def test_a_running_watch_takes_up_what_is_said(detector: Path, tmp_path: Path) -> None:
    log, out, home = tmp_path / "app.log", tmp_path / "out.jsonl", tmp_path / "state"
    log.write_text("".join(lines(60, start=3_000, odd=(3_050,))))
    options = WatchOptions(every=True, idle_s=0.05, save_s=0.05)
    running = Watch.start(detector, [log], [make(f"jsonl:{out}", home)], state=home, options=options)

    def wait(found: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not found():
            assert time.monotonic() < end
            time.sleep(0.02)

    def say() -> None:
        try:
            wait(lambda: '"000001","state":"opened"' in out.read_text() and running.steps == 60)
            wait(lambda: bool(feedback.kept(home).rows))
            feedback.dismiss(home, "1", "a crash that is known")
            wait(lambda: running.exceptions is not None and len(running.exceptions.entries) == 1)
            with log.open("a") as file:
                file.writelines(lines(60, start=3_060, odd=(3_100,)))
            wait(lambda: running.dismissed["000001"] == 1)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    person = threading.Thread(target=say)
    person.start()
    running.run()
    person.join()
    assert feedback.kept(home).dismissed == {"000001": 1}
    assert '"dismissed":"000001"' in out.read_text()


def test_a_second_watch_takes_nothing_back_from_the_first(detector: Path, tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    log.write_text("".join(lines(50, start=3_000)))
    options = WatchOptions(once=True, every=True, idle_s=0.05)
    out, home = tmp_path / "out.jsonl", tmp_path / "state"
    first = Watch.start(detector, [log], [make(f"jsonl:{out}", home)], state=home, options=options)
    first.save()
    out.write_text("what the first has written since\n")
    with pytest.raises(OutputError, match="another process is writing it"):
        Watch.start(detector, [log], [make(f"jsonl:{out}", home)], state=home, options=options)
    assert out.read_text() == "what the first has written since\n"
    first.run()
    assert len(out.read_text().splitlines()) == 51
