"""Small simulated stores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vestige.engine import HERE
from vestige.simulators.telemetry.options import SimulateOptions
from vestige.simulators.telemetry.write import simulate

MakeStore = Callable[..., Path]


@pytest.fixture(scope="session")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> MakeStore:
    """A store by its options, written once."""
    made: dict[str, Path] = {}

    def make(**settings: object) -> Path:
        options = SimulateOptions.model_validate({"hosts": 3, "seconds": 60, "plant": ("none=0",)} | settings)
        key = options.model_dump_json()
        if key not in made:
            made[key] = tmp_path_factory.mktemp("telemetry") / "store"
            simulate(made[key], options, engine=HERE)
        return made[key]

    return make


@pytest.fixture(scope="session")
def store(make_store: MakeStore) -> Path:
    """Twelve episodes without any fault."""
    return make_store(episodes=12)
