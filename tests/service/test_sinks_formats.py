"""Alerts as other systems want them: against what schemas require, and read back by small parsers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.rows import DRIFT, EVERY_KIND, STEP, Row, alert, incident
from vestige.service.sinks.base import Format
from vestige.service.sinks.cef import cef
from vestige.service.sinks.ecs import ecs
from vestige.service.sinks.finding import Finding
from vestige.service.sinks.lines import json_line
from vestige.service.sinks.ocsf import ocsf
from vestige.service.sinks.rfc5424 import syslog
from vestige.service.sinks.terminal import line as terminal_line

TIME = datetime(2026, 11, 28, 12, 0, 0, 123456, UTC)

# Elastic Common Schema 8.11: the fields that every event needs (Elastic Security, "Always required fields"),
# and the values that categorization fields may have.
ECS_REQUIRED = ("@timestamp", "ecs.version", "event.kind", "event.category", "event.type")
ECS_KINDS = {"alert", "asset", "enrichment", "event", "metric", "state", "pipeline_error", "signal"}
ECS_TYPES_OF_INTRUSION = {"allowed", "denied", "info"}

# OCSF 1.3.0, class Detection Finding: what is required, with the type of each; of objects in it, likewise.
OCSF_REQUIRED = {
    "activity_id": int,
    "category_uid": int,
    "class_uid": int,
    "finding_info": dict,
    "metadata": dict,
    "severity_id": int,
    "time": int,
    "type_uid": int,
}
OCSF_FINDING_INFO = {"uid": str, "title": str}
OCSF_METADATA = {"version": str, "product": dict}
OCSF_PRODUCT = {"vendor_name": str}
OCSF_ANALYTIC = {"type_id": int}
OCSF_ACTIVITIES, OCSF_SEVERITIES = {0, 1, 2, 3, 99}, {0, 1, 2, 3, 4, 5, 6, 99}
OCSF_STATUSES, OCSF_ANALYTIC_TYPES = {0, 1, 2, 3, 4, 99}, {0, 1, 2, 3, 4, 99}


def made(form: Format, row: Row) -> bytes:
    record = form(row)
    assert record is not None
    return record


def at(document: Any, path: str) -> Any:
    for name in [path] if path in document else path.split("."):
        document = document[name]
    return document


def require(document: Any, fields: Mapping[str, type]) -> None:
    for name, kind in fields.items():
        assert type(document[name]) is kind, name


# ECS


@pytest.mark.parametrize("row", EVERY_KIND)
def test_an_ecs_document_has_the_required_fields_with_allowed_values(row: Row) -> None:
    document = json.loads(made(ecs, row))
    for path in ECS_REQUIRED:
        assert at(document, path), path
    assert datetime.fromisoformat(document["@timestamp"]).tzinfo is UTC
    assert document["ecs"]["version"] == "8.11.0"
    assert document["event"]["kind"] in ECS_KINDS
    assert document["event"]["category"] == ["intrusion_detection"]
    assert set(document["event"]["type"]) <= ECS_TYPES_OF_INTRUSION
    assert type(document["event"]["severity"]) is int
    assert type(document["message"]) is str


def test_an_ecs_document_of_an_alert_says_when_where_what_and_why() -> None:
    document = json.loads(made(ecs, alert()))
    assert document["@timestamp"] == "2026-11-28T12:00:00.123456Z"
    assert document["message"] == "login of user0"
    assert document["host"] == {"name": "web-1"}
    assert document["log"] == {"file": {"path": "/var/log/app.log"}}
    assert document["event"]["reason"] == "`login` after `logout`: once in 4,100"
    assert document["event"]["dataset"] == "vestige.alert"
    own = document["vestige"]
    assert (own["line"], own["p_value"], own["incident"]) == (7, 1.2e-05, "000012")
    assert own["expected"] == [{"event": "logout", "p": 0.93}]


def test_an_ecs_document_of_an_incident_spans_its_alerts() -> None:
    event = json.loads(made(ecs, incident()))["event"]
    assert (event["start"], event["end"]) == ("2026-11-28T12:00:00.000000Z", "2026-11-28T12:05:00.500000Z")
    assert (event["action"], event["id"]) == ("incident-opened", "000012")


# OCSF


@pytest.mark.parametrize("row", EVERY_KIND)
def test_a_detection_finding_has_the_required_fields_with_allowed_values(row: Row) -> None:
    document = json.loads(made(ocsf, row))
    require(document, OCSF_REQUIRED)
    require(document["finding_info"], OCSF_FINDING_INFO)
    require(document["metadata"], OCSF_METADATA)
    require(document["metadata"]["product"], OCSF_PRODUCT)
    require(document["finding_info"]["analytic"], OCSF_ANALYTIC)
    assert document["metadata"]["version"] == "1.3.0"
    assert (document["class_uid"], document["category_uid"]) == (2004, 2)
    assert document["type_uid"] == 200400 + document["activity_id"]
    assert document["activity_id"] in OCSF_ACTIVITIES
    assert document["severity_id"] in OCSF_SEVERITIES
    assert document["status_id"] in OCSF_STATUSES
    assert document["finding_info"]["analytic"]["type_id"] in OCSF_ANALYTIC_TYPES
    for resource in document.get("resources", []):  # at least one of name and uid
        assert resource["name"]
    for evidence in document.get("evidences", []):  # at least one of several, data among them
        assert evidence["data"]


def test_an_incident_is_created_updated_and_closed_as_one_finding() -> None:
    states = [json.loads(made(ocsf, incident(state))) for state in ("opened", "grew", "closed")]
    assert [each["activity_id"] for each in states] == [1, 2, 3]
    assert {each["finding_info"]["uid"] for each in states} == {"000012"}
    assert states[0]["count"] == 3
    of_alert = json.loads(made(ocsf, alert()))
    assert of_alert["metadata"]["correlation_uid"] == "000012"
    assert of_alert["time"] == int(TIME.timestamp() * 1000)


def test_a_correction_updates_the_finding_that_it_corrects() -> None:
    first, corrected, withdrawn = (
        json.loads(made(ocsf, row))
        for row in (
            alert(),
            alert(corrects=True, text="login of user0 as root", p_value=1e-6),
            alert(corrects=True, alert=False),
        )
    )
    assert [each["activity_id"] for each in (first, corrected, withdrawn)] == [1, 2, 3]
    assert len({each["finding_info"]["uid"] for each in (first, corrected, withdrawn)}) == 1
    other = json.loads(made(ocsf, alert(1)))
    assert other["finding_info"]["uid"] != first["finding_info"]["uid"]


# RFC 5424

HEADER = re.compile(
    rb"<(\d{1,3})>1 (\S+) ([!-~]{1,255}) ([!-~]{1,48}) ([!-~]{1,128}) ([!-~]{1,32}) ", re.DOTALL
)
SD_NAME = re.compile(rb"[!-~]{1,32}")


def parse_5424(message: bytes) -> tuple[dict[str, str], dict[str, list[tuple[str, str]]], str]:
    """By section 6 of RFC 5424: the header, the structured data, the message."""
    found = HEADER.match(message)
    assert found is not None
    names = ("priority", "time", "host", "app", "process", "id")
    header = {name: value.decode("ascii") for name, value in zip(names, found.groups(), strict=True)}
    at = found.end()
    data: dict[str, list[tuple[str, str]]] = {}
    while message[at : at + 1] == b"[":
        name, at = _sd_name(message, at + 1)
        data[name] = values = []
        while message[at : at + 1] == b" ":
            key, at = _sd_name(message, at + 1)
            assert message[at : at + 2] == b'="'
            value, at = _sd_value(message, at + 2)
            values.append((key, value))
        assert message[at : at + 1] == b"]"
        at += 1
    assert message[at : at + 1] == b" "
    text = message[at + 1 :]
    if not text.isascii():
        assert text.startswith(b"\xef\xbb\xbf")
    return header, data, text.decode("utf-8-sig")


def _sd_name(message: bytes, at: int) -> tuple[str, int]:
    end = at
    while message[end] not in b'= ]"':
        end += 1
    assert SD_NAME.fullmatch(message[at:end])
    return message[at:end].decode("ascii"), end


def _sd_value(message: bytes, at: int) -> tuple[str, int]:
    value = bytearray()
    while message[at : at + 1] != b'"':
        assert message[at : at + 1] != b"]"
        if message[at : at + 1] == b"\\":
            at += 1
            assert message[at : at + 1] in {b'"', b"\\", b"]"}
        value += message[at : at + 1]
        at += 1
    return value.decode(), at + 1


def test_a_syslog_message_is_read_back() -> None:
    row = alert(text='say "no"] \\ stop', file='/var/log/"a]\\.log')
    header, data, text = parse_5424(made(syslog, row))
    assert header["priority"] == str(16 * 8 + 4)
    assert header["time"] == "2026-11-28T12:00:00.123456Z"
    assert (header["app"], header["id"]) == ("vestige", "alert")
    values = dict(data["vestige@32473"])
    assert values["file"] == '/var/log/"a]\\.log'
    assert (values["host"], values["line"], values["p_value"]) == ("web-1", "7", "1.2e-05")
    assert values["reason"] == "`login` after `logout`: once in 4,100"
    assert data["origin"][0] == ("software", "vestige")
    assert text == 'Unusual on web-1: say "no"] \\ stop'


def test_a_syslog_message_without_a_time_has_none_and_says_so() -> None:
    header, _, text = parse_5424(made(syslog, alert(time=None, host=None, text="größer")))
    assert header["time"] == "-"
    assert text == "Unusual: größer"


# CEF

CEF_KEYS = {
    "rt", "start", "end", "externalId", "dhost", "filePath", "cnt", "reason", "msg", "cs1", "cs1Label", "cs2",
    "cs2Label", "cn1", "cn1Label", "cn2", "cn2Label", "cfp1", "cfp1Label", "cfp2", "cfp2Label",
}  # fmt: skip


def parse_cef(message: bytes) -> tuple[list[str], dict[str, str]]:
    """The seven fields of the header and the extension, with their escapes undone."""
    text = message.decode()
    prefix = re.match(r"<\d{1,3}>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ CEF:", text)
    assert prefix is not None
    fields, at = [""], prefix.end()
    while len(fields) < 8:
        if text[at] == "\\":
            assert text[at + 1] in "\\|"
            fields[-1] += text[at + 1]
            at += 2
            continue
        if text[at] == "|":
            fields.append("")
        else:
            fields[-1] += text[at]
        at += 1
    keys = list(re.finditer(r"(?:^| )([A-Za-z0-9]+)=", text[at:]))
    values = {}
    for number, key in enumerate(keys):
        end = keys[number + 1].start() if number + 1 < len(keys) else len(text) - at
        raw = text[at:][key.end() : end]
        assert re.fullmatch(r"(?:[^\\=]|\\[\\=])*", raw)
        values[key[1]] = re.sub(r"\\(.)", r"\1", raw)
    return fields[:7], values


def test_a_cef_message_is_read_back() -> None:
    row = alert(text="a=b c=d \\ e|f msg=x", host="web|1\\=")
    fields, values = parse_cef(made(cef, row))
    assert fields[:3] == ["0", "vestige", "vestige"]
    assert fields[4:] == ["alert", "Unusual on web|1\\=", "5"]
    assert values["msg"] == "a=b c=d \\ e|f msg=x"
    assert values["dhost"] == "web|1\\="
    assert values["rt"] == str(int(TIME.timestamp() * 1000))
    assert (values["cs1"], values["cs1Label"]) == ("000012", "incident")
    assert (values["cn1"], values["cfp1"]) == ("7", "1.2e-05")


def test_a_cef_message_of_an_incident_counts_its_alerts() -> None:
    fields, values = parse_cef(made(cef, incident("closed")))
    assert fields[4:] == ["incident-closed", "Incident 000012 closed on web-1: 3 alerts", "1"]
    assert (values["cnt"], values["externalId"]) == ("3", "000012")
    assert int(values["end"]) - int(values["start"]) == 300_500


# What all formats share


@pytest.mark.parametrize("form", [ecs, ocsf, syslog, cef])
def test_steps_without_an_alert_are_no_findings(form: Format) -> None:
    assert form(STEP) is None
    assert form(DRIFT) is not None


def test_a_line_of_json_is_the_row_as_it_is() -> None:
    for row in [*EVERY_KIND, STEP]:
        assert json.loads(json_line(row)) == row


def test_what_nests_too_deeply_is_counted() -> None:
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert b'["(1 values, nested too deeply)"]' in json_line({"text": "a", "deep": deep})


def test_what_json_lacks_is_written_as_what_it_has() -> None:
    row = {"text": "a\udc80b", "score": float("nan"), "other": [float("inf"), {1: "\ud83d\ude00"}]}
    assert json.loads(json_line(row)) == {"text": "a\ufffdb", "score": None, "other": [None, {"1": "😀"}]}


NASTY = st.one_of(
    st.text(max_size=40),
    st.text(alphabet='\n\r\t\0\x1b\x85\u2028\u202e\ud800\udc80|=\\"] [<>é😀a', max_size=40),
    st.sampled_from(
        ["\r\nCEF:0|x|", '"] <14>1 ', "\x1b[2J", "x" * 5000, "\x00" * 5000, "\\" * 3000, "]" * 3000]
    ),
)
VALUES = st.one_of(
    NASTY, st.none(), st.integers(), st.floats(), st.booleans(), st.lists(NASTY, max_size=3),
    st.dictionaries(NASTY, NASTY, max_size=3),
)  # fmt: skip
KEYS = st.sampled_from(
    [
        "time", "host", "recording", "file", "line", "offset", "text", "score", "p_value", "alert", "reasons",
        "expected", "nearest", "incident", "kind", "id", "state", "first", "last", "alerts", "corrects",
        "x\n",
    ]
)  # fmt: skip
UNSEEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What ends a line, steers a terminal, or turns the direction of text."""
FORMS: list[Format] = [json_line, ecs, ocsf, syslog, cef]


