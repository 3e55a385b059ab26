"""Every detector that is registered keeps the public contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestige.models import registry
from vestige.testing import check_detector

SMALL = {"gbt": {"rounds": 8, "threads": 1}, "gru": {"hidden": 8, "embedding": 4, "layers": 2}}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("name", registry.names())
def test_every_registered_detector_keeps_the_contract(name: str, tmp_path: Path) -> None:
    check_detector(name, tmp_path, hyper=SMALL.get(name))
