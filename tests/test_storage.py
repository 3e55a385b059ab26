"""What is to be written is asked for before anything is read, and by one process at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from vestige.errors import OutputError
from vestige.storage import atomic_directory, locked, refuse_files, write_text

HOLDING = """
import sys, time
from pathlib import Path
from vestige.storage import atomic_directory, locked
with {what} as working:
    (working or Path(sys.argv[1])).joinpath("begun").touch()
    print("holding", flush=True)
    time.sleep(600)
"""


def holding(what: str, path: Path) -> subprocess.Popen[str]:
    """Another process that writes `path`."""
    command = [sys.executable, "-c", HOLDING.format(what=what), str(path)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    assert other.stdout.readline() == "holding\n"
    return other


def end(other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.communicate()


def test_of_two_that_make_one_directory_the_second_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "run"
    other = holding('atomic_directory(Path(sys.argv[1]), marker="m")', out)
    with (
        pytest.raises(OutputError, match="run: another process is writing it"),
        atomic_directory(out, marker="m"),
    ):
        pass
    assert len(list(tmp_path.iterdir())) == 1  # the first one's
    end(other)
    with atomic_directory(out, marker="m") as working:
        (working / "m").touch()
    assert list(tmp_path.iterdir()) == [out]


def test_a_directory_at_work_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "m").touch()
    other = holding("locked(Path(sys.argv[1]))", tmp_path)
    with (
        pytest.raises(OutputError, match="another process"),
        atomic_directory(tmp_path, marker="m", overwrite=True),
    ):
        pass
    with pytest.raises(OutputError, match="another process"), locked(tmp_path):
        pass
    end(other)
    with locked(tmp_path):
        assert (tmp_path / "begun").exists()


def test_what_another_container_is_making_is_not_swept_away(tmp_path: Path) -> None:
    theirs = tmp_path / f".run.{2**30}.x.tmp"  # of no process that is seen from here
    theirs.mkdir()
    other = holding("locked(Path(sys.argv[1]))", theirs)
    with pytest.raises(OutputError, match="another process"), atomic_directory(tmp_path / "run", marker="m"):
        pass
    assert (theirs / "begun").exists()
    end(other)
    with atomic_directory(tmp_path / "run", marker="m"):
        pass
    assert [one.name for one in tmp_path.iterdir()] == ["run"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what another user left")
def test_what_another_user_left_keeps_nobody_from_writing() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own are closed to others
        folder = Path(name)
        folder.chmod(0o1777)  # as /tmp is: nobody removes what is another's
        (folder / f".run.{2**30}.x.tmp").mkdir(mode=0o700)
        (folder / f".file.{2**30}.x.tmp").touch(mode=0o600)
        os.seteuid(65534)
        try:
            with atomic_directory(folder / "run", marker="m"):
                pass
            write_text(folder / "file", "text")
        finally:
            os.seteuid(0)
        assert (folder / "run").is_dir()
        assert (folder / "file").read_text() == "text"


def test_what_was_written_meanwhile_is_left_alone(tmp_path: Path) -> None:
    out = tmp_path / "run"

    def write() -> None:
        with atomic_directory(out, marker="m"):
            out.mkdir()
            (out / "m").write_text("theirs")

    with pytest.raises(OutputError, match="already exists"):
        write()
    assert (out / "m").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_is_replaced_on_demand_and_a_directory_never(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "folder").mkdir()
    refuse_files(None, tmp_path / "absent", overwrite=False)
    refuse_files(tmp_path / "file", overwrite=True)
    with pytest.raises(OutputError, match=r"(?s)file: already exists.*elsewhere, or add --overwrite"):
        refuse_files(tmp_path / "absent", tmp_path / "file", overwrite=False, remedy="elsewhere")
    for overwrite in (False, True):
        with pytest.raises(OutputError, match="folder: is a directory"):
            refuse_files(tmp_path / "folder", overwrite=overwrite)
