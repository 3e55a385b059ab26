"""Real alerts do not pass for synthetic ones because somebody put a file somewhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vestige.evidence.files import MARKER
from vestige.evidence.simulated import BEGINS, is_simulated


@pytest.fixture
def log(tmp_path: Path) -> Path:
    (tmp_path / "a" / "b").mkdir(parents=True)
    file = tmp_path / "a" / "b" / "app.log"
    file.write_text("x\n")
    return file


def test_a_corpus_and_what_lies_in_it_are_simulated(tmp_path: Path, log: Path) -> None:
    assert not is_simulated(tmp_path)
    assert not is_simulated(log)
    (tmp_path / MARKER).write_bytes(BEGINS + b'logs`"}')
    assert is_simulated(tmp_path)
    assert is_simulated(log)
    assert not is_simulated(Path("-"))
    assert not is_simulated(tmp_path / "none")


@pytest.mark.parametrize("content", [b"", b"{}", b"SYNTHETIC", BEGINS[:-1]])
def test_a_file_of_that_name_alone_says_nothing(content: bytes, tmp_path: Path, log: Path) -> None:
    (tmp_path / MARKER).write_bytes(content)
    assert not is_simulated(log)


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path: Path, log: Path) -> None:
    (tmp_path / "real").write_bytes(BEGINS)
    (tmp_path / MARKER).symlink_to(tmp_path / "real")
    os.mkfifo(tmp_path / "a" / MARKER)
    (tmp_path / "a" / "b" / MARKER).mkdir()
    assert not is_simulated(log)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_marker_of_another_user_says_nothing(tmp_path: Path, log: Path) -> None:
    (tmp_path / MARKER).write_bytes(BEGINS)
    os.chown(tmp_path / MARKER, 65534, 65534)
    assert not is_simulated(log)
