"""What tools export, by mappings of their names: each is known by its fields, and read as it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.sources.events.exports import START, dataset, objects, texts, write
from vestige.errors import FormatError
from vestige.reading.steps import Evidence
from vestige.sources.events.mapping import CALLS, automatic, load, shipped
from vestige.sources.events.options import EventOptions
from vestige.sources.events.reader import EventReader, EventStream

TIME = "2026-03-02T08:00:00.250Z"
NS = START * 10**9 + 250_000_000
Record = dict[str, Any]

RECORDS: list[tuple[str, Record, str, str]] = [
    (
        "suricata",
        {
            "timestamp": "2026-03-02T08:00:00.250000+0000",
            "flow_id": 1,
            "event_type": "alert",
            "src_ip": "10.0.0.1",
            "alert": {"signature_id": 7, "signature": "ET SCAN"},
        },
        "10.0.0.1",
        "alert/7/ET SCAN",
    ),
    (
        "suricata",
        {"timestamp": TIME, "flow_id": 1, "event_type": "dns", "src_ip": "10.0.0.1"},
        "10.0.0.1",
        "dns",
    ),
    (
        "suricata",
        {
            "firewall_name": "fw",
            "event": {"timestamp": TIME, "event_type": "netflow", "src_ip": "10.0.0.1", "flow_id": 1},
        },
        "10.0.0.1",
        "netflow",
    ),
    (
        "zeek",
        {
            "_path": "conn",
            "ts": START + 0.25,
            "uid": "C1",
            "id.orig_h": "10.0.0.1",
            "proto": "tcp",
            "service": "ssl",
            "conn_state": "SF",
        },
        "10.0.0.1",
        "conn/tcp/ssl/SF",
    ),
    (
        "zeek",
        {
            "ts": START + 0.25,
            "uid": "C1",
            "id.orig_h": "10.0.0.1",
            "proto": "udp",
            "qtype_name": "A",
            "rcode_name": "NOERROR",
        },
        "10.0.0.1",
        "udp/A/NOERROR",
    ),
    (
        "zeek",
        {"@stream": "weird", "ts": START + 0.25, "uid": "C1", "id_orig_h": "10.0.0.1", "name": "bad_TCP"},
        "10.0.0.1",
        "weird/bad_TCP",
    ),
    (
        "wazuh",
        {
            "timestamp": "2026-03-02T08:00:00.250+0000",
            "rule": {"id": "5710", "level": 5, "description": "x"},
            "agent": {"id": "003", "name": "web"},
            "manager": {"name": "m"},
            "location": "/var/log/auth.log",
        },
        "web",
        "5710",
    ),
    (
        "wazuh",
        {
            "_index": "wazuh-alerts-4.x",
            "_source": {"@timestamp": TIME, "rule": {"id": "5710", "level": 5}, "agent": {"name": "web"}},
        },
        "web",
        "5710",
    ),
    (
        "sysmon",
        {
            "@timestamp": TIME,
            "winlog": {
                "channel": "Microsoft-Windows-Sysmon/Operational",
                "event_id": "1",
                "computer_name": "pc1",
            },
            "ecs": {"version": "8"},
        },
        "pc1",
        "1",
    ),
    (
        "sysmon",
        {
            "EventID": 13,
            "Channel": "Microsoft-Windows-Sysmon/Operational",
            "UtcTime": "2026-03-02 08:00:00.250",
            "Hostname": "pc1",
            "EventTime": "2026-03-02 03:00:00",
        },
        "pc1",
        "13",
    ),
    (
        "windows",
        {
            "@timestamp": TIME,
            "winlog": {"channel": "Security", "event_id": 4624, "computer_name": "pc1"},
            "event": {"code": "4624", "action": "logged-in"},
            "ecs": {"version": "8"},
        },
        "pc1",
        "Security/4624",
    ),
    (
        "windows",
        {
            "TimeCreated": "/Date(1772438400250)/",
            "Id": 4624,
            "LogName": "Security",
            "MachineName": "pc1",
            "ProviderName": "Microsoft-Windows-Security-Auditing",
        },
        "pc1",
        "Security/4624",
    ),
    (
        "windows",
        {
            "Event": {
                "System": {
                    "TimeCreated": {"#attributes": {"SystemTime": TIME}},
                    "EventID": 7036,
                    "Channel": "System",
                    "Computer": "pc1",
                }
            }
        },
        "pc1",
        "System/7036",
    ),
    (
        "cloudtrail",
        {
            "eventTime": TIME,
            "eventSource": "s3.amazonaws.com",
            "eventName": "GetObject",
            "errorCode": "AccessDenied",
            "userIdentity": {"arn": "arn:aws:iam::1:user/x"},
        },
        "arn:aws:iam::1:user/x",
        "s3.amazonaws.com/GetObject/AccessDenied",
    ),
    (
        "falco",
        {
            "hostname": "n1",
            "output": "x",
            "priority": "Notice",
            "rule": "Terminal shell in container",
            "time": "2026-03-02T08:00:00.250000000Z",
            "output_fields": {"container.id": "c"},
        },
        "n1",
        "Terminal shell in container",
    ),
    (
        "tetragon",
        {"process_exec": {"process": {"binary": "/bin/curl"}}, "node_name": "n1", "time": TIME},
        "n1",
        "process_exec//bin/curl",
    ),
    (
        "tetragon",
        {
            "process_kprobe": {"process": {"binary": "/bin/nc"}, "function_name": "tcp_connect"},
            "node_name": "n1",
            "time": TIME,
        },
        "n1",
        "process_kprobe/tcp_connect//bin/nc",
    ),
    (
        "osquery",
        {
            "name": "pack_ssh",
            "hostIdentifier": "h1",
            "unixTime": START + 0.25,
            "action": "added",
            "calendarTime": "Mon Mar  2 08:00:00 2026 UTC",
            "columns": {},
        },
        "h1",
        "pack_ssh/added",
    ),
    (
        "journald",
        {"__REALTIME_TIMESTAMP": str(NS // 1000), "_HOSTNAME": "n1", "MESSAGE": list(b"login failed\r")},
        "n1",
        "login failed",
    ),
    (
        "aminer",
        {
            "AnalysisComponent": {"AnalysisComponentName": "New value"},
            "AMiner": {"ID": "10.0.0.1"},
            "LogData": {"Timestamps": [START + 0.25, START + 5]},
        },
        "10.0.0.1",
        "New value",
    ),
    (
        "ocsf",
        {
            "time": NS // 10**6,
            "class_uid": 2004,
            "finding_info": {"title": "open"},
            "resources": [{"name": "web-1"}],
        },
        "web-1",
        "open",
    ),
    (
        "ecs",
        {"@timestamp": TIME, "host": {"name": "h"}, "event": {"action": "x"}, "ecs": {"version": "8"}},
        "h",
        "x",
    ),
    ("jsonl", {"timestamp": TIME, "machine": "h", "event": "x"}, "h", "x"),
    (
        "jsonl",
        {"_index": "i", "_id": "1", "fields": {"timestamp": [TIME], "machine": ["h"], "event": ["x"]}},
        "h",
        "x",
    ),
]


@pytest.mark.parametrize(("mapping", "record", "machine", "event"), RECORDS)
def test_a_record_is_read_by_the_mapping_it_is_known_by(
    tmp_path: Path, mapping: str, record: Record, machine: str, event: str
) -> None:
    export = write(tmp_path / "a.json", objects([record, record]))
    for number, name in enumerate(("auto", mapping)):
        windows = dataset(export, tmp_path / str(number), mapping=name)
        assert windows.recordings["id"].to_list() == [machine]
        assert texts(windows)[0][-1] == event
        assert windows.t_ns.tolist() == [NS, NS]
        assert list(windows.notes["formats"]) == [mapping]


def test_every_shipped_mapping_with_signs_has_an_example_and_is_chosen_from() -> None:
    others = {*CALLS, "syscalls"}
    assert {name for name, *_ in RECORDS} == set(shipped()) - {"csv", "sessions", "auditd", *others}
    assert set(automatic()) == set(shipped()) - {"sessions", "syscalls"}
    assert automatic()[-2:] == ["jsonl", "csv"]
    assert all(bool(load(name).signs) == (name not in {"csv", "jsonl", *CALLS}) for name in automatic())


def test_records_of_a_mapping_may_be_a_table(tmp_path: Path) -> None:
    text = (
        "#TYPE System.Diagnostics.Eventing.Reader.EventLogRecord\n"
        '"Message","Id","ProviderName","LogName","MachineName","TimeCreated"\n'
        '"An account\nwas logged on","4624","P","Security","pc1","3/14/2026 8:00:00 PM"\n'
    )
    windows = dataset(write(tmp_path / "a.csv", text), tmp_path / "d")
    assert texts(windows)[0][-1] == "Security/4624"
    assert windows.t_ns.tolist() == [(START + 12 * 86400 + 12 * 3600) * 10**9]


def test_a_directory_may_hold_what_several_tools_wrote(tmp_path: Path) -> None:
    for number, (_, record, _, _) in enumerate(RECORDS):
        write(tmp_path / "c" / f"{number:02}.json", objects([record]))
    windows = dataset(tmp_path / "c", tmp_path / "d")
    assert len(windows) == len(RECORDS)
    assert set(windows.notes["formats"]) == {name for name, *_ in RECORDS}


def stream_of(path: Path, **options: Any) -> EventStream:
    reader = EventReader.of_corpus(EventOptions(**options))
    (unit,) = reader.units(Evidence((path,))).units
    return reader.open(unit)


def test_why_is_said(tmp_path: Path) -> None:
    security, sysmon = RECORDS[10][1], RECORDS[8][1]
    stream = stream_of(write(tmp_path / "a.json", objects([security, sysmon, sysmon])))
    why = stream.summary["why"]
    assert stream.summary["format"] == "windows"
    assert "3 of its first 3 records fit, known by winlog.event_id, winlog.channel" in why
    assert "not ecs: no machine (line 1)" in why


def test_what_nobody_knows_is_refused_with_its_own_fields(tmp_path: Path) -> None:
    record = {"when": TIME, "who": {"ip": "10.0.0.1", "tags": [{"k": "v"}]}, "what": "x"}
    export = write(tmp_path / "a.json", objects([record] * 3))
    with pytest.raises(FormatError, match=r"(?s)no time.*--timestamp.*when, who.ip, who.tags\[\].k, what"):
        dataset(export, tmp_path / "d")
    with pytest.raises(FormatError, match=r"(?s)no machine.*--machine.*--machine-name"):
        dataset(export, tmp_path / "d", timestamp="when")
    with pytest.raises(FormatError, match=r"(?s)no event.*--event"):
        dataset(export, tmp_path / "d", timestamp="when", machine="who.ip")
    windows = dataset(export, tmp_path / "d", timestamp="when", machine="who.ip", event="what")
    assert texts(windows)[0][-1] == "x"


def test_values_in_text_that_is_json_are_found(tmp_path: Path) -> None:
    inner = {"userIdentity": {"type": "Root"}, "sourceIPAddress": "10.0.0.1"}
    record = {"EventTime": TIME, "EventSource": "s", "EventName": "e", "CloudTrailEvent": json.dumps(inner)}
    export = write(tmp_path / "a.json", objects([record]))
    windows = dataset(export, tmp_path / "d", machine="CloudTrailEvent.sourceIPAddress")
    assert windows.recordings["id"].to_list() == ["10.0.0.1"]
    assert windows.notes["formats"]["cloudtrail"]


ENVELOPES: list[tuple[str, Record, list[str]]] = [
    (
        "ecs",
        {"took": 1, "hits": {"total": 2, "hits": [
            {"_index": "i", "_id": "1", "_source": RECORDS[-3][1]},
            {"_index": "i", "_id": "2",
             "fields": {"@timestamp": [TIME], "host.name": ["h"], "event.action": ["y"], "ecs.version": "8"}},
        ]}},
        ["x", "y"],
    ),
    (
        "cloudtrail",
        {"Events": [{"EventName": name, "EventTime": TIME, "EventSource": "s", "Username": "bob"}
                    for name in ("a", "b")]},
        ["s/a", "s/b"],
    ),
    ("ocsf", {"findings": [RECORDS[-4][1]]}, ["open"]),
]  # fmt: skip


@pytest.mark.parametrize(("mapping", "envelope", "events"), ENVELOPES)
@pytest.mark.parametrize("indent", [None, 2])
def test_records_in_an_object_of_their_own_are_known(
    tmp_path: Path, mapping: str, envelope: Record, events: list[str], indent: int | None
) -> None:
    windows = dataset(write(tmp_path / "a.json", json.dumps(envelope, indent=indent)), tmp_path / "d")
    assert [window[-1] for window in texts(windows)] == events
    assert list(windows.notes["formats"]) == [mapping]


def test_requests_of_elasticsearch_are_known_by_their_documents(tmp_path: Path) -> None:
    document = {"@timestamp": TIME, "host": {"name": "web1"}, "event": {"action": "login"}}
    text = objects([{"index": {"_index": "logs"}}, document, {"create": {"_index": "logs"}}, document])
    windows = dataset(write(tmp_path / "a.json", text), tmp_path / "d")
    assert list(windows.notes["formats"]) == ["ecs"]
    assert [window[-1] for window in texts(windows)] == ["login", "login"]


def test_a_clock_in_a_column_of_its_own_is_told_how_to_join(tmp_path: Path) -> None:
    export = write(tmp_path / "a.csv", "date,time,host,event\n03/02/2026,08:00:00,web1,x\n")
    with pytest.raises(FormatError) as caught:
        dataset(export, tmp_path / "d")
    assert "--timestamp date+time --time-format" in str(caught.value.remedy)
    windows = dataset(export, tmp_path / "e", timestamp="date+time", time_format="%m/%d/%Y/%H:%M:%S")
    assert windows.t_ns.tolist() == [START * 10**9]


LABELS = [
    ("0", 0), ("0.0", 0), ("0.00", 0), ("-0", 0), ("0e0", 0), ("false", 0), ("False", 0), ("BENIGN ", 0),
    ("-", 0), ("", 0), ("nan", 0), ("NaN", 0), ("null", 0),
    ("None", 0), ("N/A", 0), ("1", 1), ("1.0", 1), ("true", 1),
    ("attack", 1), ("2", 1), ("-1", 1), ("infiltration", 1), ("0.5", 1),
]  # fmt: skip


def test_labels_are_what_they_are(tmp_path: Path) -> None:
    rows = "".join(f"{START + at},m,e,{label}\n" for at, (label, _) in enumerate(LABELS))
    export = write(tmp_path / "a.csv", f"timestamp,machine,event,label\n{rows}")
    windows = dataset(export, tmp_path / "d")
    assert windows.label.tolist() == [label for _, label in LABELS]
    told = str(windows.notes["warnings"])
    assert "('2', '-1', 'infiltration', '0.5'; of 4 events)" in told
    windows = dataset(export, tmp_path / "e", negatives="1,infiltration")
    assert [LABELS[at][0] for at in range(len(LABELS)) if not windows.label[at]] == [
        "", "nan", "NaN", "null", "None", "N/A", "1", "1.0", "infiltration",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("when", "told"), [("45000.5", True), ("133351234567890000", True), (str(START), False)]
)
def test_times_of_another_count_are_told(tmp_path: Path, when: str, told: bool) -> None:
    windows = dataset(write(tmp_path / "a.csv", f"time,host,event\n{when},a,x\n"), tmp_path / "d")
    assert ("Times before 1980 (1 events)" in str(windows.notes.get("warnings"))) is told


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_name_of_nearly_the_same_letters_is_taken_and_told(tmp_path: Path, kind: str) -> None:
    text = f"Time,Host,EVENT, Label\n{START},a,x,1\n{START},a,y,0\n"
    if kind == "jsonl":
        text = objects(
            [
                {"Time": START, "Host": "a", "EVENT": "xy"[at], " Label": label}
                for at, label in ((0, 1), (1, 0))
            ]
        )
    windows = dataset(write(tmp_path / "a", text), tmp_path / "d")
    assert windows.label.tolist() == [1, 0]
    assert "'EVENT', which differs from 'event' in case or blanks" in str(windows.notes["warnings"])


def test_columns_of_the_same_name_are_told(tmp_path: Path) -> None:
    text = f"time,host,event,event\n{START},a,x,left\n{START},a,y,left\n"
    warnings = str(dataset(write(tmp_path / "a.csv", text), tmp_path / "d").notes["warnings"])
    assert "2 columns are called 'event'; the event is taken from the first of them" in warnings


def test_a_column_that_may_hold_labels_is_named(tmp_path: Path) -> None:
    text = f"timestamp,machine,event,attack_cat\n{START},a,x,Fuzzers\n"
    windows = dataset(write(tmp_path / "a.csv", text), tmp_path / "d")
    assert "'attack_cat' may hold one (--label names it)" in str(windows.notes["warnings"])


@pytest.mark.parametrize(
    "preamble",
    ["sep=;\n", "\ufeffsep=;\r\n", '"sep=;"\n', "# made by x\n#\n", "\n\n", "Report of March\n\n", "#"],
)
def test_what_stands_before_a_header_is_passed_over(tmp_path: Path, preamble: str) -> None:
    text = f"{preamble}timestamp;machine;event;label\n{START};a;x;0\n{START + 1};a;y;1\n"
    windows = dataset(write(tmp_path / "a.csv", text), tmp_path / "d")
    assert [window[-1] for window in texts(windows)] == ["x", "y"]
    assert windows.notes["left_out_counts"] == {}
    assert (
        windows.streams["line"][windows.target_step].tolist()[0]
        == text.split(str(START), 1)[0].count("\n") + 1
    )
