"""What earlier versions wrote loads, or says why not and what to do.

`tests/fixtures/<when>/` holds files as they were written then, from a simulated corpus; of each kind there is
one. Where a format gets another version, put what the new one writes into a folder of its own,
and leave the old ones: they must come back or be refused in words for as long as anybody may have one.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from vestige import checkpoint
from vestige.board.cells import FORMAT as CELL
from vestige.board.cells import CellRecord
from vestige.checkpoint import FORMAT as CHECKPOINT
from vestige.errors import VestigeError
from vestige.evaluation.learnt import FORMAT as LEARNT
from vestige.evaluation.learnt import Learnt
from vestige.evaluation.predictions import Predictions
from vestige.evaluation.results import FORMAT as METRICS
from vestige.evaluation.results import RunResults
from vestige.reading.windows import FORMAT as DATASET
from vestige.reading.windows import WindowSet
from vestige.runs.config import RunConfig
from vestige.service import exceptions, state
from vestige.service.sinks.spool import FORMAT as SPOOL
from vestige.service.sinks.spool import Spool
from vestige.service.state import FORMAT as WATCH
from vestige.splits.sets import FORMAT as SETS
from vestige.splits.sets import load_sets
from vestige.splits.split import FORMAT as SPLIT
from vestige.splits.split import Split
from vestige.tuning import study

FIXTURES = Path(__file__).resolve().parents[1] / "fixtures"
WHEN = sorted(folder.name for folder in FIXTURES.iterdir() if folder.is_dir())
Load = Callable[[Path], object]


def opened(place: Path) -> WindowSet:
    """The dataset of a run of then."""
    return WindowSet.open(place / "run/dataset")


def sent(place: Path) -> None:
    """The spool of then: what waits in it comes out."""
    spool = Spool(place / "spool")
    try:
        assert spool.waiting == 1
        frame = spool.read(spool.sent)
        assert frame is not None
        assert json.loads(frame.payload)["id"] == "000002"
    finally:
        spool.close()


KINDS: dict[str, tuple[str, str, Load]] = {
    "trees": ("run/gbt/model.json", CHECKPOINT, lambda place: checkpoint.load(place / "run/gbt")),
    "table": ("run/lookup/model.json", CHECKPOINT, lambda place: checkpoint.load(place / "run/lookup")),
    "dataset": ("run/dataset/schema.json", DATASET, lambda place: opened(place).verify()),
    "split": ("run/split.json", SPLIT, lambda place: Split.load(place / "run/split.json")),
    "metrics": ("run/metrics.json", METRICS, lambda place: RunResults.load(place / "run/metrics.json")),
    "run": ("run/config.json", "vestige-run/1", lambda place: RunConfig.load(place / "run")),
    "sets": ("sets.json", SETS, lambda place: load_sets(place / "sets.json", opened(place))),
    "watch": ("state.json", WATCH, state.load),
    "normal": ("detector/model.json", CHECKPOINT, lambda place: checkpoint.load(place / "detector")),
    "network": ("network/model.json", CHECKPOINT, lambda place: checkpoint.load(place / "network")),
    "next": ("next/model.json", CHECKPOINT, lambda place: checkpoint.load(place / "next")),
    "learnt": ("detector/learnt.json", LEARNT, lambda place: Learnt.load(place / "detector/learnt.json")),
    "spool": ("spool/sent.json", SPOOL, sent),
    "cell": ("cell.json", CELL, lambda place: CellRecord.load(place / "cell.json")),
}  # fmt: skip


KEPT = [
    (kind, when) for kind, (name, _, _) in KINDS.items() for when in WHEN if (FIXTURES / when / name).exists()
]


def of_now(kind: str) -> str:
    """When the latest of a kind was written."""
    return max(when for each, when in KEPT if each == kind)


def test_there_is_one_of_every_format_that_is_written_now() -> None:
    assert len(KEPT) >= len(KINDS)
    for kind, (name, current, _) in KINDS.items():
        found = {
            json.loads((FIXTURES / when / name).read_text())["format"] for each, when in KEPT if each == kind
        }
        assert current in found, f"{kind}: put one of {current} under tests/fixtures"


@pytest.mark.parametrize(("kind", "when"), KEPT)
def test_it_loads_or_says_why_not_and_what_to_do(kind: str, when: str, tmp_path: Path) -> None:
    place = Path(shutil.copytree(FIXTURES / when, tmp_path / "then"))
    said = refusal(KINDS[kind][2], place)
    assert said is None or (said.where is not None and said.remedy), said


def test_predictions_of_then_can_be_read() -> None:
    found = sorted(FIXTURES.glob("*/run/gbt/predictions.parquet"))
    assert found
    for path in found:
        assert len(Predictions.load(path)) > 50


def test_exceptions_of_then_hold() -> None:
    (entry,) = exceptions.load(FIXTURES / "2026-11-29")
    assert entry.because == "the nightly backup"


def test_a_search_of_then_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="the extra tune is not installed")
    shutil.copy(FIXTURES / "2026-11-29" / study.FILE, tmp_path)
    study.repair(tmp_path)
    assert len(study.counted(study.open_study(tmp_path))) == 2


def test_a_detector_in_one_file_of_then_loads() -> None:
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    assert checkpoint.load(FIXTURES / "2026-11-29" / "gru.onnx").detector.name == "gru"


@pytest.mark.parametrize("kind", KINDS)
def test_another_version_is_named_with_a_remedy(kind: str, tmp_path: Path) -> None:
    place = Path(shutil.copytree(FIXTURES / of_now(kind), tmp_path / "then"))
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
