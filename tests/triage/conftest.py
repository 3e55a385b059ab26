"""One small run on simulated events, and one on events that a stranger wrote."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.pipeline.conftest import FAST, succeed
from vestige.cli.main import app
from vestige.errors import VestigeError


def invoke(*arguments: object) -> str:
    """The program in this process, which saves its start; returns what it printed."""
    return CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False).stdout


def refuse(*arguments: object) -> VestigeError:
    """The error that the program ends with."""
    error = CliRunner().invoke(app, list(map(str, arguments))).exception
    assert isinstance(error, VestigeError), error
    return error


def fill_in(table: Path, labels: dict[str, str]) -> None:
    """Write labels into a triage's table, as an operator would."""
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with table.open("w", encoding="utf-8", newline="") as file:
        out = csv.DictWriter(file, rows[0].keys())
        out.writeheader()
        out.writerows({**row, "label": labels.get(row["cluster"], "")} for row in rows)


def read(table: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("siem") / "export"
    succeed("simulate", "events", path, "--events", 3000, "--machines", 8, "--seed", 3)
    return path


@pytest.fixture(scope="session")
def trained(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector of the task next, judged."""
    out = tmp_path_factory.mktemp("runs") / "run"
    how = ["--split", "time", "--task", "next", "--threshold", "fpr=0.2"]
    succeed("run", "events", export, *how, "-m", "gru", *FAST, "-o", out)
    return out / "next_gru"


@pytest.fixture
def triaged(trained: Path, tmp_path: Path) -> Path:
    """A triage of every window of the test part."""
    invoke("triage", trained, "--all", "-o", tmp_path / "triage")
    return tmp_path / "triage"
