"""Evidence and outputs under another user: what may not be read is left out and told, what may not be
written is refused before anything is read, and neither ends in an internal error."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from tests.attacks.conftest import invoke
from vestige.cli.main import app
from vestige.errors import OutputError
from vestige.evidence.defects import LeftOut
from vestige.reading.windows import WindowSet
from vestige.storage import atomic_directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
NOBODY = 65534


@contextmanager
def nobody() -> Iterator[None]:
    """The block under another user."""
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody may read and write: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def as_nobody(*arguments: object) -> Result:
    with nobody():
        return CliRunner().invoke(app, list(map(str, arguments)))


def test_what_may_not_be_read_is_left_out_and_told(place: Path) -> None:
    logs, read = place / "logs", ["--format", "plain", "-j", "1"]
    for name in ("open", "shut", "closed/within"):
        (logs / name).parent.mkdir(parents=True, exist_ok=True)
        (logs / name).write_text("".join(f"line {n % 7} of a log\n" for n in range(60)))
    invoke("prepare", "logs", logs, *read, "-o", place / "whole")  # everything that is imported is now
    (logs / "shut").chmod(0o600)
    (logs / "closed").chmod(0o700)
    done = as_nobody("prepare", "logs", logs, *read, "-o", place / "part")
    assert done.exit_code == 0, (done.exception, done.output)
    whole, part = WindowSet.open(place / "whole"), WindowSet.open(place / "part")
    assert whole.recordings["id"].to_list() == ["closed/within", "open", "shut"]
    assert part.recordings["id"].to_list() == ["open"]
    told = LeftOut.of_notes(part.notes, place).first
    assert {each.file: each.why for each in told} == {
        "closed": "Permission denied",
        "shut": "cannot be read: Permission denied",
    }


def test_what_may_not_be_written_is_refused_with_advice(place: Path) -> None:
    (place / "theirs").mkdir(mode=0o700)

    def write() -> None:
        with nobody(), atomic_directory(place / "theirs" / "run", marker="m"):
            pass

    with pytest.raises(OutputError, match=r"(?s)permission denied.*choose an output that you may write"):
        write()
    assert list((place / "theirs").iterdir()) == []
