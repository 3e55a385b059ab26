"""Detectors that learn in one go stop, too, in a process that another one started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("name", "kinds", "settings"),
    [
        ("gbt", ("summary",), {"rounds": 10_000, "patience": 10_000, "threads": 1}),
        ("blend", ("tokens",), {"rounds": 10_000, "reservoirs": 1, "threads": 1}),
    ],
)
def test_trees_stop_between_two_rounds(
    name: str, kinds: tuple[str, ...], settings: dict[str, int], tmp_path: Path
) -> None:
    code = f"""
import sys
from pathlib import Path
from vestige.models import registry
from vestige.models.base import choose_inputs
from vestige.testing.detectors import small_dataset
from vestige.training import StoppedError, TrainingConfig, train
from vestige.training.interrupt import request_stop, watch_for_stop

folder = Path(sys.argv[1])
windows = small_dataset(folder / "data", {kinds!r})
kind = registry.get({name!r})
inputs = choose_inputs(kind, windows.train.schema)
detector = kind.build(inputs, 2, **{settings!r})
stop = folder / "stop"
stop.mkdir()
watch_for_stop(stop)
request_stop(stop, "SIGTERM")
try:
    train(detector, windows.train, windows.validation, TrainingConfig(), folder)
except StoppedError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], check=False, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert f"the training of {name} was stopped by SIGTERM" in done.stdout
    assert "--resume: what is finished is kept, this one is trained anew" in done.stdout
