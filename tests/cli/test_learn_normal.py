"""`vestige learn` as a person types it: what it prints, what it refuses, and that nothing is left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipeline.conftest import succeed
from tests.pipeline.test_learn import ordinary, write
from tests.warm import PIPE, Program
from vestige.cli.main import app
from vestige.errors import EvidenceError, OutputError, SplitError, UsageError, VestigeError

BUDGET: list[object] = ["--budget", "1/100"]
NETWORKS = ("torch", "pytorch_lightning", "xgboost")


@pytest.fixture(autouse=True)
def _as_wide_as_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are not folded to the terminal that the tests run in."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A file of ordinary messages, and a detector that learnt from it."""
    place = tmp_path_factory.mktemp("plain")
    evidence = write(place / "app.log", ordinary(400))
    told = succeed("learn", "logs", evidence, *BUDGET, "-o", place / "detector")
    (place / "told").write_text(told)
    return evidence, place / "detector"


def test_it_says_what_to_expect_and_what_to_do_next(plain: tuple[Path, Path]) -> None:
    told = (plain[1].parent / "told").read_text()
    assert "learnt from 240 windows, calibrated with 80, checked on 80; parted by time" in told
    assert "were promised" in told
    assert "Of planted anomalies, it would" in told
    assert f"{plain[1] / 'report.html'}" in told
    assert f"vestige score {plain[1]} EVIDENCE --alerts-only" in told


def test_a_part_that_is_all_attack_is_told_where_a_person_looks(tmp_path: Path) -> None:
    lines = ordinary(400)
    lines[250:310] = (
        f"{line.rpartition(': ')[0]}: segfault in evil{n % 7}.so" for n, line in enumerate(lines[250:310])
    )
    told = succeed("learn", "logs", write(tmp_path / "app.log", lines), *BUDGET, "-o", tmp_path / "d")
    assert "what to be careful about" in told
    (said,) = json.loads((tmp_path / "d" / "learnt.json").read_text())["warnings"][:1]
    assert "that part is an attack" in said
    assert said[:40] in told


def test_several_workers_leave_standard_input_to_this_process(tmp_path: Path) -> None:
    evidence = write(tmp_path / "app.log", ordinary(30))
    said = succeed("prepare", "logs", "-", "-j", 2, "-o", tmp_path / "d", input=evidence.read_text())
    assert "30 of 10 steps" in said


def test_refusals_are_sentences_with_a_remedy(plain: tuple[Path, Path], tmp_path: Path) -> None:
    evidence, detector = plain
    few = write(tmp_path / "few.log", ordinary(20))
    (tmp_path / "empty.log").touch()
    out = tmp_path / "d"
    refusals: list[tuple[list[object], type[VestigeError], str, str]] = [
        ([few, "-o", out], SplitError, f"{few}: there are 20 windows", "more files, or a longer time"),
        ([tmp_path / "empty.log", "-o", out], EvidenceError, "empty.log: the file is empty", ""),
        ([tmp_path / "missing.log", "-o", out], EvidenceError, "missing.log", ""),
        ([evidence, "-o", detector], OutputError, "exists", "--overwrite"),
        ([evidence, "-o", out, "--budget", "many"], UsageError, "no budget of alerts: 'many'", "5/day"),
        ([evidence, "-o", out, "--set", "depth=3"], UsageError, "depth", "n"),
    ]
    for arguments, kind, said, remedy in refusals:
        with pytest.raises(kind) as refused:
            app(["learn", "logs", *map(str, arguments)], standalone_mode=False)
        assert said in str(refused.value)
        assert remedy in refused.value.remedy
        assert not out.exists()


def test_a_kill_in_the_middle_leaves_nothing(plain: tuple[Path, Path], tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with Program(["learn", "logs", plain[0], "-o", place / "d"], stdout=PIPE, stderr=PIPE) as process:
        deadline = time.monotonic() + 60
        while not list(place.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert [path.name[0] for path in place.iterdir()] == ["."]  # what it works in
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) != 0
    assert list(place.iterdir()) == []


def test_neither_learning_nor_scoring_needs_a_network(plain: tuple[Path, Path], tmp_path: Path) -> None:
    """Also that standard input gives the same detector."""
    evidence, detector = plain
    commands = [
        ["learn", "logs", "-", *BUDGET, "-o", tmp_path / "d"],
        ["score", detector, evidence],
        ["score", detector, evidence, "--by-recording"],
    ]
    program = (
        "import sys\n"
        "from vestige.cli.main import app\n"
        f"for command in {[[str(part) for part in command] for command in commands]!r}:\n"
        "    app(command, standalone_mode=False)\n"
        f"print([name for name in {NETWORKS!r} if name in sys.modules], file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=evidence.read_text(), capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    assert done.stderr.splitlines()[-1] == "[]"
    weights = "weights.safetensors"
    assert (tmp_path / "d" / weights).read_bytes() == (detector / weights).read_bytes()


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """What a command prints."""
    app([str(argument) for argument in arguments], standalone_mode=False)
    return " ".join(capsys.readouterr().out.split())


def test_inspect_says_what_it_learnt(plain: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    said = told(capsys, "inspect", plain[1])
    for part in (
        "model │ normal",
        f"learnt from │ {plain[0]}",
        "looks │ order, rarity, repeats, novelty.distance",
        "budget │ 1/100: one window in 100",
        "to learn │ 240 windows of 1 recording, from 2026-01-01T00:00:00Z",
        "the promise was kept",
    ):
        assert part in said


def test_it_is_evaluated_on_evidence_with_labels(
    plain: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(tmp_path / "new.log", [*ordinary(200, seed=4), "it broke", "it broke again"])
    (tmp_path / "words").write_text("broke\n")
    said = told(capsys, "evaluate", plain[1], "--on", new, "--read", f"label=words:{tmp_path / 'words'}")
    assert "│ ROC AUC │ 1.000 │" in said
    assert "202 windows, 2 of them anomalous; " in said
    with pytest.raises(UsageError, match="learnt without labels") as refused:
        told(capsys, "evaluate", plain[1])
    assert f"vestige evaluate {plain[1]} --on EVIDENCE" in refused.value.remedy
    with pytest.raises(UsageError, match="as it is"):
        told(capsys, "evaluate", plain[1], "--on", new, "--threshold", "f1")
    with pytest.raises(UsageError, match="--read says"):
        told(capsys, "evaluate", plain[1], "--read", "label=none")


def test_the_dashboard_opens_it(plain: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    evidence, detector = plain
    app(["dashboard", str(detector), str(evidence), "--events", "--speed", "0"], standalone_mode=False)
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0]["event"] == "run"
    assert "Learnt without labels" in events[0]["caveats"][0]["text"]
    assert sum(event["event"] == "score" for event in events) == 400
    assert events[-1]["state"] == "done"


def test_a_run_points_to_the_verb_that_learns_it(
    plain: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "what is strange, without labels" in told(capsys, "models")
    with pytest.raises(UsageError, match="no model 'normal'") as refused:
        told(capsys, "run", "logs", plain[0], "-m", "normal", "-o", tmp_path / "run")
    assert "vestige learn SOURCE EVIDENCE -o DETECTOR" in refused.value.remedy
