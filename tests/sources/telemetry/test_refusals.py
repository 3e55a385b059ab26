"""A checkpoint refuses inputs that mean something else, and feature code that makes other numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vestige import checkpoint
from vestige.errors import CheckpointError
from vestige.models.base import StandardizeStats
from vestige.models.mlp import MlpDetector
from vestige.schema import Feature, Input, Schema
from vestige.sources import registry
from vestige.sources.telemetry import grid, kernels, summaries
from vestige.sources.telemetry.channels import CHANNELS, Channel, settings
from vestige.sources.telemetry.encoder import TelemetryEncoder
from vestige.sources.telemetry.layout import schema_for
from vestige.sources.telemetry.options import TelemetryOptions

LOAD, FREE = "guest.load1", "guest.system.linux.memory.available"
Change = Callable[[tuple[Feature, ...]], tuple[Feature, ...]]


def renamed(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    return tuple(replace(one, name=one.name.replace(LOAD, "guest.load5")) for one in features)


def reordered(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    """Two channels have changed places."""
    at = {one.name: number for number, one in enumerate(features)}
    order = list(range(len(features)))
    for name, number in at.items():
        if name.startswith(LOAD):
            other = at[name.replace(LOAD, FREE)]
            order[number], order[other] = other, number
    return tuple(features[number] for number in order)


def rescaled(features: tuple[Feature, ...]) -> tuple[Feature, ...]:
    return tuple(replace(one, unit="KiBy") if one.name.startswith(FREE) else one for one in features)


CHANGES = {"renamed": renamed, "reordered": reordered, "rescaled": rescaled}


def altered(inputs: tuple[Input, ...], change: Change) -> tuple[Input, ...]:
    found = tuple(replace(one, features=change(one.features)) for one in inputs)
    assert found != inputs
    return found


@pytest.fixture(scope="module")
def schema() -> Schema:
    return schema_for(TelemetryOptions())


@pytest.fixture(scope="module")
def trained(schema: Schema, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a detector on summaries; that it has learnt nothing does not matter here."""
    directory = tmp_path_factory.mktemp("checkpoint")
    detector = MlpDetector.build((schema.input("summary"),), len(schema.classes), view="realistic")
    kept = np.zeros(detector.width(schema.input("summary")), dtype=np.float32)
    detector.standardize["summary"] = StandardizeStats(kept, kept, kept + 1)
    source = registry.get("telemetry")
    checkpoint.save(
        directory,
        detector=detector,
        encoder=TelemetryEncoder(),
        schema=schema,
        source=source,
        view="realistic",
    )
    return directory


def test_it_loads_where_nothing_has_changed(trained: Path, schema: Schema) -> None:
    assert checkpoint.load(trained, schema=schema).detector.name == "mlp"


@pytest.mark.parametrize("name", CHANGES)
def test_it_refuses_a_dataset_whose_channel_was_changed(trained: Path, schema: Schema, name: str) -> None:
    other = schema.fitted(altered(schema.inputs, CHANGES[name]))
    with pytest.raises(CheckpointError, match="something else") as refusal:
        checkpoint.load(trained, schema=other)
    assert LOAD in str(refusal.value) or FREE in str(refusal.value)


@pytest.mark.parametrize("name", CHANGES)
def test_it_refuses_to_score_where_the_registry_was_changed(
    trained: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(TelemetryEncoder, "inputs", altered(TelemetryEncoder.inputs, CHANGES[name]))
    with pytest.raises(CheckpointError, match="produces other inputs"):
        checkpoint.load(trained)


def test_a_changed_registry_is_another_dataset_schema(schema: Schema) -> None:
    def with_channels(channels: Sequence[Channel]) -> Schema:
        return replace(schema, settings={**schema.settings, "channels": settings(channels)})

    scaled = [channel._replace(unit="KiBy") if channel.name == FREE else channel for channel in CHANNELS]
    assert with_channels(scaled).digest != schema.digest
    assert with_channels(CHANNELS).digest == schema.digest == schema_for(TelemetryOptions()).digest


@pytest.mark.parametrize("name", ["stale_ns", "gap_ns"])
def test_it_refuses_a_grid_with_other_numbers(
    trained: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ours = grid.settings
    monkeypatch.setattr(grid, "settings", lambda seconds: {**ours(seconds), name: 10**9})
    with pytest.raises(CheckpointError, match="numbers have changed"):
        checkpoint.load(trained)


def test_it_refuses_statistics_with_other_numbers(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = kernels.summarise

    def sample_deviation(steps: np.ndarray, out: np.ndarray) -> None:
        real(steps, out)
        out[:, :, 1] *= np.sqrt(10 / 9)

    monkeypatch.setattr(summaries, "summarise", sample_deviation)
    with pytest.raises(CheckpointError, match=r"numbers have changed(.|\n)*:std of window"):
        checkpoint.load(trained)
