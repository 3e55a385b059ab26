"""A split without a validation part is given one, by its own rule; its test part stays as it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.pipeline.conftest import corpus, prepared
from vestige.engine import HERE
from vestige.reading.windows import WindowSet
from vestige.sources import registry
from vestige.splits import PARTS, Split, make, with_validation

__all__ = ["corpus", "prepared"]


@pytest.fixture(scope="module")
def windows(prepared: Path) -> WindowSet:
    return WindowSet.open(prepared / "dataset")


@pytest.fixture(scope="module")
def lines(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> WindowSet:
    source = registry.get("logs")
    place = tmp_path_factory.mktemp("lines") / "dataset"
    return source.prepare(corpus, place, source.options(format="bgl"), engine=HERE)


def without_validation(split: Split) -> Split:
    """The same with its validation part in training."""
    given = split.assignment
    if split.unit == "span":
        return replace(split, assignment={"cuts_ns": [given["cuts_ns"][1]] * 2})
    moved = {"train": given["train"] + given["validation"], "validation": [], "test": given["test"]}
    return replace(split, assignment=moved)


@pytest.mark.parametrize("recipe", ["random", "host"])
def test_recordings_go_whole_and_hosts_stay_together(windows: WindowSet, recipe: str) -> None:
    made = without_validation(make("random", windows)[0])
    if recipe == "host":
        found, _ = make("host", windows)
        made = without_validation(found)
    inner = with_validation(made, windows)
    assert set(inner.assignment["test"]) == set(made.assignment["test"])
    assert sorted(inner.assignment["train"] + inner.assignment["validation"]) == sorted(
        made.assignment["train"]
    )
    parts = inner.parts(windows)
    assert len(parts.train) > len(parts.validation) > 0
    if recipe == "host":
        host = dict(zip(windows.recordings["id"], windows.recordings["host"], strict=True))
        sides = [{host[name] for name in inner.assignment[part]} for part in PARTS]
        assert all(sides)
        assert not sides[0] & sides[1]
    assert "no validation part" in inner.notes[-1]


def test_by_time_the_last_quarter_of_training_becomes_validation(lines: WindowSet) -> None:
    made = without_validation(make("time", lines)[0])
    before, after = made.parts(lines), with_validation(made, lines).parts(lines)
    assert len(before.validation) == 0
    # Windows around the cut are purged.
    assert len(after.train) == pytest.approx(0.75 * len(before.train), rel=0.02)
    assert 0.1 < len(after.validation) / len(before.train) < 0.25
    assert after.train.placed_ns.max() <= after.validation.placed_ns.min()
    assert np.array_equal(after.test.target_step, before.test.target_step)


def test_templates_stay_on_one_side(lines: WindowSet) -> None:
    source = registry.get("logs")
    made = without_validation(make("template", lines, own=source.recipes)[0])
    inner = with_validation(made, lines)
    assert inner.assignment["test"] == sorted(made.assignment["test"])
    assert sorted(inner.assignment["train"] + inner.assignment["validation"]) == sorted(
        made.assignment["train"]
    )
    parts = inner.parts(lines)
    assert len(parts.train) > 0
    assert set(np.unique(parts.validation.label)) == set(np.unique(parts.train.label))
