"""Little that becomes much, in a process of one gigabyte: it is read, told, and ends with its exit code."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.attacks.effort import EFFORT

MEMORY = 1 << 30
MANY = 20_000 * EFFORT
LONG = (32 << 20) * EFFORT
DEEP = 100_000
LETTERS = "abcdefghijklmnopqrst"
"""No digits: nothing of a word of these is masked."""


def word(number: int) -> str:
    return "".join(LETTERS[number // 20**place % 20] for place in range(6))


def line(number: int, message: str) -> str:
    return (
        f"Mar  2 {number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d} web sshd[7]: {message}\n"
    )


def record(number: int, **more: object) -> str:
    time = f"2026-03-02T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    return json.dumps({"timestamp": time, "host": "web", "event": f"kind {number % 3}", **more}) + "\n"


def a_long_line() -> Iterator[str]:
    yield from (line(number, "session opened") for number in range(50))
    yield line(50, "x" * LONG)
    yield from (line(number, "session closed") for number in range(51, 100))


def templates() -> Iterator[str]:
    return (line(number, f"{word(number)} was done") for number in range(MANY))


def machines() -> Iterator[str]:
    return (record(number, host=word(number)) for number in range(MANY))


def brackets() -> Iterator[str]:
    yield from (record(number) for number in range(50))
    yield record(50)[:-2] + ', "more": ' + "[" * DEEP + "]" * DEEP + "}\n"
    yield record(51)[:-2] + ', "more": ' + '{"a": ' * DEEP + "\n"
    yield from (record(number) for number in range(52, 100))


@pytest.mark.parametrize(
    ("source", "pieces", "told"),
    [
        ("logs", a_long_line, "over long │ 1 "),
        ("logs", templates, f"unique messages │ {MANY} "),
        ("events", machines, f"hosts │ {MANY} "),
        ("events", brackets, "left out │ 2 records "),
    ],
)
def test_a_bomb_is_read_in_a_gigabyte_and_told(
    source: str, pieces: Callable[[], Iterator[str]], told: str, tmp_path: Path
) -> None:
    evidence = tmp_path / "evidence.log"
    with evidence.open("w", encoding="utf-8") as file:
        file.writelines(pieces())
    command = [sys.executable, "-m", "vestige", "-q", "prepare", source, str(evidence), "-j", "1"]
    done = subprocess.run(
        [*command, "-o", str(tmp_path / "dataset")],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY)),
    )
    assert done.returncode == 0, done.stderr
    assert told in " ".join(done.stdout.split())
