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
