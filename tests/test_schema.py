"""A schema is plain data: its digest changes with anything that gives inputs another meaning."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vestige.schema import Feature, Input, Schema, Stream, diff

CPU = Feature("cpu", "percent")
DISK = Feature("disk", "bytes/s", host_only=True)
SCHEMA = Schema(
    source="telemetry",
    version=2,
    classes=("clean", "infected"),
    length=10,
    stride=5,
    streams=(Stream("grid", "float32", (2,)),),
    inputs=(
        Input("grid", "tensor", (CPU, DISK)),
        Input("events", "tokens", vocabulary=("<pad>", "<unk>", "a")),
    ),
    settings={"grid_hz": 1},
)


def with_features(*features: Feature) -> Schema:
    return replace(SCHEMA, inputs=(Input("grid", "tensor", features), SCHEMA.inputs[1]))


def test_a_schema_survives_json() -> None:
    again = Schema.from_dict(SCHEMA.to_dict())
    assert again == SCHEMA
    assert again.digest == SCHEMA.digest


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        (
            with_features(Feature("cpu_total", "percent"), DISK),
            'inputs[grid].features[cpu].name: "cpu" -> "cpu_total"',
        ),
        (with_features(DISK, CPU), 'inputs[grid].features[cpu].name: "cpu" -> "disk"'),
        (
            with_features(Feature("cpu", "ratio"), DISK),
            'inputs[grid].features[cpu].unit: "percent" -> "ratio"',
        ),
        (replace(SCHEMA, length=20), "length: 10 -> 20"),
        (replace(SCHEMA, settings={"grid_hz": 2}), "settings.grid_hz: 1 -> 2"),
        (replace(SCHEMA, version=3), "version: 2 -> 3"),
    ],
)
def test_whatever_changes_the_meaning_changes_the_digest_and_shows_in_the_diff(
    changed: Schema, line: str
) -> None:
    assert changed.digest != SCHEMA.digest
    assert line in diff(SCHEMA, changed)


def test_a_long_diff_is_cut_and_counted() -> None:
    names = tuple(f"t{i}" for i in range(50))
    other = tuple(f"u{i}" for i in range(50))
    one, two = (SCHEMA.fitted((Input("e", "tokens", vocabulary=v),)) for v in (names, other))
    lines = diff(one, two, limit=5)
    assert len(lines) == 6
    assert lines[-1] == "... and 45 more differences"
