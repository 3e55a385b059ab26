"""Messages that are records: JSON lines of many programs, journald's export form, containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sources.logs.kernel.test_reader import assert_equal
from tests.sources.logs.rows import Row, rows
from vestige.errors import FormatError
from vestige.sources.logs.blocks import Block
from vestige.sources.logs.clock import BAD
from vestige.sources.logs.guess_records import guess_records
from vestige.sources.logs.kernel.reader import KernelParser
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.parse import Parser, Rules
from vestige.sources.logs.records import find_keys, load_export, read_time, text_of, told, value_at

Given = dict[str, Any]


def write(path: Path, records: list[Given | str]) -> Path:
    lines = [
        each if isinstance(each, str) else json.dumps(each, separators=(",", ":"), ensure_ascii=False)
        for each in records
    ]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


OTLP = {
    "resourceLogs": [
        {
            "resource": {"attributes": [{"key": "host.name", "value": {"stringValue": "box"}}]},
            "scopeLogs": [
                {
                    "logRecords": [
                        {
                            "timeUnixNano": "1714979289123456789",
                            "severityNumber": 17,
                            "severityText": "ERROR",
                            "body": {"stringValue": "user bob failed"},
                            "attributes": [
                                {"key": "log.record.template", "value": {"stringValue": "user {user} failed"}}
                            ],
                        },
                        {
                            "timeUnixNano": "1714979290123456789",
                            "severityNumber": 9,
                            "body": {"stringValue": "plain"},
                        },
                    ]
                }
            ],
        }
    ]
}

PROGRAMS: dict[str, tuple[list[Given | str], list[Row]]] = {
    "ecs": (
        [
            {"@timestamp": "2024-05-06T07:08:09.123Z", "log.level": "ERROR", "message": "disk full",
             "host.name": "box", "error.stack_trace": "E: x\n\tat a.b"},
            {"@timestamp": "2024-05-06T07:08:10Z", "log.level": "INFO", "message": "disk emptied",
             "host.name": "box"},
        ],
        [("2024-05-06T07:08:09.123", "ERROR disk full\nE: x\n\tat a.b"),
         ("2024-05-06T07:08:10", "INFO disk emptied")],
    ),
    "ecs, nested": (
        [{"@timestamp": "2024-05-06T07:08:09,5+02:00", "log": {"level": "warn"}, "message": "x",
          "host": {"name": "box"}}],
        [("2024-05-06T05:08:09.5", "warn x")],
    ),
    "bunyan": (
        [{"name": "app", "hostname": "box", "level": 50, "msg": "failed",
          "time": "2024-05-06T07:08:09.123Z"}],
        [("2024-05-06T07:08:09.123", "error failed")],
    ),
    "pino": (
        [{"level": 30, "time": 1714979289123, "hostname": "box", "msg": "hello"},
         {"level": 60, "time": 1714979290123, "hostname": "box", "msg": "bye"}],
        [("2024-05-06T07:08:09.123", "info hello"), ("2024-05-06T07:08:10.123", "fatal bye")],
    ),
    "zap": (
        [{"level": "info", "ts": 1714979289.1234567, "host": "box", "caller": "main.go:1", "msg": "started"}],
        [("2024-05-06T07:08:09.1234567", "info started")],
    ),
    "gelf": (
        [{"version": "1.1", "host": "box", "short_message": "failed",
          "timestamp": 1714979289.3072, "level": 3}],
        [("2024-05-06T07:08:09.3072", "err failed")],
    ),
    "mongodb": (
        [{"t": {"$date": "2024-05-06T07:08:09.123+00:00"}, "s": "I", "c": "NETWORK", "msg": "accepted",
          "host": "box"}],
        [("2024-05-06T07:08:09.123", "I accepted")],
    ),
    "serilog": (
        [{"@t": "2024-05-06T07:08:09.1234567Z", "@mt": "User {Name} in", "@l": "Error", "Name": "a",
          "host": "box"}],
        [("2024-05-06T07:08:09.1234567", "Error User {Name} in")],
    ),
    "opentelemetry": (
        [OTLP],
        [("2024-05-06T07:08:09.123456789", "ERROR user {user} failed"),
         ("2024-05-06T07:08:10.123456789", "info plain")],
    ),
    "docker": (
        [{"log": "started\n", "stream": "stdout", "time": "2024-05-06T07:08:09.123456789Z"},
         {"log": "part one ", "stream": "stdout", "time": "2024-05-06T07:08:10Z"},
         {"log": "part two\n", "stream": "stdout", "time": "2024-05-06T07:08:11Z"},
         {"log": '{"level":"error","msg":"boom","ts":1}\n', "stream": "stderr",
          "time": "2024-05-06T07:08:12Z"}],
        [("2024-05-06T07:08:09.123456789", "started"), ("2024-05-06T07:08:10", "part one part two"),
         ("2024-05-06T07:08:12", "error boom")],
    ),
    "journald": (
        [{"__REALTIME_TIMESTAMP": "1714979289123456", "_HOSTNAME": "box", "PRIORITY": "3",
          "MESSAGE": "failed"},
         {"__REALTIME_TIMESTAMP": "1714979290123456", "_HOSTNAME": "box", "PRIORITY": "6",
          "MESSAGE": [27, 91, 51, 49, 109, 104, 195, 164]}],
        [("2024-05-06T07:08:09.123456", "err failed"), ("2024-05-06T07:08:10.123456", "info hä")],
    ),
    "printed": (
        ["{", '  "time": "2024-05-06T07:08:09Z",', '  "level": "info",', '  "msg": "a b"', "}", "{",
         '  "time": "2024-05-06T07:08:10Z",', '  "level": "error",', '  "msg": "c d"', "}"],
        [("2024-05-06T07:08:09", "info a b"), ("2024-05-06T07:08:10", "error c d")],
    ),
    "with other lines": (
        ["starting", {"time": "2024-05-06T07:08:09Z", "level": "info", "msg": "a"}, "panic: oops", "\tat x",
         {"time": "2024-05-06T07:08:10Z", "level": "info", "msg": "b"},
         "2024-05-06 07:08:11 ERROR c", {"time": "2024-05-06T07:08:12Z", "level": "info", "msg": "d"}],
        [("2024-05-06T07:08:09", "info a"), ("2024-05-06T07:08:10", "info b"),
         ("2024-05-06T07:08:11", "ERROR c"), ("2024-05-06T07:08:12", "info d")],
    ),
    "kubernetes": (
        ["2022-09-20T17:51:00.000000001Z stdout F {\"level\":\"info\",\"msg\":\"started\"}",
         "2022-09-20T17:51:01.000000002Z stdout P {\"level\":\"error\",\"msg\":\"long ",
         "2022-09-20T17:51:01.000000003Z stdout P  and long",
         "2022-09-20T17:51:01.000000004Z stdout F  again\"}",
         "2022-09-20T17:51:02Z stderr F panic: oh no",
         "2022-09-20T17:51:03Z stdout P cut ",
         "2022-09-20T17:51:04Z stderr F between",
         "2022-09-20T17:51:05Z stdout F off"],
        [("2022-09-20T17:51:00.000000001", "info started"),
         ("2022-09-20T17:51:01.000000002", "error long  and long again"),
         ("2022-09-20T17:51:02", "panic: oh no"), ("2022-09-20T17:51:03", "cut"),
         ("2022-09-20T17:51:04", "between"), ("2022-09-20T17:51:05", "off")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_records_are_messages(name: str, tmp_path: Path) -> None:
    records, expected = PROGRAMS[name]
    assert rows(write(tmp_path / "a.log", records)) == expected


WITHOUT_THE_BOX = {"docker", "printed", "with other lines", "kubernetes"}


@pytest.mark.parametrize("name", sorted(set(PROGRAMS) - WITHOUT_THE_BOX))
def test_the_machine_is_that_of_the_first_record(name: str, tmp_path: Path) -> None:
    hosts: list[str] = []
    rows(write(tmp_path / "a.log", PROGRAMS[name][0]), hosts=hosts)
    assert hosts == ["box"]


@pytest.mark.parametrize("form", ["[{},\n{},\n{}]\n", "\x1e{}\n\x1e{}\n\x1e{}\n"])
def test_objects_of_an_array_a_line_and_of_a_sequence_are_records(form: str, tmp_path: Path) -> None:
    each = [
        json.dumps({"time": f"2024-05-06T07:08:0{n}Z", "level": "info", "msg": "ab"[n % 2]}) for n in range(3)
    ]
    log = tmp_path / "a.log"
    log.write_text(form.format(*each))
    assert rows(log) == [(f"2024-05-06T07:08:0{n}", f"info {'ab'[n % 2]}") for n in range(3)]


@pytest.mark.parametrize("form", ["[{},\n {},\n {}]\n", "[\n  {},\n  {},\n  {}\n]\n", "\t{}\n\t{}\n\t{}\n"])
def test_indented_objects_are_records(form: str, tmp_path: Path) -> None:
    each = [json.dumps({"time": f"2024-05-06T07:08:0{n}Z", "msg": "ab"[n % 2], "x": n}) for n in range(3)]
    log = tmp_path / "a.log"
    log.write_text(form.format(*each))
    summary: dict[str, Any] = {}
    assert rows(log, summary=summary) == [(f"2024-05-06T07:08:0{n}", "ab"[n % 2]) for n in range(3)]
    assert not [told for told in summary["warnings"] if "belong to no message" in told]


def test_objects_within_an_object_over_several_lines_are_no_records(tmp_path: Path) -> None:
    time = '  "time": "2024-05-06T07:08:0{}Z",\n'
    record = f'{{{{\n{time}  "all": [\n    {{{{"msg": "within"}}}}\n  ],\n  "msg": "own"\n}}}}\n'
    log = tmp_path / "a.log"
    log.write_text("".join(record.format(n) for n in range(3)))
    assert [text for _, text in rows(log)] == ["own"] * 3


def test_an_array_over_many_lines_is_refused_with_what_parts_it(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(json.dumps([{"time": "2024-05-06T07:08:09Z", "msg": "a"}] * 2, indent=2))
    with pytest.raises(FormatError, match="JSON array") as caught:
        rows(log)
    assert "jq -c '.[]'" in str(caught.value.remedy)


def test_a_record_of_another_kind_has_its_message_elsewhere(tmp_path: Path) -> None:
    usual = {"timestamp": "2024-05-06T07:08:09Z", "severity": "INFO", "textPayload": "started"}
    other = {"timestamp": "2024-05-06T07:08:10Z", "severity": "ERROR", "jsonPayload": {"message": "failed"}}
    log = tmp_path / "a.log"
    log.write_text("".join(json.dumps(each) + "\n" for each in [usual, usual, other]))
    assert [text for _, text in rows(log)] == ["INFO started", "INFO started", "ERROR failed"]


def export(*fields: bytes) -> bytes:
    return b"\n".join(fields) + b"\n\n"


def test_the_export_form_of_journald_has_values_of_any_bytes(tmp_path: Path) -> None:
    value = "two\nlines \0 ä".encode()
    path = tmp_path / "a.export"
    path.write_bytes(
        export(b"__CURSOR=s=1", b"__REALTIME_TIMESTAMP=1714979289123456", b"_HOSTNAME=box", b"MESSAGE=one")
        + export(
            b"__CURSOR=s=2",
            b"__REALTIME_TIMESTAMP=1714979290123456",
            b"_HOSTNAME=box",
            b"MESSAGE\n" + len(value).to_bytes(8, "little") + value,
            b"PRIORITY=4",
        )
    )
    hosts: list[str] = []
    assert rows(path, hosts=hosts) == [
        ("2024-05-06T07:08:09.123456", "one"),
        ("2024-05-06T07:08:10.123456", "warning two\nlines  ä"),
    ]
    assert hosts == ["box"]


@pytest.mark.parametrize(
    "data", [b"", b"A", b"A\n", b"A\n\xff" * 8, b"A\n" + b"\xff" * 8 + b"x", b"=\n", b"a=b\n", b"A=b"]
)
def test_damaged_exports_are_read_as_far_as_they_go(data: bytes) -> None:
    assert load_export(data).get("A", "b") in {"b", "x", "\ufffd" * 6, ""} or data.startswith(b"A\n\xff")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2024-05-06T07:08:09.123456789Z", "2024-05-06T07:08:09.123456789"),
        ("2024-05-06 07:08:09,123", "2024-05-06T07:08:09.123"),
        ("2024-05-06T07:08:09+0200", "2024-05-06T05:08:09"),
        ("Mon May  6 07:08:09 2024", "2024-05-06T07:08:09"),
        ("06/May/2024:07:08:09 +0000", "2024-05-06T07:08:09"),
        (1714979289, "2024-05-06T07:08:09"),
        ("1714979289.5", "2024-05-06T07:08:09.5"),
        (1714979289123, "2024-05-06T07:08:09.123"),
        ("1.7149792895e9", "2024-05-06T07:08:09.5"), ("1.71497929E+09", "2024-05-06T07:08:10"),
        ("1.714979289e12", "2024-05-06T07:08:09"), ("1e99", None), ("1e-9", None),
        ("1714979289123456", "2024-05-06T07:08:09.123456"),
        (1714979289123456789, "2024-05-06T07:08:09.123456789"),
        (638505760891230000, "2024-05-06T07:08:09.123"), ("638505760891230000.5", "2024-05-06T07:08:09.123"),
        ({"epochSecond": 1714979289, "nanoOfSecond": 5}, "2024-05-06T07:08:09.000000005"),
        ({"$date": {"$numberLong": "1714979289123"}}, "2024-05-06T07:08:09.123"),
        ("soon", None), (None, None), (True, None), ([1], None), ("9" * 30, None),
        ("2024-13-06T07:08:09Z", None),
        ({"seconds": 1, "nanos": -1}, None),
    ],
)  # fmt: skip
def test_times_of_records(value: Any, expected: str | None) -> None:
    moment = read_time(value)
    assert (moment == BAD) is (expected is None)
    assert expected is None or np.datetime64(moment, "ns") == np.datetime64(expected, "ns")


def test_a_time_of_zero_is_none_where_another_key_has_one() -> None:
    zero = {"timeUnixNano": "0", "observedTimeUnixNano": "1714979289000000000", "body": "a"}
    found = find_keys([zero, zero])
    assert found is not None
    assert found["time"] == "observedTimeUnixNano"
    found = find_keys([zero, zero | {"timeUnixNano": "1714979289000000001"}])
    assert found is not None
    assert found["time"] == "timeUnixNano"


@pytest.mark.parametrize(
    ("levels", "key"),
    [
        ({"level": 400, "level_name": "ERROR"}, "level_name"),
        ({"level": 30, "level_name": "x"}, "level"),
        ({"level": 400}, "level"),
        ({"level": "400", "priority": "high"}, "priority"),
    ],
)
def test_a_level_with_a_name_goes_before_a_number_without(levels: Given, key: str) -> None:
    found = find_keys([{"message": "a"} | levels])
    assert found is not None
    assert found["level"] == key


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"time": "2024-05-06 07:08:09", "timezone": "+02:00"}, "timezone"),
        ({"time": "2024-05-06T07:08:09.5", "tz": "CEST"}, "tz"),
        ({"time": {"date": "2024-05-06 07:08:09.5", "timezone": "Europe/Berlin"}}, "time.timezone"),
        ({"time": {"date": "2024-05-06 07:08:09.5", "timezone": "UTC"}}, ""),
        ({"time": "2024-05-06T07:08:09Z", "timezone": "Europe/Berlin"}, ""),
        ({"time": "2024-05-06T07:08:09+02:00", "tz": "CEST"}, ""),
        ({"time": 1714979289, "timezone": "Europe/Berlin"}, ""),
    ],
)
def test_a_zone_beside_the_times_of_records_is_told(record: Given, told: str) -> None:
    found = guess_records([json.dumps(record | {"message": text}) for text in ("a", "b", "c")])
    assert found is not None
    assert [doubt.partition(")")[0] for doubt in found.doubts] == [f"zones under a key ({told}"] * bool(told)


def test_what_has_no_message_is_no_log() -> None:
    assert guess_records(['{"a":1,"b":2}', '{"a":3,"b":4}']) is None
    assert guess_records(["[1, 2]", "3"]) is None


def test_a_user_may_say_the_keys(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        "header = '<Start><Content>'\nfield = { Start = '(?=\\{)' }\n"
        "keys = { message = 'what.said', time = 'when' }\nexample = ['{\"a\": 1}']\n"
    )
    path = write(tmp_path / "a.log", [{"when": 1714979289, "what": {"said": "hello"}, "message": "no"}])
    found = rows(path, format=str(tmp_path / "own.toml"))
    assert found == [("2024-05-06T07:08:09", "hello")]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMED = st.dictionaries(
    st.sampled_from(["message", "msg", "time", "ts", "level", "host", "log", "error", "body", "attributes"]),
    VALUES,
    max_size=6,
)


SILENT: list[Given | str] = [
    {"time": "2024-05-06T07:08:09Z", "level": "info", "message": "up"},
    {"time": "2024-05-06T07:08:10Z", "level": "info", "message": None, "path": "/a"},
    {"time": "2024-05-06T07:08:11Z", "level": "error", "error": "disk full"},
    {"time": "2024-05-06T07:08:12Z", "level": "info", "message": ""},
    {"time": "2024-05-06T07:08:13Z", "level": "info", "path": "/b"},
    {"time": "2024-05-06T07:08:14Z", "level": "info", "message": "down"},
    {"time": "2024-05-06T07:08:15Z", "level": "info", "message": "gone"},
]


def test_records_without_a_message_are_told(tmp_path: Path) -> None:
    summary: dict[str, Any] = {}
    path = write(tmp_path / "a.jsonl", SILENT)
    texts = [text for _, text in rows(path, summary=summary)]
    assert texts == ["info up", "info ", "error disk full", "info ", "info ", "info down", "info gone"]
    assert [said[:27] for said in summary["warnings"]] == ["2 records hold no message w"]
    found = guess_records(path.read_text().splitlines())
    assert found is not None
    rules, block = Rules(found.format, LabelRule("none")), Block(path.read_bytes() * 40, 0, 1, final=True)
    plain = Parser(rules).parse(block)
    assert plain.counts["records_without_message"] == 80
    assert_equal(KernelParser(rules, smallest=0).parse(block), plain)


def test_messages_that_are_objects_are_their_json(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        [
            {"dt": f"2024-05-06T07:08:0{n}Z", "level": "info", "message": {"state": s}}
            for n, s in enumerate("ab")
        ],
    )
    expected = [(f"2024-05-06T07:08:0{n}", f'info {{"state": "{state}"}}') for n, state in enumerate("ab")]
    assert rows(path) == expected


def test_messages_under_several_keys_are_found_together(tmp_path: Path) -> None:
    day = "2024-05-06T07:08:0"
    records: list[Given | str] = [
        {"timestamp": f"{day}1Z", "severity": "INFO", "jsonPayload": {"message": "up", "order": 12}},
        {"timestamp": f"{day}2Z", "severity": "ERROR", "textPayload": "panic"},
        {"timestamp": f"{day}3Z", "severity": "NOTICE", "protoPayload": {"methodName": "delete"}},
    ]
    summary: dict[str, Any] = {}
    records = [*5 * records[:2], records[2]]
    found = rows(write(tmp_path / "a.jsonl", records), summary=summary)
    assert found == [*5 * [(f"{day}1", "INFO up"), (f"{day}2", "ERROR panic")], (f"{day}3", "NOTICE ")]
    assert "1 records hold no message" in summary["warnings"][0]


def test_events_whose_message_nearly_all_lack_together_are_read_as_text(tmp_path: Path) -> None:
    day = "2024-05-06T07:08:09"
    records: list[Given | str] = [
        {"time": f"{day}Z", "action": "delete", **said}
        for said in ({"description": "gone"}, {"text": "away"}, {"count": 3})
    ]
    summary: dict[str, Any] = {}
    found = rows(write(tmp_path / "a.jsonl", records), summary=summary)
    assert [text.count("delete") for _, text in found] == [1, 1, 1]
    assert "JSON objects" in summary["warnings"][0]


@pytest.mark.parametrize(
    "inner",
    ['{"message":{"state":"up"},"user":"bob"}', '{"textPayload":true,"msg":{"state":"up"},"user":"bob"}'],
)
def test_what_stands_beside_an_object_in_a_container_is_read(tmp_path: Path, inner: str) -> None:
    path = tmp_path / "a.log"
    path.write_text(f"2024-05-06T07:08:09.5Z stdout F {inner}\n" * 3)
    assert rows(path) == [("2024-05-06T07:08:09.5", inner)] * 3
    path = write(tmp_path / "a.jsonl", [{"log": inner, "time": "2024-05-06T07:08:09.5Z"}] * 3)
    assert rows(path) == [("2024-05-06T07:08:09.5", inner)] * 3


@pytest.mark.parametrize(
    ("steps", "timed"),
    [
        ([0.033, 0.034], False),
        ([12, 13], False),
        (["12", 1714979289], False),
        ([1714979289, 1714979290], True),
        (["1714979289.5", 1714979290], True),
        (["1980-05-06T07:08:09Z"] * 2, True),
    ],
)
def test_a_step_of_time_is_no_time(tmp_path: Path, steps: list[Any], timed: bool) -> None:
    records: list[Given | str] = [{"step": 3, "dt": dt, "level": "info", "msg": "done"} for dt in steps]
    summary: dict[str, Any] = {}
    found = rows(write(tmp_path / "a.jsonl", records), summary=summary)
    assert [moment != "-" for moment, _ in found] == [timed] * 2
    assert any("no time that is known" in said for said in summary["warnings"]) is not timed


def test_objects_that_are_read_as_text_are_told(tmp_path: Path) -> None:
    records: list[Given | str] = [
        {"time": f"2024-05-06T07:08:0{n}Z", "operation": "delete", "computer": "web"} for n in range(3)
    ]
    summary: dict[str, Any] = {}
    found = rows(write(tmp_path / "a.jsonl", records), summary=summary)
    assert [moment for moment, _ in found] == [f"2024-05-06T07:08:0{n}" for n in range(3)]
    assert "JSON objects" in summary["warnings"][0]


@pytest.mark.parametrize(
    "written",
    ["Mon May 06 2024 07:08:09 GMT+0200", "2024-05-06 07:08:09 UTC+02:00", "May 6, 2024 @ 05:08:09"],
)
def test_times_whose_offset_stands_behind_a_name(written: str) -> None:
    assert read_time(written) == 1_714_972_089 * 10**9


@given(st.lists(NAMED, min_size=1, max_size=3))
def test_no_record_is_a_difficulty(records: list[Given]) -> None:
    for record in records:
        for path in ("a.b.c", "log.level", "", ".", "attributes.key"):
            text_of(value_at(record, path))
    keys = find_keys(records)
    if keys is not None:
        for record in records:
            said = told(record, keys)
            assert said.text.encode().decode() == said.text
            assert said.t_ns == BAD or -(1 << 63) < said.t_ns < 1 << 63


@given(st.binary(max_size=200))
def test_no_export_is_a_difficulty(data: bytes) -> None:
    load_export(data)
