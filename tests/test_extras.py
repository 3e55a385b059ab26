"""What needs an extra says which command adds it; everything else works without any."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from vestige import extras
from vestige.errors import UsageError
from vestige.models import registry

ROOT = Path(__file__).parents[1]
HIDDEN = ("torch", "pytorch_lightning", "lightning_fabric", "fastapi", "uvicorn", "onnx", "ray", "optuna")
HIDE = f"""
import importlib.machinery

HIDDEN = {HIDDEN!r}
found = importlib.machinery.PathFinder.find_spec

def not_found(name, path=None, target=None):
    return None if name.partition(".")[0] in HIDDEN else found(name, path, target)

importlib.machinery.PathFinder.find_spec = not_found
"""
"""A `sitecustomize` that hides the extras from an interpreter and from every process that it starts."""


def without_extras(folder: Path, *calls: list[str]) -> list[tuple[int, str, str]]:
    """The exit code, standard output and standard error of each call, where no extra is installed."""
    (folder / "hidden").mkdir(exist_ok=True)
    (folder / "hidden" / "sitecustomize.py").write_text(HIDE, encoding="utf-8")
    path = os.pathsep.join([str(folder / "hidden"), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = []
    for arguments in calls:
        done = subprocess.run(
            [sys.executable, "-m", "vestige", *arguments],
            env={**os.environ, "PYTHONPATH": path, "COLUMNS": "200"},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        ended.append((done.returncode, done.stdout, done.stderr))
    return ended


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a small corpus lies as `logs`, and a detector that learnt from it as `normal`."""
    folder = tmp_path_factory.mktemp("without")
    made = without_extras(
        folder,
        ["simulate", "logs", "logs", "--messages", "6000", "--hosts", "3", "--seed", "7"],
        ["learn", "logs", "logs", "-o", "normal"],
    )
    assert [code for code, _, _ in made] == [0, 0], made
    return folder


def test_what_was_learnt_without_the_networks_is_put_to_work(logs: Path) -> None:
    preview, score, watch, inspect = without_extras(
        logs,
        ["preview", "logs", "logs"],
        ["score", "normal", "logs", "--alerts-only"],
        ["watch", "normal", "logs", "--state", "state", "--once"],
        ["inspect", "normal"],
    )
    assert [code for code, _, _ in (preview, score, watch, inspect)] == [0, 0, 0, 0]
    alerts = [json.loads(line) for line in score[1].splitlines()]
    assert len(alerts) > 1
    assert {row["alert"] for row in alerts} == {True}


def test_a_run_without_names_trains_what_there_is_and_says_what_is_left_out(logs: Path) -> None:
    run, report, score = without_extras(
        logs,
        ["run", "logs", "logs", "--format", "bgl", "--split", "host", "-o", "first"],
        ["inspect", "first"],
        ["score", "first/logistic", "logs"],
    )
    assert [code for code, _, _ in (run, report, score)] == [0, 0, 0], run
    assert "gru is left out, because it is not installed: pip install 'vestige[neural]'" in run[2]
    assert (logs / "first" / "report.html").stat().st_size > 10_000
    assert len(score[1].splitlines()) > 1000


def test_what_needs_an_extra_names_the_command_before_it_reads_evidence(logs: Path) -> None:
    asked = {
        "neural": [
            ["run", "logs", "logs", "--split", "host", "-o", "x", "--model", "gru"],
            ["run", "logs", "logs", "--split", "host", "-o", "x", "--task", "next"],
            ["learn", "logs", "logs", "-o", "x", "--model", "lstm"],
            ["score", "normal", "logs", "--device", "cuda"],
        ],
        "dashboard": [["dashboard", "normal", "logs"]],
    }
    calls = [(extra, call) for extra, listed in asked.items() for call in listed]
    ended = without_extras(logs, *(call for _, call in calls))
    assert [code for code, _, _ in ended] == [UsageError.exit_code] * len(calls)
    said = zip(calls, ended, strict=True)
    assert [call for (extra, call), (_, _, err) in said if extras.command(extra) not in err] == []
    assert not (logs / "x").exists()


def test_models_are_listed_without_the_networks_too(logs: Path) -> None:
    models, doctor = without_extras(logs, ["models"], ["doctor"])
    assert models[0] == doctor[0] == 0
    listed = [line for line in models[1].splitlines() if extras.command("neural") in line]
    networks = [name for name, load in registry.BUILT_IN.items() if load in registry.NETWORKS]
    assert len(listed) == len(networks)
    assert extras.command("neural") in doctor[1]


def test_the_task_of_a_network_is_known_without_it() -> None:
    networks = [name for name, load in registry.BUILT_IN.items() if load in registry.NETWORKS]
    assert len(networks) > 10
    assert [name for name in networks if registry.task_of(name) != registry.get(name).task] == []


def test_every_extra_is_one_of_the_distribution() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(extras.MODULES) == set(project["optional-dependencies"]) - {"dev", "docs"}
    named = [name for name in HIDDEN if any(line.startswith(name) for line in project["dependencies"])]
    assert named == []


def test_an_error_says_what_else_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    with pytest.raises(UsageError, match="the model gru needs torch and pytorch-lightning") as refusal:
        extras.require("neural", "the model gru", instead="take gbt")
    assert refusal.value.remedy == "pip install 'vestige[neural]', or take gbt"
