"""A small simulated corpus, written once."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige.simulators.traces.options import SimulateOptions
from vestige.simulators.traces.write import simulate


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four programs, four recordings each, two of them hijacked."""
    path = tmp_path_factory.mktemp("traces") / "small"
    simulate(path, SimulateOptions(programs=4, recordings=4, kilobytes=4, overflows=100))
    return path
