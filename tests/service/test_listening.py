"""Real senders over UDP, TCP and HTTP: each message is one line, whatever it holds, and none that was
acknowledged is lost or judged twice."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import io
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.service.conftest import lines
from tests.service.servers import free_port
from tests.service.test_watch import EVERY
from vestige.errors import UsageError
from vestige.reading.steps import Evidence, Reader
from vestige.service import otlp
from vestige.service.follow import Follower
from vestige.service.inbox import OTHERS, Inbox
from vestige.service.listening import Listening, Place, frame
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
from vestige.sources.logs.choice import RuleSet
from vestige.sources.logs.format import load
from vestige.sources.logs.labels import LabelRule
from vestige.sources.logs.reader import LogReader
from vestige.sources.logs.received import LONGEST, TooManyError, syslog_line
from vestige.sources.logs.schema import schema_for

NOW = datetime(2026, 11, 29, 1, 2, 3, tzinfo=UTC)
STAMP = "2026-11-29T01:02:03.000000+00:00"


@contextlib.contextmanager
def serving(inbox: Inbox, *specs: str, **bounds: Any) -> Iterator[Listening]:
    listener = Listening(specs, inbox, **bounds)
    listener.start()
    try:
        yield listener
    finally:
        listener.close()


def received(folder: Path) -> dict[str, list[str]]:
    """The lines of each file of an inbox, without the mark at its beginning."""
    found = {}
    for path in sorted(folder.glob("*/*.log")):
        mark, *rest = path.read_text().split("\n")
        assert len(mark) == 128
        assert not mark.strip()
        assert rest.pop() == ""
        found[path.relative_to(folder).as_posix()] = rest
    return found


def wait_for(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def part(number: int, content: bytes | str) -> bytes:
    """A field of protobuf that holds bytes."""
    data = content.encode() if isinstance(content, str) else content
    return varint(number << 3 | 2) + varint(len(data)) + data


def exported(body: bytes, *, host: str = "web") -> bytes:
    """An ExportLogsServiceRequest of one record, with `body` as its AnyValue."""
    attribute = part(1, "host.name") + part(2, part(1, host))
    record = varint(1 << 3 | 1) + struct.pack("<Q", 1_764_377_288_000_000_001)
    record += varint(2 << 3) + varint(17) + part(5, body) + varint(7 << 3) + varint(300)
    record += varint(8 << 3 | 5) + b"\0\0\0\1" + part(9, b"\7" * 16)
    return part(1, part(1, part(1, attribute)) + part(2, part(1, part(1, "scope")) + part(2, record)))


def post(
    port: int, body: bytes, kind: str = "application/json", path: str = "/v1/logs", **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    client.request("POST", path, body, {"Content-Type": kind, **named})
    answer = client.getresponse()
    found = answer.status, answer.read(), dict(answer.getheaders())
    client.close()
    return found


def request(*bodies: Any) -> dict[str, Any]:
    return {
        "resourceLogs": [
            {
                "resource": {"attributes": [{"key": "host.name", "value": {"stringValue": "db"}}]},
                "scopeLogs": [
                    {
                        "logRecords": [
                            {"timeUnixNano": "5", "severityText": "WARN", "body": body} for body in bodies
                        ]
                    }
                ],
            }
        ]
    }


@pytest.mark.parametrize(
    ("data", "form", "host", "line"),
    [
        (b"<13>1 2026-01-01T00:00:00Z web app 7 - - up\n", "rfc5424", "web", None),
        (b"<13>1 - - app 7 - - up", "rfc5424", "192.0.2.7", f"<13>1 {STAMP} - app 7 - - up"),
        (b"<34>Oct 11 22:14:15 web su[3]: no\0", "rfc3164", "web", "<34>Oct 11 22:14:15 web su[3]: no"),
        (b"<34>2026-01-01T00:00:00Z web su[3]: no", "rsyslog", "web", None),
        (b"<34>su: no time", "rsyslog", "192.0.2.7", f"<34>{STAMP} 192.0.2.7 su: no time"),
        (b"<999>x", "rsyslog", "192.0.2.7", f"<13>{STAMP} 192.0.2.7 <999>x"),
        (b"a\n<13>b\r\xff\x1b[2Jc", "rsyslog", "192.0.2.7", f"<13>{STAMP} 192.0.2.7 a\\x0a<13>b\\x0d\ufffdc"),
    ],
)  # fmt: skip
def test_a_message_of_syslog_is_one_line(data: bytes, form: str, host: str, line: str | None) -> None:
    found = syslog_line(data, "192.0.2.7", NOW)
    assert found is not None
    assert (found.form, found.host, found.cut) == (form, host, False)
    assert found.data.decode() == (line or data.decode().strip())


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_no_message_is_two_lines(data: bytes) -> None:
    found = syslog_line(data, "192.0.2.7", NOW)
    if found is not None:
        assert not set(found.data.decode()) & {"\n", "\r", "\0", "\x1b", "\u2028"}
        assert load(found.form).compiled().match(found.data.decode())


def test_a_stream_holds_octet_counts_and_lines() -> None:
    stream = io.BytesIO(
        b"5 <13>a12 <13>two\nlines<13>b\n1x\n70000 " + b"y" * 70_000 + b"z" * 70_000 + b"\n9 <13>"
    )
    found = []
    while (each := frame(stream)) is not None:
        found.append((each[0][:12], len(each[0]), each[1]))
    assert found == [
        (b"<13>a", 5, False),
        (b"<13>two\nline", 12, False),
        (b"s<13>b\n", 7, False),
        (b"1x\n", 3, False),
        (b"y" * 12, LONGEST, True),
        (b"z" * 12, LONGEST, True),
        (b"<13>", 4, True),
    ]
    with pytest.raises(ValueError, match="more than 8,388,608 bytes"):
        frame(io.BytesIO(b"99999999 x"))


def test_senders_of_syslog_over_udp_and_tcp(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    with serving(inbox, "syslog://127.0.0.1:0/auth") as listener:
        port = listener.ports[0]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"<13>1 2026-01-01T00:00:00Z web app - - - over udp", ("127.0.0.1", port))
        with socket.create_connection(("127.0.0.1", port)) as sender:
            sender.sendall(b"28 <13>Jan  1 00:00:01 web a: b<13>Jan  1 00:00:02 ../web a: c\n")
        wait_for(lambda: len(list(tmp_path.glob("*/*.log"))) == 3)
    assert received(tmp_path) == {
        f"{OTHERS}/auth.rfc3164.log": ["<13>Jan  1 00:00:02 ../web a: c"],
        "web/auth.rfc3164.log": ["<13>Jan  1 00:00:01 web a: b"],
        "web/auth.rfc5424.log": ["<13>1 2026-01-01T00:00:00Z web app - - - over udp"],
    }


def test_requests_of_otlp(tmp_path: Path) -> None:
    with serving(Inbox(tmp_path), "otlp://127.0.0.1:0") as listener:
        (port,) = listener.ports
        plain = json.dumps(request({"stringValue": "two\nlines"}, {"intValue": "7"})).encode()
        assert post(port, plain)[:2] == (200, b"{}")
        assert post(port, gzip.compress(plain), Content_Encoding="gzip")[0] == 200
        body = exported(part(1, "by protobuf"))
        assert post(port, body, "application/x-protobuf")[:2] == (200, b"")
        assert post(port, b"", "application/x-protobuf")[0] == 200
        assert [
            post(port, b"{")[0],
            post(port, b"[" * 100_000)[0],
            post(port, b'{"resourceLogs": 3}')[0],
            post(port, body[:-1], "application/x-protobuf")[:2],
            post(port, plain, "text/plain")[0],
            post(port, plain, Content_Encoding="br")[0],
            post(port, plain, Content_Encoding="gzip")[0],
            post(port, gzip.compress(b" " * (9 << 20)), Content_Encoding="gzip")[0],
            post(port, plain, path="/v1/traces")[0],
        ] == [
            400,
            400,
            400,
            (
                400,
                b"\x12\x24it is no ExportLogsServiceRequest"[:1]
                + bytes([33])
                + b"it is no ExportLogsServiceRequest",
            ),
            415,
            415,
            400,
            413,
            404,
        ]
    found = received(tmp_path)
    assert [json.loads(line)["body"] for line in found["db/otlp.records.log"]] == ["two\nlines", "7"] * 2
    assert [json.loads(line) for line in found["web/otlp.records.log"]] == [
        {
            "time": "1764377288000000001",
            "severity": "error",
            "host": "web",
            "service": "",
            "body": "by protobuf",
        }
    ]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300), st.integers(0, 80))
def test_protobuf_is_read_or_refused(data: bytes, at: int) -> None:
    whole = exported(
        part(6, part(1, part(1, "k") + part(2, part(4, b"")[:0] + b"\x21" + struct.pack("<d", 0.5))))
    )
    for sent in (data, whole[:at] + data + whole[at:]):
        with contextlib.suppress(ValueError):
            assert isinstance(otlp.read(sent), dict)
    (batch,) = otlp.read(whole)["resourceLogs"]
    (record,) = batch["scopeLogs"][0]["logRecords"]
    assert record["body"] == {"kvlistValue": {"values": [{"key": "k", "value": {"doubleValue": "0.5"}}]}}


def test_a_request_is_bounded() -> None:
    deep = part(1, "x")
    for _ in range(20):
        deep = part(5, part(1, deep))
    with pytest.raises(ValueError, match="deep in one another"):
        otlp.read(exported(deep))
    with pytest.raises(TooManyError):
        otlp.read(part(1, b"") * 1_001, most_fields=1_000)


def test_where_there_is_no_room_a_sender_waits(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, largest=400)
    with serving(inbox, "syslog://127.0.0.1:0", "otlp://127.0.0.1:0") as listener:
        line = b"<13>Jan  1 00:00:01 web a: " + b"b" * 200
        with socket.create_connection(("127.0.0.1", listener.ports[0])) as sender:
            sender.sendall((line + b"\n") * 2)
            wait_for(lambda: inbox.size > 200)
            status, _, headers = post(
                listener.ports[2], json.dumps(request({"stringValue": "c" * 400})).encode()
            )
            assert (status, headers["Retry-After"]) == (429, "5")
            inbox.largest = 10_000
            wait_for(lambda: inbox.size > 400)
        assert listener.told() == ["otlp: 1 requests were put off: the inbox is full"]
    assert received(tmp_path) == {"web/syslog.rfc3164.log": [line.decode()] * 2}


def test_connections_are_few_and_end_when_nothing_comes(tmp_path: Path) -> None:
    bounds = {"connections": 1, "syslog_idle_s": 0.5}
    with serving(Inbox(tmp_path), "syslog://127.0.0.1:0", **bounds) as listener:
        where = ("127.0.0.1", listener.ports[0])
        with socket.create_connection(where) as first, socket.create_connection(where) as second:
            first.settimeout(10)
            assert second.recv(1) == b""
            first.sendall(b"<13>half a mess")
            assert first.recv(1) == b""
        assert listener.told() == ["syslog: 1 connections were refused: there are 1 already"]


def reader() -> LogReader:
    return LogReader(schema_for(RuleSet((load("hdfs"),), LabelRule("none")), length=2, stride=1))


def test_what_was_turned_over_is_deleted_once_it_was_read(tmp_path: Path) -> None:
    inbox, own = Inbox(tmp_path, segment=1_000), reader()
    own.receive(tmp_path)
    follower = Follower(own, [tmp_path])
    same = syslog_line(b"<13>1 2026-01-01T00:00:00Z web app 7 - - the same again", "192.0.2.7", NOW)
    assert same is not None
    count = 0
    for _ in range(6):
        # Were the files alike, each after the first would pass for one that was read.
        assert inbox.append("syslog", [same] * 30)
        for _ in range(3):
            for followed in follower.open.values():
                followed.heard -= 60.0
            follower.scan()
            count += sum(len(block) for block in follower.read())
        inbox.sweep(follower.state())
        assert len(list(tmp_path.glob("*/*"))) <= 2
    count += sum(len(block) for block in follower.release())
    assert count == 180
    follower.close()


def test_what_was_turned_over_before_it_was_looked_at_is_deleted_too(tmp_path: Path) -> None:
    inbox, own = Inbox(tmp_path, segment=1_000), reader()
    own.receive(tmp_path)
    for number in range(3):
        text = b"<13>1 2026-01-01T00:00:00Z web app 7 - - number %d" % number
        line = syslog_line(text, "192.0.2.7", NOW)
        assert line is not None
        assert inbox.append("syslog", [line] * 30)
    assert len(list(tmp_path.glob("*/*"))) == 3
    follower, count = Follower(own, [], inbox=tmp_path), 0
    for _ in range(3):
        follower.scan()
        count += sum(len(block) for block in follower.read())
    inbox.sweep(follower.state())
    assert len(list(tmp_path.glob("*/*"))) == 1
    assert count + sum(len(block) for block in follower.release()) == 90
    follower.close()


def test_how_a_message_is_read_is_no_guess(tmp_path: Path) -> None:
    inbox, own = Inbox(tmp_path), reader()
    own.receive(tmp_path)
    sent = [b"nothing that has a header", b"-- forged --", b"2026-01-01 00:00:00,000 INFO x: y"]
    made = [syslog_line(each, "192.0.2.7", NOW) for each in sent]
    inbox.append("syslog", [line for line in made if line is not None])
    (unit,) = own.units(Evidence((tmp_path,), "whole")).units
    stream = own.open(unit)
    found = []
    while (block := stream.read(100)) is not None:
        found += block.symbols.texts(block.values["message"])
    assert found == ["nothing that has a header", "-- forged --", "<date> <time> INFO x: y"]
    assert stream.defects == []
    assert unit.file.host == "192.0.2.7"


def test_half_a_line_that_a_kill_left_ends(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    line = syslog_line(b"<13>Jan  1 00:00:01 web a: b", "192.0.2.7", NOW)
    assert line is not None
    inbox.append("syslog", [line])
    path = tmp_path / "web" / "syslog.rfc3164.log"
    path.write_bytes(path.read_bytes()[:-3])
    Inbox(tmp_path).append("syslog", [line])
    assert received(tmp_path) == {
        "web/syslog.rfc3164.log": ["<13>Jan  1 00:00:01 web a:", line.data.decode()]
    }


LIFE = """
import sys
from pathlib import Path
from vestige.service.sinks import make
from vestige.service.watch import Watch, WatchOptions
detector, home, *listen = sys.argv[1:]
home = Path(home)
sink = make(f"jsonl:{home / 'out.jsonl'}", home / "state")
options = WatchOptions(every=True, idle_s=60.0, save_s=0.1)
Watch.start(Path(detector), [], [sink], state=home / "state", options=options, listen=listen).run()
"""


def test_nothing_acknowledged_is_lost_or_judged_twice_when_a_watch_is_killed(
    detector: Path, tmp_path: Path
) -> None:
    port = free_port()
    sent = 0
    for _ in range(2):
        life = subprocess.Popen(
            [sys.executable, "-c", LIFE, str(detector), str(tmp_path), f"otlp://127.0.0.1:{port}/app"]
        )
        try:
            until = time.monotonic() + 60
            for _ in range(40):
                text = f"request {sent} answered with 200 in 3 ms"
                body = json.dumps(request({"stringValue": text})).encode()
                while True:
                    with contextlib.suppress(OSError, http.client.HTTPException):
                        if post(port, body)[0] == 200:
                            break
                    assert time.monotonic() < until
                    time.sleep(0.05)
                sent += 1
        finally:
            life.kill()
            life.wait()
    sink = make(f"jsonl:{tmp_path / 'out.jsonl'}", tmp_path / "state")
    Watch.start(detector, [], [sink], state=tmp_path / "state", options=EVERY).run()
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    steps = [row for row in rows if "kind" not in row]
    assert [row["text"] for row in steps] == [
        f"WARN request {n} answered with 200 in 3 ms" for n in range(80)
    ]
    assert {row["host"] for row in steps} == {"db"}


def test_what_comes_as_syslog_is_judged_as_the_file_that_it_would_be(detector: Path, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "web" / "app.log"
    log.parent.mkdir(parents=True)
    sent = [*lines(60, start=3_000, odd=(3_030,))]
    log.write_text("".join(sent))
    inbox = Inbox(tmp_path / "heard" / "inbox")
    made = [syslog_line(b"<13>" + line.encode(), "127.0.0.1", NOW) for line in sent]
    inbox.append("app", [line for line in made if line is not None])
    found = []
    for name, evidence in (("read", [log.parent.parent]), ("heard", [])):
        sink = make(f"jsonl:{tmp_path / name}.jsonl", None)
        Watch.start(detector, evidence, [sink], state=tmp_path / name, options=EVERY).run()
        rows = [json.loads(line) for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()]
        found.append([(r["text"], r["host"], r["p_value"]) for r in rows if "kind" not in r])
    assert len(found[0]) == 60
    assert found[0] == found[1]


def test_what_makes_no_sense_is_refused(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for spec, what in (
        ("tcp://127.0.0.1:1", "no place to listen"),
        ("syslog://127.0.0.1", "no place to listen"),
        ("syslog://127.0.0.1:99999", "no place to listen"),
        ("otlp://127.0.0.1:1/../x", "is to have a name"),
    ):
        with pytest.raises(UsageError, match=what):
            Place.parse(spec)
    assert Place.parse("syslog://[::1]:5514") == Place("syslog", "::1", 5514, "syslog")
    for host, loopback in (("127.0.0.9", True), ("localhost", True), ("192.0.2.1", False)):
        assert Place.parse(f"otlp://{host}:1").is_loopback == loopback
    with pytest.raises(UsageError, match="nowhere to lie"):
        Watch.start(detector, [], [], listen=["otlp://127.0.0.1:0"])
    with monkeypatch.context() as context:
        context.setattr(LogReader, "receive", Reader.receive)
        with pytest.raises(UsageError, match="a detector of logs cannot listen"):
            Watch.start(detector, [], [], state=tmp_path / "state", listen=["otlp://127.0.0.1:0"])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"otlp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match="cannot listen at"):
            Watch.start(detector, [], [], state=tmp_path / "state", listen=[where], options=WatchOptions())
