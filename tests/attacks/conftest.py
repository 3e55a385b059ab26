"""One small run, whose files the attacks change: made once, by the command line in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vestige.cli.main import app

LINES = 400


def invoke(*arguments: object) -> None:
    """The program in this process, which saves its start."""
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, (arguments, done.exception, done.output[-2000:])


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of trees on a few hundred messages of six hosts: checkpoint, dataset, split, results,
    predictions, and the sets of its recordings."""
    place = tmp_path_factory.mktemp("attacked")
    corpus = ["--messages", LINES * 3, "--days", 2, "--anomalies", "0.1", "--seed", 1]
    invoke("simulate", "logs", place / "corpus", *corpus)
    fast = ["--resamples", "100", "-t", "1", "-j", "1", "--set", "rounds=2"]
    out = ["-o", place / "run", "--output-sets", place / "sets.json"]
    invoke("run", "logs", place / "corpus", "--format", "bgl", "--split", "host", "-m", "gbt", *fast, *out)
    return place


@pytest.fixture
def attacked(small_run: Path, tmp_path: Path) -> Path:
    """A copy of it to be changed."""
    return Path(shutil.copytree(small_run, tmp_path / "attacked"))
