"""What an installation is made of: the image, the service, and the licences of what they bring."""

from __future__ import annotations

import re
import runpy
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "deploy" / "vestige-watch.service"


def test_the_image_copies_what_there_is_and_runs_as_a_user_of_its_own() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ") and "--from" not in line]
    names = [name for names in copied for name in names]
    assert len(names) > 5
    assert [name for name in names if not (ROOT / name).exists()] == []
    users = [line for line in lines if line.startswith("USER ")]
    assert users == ["USER 10001"]
    assert any("useradd --system --uid 10001 " in line for line in lines)


def test_what_is_installed_by_hash_is_what_is_pinned_and_all_that_is_needed() -> None:
    text = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    entries = re.findall(r"^([\w.-]+)==(\S+)(.*(?:\n    .*)*)", text, re.MULTILINE)
    by_hash = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
    hashed = {name: version for name, version, rest in entries if by_hash.search(rest)}
    assert len(hashed) == len(entries) > 30
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line]
    pinned = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}
    assert {name: pinned.get(name) for name in hashed} == hashed
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["dashboard"]]
    names = {re.sub(r"[-_.]+", "-", re.split(r"[<>=;\[ ]", line)[0]).lower() for line in needed}
    assert len(names) > 20
    assert names - set(hashed) == set()


def test_the_service_has_nothing_but_its_state(tmp_path: Path) -> None:
    lines = UNIT.read_text(encoding="utf-8").splitlines()
    needed = {"DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "StateDirectory=vestige"}
    assert needed <= set(lines)
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed: the exposure is not measured")
    unit = tmp_path / UNIT.name
    shutil.copyfile(UNIT, unit)
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"exposure level for \S+ (\d+\.\d)", done.stdout)
    if found is None:
        pytest.skip(f"this systemd-analyze cannot look at a file: {done.stderr}")
    assert float(found[1]) < 1.5


def test_a_tagged_commit_is_built_as_the_version_of_its_tag_alone(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="what builds the wheel is not installed")
    check_tag = runpy.run_path(str(ROOT / "hatch_build.py"))["check_tag"]
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "first"]):
        subprocess.run([*git, *command], check=True)
    check_tag(tmp_path, "1.2.3")
    subprocess.run([*git, "tag", "v1.2.3"], check=True)
    check_tag(tmp_path, "1.2.3")
    with pytest.raises(ValueError, match=r"tagged v1\.2\.3, but __version__ is 1\.2\.4"):
        check_tag(tmp_path, "1.2.4")
    (tmp_path / "unpacked").mkdir()
    check_tag(tmp_path / "unpacked", "1.2.4")


def test_every_dependency_is_among_the_licences() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    named = [re.split(r"[^\w.-]", line)[0] for line in project["dependencies"] if "!= 'Linux'" not in line]
    assert len(named) > 10
    assert [name for name in named if f"| {name.lower()} |" not in page] == []
    assert "GPL" not in page
    assert "| look |" not in page
