"""Detectors trained briefly, to be exported."""

from __future__ import annotations

from pathlib import Path

from tests.models.test_every_detector import SMALL
from vestige.models import registry
from vestige.models.base import Detector, choose_inputs
from vestige.testing.detectors import BRIEF, Parts, small_dataset
from vestige.training import train


def trained(
    name: str, directory: Path, combination: int = 0, n_classes: int = 2, length: int = 8
) -> tuple[Detector, Parts]:
    """The registered detector `name` on a combination of inputs that it accepts, and the dataset's parts."""
    kind = registry.get(name)
    parts = small_dataset(directory / "data", kind.accepts[combination], n_classes, length)
    schema = parts.train.schema
    detector = kind.build(choose_inputs(kind, schema), len(schema.classes), **SMALL.get(name, {}))
    (directory / "run").mkdir()
    train(detector, parts.train, parts.validation, BRIEF, directory / "run", progress=False)
    return detector, parts
