"""Settings of a schema come from a file: each has a range and a type before anything is read by it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from vestige.schema import Schema
from vestige.sources import registry
from vestige.sources.events.options import EventOptions
from vestige.sources.events.schema import rules_for
from vestige.sources.events.schema import schema_for as events_schema
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.schema import schema_for as logs_schema
from vestige.sources.telemetry.layout import schema_for as telemetry_schema
from vestige.sources.telemetry.options import TelemetryOptions
from vestige.sources.traces.options import TraceOptions
from vestige.sources.traces.schema import schema_for as traces_schema

SCHEMAS = {
    "logs": logs_schema(RuleSet((load("hdfs"),), LabelRule("none")), length=2, stride=1),
    "events": events_schema(rules_for(EventOptions()), EventOptions()),
    "telemetry": telemetry_schema(TelemetryOptions()),
    "traces": traces_schema(TraceOptions()),
}
WRONG: dict[str, list[tuple[str, Any]]] = {
    "logs": [
        ("formats", []),
        ("caps.line_bytes", 1 << 40),
        ("caps.line_bytes", -1),
        ("encoding", "rot13"),
        ("values", "yes"),
        ("until", "soon"),
        ("anomalies", "all"),
        ("label.kind", "magic"),
        ("label.values", "WARN"),
        ("label.lists", []),
    ],
    "events": [
        ("caps.record_bytes", 1 << 40),
        ("caps.record_bytes", 1.5),
        ("values", 1),
        ("timed", "no"),
        ("timeout_s", 1e300),
        ("timeout_s", "a day"),
        ("label_of", "nobody"),
        ("anomalous_files", 3),
        ("templated", "yes"),
    ],
    "telemetry": [
        ("grid", []),
        ("grid.step_ns", 10**30),
        ("grid.step_ns", 1_500_000_000),
        ("grid.step_ns", "1"),
        ("classes", "names"),
        ("classes", None),
    ],
    "traces": [("vocabulary", 10**9), ("own_code", "sell"), ("tip_only", "perhaps")],
}


SAYS = {"formats": "there is no format", "until": "Invalid isoformat string: 'soon'"}
"""What is said of settings where their names are not."""


def changed(schema: Schema, name: str, value: Any) -> Schema:
    """The schema with another value of a setting."""
    settings = json.loads(json.dumps(schema.settings))
    *outer, last = name.split(".")
    inner = settings
    for part in outer:
        inner = inner[part]
    assert last in inner or last in {"values", "templated"}, "no such setting"
    inner[last] = value
    return replace(schema, settings=settings)


@pytest.mark.parametrize("source", SCHEMAS)
def test_what_was_written_is_read_back(source: str) -> None:
    schema = SCHEMAS[source]
    plain = replace(schema, settings=json.loads(json.dumps(schema.settings)))
    assert registry.get(source).reader(plain).schema.digest == schema.digest


@pytest.mark.parametrize(
    ("source", "name", "value"), [(source, *case) for source, cases in WRONG.items() for case in cases]
)
def test_a_setting_out_of_range_is_refused_before_anything_is_read(
    source: str, name: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=SAYS.get(name, rf"\b{name.rpartition('.')[2]}\b")):
        registry.get(source).reader(changed(SCHEMAS[source], name, value))
