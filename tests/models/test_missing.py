"""Missing is told: a source that was not recorded is not a silent one, whichever detector looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pytest

from vestige.models import gbt, registry
from vestige.models.base import Detector, choose_inputs
from vestige.models.fitting import sources
from vestige.models.gbt import GradientBoostedTrees
from vestige.models.neural import NeuralDetector
from vestige.reading.dataset import DatasetWriter
from vestige.reading.encoding import EncodedWindows
from vestige.reading.windows import WindowSet
from vestige.schema import Feature, Input
from vestige.sources.telemetry.channels import columns
from vestige.sources.telemetry.encoder import GRID, TelemetryEncoder
from vestige.sources.telemetry.fields import CollectorName
from vestige.sources.telemetry.layout import schema_for
from vestige.sources.telemetry.options import TelemetryOptions
from vestige.training import TrainingConfig, train

pytestmark = pytest.mark.usefixtures("one_thread")

HYPER: dict[str, dict[str, int]] = {
    "gbt": {"rounds": 30, "threads": 1},
    "mlp": {"hidden": 16},
    "cnn": {"hidden": 16},
    "gru": {"hidden": 16},
}
BRIEF = TrainingConfig(epochs=12, batch_size=64, learning_rate=1e-2, device="cpu", threads=1)
SECONDS = 60


class Sides(NamedTuple):
    train: EncodedWindows
    validation: EncodedWindows
    test: EncodedWindows


def dataset(path: Path, fill: Callable[[np.ndarray, int], None]) -> Sides:
    """Sixteen recordings of noise, every second one an attack; `fill` makes of each what it is to be."""
    rng = np.random.default_rng(0)
    with DatasetWriter(path, schema_for(TelemetryOptions(classes="label", stride=1))) as writer:
        for number in range(16):
            grid = rng.normal(20, 1, (SECONDS, 46)).astype(np.float32)
            fill(grid, number % 2)
            writer.begin(id=str(number), host="h")
            t_ns = (number * SECONDS + np.arange(SECONDS)) * 10**9
            writer.extend({GRID: grid}, t_ns=t_ns, label=np.full(SECONDS, number % 2, dtype=np.uint8))
            writer.close_recording("0" * 64)
        writer.table(TelemetryEncoder.symbols, pl.DataFrame({"id": ["0"]}))
    windows = WindowSet.open(path)
    parts = (np.isin(windows.recording // 2, which) for which in ([0, 1, 2, 3], [4, 5], [6, 7]))
    return Sides(*(EncodedWindows.of(windows.select(part), TelemetryEncoder()) for part in parts))


def trained(name: str, sides: Sides, path: Path, view: str = "realistic", **hyper: Any) -> Detector:
    kind = registry.get(name)
    inputs = choose_inputs(kind, sides.train.schema)
    detector = kind.build(inputs, 2, view=view, **{**HYPER[name], **hyper})
    train(detector, sides.train, sides.validation, BRIEF, path, progress=False)
    return detector


def right(detector: Detector, side: EncodedWindows, lost: CollectorName | None = None) -> float:
    """Share of right answers, with one source taken away."""
    steps = {name: values.copy() for name, values in side.windows.gather(slice(None), (GRID,)).items()}
    if lost is not None:
        steps[GRID][:, :, columns(lost)] = np.nan
    said = detector.predict(side.bound.encode(steps, detector.input_names))
    return float((said == side.label).mean())


def told_by_both(grid: np.ndarray, label: int) -> None:
    for source in ("guest", "netflow"):
        grid[:, columns(source)] *= 1 + label


def silent_or_lost(grid: np.ndarray, label: int) -> None:
    grid[:, columns("netflow")] = np.nan if label else 0


@pytest.mark.parametrize("name", HYPER)
def test_a_source_that_was_not_recorded_is_not_a_silent_one(name: str, tmp_path: Path) -> None:
    sides = dataset(tmp_path / "dataset", silent_or_lost)
    assert right(trained(name, sides, tmp_path), sides.test) > 0.9


@pytest.mark.parametrize("name", HYPER)
def test_a_detector_does_with_what_is_left_though_training_lacked_nothing(name: str, tmp_path: Path) -> None:
    sides = dataset(tmp_path / "dataset", told_by_both)
    detector = trained(name, sides, tmp_path)
    kept = [right(detector, sides.test, one) for one in (None, "guest", "netflow")]
    assert min(kept) > 0.9, kept


@pytest.mark.parametrize("name", HYPER)
def test_that_a_hidden_source_is_missing_is_hidden_too(name: str, tmp_path: Path) -> None:
    def host_only(grid: np.ndarray, label: int) -> None:
        grid[:, columns("qmp")] = np.nan if label else 0

    sides = dataset(tmp_path / "dataset", host_only)
    detector = trained(name, sides, tmp_path)
    batch = sides.test.batch(names=detector.input_names)
    gone = {one: values.copy() for one, values in batch.items()}
    for spec in detector.inputs:
        hidden = np.array([feature.host_only for feature in spec.features])
        gone[spec.name][:, hidden] = np.nan
    assert np.array_equal(detector.predict_proba(batch), detector.predict_proba(gone))
    assert right(detector, sides.test) < 0.7
    assert right(trained(name, sides, tmp_path, view="oracle"), sides.test) > 0.75


def test_what_training_never_saw_missing_says_nothing_when_it_is(tmp_path: Path) -> None:
    sides = dataset(tmp_path / "dataset", told_by_both)
    detector = trained("mlp", sides, tmp_path, source_dropout=0)
    assert isinstance(detector, NeuralDetector)
    assert not detector.module.state_dict()["indicators.0.weight"].any()
    losing = trained("mlp", sides, tmp_path)
    assert isinstance(losing, NeuralDetector)
    assert losing.module.state_dict()["indicators.0.weight"].any()


def test_which_windows_lose_a_source_is_drawn_with_the_seed(tmp_path: Path) -> None:
    sides = dataset(tmp_path / "dataset", told_by_both)
    kind = GradientBoostedTrees.build(choose_inputs(GradientBoostedTrees, sides.train.schema), 2)
    weights = np.ones(2, dtype=np.float32)

    def handed_over(batches: gbt._Batches) -> np.ndarray:
        pieces: list[np.ndarray] = []
        batches.reset()
        while batches.next(lambda data, **_: pieces.append(data)):
            pass
        return np.concatenate(pieces)

    half = gbt._Batches(kind, sides.train, weights, source_dropout=0.5, seed=1)
    first, again = handed_over(half), handed_over(half)
    assert np.array_equal(first, again, equal_nan=True)
    gone = np.isnan(first)
    guest, netflow = (gone[:, row] for row in sources(kind, kind.inputs[0]))
    for one in (guest, netflow):
        assert (one.all(axis=1) == one.any(axis=1)).all(), "a source is lost whole"
        assert 0.15 < one.any(axis=1).mean() < 0.35
    assert not (guest.any(axis=1) & netflow.any(axis=1)).any(), "never both"
    other = handed_over(gbt._Batches(kind, sides.train, weights, source_dropout=0.5, seed=2))
    assert not np.array_equal(first, other, equal_nan=True)


def test_zeros_are_kept_where_values_are_missing(tmp_path: Path) -> None:
    def nearly_empty(grid: np.ndarray, label: int) -> None:
        grid[:] = 0
        silent_or_lost(grid, label)

    sides = dataset(tmp_path / "dataset", nearly_empty)
    detector = trained("gbt", sides, tmp_path)
    assert detector.state_for_checkpoint() == {"zero_is_missing": False}
    assert right(detector, sides.test) == 1


def test_sources_are_what_names_say_before_the_first_dot() -> None:
    names = ("guest.load1:mean", "netflow.conn_count", "guest.cpu.time", "word:a.b", "length")
    spec = Input("s", "summary", features=tuple(Feature(one, host_only=one == "length") for one in names))
    detector = GradientBoostedTrees.build((spec,), 2)
    assert sources(detector, spec).astype(int).tolist() == [[1, 0, 1, 0], [0, 1, 0, 0]]
    none = Input("s", "summary", features=(Feature("word:x"), Feature("length")))
    assert sources(GradientBoostedTrees.build((none,), 2), none).shape == (0, 2)
