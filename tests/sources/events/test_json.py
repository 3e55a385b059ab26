"""JSON lines: Elastic and OCSF as they come, and whatever else a line may hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.events.exports import SECOND, START, dataset, objects, texts, write
from vestige.sources.events.json_lines import BadRecordError, decode
from vestige.sources.events.layout import Layout
from vestige.sources.events.mapping import every, load
from vestige.sources.events.parse import Parser, Rules
from vestige.sources.events.records import Block

TIME = "2026-03-02T08:00:00.000Z"
ECS: list[tuple[dict[str, Any], str, str]] = [
    ({"@timestamp": TIME, "host": {"name": "a"}, "event": {"code": 4625}}, "a", "4625"),
    ({"@timestamp": TIME, "host.name": "a", "event.code": "4625", "event.action": "x"}, "a", "4625/x"),
    ({"@timestamp": TIME, "host": {"hostname": "b"}, "rule": {"id": "7"}, "event.action": "x"}, "b", "7/x"),
    ({"@timestamp": TIME, "agent.id": "c", "kibana.alert.rule": {"name": "R"}}, "c", "R"),
    ({"@timestamp": TIME, "agent": {"id": "c"}, "kibana.alert.rule.uuid": "u"}, "c", "u"),
    ({"_index": "i", "_source": {"@timestamp": TIME, "host.id": "d", "event.action": ["e"]}}, "d", "e"),
]  # fmt: skip
OCSF: list[tuple[dict[str, Any], str, str]] = [
    ({"time": START * 1000, "device": {"hostname": "a"}, "type_uid": 300201}, "a", "300201"),
    ({"time": START * 1000, "device": {"uid": "b"}, "class_uid": 3002, "activity_id": 1}, "b", "3002/1"),
    (
        {"time": START * 1000, "device": {"name": "c"}, "finding_info": {"uid": "u1", "types": ["malware"]}},
        "c", "malware",
    ),
    (
        {"time_dt": TIME, "device": {"uid": "d"}, "finding_info": {"analytic": {"uid": "r-9"}, "uid": "u"}},
        "d", "r-9",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("mapping", "cases"), [("ecs", ECS), ("ocsf", OCSF)])
def test_records_are_read_as_their_schema_has_them(
    tmp_path: Path, mapping: str, cases: list[tuple[dict[str, Any], str, str]]
) -> None:
    for number, (record, machine, event) in enumerate(cases):
        export = write(tmp_path / f"{number}.jsonl", objects([record]))
        windows = dataset(export, tmp_path / f"d{number}", mapping=mapping)
        assert windows.recordings["id"].to_list() == [machine]
        assert texts(windows)[0][-1] == event
        assert windows.t_ns.tolist() == [START * SECOND]


def test_an_export_of_ecs_fields_may_be_a_table(tmp_path: Path) -> None:
    text = '"@timestamp","host.name","event.code"\n"Mar 2, 2026 @ 08:00:00.000",a,4625\n'
    windows = dataset(write(tmp_path / "kibana.csv", text), tmp_path / "d", mapping="ecs")
    assert texts(windows)[0][-1] == "4625"
    assert windows.t_ns.tolist() == [START * SECOND]


def test_verdicts_of_ocsf_are_labels(tmp_path: Path) -> None:
    base = {"time": START * 1000, "device": {"uid": "b"}, "type_uid": 1}
    verdicts = ["True Positive", "False Positive", "Suspicious", None]
    export = write(tmp_path / "a.jsonl", objects([base | {"verdict": one} for one in verdicts]))
    assert dataset(export, tmp_path / "d", mapping="ocsf").label.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 50_000, "nested too deeply"),
        ("{", "no JSON object"),
        ("5", "no JSON object"),
        ('["a"]', "no JSON object"),
        ("null", "no JSON object"),
        ('{"a": 1} {"b": 2}', "no JSON object"),
    ],
)
def test_hostile_lines_are_bad_records(line: str, what: str) -> None:
    with pytest.raises(BadRecordError, match=what):
        decode(line)


def test_numbers_keep_their_digits_and_odd_values_are_tame() -> None:
    assert decode('{"a": 1e400, "b": 12345678901234567890.50, "c": NaN, "d": -Infinity, "a": 7}') == {
        "a": "7", "b": "12345678901234567890.50", "c": None, "d": None,
    }  # fmt: skip
    assert len(decode('{"a": %s}' % ("9" * 100_000))["a"]) == 100_000


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = st.sampled_from(["timestamp", "machine", "event", "label", "@timestamp", "host", "host.name", "x"])


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=6), max_size=6))
def test_any_object_is_an_event_or_a_bad_record(rows: list[dict[str, Any]]) -> None:
    data = "".join(json.dumps(one) + "\n" for one in rows).encode()
    if not data:
        return
    for name in ("jsonl", "ecs", "ocsf"):
        events = Parser(Rules(load(name))).parse(Layout("jsonl"), Block(data, 0, 1))
        assert len(events) + events.bad == len(rows)
        assert all(events.texts)
        assert (events.t_ns >= 0).all()


@given(st.lists(st.binary(max_size=30), max_size=8).map(b"\n".join))
def test_any_bytes_are_read_by_every_mapping(data: bytes) -> None:
    if not data:
        return
    for mapping in every():
        if mapping.kind != "csv":
            layout = Layout("sessions" if mapping.kind == "sessions" else "jsonl")
            Parser(Rules(mapping)).parse(layout, Block(data + b"\n", 0, 1))
