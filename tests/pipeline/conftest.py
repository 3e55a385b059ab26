"""A small simulated corpus, a finished run on it, and a store of episodes, made once by the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests import warm

VESTIGE, vestige = warm.VESTIGE, warm.vestige
FAST = ["--epochs", "2", "--resamples", "200", "-t", "1", "-j", "1"]


def succeed(*arguments: object, **options: Any) -> str:
    """Run the program, which must end well; returns what it printed."""
    done = vestige(*arguments, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four thousand simulated messages of six hosts in BGL's format."""
    path = tmp_path_factory.mktemp("simulated") / "corpus"
    succeed("simulate", "logs", path, "--messages", 4000, "--days", 2, "--anomalies", "0.06", "--seed", 1)
    return path


@pytest.fixture(scope="session")
def finished(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both models on the corpus, split by host."""
    out = tmp_path_factory.mktemp("runs") / "run"
    succeed(
        "run",
        "logs",
        corpus,
        "--format",
        "bgl",
        "--split",
        "host",
        *FAST,
        "-m",
        "gbt",
        "-m",
        "gru",
        "-o",
        out,
    )
    return out


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of 36 episodes of three hosts, `dataset`, split by `split.json`."""
    place = tmp_path_factory.mktemp("telemetry")
    simulation = ["--hosts", 3, "--episodes", 36, "--seconds", 90, "--plant", "none=0", "--seed", 2]
    succeed("simulate", "telemetry", place / "store", *simulation)
    succeed("prepare", "telemetry", place / "store", "-j", 1, "-o", place / "dataset")
    succeed("split", place / "dataset", "--split", "random", "-o", place / "split.json")
    return place
