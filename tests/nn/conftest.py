"""Both ways of running a step, and layers of every kind on inputs of a small size."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest
import torch

from vestige.nn import backends


@pytest.fixture(params=["numba", "tensor operations"])
def step_code(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Runs a test twice: with the compiled kernels, and as on a machine without Numba."""
    if request.param == "tensor operations":
        monkeypatch.setattr(backends, "_numba_steps", lambda: None)
    elif find_spec("numba") is None:
        pytest.skip("Numba is not installed")
    return str(request.param)


@pytest.fixture(autouse=True)
def _alone_and_seeded() -> Iterator[None]:
    """One thread: on small tensors torch's own cost more than they bring, above all in parallel runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(7)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest, _alone_and_seeded: None) -> int:
    torch.set_num_threads(request.param)
    return int(request.param)