@settings(max_examples=60)
@given(
    base=st.sampled_from(EVERY_KIND),
    changed=st.dictionaries(KEYS, VALUES, max_size=6),
    reasons=st.lists(NASTY, max_size=2),
)
def test_nothing_in_a_row_breaks_a_format(base: Row, changed: Row, reasons: list[str]) -> None:
    row = base | {"reasons": [{"look": "order", "p_value": 0.1, "says": says} for says in reasons]} | changed
    for form in FORMS:
        record = form(row)
        if record is None:
            continue
        text = record.decode("utf-8")  # raises where it is not valid
        assert not UNSEEN.search(text)
    for form in (ecs, ocsf):
        record = form(row)
        if record is not None:
            json.loads(record)["vestige" if form is ecs else "unmapped"].items()
    message = syslog(row)
    if message is not None:
        _, data, _ = parse_5424(message)
        assert set(data) == {"vestige@32473", "origin"}
        assert len(message) < 20_000
    line = cef(row)
    if line is not None:
        fields, values = parse_cef(line)
        assert len(fields) == 7
        assert set(values) <= CEF_KEYS
    finding = Finding.of(row)
    if finding is not None:
        assert not UNSEEN.search(terminal_line(finding))


def test_a_very_long_message_takes_linear_time() -> None:
    started = time.process_time()
    for form in FORMS:
        made(form, alert(text="\x00]=|\\" * 400_000))
    assert time.process_time() - started < 2
