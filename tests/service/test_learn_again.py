"""What people said of a watch's incidents takes part in learning again."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner, Result

from tests.service.conftest import ODD, lines
from vestige import checkpoint
from vestige.cli.main import app
from vestige.errors import UsageError
from vestige.reading.looks import NormalEncoder
from vestige.service import exceptions, feedback
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions

ATTACKED = tuple(range(2_100, 2_104))


def test_learning_again_takes_what_was_said(detector: Path, tmp_path: Path) -> None:
    log, state = tmp_path / "app.log", tmp_path / "state"
    log.write_text("".join(lines(1_000, start=2_000, odd=ATTACKED)))
    sinks = [make(f"jsonl:{tmp_path / 'out.jsonl'}", state)]
    Watch.start(detector, [log], sinks, state=state, options=WatchOptions(once=True)).run()
    (about,) = (
        name for name, row in feedback.kept(state).rows.items() if "segfault" in row["evidence"][0]["text"]
    )
    feedback.confirm(state, about, "an exploit")
    out = tmp_path / "newer"
    done = CliRunner().invoke(
        app, ["learn", "--again", str(detector), str(log), "-o", str(out), "--state", str(state)]
    )
    assert done.exit_code == 0, done.output
    assert f"In place of {detector}, on the same" in done.output
    assert "Of 1 confirmed incidents, 1 lie in this evidence" in done.output
    assert "1 of them would alert before, and 1 with the new detector" in done.output
    encoder = checkpoint.load(out).encoder
    assert isinstance(encoder, NormalEncoder)
    assert ODD.split(" at ", 1)[0] not in " ".join(encoder.vocabulary)


def test_nothing_is_learnt_of_what_came_again_when_a_confirmed_incident_was_closed(
    detector: Path, tmp_path: Path
) -> None:
    log, state = tmp_path / "app.log", tmp_path / "state"
    # An hour and more later: the incident is closed, and what comes again is a repeat for a week.
    later = (4_500, 4_800, 5_100)
    log.write_text("".join(lines(4_000, start=2_000, odd=(*ATTACKED, *later))))
    sinks = [make(f"jsonl:{tmp_path / 'out.jsonl'}", state)]
    Watch.start(detector, [log], sinks, state=state, options=WatchOptions(once=True)).run()
    about = [
        (name, row) for name, row in feedback.kept(state).rows.items() if "segfault" in str(row["raised"])
    ]
    assert len(about) == 1
    assert (about[0][1]["state"], about[0][1]["last"] < "2026-01-01T02") == ("closed", True)
    learnt = {}
    for said in (None, "confirmed"):
        if said is not None:
            feedback.confirm(state, about[0][0], "an exploit")
        out = tmp_path / f"newer-{said}"
        given = ["learn", "--again", str(detector), str(log), "-o", str(out), "--state", str(state)]
        assert CliRunner().invoke(app, given).exit_code == 0
        encoder = checkpoint.load(out).encoder
        assert isinstance(encoder, NormalEncoder)
        learnt[said] = "segfault" in " ".join(encoder.vocabulary)
    # Of an incident of which nobody said anything, all is learnt.
    assert learnt == {None: True, "confirmed": False}


def test_what_was_said_goes_over_to_the_state_of_the_new_detector_once(
    detector: Path, tmp_path: Path
) -> None:
    log, before, state = tmp_path / "app.log", tmp_path / "before", tmp_path / "state"
    written = [*lines(1_000, start=2_000, odd=(*ATTACKED, 2_900))]
    # More than an hour later by the clock of the log, and in other words: an incident of its own.
    written[900] = f"2026-01-01T05{written[900][13:]}".replace("segfault", "panic")
    log.write_text("".join(written))

    def watch(home: Path, *more: str) -> Result:
        given = ["watch", str(detector), str(log), "--state", str(home), "--once", *more]
        return CliRunner().invoke(app, [*given, "--sink", f"jsonl:{home}.jsonl"])

    assert watch(before).exit_code == 0
    rows = feedback.kept(before).rows
    assert len(rows) >= 2
    (crash,) = (name for name, row in rows.items() if "segfault" in row["evidence"][0]["text"])
    other = next(name for name in rows if name != crash)
    feedback.dismiss(before, crash, "a fuzzer", expires_s=3_600)
    feedback.confirm(before, other, "an exploit")
    with (before / exceptions.FILE).open("a") as file:
        file.write('\n[[exception]]\nid = "old"\nbecause = "over"\nexpires = 2026-01-01\nhost = "web"\n')

    assert watch(state, "--after", str(before)).exit_code == 0
    assert "segfault" in (tmp_path / "before.jsonl").read_text()
    assert "segfault" not in (tmp_path / "state.jsonl").read_text()
    (entry,) = exceptions.load(state)
    assert entry.id.startswith("earlier-")
    assert entry.id.endswith(f"-{crash}")
    assert entry.because == "a fuzzer"
    assert entry.expires == exceptions.load(before)[0].expires
    found = feedback.kept(state)
    assert found.dismissed[entry.id] >= 1
    # No incident of the new state is taken for one of the old.
    assert not any(found.said(name) for name in found.rows)
    ((row, what),) = found.spoken_of()
    assert (row["id"], what) == (entry.id.replace(crash, other), "confirmed")
    assert "1 confirmed incident was taken over from an earlier watch" in found.told()

    # What is removed there does not come back with the next start of the same command.
    path = state / exceptions.FILE
    path.write_text(path.read_text().partition("[[exception]]")[0])
    # Nor need the old state be there still.
    before.rename(tmp_path / "away")
    assert watch(state, "--after", str(before)).exit_code == 0
    assert exceptions.load(state) == ()


def test_what_was_said_in_two_states_is_kept_apart(detector: Path, tmp_path: Path) -> None:
    log, states = tmp_path / "app.log", [tmp_path / name for name in ("first", "second", "third")]
    log.write_text("".join(lines(1_000, start=2_000, odd=ATTACKED)))
    for home in states:
        given = ["watch", str(detector), str(log), "--state", str(home), "--once"]
        assert CliRunner().invoke(app, given).exit_code == 0
    for home in states[:2]:
        name = next(iter(feedback.kept(home).rows))
        feedback.confirm(home, name, f"an exploit, {home.name}")
        feedback.take_over(home, states[2])
        feedback.take_over(home, states[2])
    confirmed = feedback.kept(states[2]).confirmed
    assert sorted(row["because"] for row in confirmed.values()) == ["an exploit, first", "an exploit, second"]


def test_what_was_said_is_not_handed_over_to_nowhere(detector: Path, tmp_path: Path) -> None:
    log, state = tmp_path / "app.log", tmp_path / "state"
    log.write_text("".join(lines(100)))
    for more in ([], ["--state", str(state)]):
        given = ["watch", str(detector), str(log), "--once", "--after", str(state), *more]
        refused = CliRunner().invoke(app, given)
        assert isinstance(refused.exception, UsageError), refused.output
        assert not state.exists()
