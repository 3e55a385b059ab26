"""A detector in one file: the same as the directory, and refused where a byte of it is another."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from typer.testing import CliRunner

from tests.small_logs import LINES, trained
from vestige import checkpoint, scoring
from vestige.checkpoint import single_file
from vestige.cli.main import app
from vestige.dashboard.feed import Feed
from vestige.errors import CheckpointError, UsageError
from vestige.models.onnx.graph import read_model
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network with its export beside it, and its log."""
    directory, log = trained(tmp_path_factory.mktemp("network"), "next_gru")
    scores = np.unique([row["score"] for row in scoring.score(directory, [log])])
    widest = int(np.argmax(np.diff(scores)))  # some windows alert and some do not, whatever is rounded
    checkpoint.retune(directory, threshold=float(scores[widest : widest + 2].mean()), policy="f1")
    checkpoint.export(directory, directory / "detector.onnx")
    return directory, log


@pytest.fixture(scope="module")
def linear(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A linear detector in one file, and its log."""
    directory, log = trained(tmp_path_factory.mktemp("linear"), "logistic")
    checkpoint.export(directory, directory / "detector.onnx")
    return directory, log


def test_scores_are_those_of_the_directory(network: tuple[Path, Path], linear: tuple[Path, Path]) -> None:
    for directory, log in (network, linear):
        wanted = list(scoring.score(directory, [log]))
        found = list(scoring.score(directory / "detector.onnx", [log]))
        assert len(found) == len(wanted) == len(LINES)
        for ours, theirs in zip(wanted, found, strict=True):
            assert theirs["score"] == pytest.approx(ours["score"], abs=1e-5)
            assert {**theirs, "score": 0, "surprise": 0} == {**ours, "score": 0, "surprise": 0}


WITHOUT = """
import sys
for name in ("torch", "pytorch_lightning", "lightning", "xgboost"):
    sys.modules[name] = None  # whoever imports it fails
from vestige.cli.main import run
run()
"""


def test_neither_torch_nor_lightning_nor_xgboost_is_imported(network: tuple[Path, Path]) -> None:
    found = without("score", *network, "--runtime", "onnx")
    assert len(found) == len(LINES)
    assert all("surprise" in row for row in found)


def test_the_dashboard_replays_an_export_without_them(network: tuple[Path, Path]) -> None:
    directory, log = network
    wanted = list(scoring.score(directory, [log]))
    events = without("dashboard", directory, log, "--runtime", "onnx", "--events", "--speed", "0")
    found = [event for event in events if event["event"] == "score"]
    assert [event["alert"] for event in found] == [row["alert"] for row in wanted]
    scores = [event["score"] for event in found]
    np.testing.assert_allclose(scores, [row["score"] for row in wanted], atol=1e-5, rtol=0)


def without(*asked: object) -> list[dict[str, Any]]:
    """What the program writes, a dict a line, where torch, Lightning and XGBoost cannot be imported."""
    command = [sys.executable, "-c", WITHOUT, *map(str, asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_watch_of_a_growing_log_alerts_as_the_detector_itself(
    network: tuple[Path, Path], tmp_path: Path
) -> None:
    directory, whole = network
    log, out, state = tmp_path / "app.log", tmp_path / "out.jsonl", tmp_path / "state"
    text = whole.read_text().splitlines(keepends=True)
    log.write_text("".join(text[:100]))
    asked = ("watch", directory, log, "--runtime", "onnx", "--all", "--state", state)
    child = subprocess.Popen([sys.executable, "-c", WITHOUT, *map(str, asked), "--sink", f"jsonl:{out}"])
    try:
        for upto in (100, 101, 250, 400):
            with log.open("a") as file:
                file.writelines(text[len(log.read_text().splitlines()) : upto])
            until = time.monotonic() + 120
            while len(steps(out)) < upto:
                assert child.poll() is None
                assert time.monotonic() < until
                time.sleep(0.02)
    finally:
        child.send_signal(signal.SIGTERM)
    assert child.wait(60) == 0
    found = steps(out)
    itself = make(f"jsonl:{tmp_path / 'itself.jsonl'}", None)
    Watch.start(directory, [log], [itself], options=WatchOptions(once=True, every=True)).run()
    wanted = steps(tmp_path / "itself.jsonl")
    assert [row["line"] for row in found] == [row["line"] for row in wanted] == list(range(1, 401))
    assert [row["alert"] for row in found] == [row["alert"] for row in wanted]
    assert {row["alert"] for row in found} == {True, False}
    for name in ("score", "surprise"):
        ours, theirs = ([row[name] for row in rows] for rows in (found, wanted))
        np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=0)
    # What it has found is shown to whoever names the export.
    assert Feed.open(directory, state=state, player=directory / "detector.onnx").watched
    with pytest.raises(UsageError, match="another detector"):
        Feed.open(directory, state=state)


def steps(out: Path) -> list[dict[str, Any]]:
    """The steps in a file of alerts, without what is said of incidents."""
    if not out.exists():
        return []
    lines = out.read_bytes().rpartition(b"\n")[0].splitlines()
    return [row for row in map(json.loads, lines) if "kind" not in row]


def test_any_program_that_reads_onnx_reads_it(network: tuple[Path, Path]) -> None:
    import onnx

    model = onnx.load(network[0] / "detector.onnx")
    onnx.checker.check_model(model)
    header = {entry.key: entry.value for entry in model.metadata_props}[single_file.HEADER]
    assert json.loads(header)["model"]["name"] == "next_gru"
    assert str(Path.cwd()) not in str(model), "no path of this machine is told"


def test_a_byte_that_is_another_is_refused(network: tuple[Path, Path], tmp_path: Path) -> None:
    content = (network[0] / "detector.onnx").read_bytes()
    path, rng = tmp_path / "changed.onnx", random.Random(11)
    places = [0, 1, len(content) - 1, *(rng.randrange(len(content)) for _ in range(60))]
    for at in places:
        path.write_bytes(content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :])
        with pytest.raises(CheckpointError):
            single_file.read(path)
    for at in (0, 1, 19, 21, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:at])
        with pytest.raises(CheckpointError):
            single_file.read(path)


def test_trees_of_an_earlier_version_are_told_as_what_they_are(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    directory, log = trained(tmp_path_factory.mktemp("trees"), "gbt")
    file = directory / "old.onnx"
    checkpoint.export(directory, file)
    header, payload = single_file.read(file)
    graph = read_model(payload)
    for node in graph.graph.node:
        node.op_type = "TreeEnsembleClassifier"
        for attribute in node.attribute:
            attribute.name = attribute.name.replace("target_", "class_")
    single_file.write(file, header, graph.SerializeToString(), is_graph=True)
    with pytest.raises(CheckpointError, match="two classes had each other's probability") as refused:
        list(scoring.score(file, [log]))
    assert refused.value.where == file
    assert refused.value.remedy == "export it again: vestige export DETECTOR -o FILE.onnx --overwrite"


def test_bad_input_is_told(network: tuple[Path, Path], tmp_path: Path) -> None:
    def says(*asked: str) -> str:
        done = CliRunner().invoke(app, [*asked])
        assert done.exit_code
        return str(done.exception)

    directory, log = network
    assert "is not called *.onnx" in says("export", str(directory), "-o", str(tmp_path / "a.bin"))
    assert "already exists" in says("export", str(directory))
    assert "exported detector already" in says(
        "export", str(directory / "detector.onnx"), "-o", str(tmp_path / "b.onnx")
    )
    other = tmp_path / "other.onnx"
    other.write_bytes(b"no model")
    assert "vestige export" in says("score", str(other), str(log))
    (tmp_path / "bare").mkdir()
    for name in ("model.json", "weights.safetensors"):
        (tmp_path / "bare" / name).write_bytes((directory / name).read_bytes())
    assert "was not exported" in says("score", str(tmp_path / "bare"), str(log), "--runtime", "onnx")
