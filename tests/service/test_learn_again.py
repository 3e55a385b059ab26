"""What people said of a watch's incidents takes part in learning again."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from tests.service.conftest import ODD, lines
from vestige import checkpoint
from vestige.cli.main import app
from vestige.reading.looks import NormalEncoder
from vestige.service import feedback
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
