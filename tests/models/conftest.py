"""Small datasets of every kind of input, written once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vestige.schema import Kind
from vestige.testing.detectors import Parts, small_dataset

MakeParts = Callable[..., Parts]


@pytest.fixture(scope="session")
def make_parts(tmp_path_factory: pytest.TempPathFactory) -> MakeParts:
    """Train, validation and test windows that offer the kinds of input asked for."""
    made: dict[tuple[tuple[Kind, ...], int], Parts] = {}

    def make(*kinds: Kind, n_classes: int = 2) -> Parts:
        key = (kinds, n_classes)
        if key not in made:
            place: Path = tmp_path_factory.mktemp("synthetic")
            made[key] = small_dataset(place, kinds, n_classes)
        return made[key]

    return make


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Small tensors are slower on many threads, much slower when the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
