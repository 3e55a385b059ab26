"""Nothing that evidence holds reaches a terminal as more than letters."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from tests.conftest import MakeWindows
from vestige import log
from vestige.cli import tables
from vestige.errors import DatasetError
from vestige.escaping import visible_lines
from vestige.evidence.defects import FILE, RECORD, Defect, LeftOut

HOSTILE = "\x1b[31mred\x1b]0;title\x07\u202etxt.exe[bold]:bug:\r"
NAME = "a\x1b]0;owned\x07\u2066.log"
STEERING = {"\x1b", "\x07", "\x9b", "\r", "\u202e", "\u2066", "\b"}
VESTIGE = str(Path(sys.executable).with_name("vestige"))


def harmless(text: str) -> bool:
    return not STEERING & set(text)


def test_line_ends_stay_but_no_line_poses_as_another_message() -> None:
    shown = visible_lines(f"left out: {HOSTILE}\nerror: forged\n  remedy: none")
    assert harmless(shown)
    assert shown.split("\n")[1:] == ["  error: forged", "  remedy: none"]


def test_a_table_shows_markup_emoji_and_controls_as_text(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.array([0, 1, 0, 1]))])
    windows.notes["note"] = HOSTILE
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=200, color_system=None).print(tables.dataset(windows))
    assert harmless(out.getvalue())
    assert "[bold]:bug:" in out.getvalue()
    assert r"\x1b[31mred\x1b]0;title\x07\u202etxt.exe" in out.getvalue()


def test_what_was_left_out_is_a_table_for_people_and_harmless(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.array([0, 1, 0, 1]))])
    assert tables.left_out(windows) is None
    found = LeftOut.nothing()
    found.add([Defect(NAME, None, FILE, HOSTILE)])
    found.add([Defect("app.log", row, RECORD, "no time") for row in range(1, 31)])
    windows.notes.update(found.notes())
    shown = tables.left_out(windows)
    assert shown is not None
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system=None)
    console.print(tables.dataset(windows))
    assert "30 records, 1 file" in out.getvalue()
    assert "{'file'" not in out.getvalue()  # no list of dictionaries as Python writes them
    console.print(shown)
    assert harmless(out.getvalue())
    assert r"a\x1b]0;owned\x07\u2066.log" in out.getvalue()
    assert "and 6 more" in out.getvalue()


def test_what_is_doubtful_is_a_table_for_people_and_harmless(make_windows: MakeWindows) -> None:
    windows = make_windows([("h", "s", "p", np.array([0, 1, 0, 1]))])
    assert tables.doubtful(windows) is None
    windows.notes["warnings"] = [HOSTILE, *(f"host {number} is no host" for number in range(30))]
    shown = tables.doubtful(windows)
    assert shown is not None
    out = io.StringIO()
    Console(file=out, force_terminal=True, width=200, color_system=None).print(shown)
    assert harmless(out.getvalue())
    assert "host 7 is no host" in out.getvalue()
    assert "and 6 more" in out.getvalue()


@pytest.mark.parametrize("notes", [{"left_out": 5}, {"left_out_counts": {"a record": "many"}}])
def test_damaged_notes_of_what_was_left_out_are_refused(
    make_windows: MakeWindows, notes: dict[str, Any]
) -> None:
    windows = make_windows([("h", "s", "p", np.array([0, 1, 0, 1]))])
    windows.notes.update(notes)
    with pytest.raises(DatasetError, match="notes of what was left out are damaged"):
        tables.left_out(windows)


def test_the_log_on_the_terminal_is_harmless_and_the_file_is_ascii(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure()
    with log.to_file(tmp_path / "log.jsonl"):
        log.get("vestige.x").warning("host %s", HOSTILE)
    assert harmless(capsys.readouterr().err)
    line = (tmp_path / "log.jsonl").read_bytes().splitlines()[-1]
    assert line.isascii()
    assert json.loads(line)["message"] == f"host {HOSTILE}"


def test_records_from_before_a_file_are_kept_but_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = log._Collect(3)
    for number in range(10):
        early.handle(logging.LogRecord("vestige", 20, "", 0, f"{number}", None, None))
    assert [one.getMessage() for one in early.taken()] == ["7", "8", "9"]


@pytest.fixture
def hostile_corpus(tmp_path: Path) -> Path:
    corpus = tmp_path / "corpus\x1b[2J"
    corpus.mkdir()
    line = (
        "- 1117838570 2005.06.03 R02\x1b[5m\u202e 2005-06-03-15.42.50.675872 R02 RAS KERNEL INFO bad cache\n"
    )
    (corpus / "good.log").write_text(line * 20 + line.replace("- ", "APP ", 1) * 5)
    (corpus / NAME).write_text("nothing of the kind\n" * 20)
    return corpus


def test_a_hostile_file_name_and_host_in_a_real_process(hostile_corpus: Path, tmp_path: Path) -> None:
    made = subprocess.run(
        [VESTIGE, "prepare", "logs", hostile_corpus, "--format", "bgl", "-o", tmp_path / "d"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    for shown in (made.stdout.decode(), made.stderr.decode()):
        assert harmless(shown)
    assert "was left out" in made.stderr.decode()
    refused = subprocess.run(
        [VESTIGE, "prepare", "logs", hostile_corpus / NAME, "--format", "bgl", "-o", tmp_path / "e"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert refused.returncode == 3
    assert harmless(refused.stderr.decode())
    assert r"\x1b]0;owned\x07\u2066.log" in refused.stderr.decode()
