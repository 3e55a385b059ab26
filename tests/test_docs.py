"""The docs say what is true: every option of the program is in them, and generated text is current."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def test_the_command_line_reference_is_current(monkeypatch):
    for name in ("COLUMNS", "TERM", "NO_COLOR"):
        monkeypatch.setenv(name, "")  # the generator sets them; put back what was here afterwards
    page = runpy.run_path(str(DOCS / "generate.py"))["render"]()
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == page, "run make docs"
