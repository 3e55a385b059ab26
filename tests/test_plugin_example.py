"""The example of a plug-in keeps the contracts, found by the entry points of its own `pyproject.toml`."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from tests.plugins import install
from vestige.models import registry as models
from vestige.sources import registry as sources
from vestige.testing import check_detector, check_source

PLUGIN = Path(__file__).resolve().parents[1] / "examples/plugin"


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its source on the path, its entry points in a distribution's metadata, as an installer leaves them."""
    project = tomllib.loads((PLUGIN / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = project["entry-points"]
    assert sorted(groups) == ["vestige.models", "vestige.sources"]
    for group, targets in groups.items():
        monkeypatch.syspath_prepend(str(install(tmp_path / group, group, **targets)))
    monkeypatch.syspath_prepend(str(PLUGIN / "src"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "vestige_badges"]:
        monkeypatch.delitem(sys.modules, name)


def test_the_source_keeps_its_contract(tmp_path: Path) -> None:
    assert "badges" in sources.names()
    record = np.dtype([("t_ns", "<i8"), ("door", "<u2"), ("label", "u1")])
    rng = np.random.default_rng(0)
    for name in ("north-1", "south-1", "south-2"):
        rows = np.zeros(60, record)
        rows["t_ns"] = 1_700_000_000_000_000_000 + np.arange(60) * 10**9
        rows["door"] = rng.integers(0, 5, 60)
        rows["label"] = rng.random(60) < 0.2
        path = tmp_path / "corpus" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(rows.tobytes())
    check_source("badges", tmp_path / "corpus", tmp_path)


def test_the_detector_keeps_its_contract(tmp_path: Path) -> None:
    assert "token_bayes" in models.names()
    check_detector("token_bayes", tmp_path)
