"""The docs say what is true: every command and option is in them, and generated text is current."""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

from tests.cli import surface
from vestige import errors
from vestige.cli import main
from vestige.cli.options import flag_of
from vestige.models import registry as detectors
from vestige.runs.options import JudgeOptions, ModelTransferOptions, SplitOptions
from vestige.simulators import registry as simulators
from vestige.sources import registry as sources
from vestige.training.config import TrainingConfig
from vestige.triage.options import TriageOptions
from vestige.validation.options import ValidateOptions

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(DOCS.rglob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "examples/plugin/README.md")),
]


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    """The text below each heading of the reference."""
    found = re.split(r"^## (.+)$", (DOCS / "cli.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return dict(zip(found[1::2], found[2::2], strict=True))


def test_the_command_line_reference_is_current(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "TERM", "NO_COLOR"):
        monkeypatch.setenv(name, "")  # the generator sets them; put back what was here afterwards
    page = runpy.run_path(str(DOCS / "generate.py"))["render"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "run make docs"


def test_the_schemas_of_files_are_current() -> None:
    page = runpy.run_path(str(DOCS / "generate.py"))["formats"]()
    assert (DOCS / "reference/formats.md").read_text(encoding="utf-8") == page, "run make docs"


def test_the_reference_of_names_is_current_and_says_something_of_each() -> None:
    page = runpy.run_path(str(DOCS / "generate.py"))["python"]()
    assert (DOCS / "reference/python.md").read_text(encoding="utf-8") == page, "run make docs"
    assert page.count("\n### ") > 30
    assert "```text\n\n```" not in page, "a public name without a docstring"


def test_every_detector_stands_in_a_table_of_the_mathematics() -> None:
    page = (DOCS / "reference/models.md").read_text(encoding="utf-8")
    tables = re.findall(r"^\|[^\n]+\|\n\|[-|]+\|\n((?:\|.+\n)+)", page, flags=re.MULTILINE)
    named = set(re.findall(r"`([a-z_]+)`", "".join(tables) + page.partition("## Baselines")[2]))
    assert len(detectors.names()) > 30
    assert set(detectors.names()) - named == set()


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and the site make them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"[^\w\- ]", "", words.lower()).strip().replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(
        r"^```.*?^```|`[^`\n]+`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL
    )
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = page if not name else (page.parent / name).resolve()
        assert other.exists(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(other), f"{target}: no such heading"


def test_the_site_is_built_strictly(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="the site needs the extra docs (pip install -e '.[docs]')")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "site/index.html").read_text(encoding="utf-8")
    fetched = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?(https?://[^\s\">]+)", page)
    assert "Where to begin" in page
    assert fetched == [], "the site fetches nothing from elsewhere"


@pytest.mark.parametrize(("name", "command"), list(surface.commands()))
def test_every_command_and_option_is_in_the_reference(
    name: str, command: Any, sections: dict[str, str]
) -> None:
    words = set(re.split(r"[\s,/.]+", sections[name]))
    wanted = {word for names in surface.options(command) for word in names} | set(surface.arguments(command))
    assert wanted - words == set()


def choices() -> list[tuple[str, str, tuple[str, ...]]]:
    """For every option that a model restricts to some words: a command, its flag, and the words."""
    models: list[tuple[str, type[BaseModel]]] = [
        ("vestige train", TrainingConfig),
        ("vestige train", JudgeOptions),
        ("vestige split", SplitOptions),
        ("vestige run logs", ModelTransferOptions),
        ("vestige triage", TriageOptions),
        ("vestige validate", ValidateOptions),
    ]
    models += [(f"vestige prepare {name}", sources.get(name).options) for name in sources.BUILT_IN]
    models += [(f"vestige simulate {name}", simulators.get(name).options) for name in simulators.BUILT_IN]
    return [
        (command, flag_of(name), get_args(kind))
        for command, model in models
        for name, field in model.model_fields.items()
        for kind in (field.annotation, *get_args(field.annotation))
        if get_origin(kind) is Literal
    ]


def test_there_are_choices_to_look_for() -> None:
    assert len(choices()) >= 15
    assert ("vestige train", "--precision", ("auto", "32", "16", "bf16")) in choices()


@pytest.mark.parametrize(("command", "flag", "words"), choices())
def test_every_choice_is_shown(
    command: str, flag: str, words: tuple[str, ...], sections: dict[str, str]
) -> None:
    assert f"{flag} <{'|'.join(words)}>" in sections[command]


def test_every_exit_code_is_in_one_table(sections: dict[str, str]) -> None:
    codes = {errors.INTERRUPTED, main.TERMINATED, main.HUNG_UP, main.BUG}
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            target = getattr(node, "target", None) or next(iter(getattr(node, "targets", [])), None)
            if getattr(target, "id", None) == "exit_code":
                assert isinstance(node, ast.Assign | ast.AnnAssign)
                assert isinstance(node.value, ast.Constant)
                codes.add(int(str(node.value.value)))
    assert len(codes) >= 13
    table = {int(code) for code in re.findall(r"^\| (\d+) \|", sections["Exit codes"], flags=re.MULTILINE)}
    assert codes - table == set()
    assert {0, main.TERMINATED} <= table
