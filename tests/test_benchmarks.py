"""The frame of the benchmarks: what is measured, kept, written and compared. No test asserts a time."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
ROW = dict.fromkeys(("bound", "note", "missing"), "") | {
    "name": "reading", "ours": "prepare", "other": "grep", "load": "idle", "pairs": 5, "machine": 0.5,
}  # fmt: skip


def clock(ratio: float) -> dict[str, Any]:
    return {"ours": 1.0, "other": ratio, "ratio": ratio, "low": ratio, "high": ratio, "bound": None}


def entry(wall: float, busy: float, load: str = "idle") -> dict[str, Any]:
    row = ROW | {"wall": clock(wall), "processor": clock(busy), "load": load}
    return {"reading": {"code": "c", "when": "now", "ended": "done", "rows": [row]}}


@pytest.fixture(scope="module")
def frame() -> Iterator[tuple[ModuleType, ModuleType]]:
    """`pairs` and `run`."""
    sys.path.insert(0, str(BENCHMARKS))
    try:
        yield importlib.import_module("pairs"), importlib.import_module("run")
    finally:
        sys.path.remove(str(BENCHMARKS))


def test_ways_run_in_turns_after_one_that_does_not_count(frame: tuple[ModuleType, ModuleType]) -> None:
    pairs, _ = frame
    calls, times = [], {"ours": (2.0, 1.0), "other": (6.0, 4.0), "bound": (1.0, 0.5)}

    def way(name: str) -> Any:
        def run() -> tuple[float, float]:
            calls.append(name)
            return times[name]

        return run

    pair = pairs.Pair("p", "us", "them", way("ours"), way("other"), "least", way("bound"))
    (row,) = pairs.measure(pair, 3)
    assert calls == ["ours", "other", "bound"] * 4
    assert (row.wall.ratio, row.processor.ratio) == (3.0, 4.0)
    assert (row.wall.bound, row.processor.bound) == (2.0, 2.0)
    assert pairs.Row.from_dict(json.loads(json.dumps(row.to_dict()))) == row


def test_what_is_missing_says_why(frame: tuple[ModuleType, ModuleType]) -> None:
    pairs, run = frame
    (row,) = pairs.measure(pairs.Pair("p", "us", "them", missing="not installed"), 5)
    assert "them missing: not installed" in run.said(row)
    kept = {"a processor": {"reading": entry(1, 1)["reading"] | {"rows": [row.to_dict()]}}}
    assert "| p | us | them | missing: not installed |" in run.table(kept)


def test_a_command_counts_the_processor_of_all_that_it_starts(frame: tuple[ModuleType, ModuleType]) -> None:
    pairs, _ = frame
    burn = "import time\nwhile time.process_time() < 0.2: pass"
    starts = f"import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', {burn!r}])"  # it does not wait
    _, busy = pairs.command(sys.executable, "-c", starts)()
    assert busy >= 0.2
    with pytest.raises(RuntimeError, match="ended with 3"):
        pairs.command(sys.executable, "-c", "raise SystemExit(3)")()


def test_a_served_script_works_when_told(frame: tuple[ModuleType, ModuleType], tmp_path: Path) -> None:
    pairs, _ = frame
    script = "import sys\ndef work(): open(sys.argv[1], 'a').write('x')\n"
    with pairs.served(script, tmp_path / "out", python=Path(sys.executable), loops=3) as way:
        assert not (tmp_path / "out").exists()
        way(), way()
        assert (tmp_path / "out").read_text() == "x" * 6


@pytest.mark.parametrize(
    ("wall", "busy", "load", "names"),
    [
        (10.0, 10.0, "idle", []),
        (7.6, 7.6, "idle", []),
        (7.4, 10.0, "idle", ["wall"]),
        (10.0, 7.4, "idle", ["processor"]),
        (7.4, 10.0, "burner", []),  # a burner takes what it likes of the wall's time
        (10.0, 7.4, "burner", ["processor"]),
    ],
)
def test_ratios_that_fell_by_more_than_a_quarter_are_named(
    frame: tuple[ModuleType, ModuleType], wall: float, busy: float, load: str, names: list[str]
) -> None:
    found = frame[1].fallen(entry(10.0, 10.0, load), entry(wall, busy, load))
    assert len(found) == len(names)
    assert all(f": {name} 10.00 before" in line for name, line in zip(names, found, strict=True))


def test_small_ratios_keep_their_digits(frame: tuple[ModuleType, ModuleType]) -> None:
    _, run = frame
    assert [run._short(ratio) for ratio in (12.345, 0.1, 0.0612, 0.00094)] == [
        "12.35",
        "0.10",
        "0.061",
        "0.00094",
    ]


def test_a_command_keeps_bytecode(
    frame: tuple[ModuleType, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, _ = frame
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in pairs.environment()
    assert pairs.environment()["PATH"]


def test_figures_of_other_processors_stay_in_the_table(frame: tuple[ModuleType, ModuleType]) -> None:
    text = frame[1].table({"AMD X": entry(2.0, 3.0), "Intel Y": entry(4.0, 5.0)})
    assert "## AMD X" in text
    assert "## Intel Y" in text
    assert "2.00 (2.00-2.00) | 3.00 (3.00-3.00)" in text


def test_a_row_is_measured_once_for_a_code(
    frame: tuple[ModuleType, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, run = frame
    asked: list[list[str]] = []

    def rows_of(_: str, arguments: list[str], __: float) -> Iterator[Any]:
        asked.append(json.loads(arguments[-1]))
        yield pairs.Row.from_dict(entry(1.0, 1.0)["reading"]["rows"][0] | {"name": f"row {len(asked)}"})
        if len(asked) == 1:
            raise TimeoutError

    monkeypatch.setattr(run, "rows_of", rows_of)
    monkeypatch.setattr(sys, "argv", ["run.py", "--only", "reading"])
    for _ in range(3):  # stopped in the middle; goes on; has nothing left to do
        assert run.main(tmp_path / "results.json", tmp_path / "results.md") == 0
    assert asked == [[], ["row 1"]]
    kept = json.loads((tmp_path / "results.json").read_text())[run.processor()]["reading"]
    assert [row["name"] for row in kept["rows"]] == ["row 1", "row 2"]
    assert kept["ended"] == "done"
    assert "row 2" in (tmp_path / "results.md").read_text()


def test_every_script_is_in_the_table_or_said_to_stand_apart(frame: tuple[ModuleType, ModuleType]) -> None:
    scripts = {file.stem.removeprefix("bench_") for file in BENCHMARKS.glob("bench_*.py")}
    assert scripts == {*frame[1].SCRIPTS, *frame[1].APART}
