"""What a detector learnt to read: a watch needs no option for it, and no file's first lines change it."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.service.conftest import ODD, lines
from vestige.checkpoint import HEADER, load
from vestige.checkpoint.header import read_header
from vestige.errors import CheckpointError
from vestige.evaluation.budget import Budget
from vestige.pipeline.learn import learn
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
from vestige.sources import registry

EVERY = WatchOptions(once=True, every=True, idle_s=0.05)
MINE = """
header = "<Level>|<Day> <Clock>|<Content>"
example = ["I|2026-01-01 00:00:00|request 1 begins"]
masks = ["num"]
[time]
Day = "%Y-%m-%d"
Clock = "%H:%M:%S"
"""


def watched(detector: Path, evidence: Path, home: Path) -> list[dict[str, Any]]:
    """Every step that a watch judged."""
    sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
    Watch.start(detector, [evidence], [sink], state=home / "state", options=EVERY).run()
    found = [json.loads(line) for line in (home / "out.jsonl").read_text().splitlines()]
    return [row for row in found if "kind" not in row]


def with_notes(detector: Path, forms: list[dict[str, Any]]) -> None:
    """Have a detector say that it has met other formats."""
    header = read_header(detector / HEADER)
    notes = header.notes.model_copy(update={"forms": forms})
    (detector / HEADER).write_text(header.model_copy(update={"notes": notes}).to_json())


def test_the_formats_that_were_met_are_kept_and_checked(detector: Path, tmp_path: Path) -> None:
    kept = load(detector).header.notes.forms
    assert [entry["form"]["name"] for entry in kept] == ["rsyslog"]
    damaged = tmp_path / "damaged"
    shutil.copytree(detector, damaged)
    with_notes(damaged, [{"form": {**kept[0]["form"], "header": "<No content"}, "settled": {}}])
    with pytest.raises(CheckpointError, match="the formats that it has met cannot be read"):
        load(damaged)
    # One that was made before formats were kept has none.
    with_notes(damaged, [])
    assert load(damaged).reader().schema == load(detector).schema


def test_a_banner_does_not_change_how_a_log_is_read(
    detector: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    log = logs / "app.log"
    log.write_text('{"time": "2026-01-01T00:00:00Z", "msg": "boot", "level": "info"}\n')
    assert not watched(detector, logs, tmp_path)
    assert "nothing of it was read" in caplog.text
    log.write_text(20 * '{"time": "2026-01-01T00:00:00Z", "msg": "boot"}\n')
    assert watched(detector, logs, tmp_path / "alone")[-1]["text"] == "boot"
    assert "no format that was learnt from" in caplog.text
    caplog.clear()
    log.write_text('{"time": "2026-01-01T00:00:00Z", "msg": "boot"}\n' + "".join(lines(60)))
    with caplog.at_level(logging.WARNING):
        found = watched(detector, logs, tmp_path / "again")
    assert "no format that was learnt from" not in caplog.text
    assert [row["text"] for row in found[-3:]] == [line.split("]: ")[1].strip() for line in lines(60)][-3:]


def test_a_format_of_ones_own_is_needed_but_once(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text(MINE)
    text = [line.replace("T", "|", 1) for line in lines(1_500)]
    mine = [f"I|{line[:10]} {line[11:19]}|{line.split(']: ')[1]}" for line in text]
    log = tmp_path / "app.log"
    log.write_text("".join(mine))
    source = registry.get("logs")
    options = source.options(format=str(own))
    learn(source, log, tmp_path / "normal", options=options, budget=Budget.parse("5/day"), plants=0)
    own.unlink()
    new = tmp_path / "new.log"
    new.write_text("".join(mine[:4]) + f"I|2026-01-02 00:00:00|{ODD.format(n=7)}\n")
    found = watched(tmp_path / "normal", new, tmp_path)
    assert len(found) == 5
    assert found[-1]["alert"]
    assert found[-1]["time"].startswith("2026-01-02T00:00:00")


def test_a_mapping_of_system_calls_is_needed_but_once(tmp_path: Path) -> None:
    calls = ("openat", "read", "read", "close", "mmap", "write")
    trace = [
        f"{12 + n // 600} {1_772_438_400 + n / 10:.6f} {calls[n % len(calls)]}(3) = 0\n" for n in range(6_000)
    ]
    (tmp_path / "traces").mkdir()
    for part in range(6):
        (tmp_path / f"traces/{part}.txt").write_text("".join(trace[part * 1_000 : (part + 1) * 1_000]))
    source = registry.get("events")
    options = source.options(mapping="syscalls")
    budget = Budget.parse("1/100")
    learn(source, tmp_path / "traces", tmp_path / "normal", options=options, budget=budget, plants=0)
    new = tmp_path / "new.txt"
    new.write_text("".join(trace[:60]) + "12 1772439400.000000 ptrace(3) = 0\n")
    found = watched(tmp_path / "normal", new, tmp_path)
    assert len(found) == 61
    assert found[-1]["text"] == "ptrace"
