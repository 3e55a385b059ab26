"""Opening a file runs no code, writes nothing, opens nothing else; and nothing in the program could."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest

import vestige
from tests.attacks.effort import EFFORT

ROOT = Path(vestige.__file__).parent
BANNED_MODULES = {
    "pickle",
    "cPickle",
    "dill",
    "cloudpickle",
    "shelve",
    "marshal",
    "joblib",
    "jsonpickle",
    "yaml",
}
WITH_REASON = {
    "compiling.py": "Numba's own cache, read only where a digest fits; as trusted as bytecode",
    "engine/worker.py": "what a process hands its own children, never a file",
    "engine/workers.py": "the same from the other side",
    "engine/places.py": "what the nodes of a cluster, which run anything as it is, get from their caller",
    "training/loop.py": "joblib counts processors",
}
"""Modules that may use what is banned, and why."""
BANNED_CALLS = {"eval", "exec", "compile", "__import__", "torch.load", "os.system", "os.popen"}


def sources() -> list[tuple[str, ast.Module]]:
    found = sorted(ROOT.rglob("*.py"))
    assert len(found) > 300
    return [(str(path.relative_to(ROOT)), ast.parse(path.read_text("utf-8"))) for path in found]


def unsafe(node: ast.AST) -> str | None:
    """What a node does that could run what a file holds."""
    if isinstance(node, ast.Import):
        return next((name.name for name in node.names if name.name.split(".")[0] in BANNED_MODULES), None)
    if isinstance(node, ast.ImportFrom):
        module = node.module or ""
        return module if module.split(".")[0] in BANNED_MODULES else None
    return unsafe_call(node) if isinstance(node, ast.Call) else None


def unsafe_call(node: ast.Call) -> str | None:
    called = ast.unparse(node.func)
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
    told: str | None = None
    if called in BANNED_CALLS:
        told = called
    elif called in {"np.load", "numpy.load"} and given.get("allow_pickle") != "False":
        told = f"{called} without allow_pickle=False"
    elif given.get("shell") == "True" or given.get("trust_remote_code") == "True":
        told = f"{called} with a shell, or with code from elsewhere"
    return told


def test_nothing_in_the_program_could_run_what_a_file_holds() -> None:
    found = {
        (name, told)
        for name, tree in sources()
        for node in ast.walk(tree)
        if (told := unsafe(node)) is not None
    }
    assert {name for name, _ in found} <= set(WITH_REASON), sorted(found)


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from joblib import load", "torch.load(path)", "np.load(path)", "eval(text)",
     "np.load(path, allow_pickle=True)", "run(line, shell=True)", "import yaml", "exec(text)"],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(line: str) -> None:
    assert any(unsafe(node) for node in ast.walk(ast.parse(line)))


def test_no_dependency_is_an_unsafe_deserialiser() -> None:
    names = {
        line.split(";")[0].split(">")[0].split("[")[0].strip().lower() for line in requires("vestige") or []
    }
    assert len(names) > 15
    assert not names & {"jsonpickle", "dill", "cloudpickle", "pyyaml", "drain3", "drain3-improved"}


def test_opening_hostile_files_runs_nothing_and_writes_nothing(attacked: Path) -> None:
    (attacked / "state.json").write_text(
        '{"format": "vestige-watch/2", "detector": "0", "parts": {"a": [1, 2]}}'
    )
    (attacked / "triage.csv").write_text("cluster,label,event\nc1,benign,logon\nc2,,'=cmd\n")
    command = [sys.executable, "-m", "tests.attacks.opening", str(attacked), str(EFFORT)]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=3600
    )
    assert done.returncode == 0, done.stderr[-3000:]
    counts: dict[str, list[int]] = json.loads(done.stdout)
    assert len(counts) == 9
    for kind, (tried, refused) in counts.items():
        assert tried >= 20 * EFFORT, kind
        assert refused, kind
