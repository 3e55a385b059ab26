"""What earlier versions wrote loads, or says why not and what to do.

`tests/fixtures/<when>/` holds one of each kind of file as it was written then (`vestige run logs` on a
simulated corpus). Where a format gets another version, put what the new one writes into a folder of its own,
and leave the old ones: they must come back or be refused in words for as long as anybody may have one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vestige import checkpoint
from vestige.checkpoint import FORMAT as CHECKPOINT
from vestige.errors import VestigeError
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import FORMAT as METRICS
from vestige.evaluation.results import RunResults
from vestige.reading.windows import FORMAT as DATASET
from vestige.reading.windows import WindowSet
from vestige.runs.config import RunConfig
from vestige.service import state
from vestige.service.state import FORMAT as WATCH
from vestige.splits.sets import FORMAT as SETS
from vestige.splits.sets import load_sets
from vestige.splits.split import FORMAT as SPLIT
from vestige.splits.split import Split

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
WHEN = sorted(folder.name for folder in FIXTURES.iterdir() if folder.is_dir())
Load = Callable[[Path], object]


def opened(place: Path) -> WindowSet:
    """The dataset of a run of then."""
    return WindowSet.open(place / "run/dataset")


KINDS: dict[str, tuple[str, str, Load]] = {
    "trees": ("run/gbt/model.json", CHECKPOINT, lambda place: checkpoint.load(place / "run/gbt")),
    "table": ("run/lookup/model.json", CHECKPOINT, lambda place: checkpoint.load(place / "run/lookup")),
    "dataset": ("run/dataset/schema.json", DATASET, lambda place: opened(place).verify()),
    "split": ("run/split.json", SPLIT, lambda place: Split.load(place / "run/split.json")),
    "metrics": ("run/metrics.json", METRICS, lambda place: RunResults.load(place / "run/metrics.json")),
    "run": ("run/config.json", "vestige-run/1", lambda place: RunConfig.load(place / "run")),
    "sets": ("sets.json", SETS, lambda place: load_sets(place / "sets.json", opened(place))),
    "watch": ("state.json", WATCH, state.load),
}  # fmt: skip


def test_there_is_one_of_every_format_that_is_written_now() -> None:
    assert WHEN
    for kind, (name, current, _) in KINDS.items():
        found = {json.loads((FIXTURES / when / name).read_text())["format"] for when in WHEN}
        assert current in found, f"{kind}: put one of {current} under tests/fixtures"


@pytest.mark.parametrize("when", WHEN)
@pytest.mark.parametrize("kind", KINDS)
def test_it_loads_or_says_why_not_and_what_to_do(kind: str, when: str) -> None:
    said = refusal(KINDS[kind][2], FIXTURES / when)
    assert said is None or (said.where is not None and said.remedy), said


def test_predictions_of_then_can_be_read() -> None:
    for when in WHEN:
        assert len(Predictions.load(FIXTURES / when / "run/gbt/predictions.parquet")) > 50


@pytest.mark.parametrize("kind", KINDS)
def test_another_version_is_named_with_a_remedy(kind: str, tmp_path: Path) -> None:
    place = Path(shutil.copytree(FIXTURES / WHEN[-1], tmp_path / "then"))
    name, current, load = KINDS[kind]
    text = (place / name).read_text()
    assert text.count(current) == 1
    (place / name).write_text(text.replace(current, "vestige-future/9"))
    said = refusal(load, place)
    assert said is not None
    assert said.remedy
    assert said.where is not None


def refusal(load: Load, place: Path) -> VestigeError | None:
    """What is said where it does not load; None where it does."""
    try:
        load(place)
    except VestigeError as error:
        return error
    return None
