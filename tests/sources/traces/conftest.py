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


@pytest.fixture(scope="session")
def tiny_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two programs, two recordings each, one of them hijacked: for what goes over each step many times."""
    path = tmp_path_factory.mktemp("traces") / "tiny"
    simulate(path, SimulateOptions(programs=2, recordings=2, kilobytes=4, overflows=100))
    return path
