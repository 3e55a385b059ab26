"""A detector in one file: the same as the directory, and refused where a byte of it is another."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from typer.testing import CliRunner

from tests.small_logs import LINES, trained
from vestige import checkpoint, scoring
from vestige.checkpoint import single_file
from vestige.cli.main import app
from vestige.errors import CheckpointError


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network with its export beside it, and its log."""
    directory, log = trained(tmp_path_factory.mktemp("network"), "next_gru")
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


SCORE = """
import sys
from vestige.cli.main import run
try:
    run()
finally:
    loaded = {"torch", "pytorch_lightning", "lightning", "xgboost"} & sys.modules.keys()
    assert not loaded, loaded
"""


def test_neither_torch_nor_lightning_nor_xgboost_is_imported(network: tuple[Path, Path]) -> None:
    directory, log = network
    asked = [sys.executable, "-c", SCORE, "score", str(directory), str(log), "--runtime", "onnx"]
    found = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=120)
    assert found.returncode == 0, found.stderr
    assert len(found.stdout.splitlines()) == len(LINES)
    assert "surprise" in json.loads(found.stdout.splitlines()[0])


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
